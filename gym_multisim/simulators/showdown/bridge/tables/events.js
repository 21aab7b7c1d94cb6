'use strict';
// The names of one event, made once. The engine builds them anew (`on` + name) at every look-up,
// and a fresh string must be hashed and interned before it can be a property key.

// Which of an effect's members answer an event, one bit per prefix.
const ON = 1;
const ALLY = 2;
const ANY = 4;
const FOE = 8;
const SOURCE = 16;
/** No real mask has this value: the effect was not asked about this event yet. */
const UNKNOWN = 255;
/** Events beyond this many (the package runs under 300) are answered without the mask cache. */
const SLOTS = 512;

const UNPREFIXED = new Set(['BeforeTurn', 'Update', 'Weather', 'WeatherChange', 'TerrainChange']);
const LEFT_TO_RIGHT = new Set(['Invulnerability', 'TryHit', 'DamagingHit', 'EntryHazard']);

class EventNames {
  constructor(name, slot) {
    this.name = name;
    this.slot = slot;
    this.on = `on${name}`;
    this.onAlly = `onAlly${name}`;
    this.onAny = `onAny${name}`;
    this.onFoe = `onFoe${name}`;
    this.onSource = `onSource${name}`;
    this.prefixed = !UNPREFIXED.has(name);
    this.leftToRight = LEFT_TO_RIGHT.has(name);
  }
}

const known = new Map();

function eventNames(name) {
  let names = known.get(name);
  if (names === undefined) {
    names = new EventNames(name, known.size);
    known.set(name, names);
  }
  return names;
}

module.exports = { ON, ALLY, ANY, FOE, SOURCE, UNKNOWN, SLOTS, eventNames };
