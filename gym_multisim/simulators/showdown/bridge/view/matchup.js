'use strict';
// Who faces whom: both sides' Pokémon as one side knows them, and what moves and types do to them.
// Type charts and printed powers only; this is not the damage formula.

const { TYPE, STATS, clamp } = require('./dex_tables');
const { BOOSTS, V, SIDE_CONDITIONS, PSEUDO } = require('./public_mon');
const { TYPES, SLOTS, TEAM } = require('./layout');

const GRAVITY = PSEUDO.indexOf('gravity');
const TAILWIND = SIDE_CONDITIONS.indexOf('tailwind');
// Positions in layout.WEATHERS.
const WEATHER_BITS = {
  sunnyday: [0], desolateland: [0, 4], raindance: [1], primordialsea: [1, 4], sandstorm: [2], snowscape: [3], hail: [3], snow: [3], deltastream: [4],
};

// Scratch, reused by every call: a process writes one row at a time.

const NO_BOOSTS = new Int8Array(BOOSTS.length);
const newView = () => ({
  here: false, onField: false, hp: 0, status: '', row: null, types: [], original: [], tera: '', teraType: -1, ability: '', item: '',
  stats: new Float64Array(STATS.length), mon: null, boosts: NO_BOOSTS, factors: new Float32Array(TYPES), member: null,
});
const own = Array.from({ length: TEAM }, newView);
const foes = Array.from({ length: SLOTS }, newView);
const weather = { fire: 1, water: 1 };
let tables;
let state;

const boosted = (stat, b) => (b >= 0 ? stat * (2 + b) / 2 : stat * 2 / (2 - b));
/** 0 → −1.5; ¼ → −1; ½ → −0.5; 1 → 0; 2 → 0.5; 4 → 1. */
const scaled = (factor) => (factor === 0 ? -1.5 : clamp(Math.log2(factor) / 2, -1.5, 1.5));

/** Chooses the battle that the functions here are about. */
function begin(publicState) {
  state = publicState;
  tables = state.tables;
  const bits = WEATHER_BITS[state.weather];
  const sky = bits ? bits[0] : -1;
  weather.fire = sky === 0 ? 1.5 : sky === 1 ? 0.5 : 1;
  weather.water = sky === 1 ? 1.5 : sky === 0 ? 0.5 : 1;
}

function readMember(view, member, mon) {
  view.member = member;
  const { condition } = member;
  const slash = condition.indexOf('/');
  const space = condition.indexOf(' ');
  view.here = slash > 0;
  view.onField = view.here && member.active === true;
  view.status = '';
  view.hp = 0;
  view.row = tables.details(member.details);
  view.tera = member.terastallized || '';
  view.teraType = tables.type(member.teraType);
  view.ability = member.ability || member.baseAbility || '';
  view.item = member.item || '';
  for (let i = 0; i < STATS.length; i++) view.stats[i] = member.stats[STATS[i]];
  view.mon = null;
  view.boosts = NO_BOOSTS;
  if (view.here) {
    view.hp = +condition.slice(0, slash) / +(space < 0 ? condition.slice(slash + 1) : condition.slice(slash + 1, space));
    if (space > 0) view.status = condition.slice(space + 1);
    if (mon) {
      view.mon = mon;
      view.boosts = mon.boosts;
    }
  }
  // Under an Illusion the public entry describes another species: only its boosts and states are this one's.
  const disguised = !mon || !member.ident.endsWith(mon.name) || (!mon.transformed && mon.row.species.base !== view.row.species.base);
  view.original = disguised ? view.row.species.types : withAdded(mon);
  view.types = presentTypes(view.original, view.tera);
}

function readFoe(view, mon) {
  view.here = !!mon && !mon.fainted;
  if (!view.here) return;
  view.mon = mon;
  view.row = mon.row;
  view.hp = mon.hp;
  view.status = mon.status;
  view.tera = mon.tera;
  view.original = withAdded(mon);
  view.types = presentTypes(view.original, mon.tera);
  view.ability = mon.ability !== null ? mon.ability : mon.species.onlyAbility || '';
  view.item = mon.item || '';
  view.boosts = mon.boosts;
  for (let i = 0; i < STATS.length; i++) view.stats[i] = mon.row.estimate[i];
}

function withAdded(mon) {
  const types = mon.ownTypes();
  return mon.addedType < 0 ? types : [...types, mon.addedType];
}

const oneType = [];
function presentTypes(original, tera) {
  if (!tera || tera === 'Stellar') return original;
  const t = tables.type(tera);
  if (!oneType[t]) oneType[t] = [t];
  return oneType[t];
}

/** view.factors[t]: what an attack of type t does to it, with the immunities that are known to the looking side. */
function takeFactors(view) {
  const { factors } = view;
  for (let t = 0; t < TYPES; t++) factors[t] = tables.factorOn(t, view.types);
  if (view.tera) factors[TYPE.Stellar] = 2;
  const immune = tables.abilityImmunity.get(view.ability);
  const grounded = state.pseudo[GRAVITY] > 0 || (view.mon !== null && (view.mon.volatile[V.smackdown] > 0 || view.mon.volatile[V.ingrain] > 0));
  if (immune !== undefined && !(immune === TYPE.Ground && grounded)) factors[immune] = 0;
  if (grounded) {
    if (factors[TYPE.Ground] === 0) {
      factors[TYPE.Ground] = 1;
      for (const t of view.types) if (t !== TYPE.Flying) factors[TYPE.Ground] *= tables.factor[TYPE.Ground * TYPES + t];
    }
  } else if (view.item === 'airballoon' || (view.mon !== null && view.mon.volatile[V.magnetrise] > 0)) {
    factors[TYPE.Ground] = 0;
  }
}

/** The type a move would have, `tera` being the user's (possibly intended) Tera type or ''. */
function moveType(row, user, tera) {
  let { type } = row;
  if (row.typeRule) {
    const species = user.row.species;
    switch (row.id) {
      case 'terablast': if (tera) type = tables.type(tera); break;
      case 'terastarstorm': if (species.name === 'Terapagos-Stellar' || (tera === 'Stellar' && species.base === 'Terapagos')) type = TYPE.Stellar; break;
      case 'ivycudgel': if (species.types.length > 1) type = species.types[1]; break;
      case 'judgment': case 'multiattack': type = species.types[0]; break;
      case 'revelationdance': type = tera && tera !== 'Stellar' ? tables.type(tera) : user.original.length ? user.original[0] : type; break;
      case 'ragingbull': if (species.types.length > 1) type = species.types[1]; else if (species.name === 'Tauros-Paldea-Combat') type = TYPE.Fighting; break;
      case 'aurawheel': if (user.mon && user.mon.species.name === 'Morpeko-Hangry') type = TYPE.Dark; break;
      case 'weatherball': {
        const bits = WEATHER_BITS[state.weather];
        if (bits) type = [TYPE.Fire, TYPE.Water, TYPE.Rock, TYPE.Ice, type][bits[0]];
        break;
      }
      default: break;
    }
  }
  if (type === TYPE.Normal && row.id !== 'struggle' && !row.typeRule) {
    const changed = tables.typeChangingAbility.get(user.ability);
    if (changed !== undefined) type = changed;
  } else if (row.sound && user.ability === 'liquidvoice') {
    type = TYPE.Water;
  }
  return type;
}

function stab(type, user, tera) {
  const has = user.original.includes(type);
  if (tera === 'Stellar') return has ? 2 : 1.2;
  const sharp = user.ability === 'adaptability';
  if (tera && tables.type(tera) === type) return has ? (sharp ? 2.25 : 2) : sharp ? 2 : 1.5;
  return has ? (sharp && !tera ? 2 : 1.5) : 1;
}

function factorOf(row, type, user, target) {
  if (type < 0) return 1;
  let f = target.factors[type];
  if (row.id === 'freezedry' && target.types.includes(TYPE.Water)) f *= 4;
  else if (row.id === 'flyingpress') f *= target.factors[TYPE.Flying];
  else if (row.id === 'thousandarrows' && f === 0) f = 1;
  else if (f === 0 && (type === TYPE.Normal || type === TYPE.Fighting) && target.types.includes(TYPE.Ghost) && (user.ability === 'scrappy' || user.ability === 'mindseye')) {
    f = 1;
    for (const t of target.types) if (t !== TYPE.Ghost) f *= tables.factor[type * TYPES + t];
  }
  if (row.fixed && f > 0) f = 1;
  return f;
}

/** Power × accuracy × STAB × weather, before anything that depends on the target. */
function outright(row, type, user, tera) {
  if (row.power === 0 || (row.firstTurnOnly && user.mon !== null && user.mon.acted)) return 0;
  let p = row.power * row.accuracy / 200;
  if (!row.fixed) p *= stab(type, user, tera);
  if (type === TYPE.Fire) p *= weather.fire;
  else if (type === TYPE.Water) p *= weather.water;
  if (row.id === 'weatherball' && WEATHER_BITS[state.weather]) p *= 2;
  return p;
}

/** Does this status move do anything to the target, as far as types and statuses tell? */
function statusWorks(row, target) {
  if (row.inflicts && target.status) return false;
  for (const t of row.stoppedBy) if (target.types.includes(t)) return false;
  return true;
}

/** Expected power of a foe's strongest revealed move. */
function knownThreat(foe, view) {
  let best = 0;
  for (const id of foe.mon.moves) {
    const row = tables.move(id);
    const type = moveType(row, foe, foe.tera);
    const p = outright(row, type, foe, foe.tera) * factorOf(row, type, foe, view);
    if (p > best) best = p;
  }
  return Math.min(1.5, best);
}

function statRatio(row, user, target) {
  let a = row.attackStat;
  let d = row.defenceStat;
  const who = row.attacksWithTarget ? target : user;
  if (row.takesBetterStat && boosted(who.stats[0], who.boosts[0]) > boosted(who.stats[2], who.boosts[2])) {
    a = 0;
    d = 1;
  }
  let attack = boosted(who.stats[a], who.boosts[a]);
  if (user.status === 'brn' && row.category === 1 && user.ability !== 'guts' && row.id !== 'facade') attack /= 2;
  return clamp(Math.log2(attack / boosted(target.stats[d], target.boosts[d])) / 2, -1.5, 1.5);
}

function speedOf(view, side) {
  let speed = boosted(view.stats[4], view.boosts[4]);
  if (view.status === 'par') speed /= 2;
  if (view.item === 'choicescarf') speed *= 1.5;
  if (side.conditions[TAILWIND]) speed *= 2;
  return speed;
}

/** The largest factor of the attacker's own types (and Tera type) in a table of factors. */
function bestFactor(attacker, factors) {
  let best = 0;
  for (const t of attacker.original) if (factors[t] > best) best = factors[t];
  const t = attacker.tera && attacker.tera !== 'Stellar' ? tables.type(attacker.tera) : -1;
  if (t >= 0 && factors[t] > best) best = factors[t];
  return best;
}

module.exports = {
  WEATHER_BITS, own, foes, scaled, begin, readMember, readFoe, takeFactors, presentTypes,
  moveType, stab, factorOf, outright, statusWorks, knownThreat, statRatio, speedOf, bestFactor,
};
