'use strict';
// A rough expectation of what a move does, from public facts and the dex alone: base power × hits × STAB × type
// effectiveness × accuracy × spread. No stats, items, abilities or weather: the aim is a fixed and simple measure.

const { shownTypes } = require('./public');

const UNKNOWN_POWER = 60; // moves whose power the dex does not state (weights, speeds, fixed damage): a middling one
const SPREAD = 0.75;
const TWO_TO_FIVE_HITS = 3.1;

function effectiveness(dex, type, target) {
  const types = shownTypes(target);
  if (!dex.getImmunity(type, types)) return 0;
  return 2 ** dex.getEffectiveness(type, types);
}

/** `tera`: the Tera type in force, or the one that would be; '' without. */
function sameTypeBonus(dex, type, own, tera) {
  const born = dex.species.get(own.details.split(',')[0]).types.includes(type);
  if (tera === 'Stellar') return born ? 2 : 1.2;
  if (tera === type) return born ? 2 : 1.5;
  return born ? 1.5 : 1;
}

function power(move) {
  const once = move.basePower || (move.target === 'scripted' ? 0 : UNKNOWN_POWER);
  let hits = 1;
  if (Array.isArray(move.multihit)) hits = TWO_TO_FIVE_HITS;
  else if (move.multihit) hits = move.multihit;
  const accuracy = move.accuracy === true ? 1 : move.accuracy / 100;
  if (!move.multiaccuracy) return once * hits * accuracy;
  let expected = 0;
  for (let i = 1; i <= hits; i++) expected += once * accuracy ** i;
  return expected;
}

/** Damage on one target, in units of base power. */
function againstOne(dex, move, own, tera, target) {
  const type = move.id === 'terablast' && tera ? tera : move.type;
  return power(move) * sameTypeBonus(dex, type, own, tera) * effectiveness(dex, type, target);
}

/**
 * The worth of a move for its side: damage on foes less damage on the ally.
 * `kind` is the target kind of the request, `target` the chosen place (0: none), `ally` the living ally or null.
 */
function worth(dex, move, own, tera, kind, target, foes, ally) {
  if (move.category === 'Status') return 0;
  const on = (p) => againstOne(dex, move, own, tera, p);
  const living = foes.filter((p) => p && !p.fainted);
  if (target > 0) return foes[target - 1] && !foes[target - 1].fainted ? on(foes[target - 1]) : 0;
  if (target < 0) return ally ? -on(ally) : 0;
  const sum = living.reduce((total, p) => total + on(p), 0);
  if (kind === 'allAdjacentFoes') return sum * (living.length > 1 ? SPREAD : 1);
  if (kind === 'allAdjacent') {
    return (sum - (ally ? on(ally) : 0)) * (living.length + (ally ? 1 : 0) > 1 ? SPREAD : 1);
  }
  return living.length ? sum / living.length : 0; // a random foe, or a place that is not chosen
}

module.exports = { worth };
