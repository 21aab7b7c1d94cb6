'use strict';
// What each effect of a Dex listens to. Effects are frozen and shared by all battles of a mod,
// so one record per effect lives as long as the process.
const { ON, ALLY, ANY, FOE, SOURCE, UNKNOWN, SLOTS } = require('./events');

// Sub-order by kind of effect, where the effect names none (Condition may differ by where it sits).
const KIND_ORDER = { Condition: 2, Weather: 5, Format: 5, Rule: 5, Ruleset: 5, Ability: 7, Item: 8 };

/** One callback of one effect, with everything about its order that does not depend on the battle. */
class Listener {
  constructor(effect, name, callback) {
    this.effect = effect;
    this.callback = callback;
    this.order = effect[`${name}Order`] || false;
    this.priority = effect[`${name}Priority`] || 0;
    this.subOrder = effect[`${name}SubOrder`] || 0;
    // A condition's sub-order depends on its state's target, known only when it is heard.
    this.bySeat = false;
    if (!this.subOrder) {
      this.subOrder = KIND_ORDER[effect.effectType] || 0;
      if (effect.effectType === 'Condition') {
        this.bySeat = true;
      } else if (effect.effectType === 'Ability') {
        if (effect.name === 'Poison Touch' || effect.name === 'Perish Body') this.subOrder = 6;
        else if (effect.name === 'Stall') this.subOrder = 9;
      }
    }
    this.switchIn = name.endsWith('SwitchIn');
    this.byAge = this.switchIn || name.endsWith('RedirectTarget');
    this.bounces = effect.effectType === 'Ability' && effect.name === 'Magic Bounce' && name === 'onAllyTryHitSide';
  }
}

/** From generation 5 on, abilities and items without an entry callback of their own enter by onStart. */
function startsOnEntry(effect, gen) {
  if (gen < 5 || effect.onAnySwitchIn) return false;
  const type = effect.effectType;
  if (type === 'Ability' || type === 'Item') return true;
  if (type !== 'Status') return false;
  const kind = effect.id.split(':')[0];
  return kind === 'ability' || kind === 'item';
}

class EffectRecord {
  constructor(effect, gen) {
    this.effect = effect;
    this.members = new Map();
    // Inherited members count too: the engine reads them through the prototype chain.
    for (const key in effect) {
      if (key.startsWith('on') && effect[key] !== undefined) this.members.set(key, effect[key]);
    }
    this.silent = this.members.size === 0;
    this.entry = !this.members.has('onSwitchIn') && startsOnEntry(effect, gen) ? this.members.get('onStart') : undefined;
    this.masks = new Uint8Array(SLOTS).fill(UNKNOWN);
    this.listeners = new Map();
    this.entryListener = null;
  }

  /** The prefixes under which this effect listens to an event; on a Pokémon entry by onStart counts. */
  mask(names) {
    const found = this.masks[names.slot];
    if (found !== UNKNOWN && found !== undefined) return found;
    const m = this.members;
    let mask = 0;
    if (m.has(names.on) || (names.on === 'onSwitchIn' && this.entry !== undefined)) mask |= ON;
    if (m.has(names.onAlly)) mask |= ALLY;
    if (m.has(names.onAny)) mask |= ANY;
    if (m.has(names.onFoe)) mask |= FOE;
    if (m.has(names.onSource)) mask |= SOURCE;
    this.masks[names.slot] = mask;
    return mask;
  }

  listener(name) {
    let found = this.listeners.get(name);
    if (found === undefined) {
      found = new Listener(this.effect, name, this.members.get(name));
      this.listeners.set(name, found);
    }
    return found;
  }

  /** As `listener`, where the effect sits on a Pokémon. */
  pokemonListener(name) {
    if (name !== 'onSwitchIn' || this.entry === undefined) return this.listener(name);
    if (!this.entryListener) this.entryListener = new Listener(this.effect, name, this.entry);
    return this.entryListener;
  }
}

/** Which prefixes of one event anything of a kind listens under, in a whole Dex. */
class Audience {
  constructor(names, members) {
    const mask = (set) => (set.has(names.on) || (names.on === 'onSwitchIn' && set.has('onStart')) ? ON : 0) |
      (set.has(names.onAlly) ? ALLY : 0) | (set.has(names.onAny) ? ANY : 0) |
      (set.has(names.onFoe) ? FOE : 0) | (set.has(names.onSource) ? SOURCE : 0);
    this.ability = mask(members.abilities);
    this.item = mask(members.items);
    this.species = mask(members.species);
    this.condition = mask(members.conditions);
    this.all = this.ability | this.item | this.species | this.condition;
  }
}

/** The names of all callbacks in a Dex, by kind: most events have listeners of few kinds under few prefixes. */
function membersOf(dex) {
  const { Abilities, Items, Moves, Conditions, Rulesets, Pokedex } = dex.data;
  const collect = (set, data) => {
    for (const key in data) if (key.startsWith('on') && data[key] !== undefined) set.add(key);
  };
  const members = { abilities: new Set(), items: new Set(), species: new Set(), conditions: new Set() };
  for (const id in Pokedex) {
    collect(members.species, Pokedex[id]);
    // A species takes the callbacks of the condition named like its base species (Arceus, Silvally, ...).
    const base = dex.toID(Pokedex[id].baseSpecies || Pokedex[id].name);
    if (Object.hasOwn(Conditions, base)) collect(members.species, Conditions[base]);
  }
  for (const id in Conditions) collect(members.conditions, Conditions[id]);
  for (const id in Rulesets) collect(members.conditions, Rulesets[id]);
  for (const id in Moves) collect(members.conditions, Moves[id].condition);
  for (const [kind, data] of [['abilities', Abilities], ['items', Items]]) {
    for (const id in data) {
      collect(members[kind], data[id]);
      collect(members.conditions, data[id].condition);
    }
  }
  return members;
}

/** The records of one mod's Dex, by the ids that Pokémon, sides and the field hold. */
class DexRecords {
  constructor(dex) {
    this.dex = dex;
    this.gen = dex.gen;
    this.members = membersOf(dex);
    this.audiences = [];
    this.abilities = new Map();
    this.items = new Map();
    this.conditions = new Map();
    this.objects = new WeakMap();
  }

  // Only effects that the Dex itself keeps are kept here: unknown ids give a new object each time.
  ability(id) { return this.abilities.get(id) || this.#keep('abilities', id); }
  item(id) { return this.items.get(id) || this.#keep('items', id); }
  condition(id) { return this.conditions.get(id) || this.#keep('conditions', id); }

  audience(names) {
    return this.audiences[names.slot] || (this.audiences[names.slot] = new Audience(names, this.members));
  }

  #keep(kind, id) {
    const source = this.dex[kind];
    const effect = source.getByID(id);
    const record = this.#record(kind, effect);
    if (source.getByID(id) === effect) this[kind].set(id, record);
    return record;
  }

  #record(kind, effect) {
    const record = new EffectRecord(effect, this.gen);
    // Callbacks that the data did not show: from here on the kind listens to them too.
    // (A condition made of an ability or an item is always asked, see pokemonMask.)
    for (const name of record.members.keys()) {
      if (this.members[kind].has(name) || (kind === 'conditions' && effect.id.includes(':'))) continue;
      this.members[kind].add(name);
      this.audiences.length = 0;
    }
    return record;
  }

  /** For effects held as objects: species, and the format (which is always asked). */
  species(effect) {
    let record = this.objects.get(effect);
    if (!record) {
      record = this.#record('species', effect);
      this.objects.set(effect, record);
    }
    return record;
  }

  format(effect) {
    let record = this.objects.get(effect);
    if (!record) {
      record = new EffectRecord(effect, this.gen);
      this.objects.set(effect, record);
    }
    return record;
  }
}

const byDex = new WeakMap();

function recordsOf(dex) {
  let records = byDex.get(dex);
  if (!records) {
    records = new DexRecords(dex);
    byDex.set(dex, records);
  }
  return records;
}

module.exports = { recordsOf };
