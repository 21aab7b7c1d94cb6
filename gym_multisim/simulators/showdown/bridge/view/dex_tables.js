'use strict';
// Static knowledge of the game (types, species, moves) as numbers, made on first use and kept for the life of the process.
// Everything here is in the rule books: nothing depends on a battle, so one set of tables serves every arena.

// The layout of observations counts on these and their order, whatever types a generation has.
const TYPE_NAMES = [
  'Bug', 'Dark', 'Dragon', 'Electric', 'Fairy', 'Fighting', 'Fire', 'Flying', 'Ghost', 'Grass', 'Ground', 'Ice', 'Normal', 'Poison',
  'Psychic', 'Rock', 'Steel', 'Stellar', 'Water',
];
const TYPE = Object.fromEntries(TYPE_NAMES.map((name, i) => [name, i]));
const STATS = ['atk', 'def', 'spa', 'spd', 'spe'];
const CATEGORIES = ['Status', 'Physical', 'Special'];

// How a move chooses what it hits. Order is part of the observation layout.
const TARGET_CLASSES = ['single', 'spread_foes', 'spread_all', 'self', 'ally', 'field'];
const CLASS_OF_TARGET = {
  normal: 0, any: 0, adjacentFoe: 0, randomNormal: 0, scripted: 0,
  allAdjacentFoes: 1, allAdjacent: 2, self: 3,
  adjacentAlly: 4, adjacentAllyOrSelf: 4, allies: 4,
  allySide: 5, allyTeam: 5, foeSide: 5, all: 5,
};

// What a move does besides damage. Order is part of the observation layout.
const EFFECTS = [
  'protects', 'heals', 'own_attack', 'own_defence', 'own_speed', 'foe_drops', 'status', 'disrupts',
  'switches', 'sets_field', 'helps_ally', 'costs', 'first_turn_only',
];

// Moves whose power the Dex leaves to a function: a typical figure, so that they do not look useless.
const TYPICAL_POWER = {
  lowkick: 80, grassknot: 70, heavyslam: 80, heatcrash: 80, gyroball: 70, electroball: 70, flail: 60, reversal: 60,
  return: 102, frustration: 102, storedpower: 40, powertrip: 40, lastrespects: 75, ragefist: 75, crushgrip: 80, wringout: 80,
  hardpress: 70, punishment: 70, trumpcard: 60, magnitude: 70, beatup: 60, fling: 40, spitup: 60, naturalgift: 60,
  // Expected totals over their accuracy checks, divided by the accuracy that is multiplied in later.
  tripleaxel: 104, triplekick: 52, populationbomb: 130,
};
// Damage that ignores type multipliers (but not immunity), stats and STAB, as a comparable power.
const FIXED_POWER = {
  seismictoss: 60, nightshade: 60, sonicboom: 20, dragonrage: 30, superfang: 70, ruination: 70, naturesmadness: 70,
  guardianofalola: 70, finalgambit: 90, endeavor: 50, counter: 50, mirrorcoat: 50, metalburst: 50, comeuppance: 50, bide: 40, psywave: 50,
};
const FIRST_TURN_ONLY = new Set(['fakeout', 'firstimpression', 'matblock']);
const ALLY_HELP = new Set(['helpinghand', 'followme', 'ragepowder', 'spotlight', 'coaching', 'decorate', 'allyswitch', 'instruct', 'afteryou']);
const DISRUPTIONS = new Set([
  'flinch', 'confusion', 'taunt', 'encore', 'disable', 'torment', 'yawn', 'leechseed', 'attract', 'healblock', 'throatchop',
  'partiallytrapped', 'saltcure', 'nightmare', 'curse', 'imprison', 'quash', 'sparklingaria', 'syrupbomb',
]);
// Abilities that make a type harmless. Used only where the ability is known to the side that looks.
const ABILITY_IMMUNITY = {
  levitate: 'Ground', eelevate: 'Ground', eartheater: 'Ground', flashfire: 'Fire', wellbakedbody: 'Fire',
  waterabsorb: 'Water', stormdrain: 'Water', dryskin: 'Water', voltabsorb: 'Electric', lightningrod: 'Electric', motordrive: 'Electric',
  sapsipper: 'Grass',
};
const TYPE_CHANGING_ABILITY = { pixilate: 'Fairy', aerilate: 'Flying', refrigerate: 'Ice', galvanize: 'Electric' };
// Moves whose type depends on the user or the field; observe.js decides.
const TYPE_RULES = new Set(['terablast', 'terastarstorm', 'ivycudgel', 'judgment', 'multiattack', 'revelationdance', 'ragingbull', 'aurawheel', 'weatherball', 'terrainpulse']);

const clamp = (x, low, high) => (x < low ? low : x > high ? high : x);

class DexTables {
  constructor(dex) {
    this.dex = dex;
    this.types = TYPE_NAMES.length;
    this.typeIndex = new Map(Object.entries(TYPE));
    this.factor = this.#factors();
    this.abilityImmunity = new Map(Object.entries(ABILITY_IMMUNITY).map(([id, type]) => [id, this.type(type)]));
    this.typeChangingAbility = new Map(Object.entries(TYPE_CHANGING_ABILITY).map(([id, type]) => [id, this.type(type)]));
    this.moveRows = new Map();
    this.speciesRows = new Map();
    this.detailRows = new Map();
    this.ids = new Map();
  }

  /** Index of a type name, −1 for '', '???' and other non-types. */
  type(name) {
    const i = this.typeIndex.get(name);
    return i === undefined ? -1 : i;
  }

  /** factor[attacking * types + defending]: 0, ½, 1 or 2. */
  #factors() {
    const factor = new Float32Array(this.types * this.types).fill(1);
    TYPE_NAMES.forEach((defending, d) => {
      const taken = this.dex.types.get(defending).damageTaken || {};
      TYPE_NAMES.forEach((attacking, a) => {
        factor[a * this.types + d] = [1, 2, 0.5, 0][taken[attacking] || 0];
      });
    });
    return factor;
  }

  /** Product over the defender's types. */
  factorOn(attacking, defendingTypes) {
    let f = 1;
    for (let i = 0; i < defendingTypes.length; i++) f *= this.factor[attacking * this.types + defendingTypes[i]];
    return f;
  }

  /** The package's id of a name ("Will-O-Wisp" → "willowisp"); the log repeats few names very often. */
  id(name) {
    let id = this.ids.get(name);
    if (id === undefined) {
      id = name.toLowerCase().replace(/[^a-z0-9]+/g, '');
      this.ids.set(name, id);
    }
    return id;
  }

  species(name) {
    let row = this.speciesRows.get(name);
    if (!row) {
      const s = this.dex.species.get(name);
      const abilities = Object.values(s.abilities || {}).map((a) => this.id(a)).filter(Boolean);
      row = {
        name: s.name || name,
        base: s.baseSpecies || s.name || name,
        types: (s.types || []).map((t) => this.type(t)).filter((t) => t >= 0),
        stats: s.baseStats || { hp: 0, atk: 0, def: 0, spa: 0, spd: 0, spe: 0 },
        // With one possible ability everybody knows it.
        onlyAbility: new Set(abilities).size === 1 ? abilities[0] : null,
      };
      this.speciesRows.set(name, row);
    }
    return row;
  }

  /** "Basculegion, L85, M, shiny, tera:Fire" → parts. Few distinct texts, so parsed once each. */
  details(text) {
    let row = this.detailRows.get(text);
    if (!row) {
      row = { text, species: null, level: 100, gender: '', shiny: false, tera: '' };
      text.split(', ').forEach((part, i) => {
        if (i === 0) row.species = this.species(part);
        else if (part === 'M' || part === 'F') row.gender = part;
        else if (part === 'shiny') row.shiny = true;
        else if (part.startsWith('tera:')) row.tera = part.slice(5);
        else if (part.startsWith('L')) row.level = +part.slice(1) || 100;
      });
      // What stays the same through forme changes and Terastallization: it tells team members apart.
      row.key = `${row.species.base}|${row.level}|${row.gender}|${row.shiny}`;
      // The usual figures of random battles (IV 31, EV 84) at this level: an estimate for Pokémon whose stats are hidden.
      row.estimate = STATS.map((s) => Math.floor((2 * row.species.stats[s] + 52) * row.level / 100) + 5);
      this.detailRows.set(text, row);
    }
    return row;
  }

  move(id) {
    let row = this.moveRows.get(id);
    if (!row) {
      row = this.#moveRow(id);
      this.moveRows.set(id, row);
    }
    return row;
  }

  #moveRow(id) {
    let m = this.dex.moves.get(id);
    // Requests append the power of Return, Frustration and Hidden Power to the id.
    if (!m.exists) m = this.dex.moves.get(id.replace(/\d+$/, ''));
    const fixed = FIXED_POWER[m.id];
    let power = fixed || TYPICAL_POWER[m.id] || m.basePower || 0; // Recharge is no move of the Dex
    if (m.multihit && !TYPICAL_POWER[m.id]) power *= Array.isArray(m.multihit) ? 3.1 : m.multihit;
    if (m.ohko) power = 150;
    if (m.exists && m.category !== 'Status' && !power) power = 60;
    const accuracy = m.ohko ? 0.3 : m.accuracy === true || !m.exists ? 1 : m.accuracy / 100;
    return {
      id: m.id || id,
      type: this.type(m.type),
      category: m.exists ? Math.max(0, CATEGORIES.indexOf(m.category)) : 0,
      power,
      accuracy,
      priority: m.priority || 0,
      target: m.target || 'self',
      fixed: fixed !== undefined || !!m.ohko,
      sound: !!m.flags.sound,
      firstTurnOnly: FIRST_TURN_ONLY.has(m.id),
      typeRule: TYPE_RULES.has(m.id),
      stalls: !!m.stallingMove,
      // Stats that the damage formula takes, as positions in STATS.
      attackStat: m.overrideOffensiveStat ? STATS.indexOf(m.overrideOffensiveStat) : m.category === 'Special' ? 2 : 0,
      defenceStat: m.overrideDefensiveStat ? STATS.indexOf(m.overrideDefensiveStat) : m.category === 'Special' ? 3 : 1,
      attacksWithTarget: m.overrideOffensivePokemon === 'target',
      takesBetterStat: m.id === 'terablast' || m.id === 'photongeyser' || m.id === 'terastarstorm',
      inflicts: m.category === 'Status' && (m.status || (m.volatileStatus === 'yawn' ? 'slp' : '')) || '',
      stoppedBy: this.#typesThatStop(m),
      effects: moveEffects(m),
    };
  }

  /** Types a status move does nothing to, apart from those that the damage table knows. */
  #typesThatStop(m) {
    if (m.category !== 'Status') return [];
    const names = { brn: ['Fire'], par: ['Electric'], psn: ['Poison', 'Steel'], tox: ['Poison', 'Steel'], frz: ['Ice'] }[m.status] || [];
    if (m.flags.powder || m.volatileStatus === 'leechseed') names.push('Grass');
    if (m.id === 'thunderwave') names.push('Ground');
    return names.map((name) => this.type(name)).filter((t) => t >= 0);
  }

  /** Class of a request's target word; a missing word (a locked move) means the Dex's own. */
  targetClass(word, row) {
    const c = CLASS_OF_TARGET[word || row.target];
    return c === undefined ? 3 : c;
  }
}

function moveEffects(m) {
  const out = new Float32Array(EFFECTS.length);
  if (!m.exists) return out;
  const onSelf = m.target === 'self' || m.target === 'allies' || m.target === 'adjacentAllyOrSelf' || m.target === 'allySide' || m.target === 'allyTeam';
  const onAlly = m.target === 'adjacentAlly';
  const own = { atk: 0, def: 0, spa: 0, spd: 0, spe: 0 };
  let drops = 0;
  let status = 0;
  let disrupts = 0;
  const ownBoosts = (boosts, p) => { for (const s in boosts) if (s in own) own[s] += p * boosts[s]; };
  const onTarget = (effect, p) => {
    if (!effect) return;
    if (effect.boosts) {
      if (onSelf) ownBoosts(effect.boosts, p);
      else for (const s in effect.boosts) if (effect.boosts[s] < 0) drops -= p * effect.boosts[s];
    }
    if (effect.status && !onSelf) status += p;
    if (effect.volatileStatus && DISRUPTIONS.has(effect.volatileStatus) && !onSelf) disrupts += p;
    if (effect.self && effect.self.boosts) ownBoosts(effect.self.boosts, p);
  };
  const direct = m.accuracy === true ? 1 : m.accuracy / 100;
  onTarget({ boosts: m.boosts, status: m.status, volatileStatus: m.volatileStatus, self: m.self }, direct);
  if (m.selfBoost) ownBoosts(m.selfBoost.boosts, 1);
  for (const s of m.secondaries || []) onTarget(s, direct * (s.chance || 100) / 100);
  const shields = m.sideCondition === 'wideguard' || m.sideCondition === 'quickguard';
  out[0] = m.stallingMove ? 1 : shields ? 0.5 : 0;
  out[1] = m.heal ? m.heal[0] / m.heal[1] : m.drain ? m.drain[0] / m.drain[1] : m.flags.heal && m.category === 'Status' ? 0.5 : 0;
  out[2] = clamp((Math.abs(own.atk) > Math.abs(own.spa) ? own.atk : own.spa) / 2, -1, 1.5);
  out[3] = clamp((own.def + own.spd) / 4, -1, 1.5);
  out[4] = clamp(own.spe / 2, -1, 1.5);
  out[5] = Math.min(1.5, drops / 2);
  out[6] = Math.min(1, status);
  out[7] = Math.min(1, disrupts);
  out[8] = m.selfSwitch ? 1 : m.forceSwitch ? -1 : 0;
  out[9] = (m.sideCondition && !shields) || m.pseudoWeather || m.weather || m.terrain ? 1 : 0;
  out[10] = ALLY_HELP.has(m.id) || (onAlly && m.category === 'Status') ? 1 : 0;
  out[11] = m.selfdestruct ? 1 : m.flags.recharge || m.mindBlownRecoil || m.flags.charge ? 0.5 : m.recoil ? m.recoil[0] / m.recoil[1] : m.hasCrashDamage ? 0.3 : 0;
  out[12] = FIRST_TURN_ONLY.has(m.id) ? 1 : 0;
  return out;
}

const made = new WeakMap();
/** The tables of one Dex (`sim.Dex`, or `sim.Dex.forFormat(id)` for a format of another generation). */
function tablesFor(dex) {
  let tables = made.get(dex);
  if (!tables) made.set(dex, tables = new DexTables(dex));
  return tables;
}

module.exports = { tablesFor, TYPE_NAMES, TYPE, STATS, TARGET_CLASSES, EFFECTS, clamp };
