'use strict';
// What each kind of public log line says: one handler a command, called with the public state and the line's parts.
// The wording is the protocol's (the package's sim/SIM-PROTOCOL.md) and, where that is silent, the engine's.

const { BOOSTS, V, SIDE_CONDITIONS, PSEUDO, addMove, setAbility } = require('./public_mon');

const BOOST_INDEX = new Map(BOOSTS.map((name, i) => [name, i]));
const SIDE_INDEX = new Map(SIDE_CONDITIONS.map((name, i) => [name, i]));
const PSEUDO_INDEX = new Map(PSEUDO.map((name, i) => [name, i]));
const TERRAINS = new Set(['electricterrain', 'grassyterrain', 'mistyterrain', 'psychicterrain']);

// The log's words for them after `-start` and `-end`.
const VOLATILE_OF = new Map(Object.entries({
  Substitute: V.substitute, confusion: V.confusion, Taunt: V.taunt, Encore: V.encore, Disable: V.disable, Torment: V.torment,
  'Leech Seed': V.leechseed, Yawn: V.yawn, 'Salt Cure': V.saltcure, 'Focus Energy': V.focusenergy, 'Dragon Cheer': V.focusenergy,
  'Throat Chop': V.throatchop, 'Heal Block': V.healblock, Attract: V.attract, Curse: V.curse, 'Magnet Rise': V.magnetrise,
  'Smack Down': V.smackdown, 'Flash Fire': V.flashfire, 'No Retreat': V.noretreat, Imprison: V.imprison, 'Aqua Ring': V.aquaring,
  Ingrain: V.ingrain, 'Syrup Bomb': V.syrupbomb, 'Tar Shot': V.tarshot, Protosynthesis: V.booster, 'Quark Drive': V.booster,
}));

// `[from]` words of an `-item` line that took the item from the Pokémon named after `[of]`.
const STEALING = new Set(['ability: Magician', 'ability: Pickpocket', 'move: Covet', 'move: Thief', 'move: Bestow']);

const SWAPS = new Set(['move: Trick', 'move: Switcheroo']);

// `-singleturn` words of moves that share the engine's stall counter.
const STALLS = new Set(['Protect', 'Endure', 'Max Guard', 'Wide Guard', 'Quick Guard', 'Mat Block', 'Spiky Shield', 'Baneful Bunker', 'Silk Trap', 'Burning Bulwark', 'Obstruct', 'King\'s Shield']);

function removeItem(state, mon, id) {
  mon.item = '';
  mon.lostItem = id;
  mon.lostDuring = state.moves;
}

/** "move: Taunt", "ability: Flash Fire" → the bare name. */
function bare(text) {
  const colon = text.indexOf(': ');
  return colon < 0 ? text : text.slice(colon + 2);
}

const clampBoost = (x) => (x < -6 ? -6 : x > 6 ? 6 : x);

function volatileOf(name) {
  const v = VOLATILE_OF.get(name);
  if (v !== undefined) return v;
  // protosynthesisatk, quarkdrivespe: the raised stat is part of the word.
  if (name.startsWith('protosynthesis') || name.startsWith('quarkdrive')) return V.booster;
  return -1;
}

/** Handlers of lines about one Pokémon on the field: [state, mon, parts, text]. */
const ABOUT = {
  '-damage': hurt, '-heal': hurt, '-sethp': hurt,
  '-status'(state, mon, parts, text) {
    mon.status = parts[3];
    state.reveal(parts, text);
  },
  '-curestatus'(state, mon, parts, text) {
    mon.status = '';
    state.reveal(parts, text);
  },
  '-boost'(state, mon, parts, text) {
    boost(state, mon, parts, text, +parts[4]);
  },
  '-unboost'(state, mon, parts, text) {
    boost(state, mon, parts, text, -parts[4]);
  },
  '-setboost'(state, mon, parts, text) {
    mon.boosts[BOOST_INDEX.get(parts[3])] = +parts[4];
    state.reveal(parts, text);
  },
  '-swapboost'(state, mon, parts) {
    const other = state.mon(parts[3]);
    if (!other) return;
    const named = parts[4] && !parts[4].startsWith('[') ? parts[4].split(', ') : BOOSTS;
    for (const name of named) {
      const i = BOOST_INDEX.get(name);
      [mon.boosts[i], other.boosts[i]] = [other.boosts[i], mon.boosts[i]];
    }
  },
  '-copyboost'(state, mon, parts, text) {
    const other = state.mon(parts[3]);
    if (other) mon.boosts.set(other.boosts);
    state.reveal(parts, text);
  },
  '-invertboost'(state, mon) {
    for (let i = 0; i < mon.boosts.length; i++) mon.boosts[i] = -mon.boosts[i];
  },
  '-clearboost'(state, mon, parts, text) {
    mon.boosts.fill(0);
    state.reveal(parts, text);
  },
  '-clearpositiveboost'(state, mon) {
    for (let i = 0; i < mon.boosts.length; i++) if (mon.boosts[i] > 0) mon.boosts[i] = 0;
  },
  '-clearnegativeboost'(state, mon) {
    for (let i = 0; i < mon.boosts.length; i++) if (mon.boosts[i] < 0) mon.boosts[i] = 0;
  },
  'move'(state, mon, parts, text) {
    state.lastMover = mon;
    state.moves++;
    const id = state.tables.id(parts[3]);
    mon.volatile[V.charging] = 0;
    mon.volatile[V.destinybond] = 0;
    mon.volatile[V.glaiverush] = 0;
    if (state.dancer === mon) { // the line need not say why
      state.dancer = null;
      mon.acted = true;
      return;
    }
    const at = text.indexOf('|[from] ');
    if (at >= 0 && !text.startsWith('lockedmove', at + 8)) {
      state.reveal(parts, text);
      return; // called by another move or ability: not one of its own
    }
    mon.acted = true;
    mon.lastMove = id;
    if (!mon.transformed && id !== 'struggle') addMove(mon, id);
  },
  'cant'(state, mon, parts, text) {
    if (parts[3].startsWith('ability: ')) {
      setAbility(mon, state.tables.id(parts[3].slice(9)));
      if (text.indexOf('|[of] ') >= 0) return; // it stopped another's move, not its own
    }
    tried(state, mon);
    mon.volatile[V.charging] = 0;
    if (parts[3] === 'recharge') mon.volatile[V.recharge] = 0;
    state.reveal(parts, text);
  },
  '-start': start,
  '-end': end,
  '-mustrecharge'(state, mon) {
    mon.volatile[V.recharge] = 1;
  },
  '-prepare'(state, mon) {
    mon.volatile[V.charging] = 1;
  },
  '-anim'(state, mon) {
    mon.volatile[V.charging] = 0;
  },
  '-singleturn'(state, mon, parts) {
    if (!STALLS.has(bare(parts[3]))) return;
    mon.stall = mon.stallTurn === state.turn - 1 ? mon.stall + 1 : 1;
    mon.stallTurn = state.turn;
  },
  '-singlemove'(state, mon, parts) {
    if (parts[3] === 'Destiny Bond') mon.volatile[V.destinybond] = 1;
    else if (parts[3] === 'Glaive Rush') mon.volatile[V.glaiverush] = 1;
  },
  '-activate': activate,
  '-ability'(state, mon, parts, text) {
    let id = state.tables.id(parts[3]);
    // "As One" is two abilities by species, announced under their common name and under those of its parts.
    if (id === 'asone') id = mon.species.onlyAbility || id;
    else if (mon.ability !== null && mon.ability.startsWith('asone')) return;
    const at = text.indexOf('|[from] ');
    if (at < 0) {
      setAbility(mon, id);
      return;
    }
    // Changed by Trace, Skill Swap and the like: its own ability comes back when it leaves.
    if (text.startsWith('ability: Trace', at + 8) && mon.baseAbility === null) mon.baseAbility = 'trace';
    mon.ability = id;
    const giver = text.startsWith('ability: Trace', at + 8) ? state.of(text) : null;
    if (giver) setAbility(giver, id);
  },
  '-item'(state, mon, parts, text) {
    const item = state.tables.id(parts[3]);
    const from = text.indexOf('|[from] ');
    // Some items (White Herb, Booster Energy) are used up on arrival, before the exchange is announced.
    if (from >= 0 && mon.lostItem === item && mon.lostDuring === state.moves && SWAPS.has(text.slice(from + 8))) return;
    mon.item = item;
    mon.lostItem = '';
    if (from < 0) return;
    const of = text.indexOf('|[of] ', from);
    const other = state.of(text);
    const how = text.slice(from + 8, of < 0 ? text.length : of);
    if (STEALING.has(how)) { // the other one is named only as where it came from
      if (other) removeItem(state, other, item);
      if (how.startsWith('ability: ')) setAbility(mon, state.tables.id(how.slice(9)));
    } else if (how.startsWith('ability: ')) {
      setAbility(other || mon, state.tables.id(how.slice(9))); // Frisk: the one who looked
    }
  },
  '-enditem'(state, mon, parts) {
    removeItem(state, mon, state.tables.id(parts[3]));
  },
  '-transform'(state, mon, parts, text) {
    const other = state.mon(parts[3]);
    state.reveal(parts, text);
    if (!other) return;
    mon.transformed = true;
    mon.species = other.species;
    mon.typeChange = other.typeChange;
    mon.addedType = other.addedType;
    mon.boosts.set(other.boosts);
    mon.volatile[V.focusenergy] = other.volatile[V.focusenergy];
    mon.ability = other.ability;
  },
  '-formechange'(state, mon, parts, text) {
    state.reveal(parts, text);
    mon.species = state.tables.species(parts[3]);
    mon.typeChange = null;
    mon.addedType = -1;
  },
  'detailschange'(state, mon, parts) {
    const row = state.tables.details(parts[3]);
    mon.row = row;
    mon.species = row.species;
    mon.typeChange = null;
    mon.addedType = -1;
    if (row.tera) mon.tera = row.tera;
    // The new forme brings its own ability (Busted Mimikyu and Noice Eiscue keep theirs, which is the same).
    mon.ability = mon.baseAbility = row.species.onlyAbility || (mon.ability === mon.baseAbility ? mon.baseAbility : null);
  },
  '-terastallize'(state, mon, parts) {
    mon.tera = parts[3];
    mon.addedType = -1;
    state.side(parts[2]).teraUsed = true;
  },
  'faint'(state, mon, parts) {
    state.faint(mon, state.side(parts[2]));
  },
  '-immune': revealOnly, '-fail': revealOnly, '-block': revealOnly,
};

/** It had its turn, but no move came of it. */
function tried(state, mon) {
  state.dancer = null;
  mon.acted = true;
  mon.volatile[V.glaiverush] = 0;
}

function hurt(state, mon, parts, text) {
  state.condition(mon, parts[3]);
  if (parts[4] === '[from] confusion') tried(state, mon);
  state.reveal(parts, text);
}

function boost(state, mon, parts, text, amount) {
  const i = BOOST_INDEX.get(parts[3]);
  if (i !== undefined) mon.boosts[i] = clampBoost(mon.boosts[i] + amount);
  state.reveal(parts, text);
}

function revealOnly(state, mon, parts, text) {
  state.reveal(parts, text);
}

function types(state, text) {
  const found = [];
  for (const name of text.split('/')) {
    const t = state.tables.type(name);
    if (t >= 0) found.push(t);
  }
  return found;
}

function start(state, mon, parts, text) {
  const name = bare(parts[3]);
  if (name === 'typechange') {
    if (parts[4] && !parts[4].startsWith('[')) {
      mon.typeChange = types(state, parts[4]);
    } else { // Reflect Type names its model instead
      const model = state.of(text);
      if (model) mon.typeChange = model.tera && model.tera !== 'Stellar' ? types(state, model.tera) : model.ownTypes();
    }
    mon.addedType = -1;
  } else if (name === 'typeadd') {
    mon.addedType = state.tables.type(parts[4]);
  } else if (name.startsWith('perish')) {
    // Counts down in public; stored as turns gone, 1 to 4, so that 0 means none.
    mon.volatile[V.perish] = 4 - (name.charCodeAt(6) - 48);
  } else {
    const v = volatileOf(name);
    if (v >= 0) mon.volatile[v] = 1;
  }
  state.reveal(parts, text);
}

function end(state, mon, parts, text) {
  const name = bare(parts[3]);
  if (name === 'typechange') mon.typeChange = null;
  const v = volatileOf(name);
  if (v >= 0) mon.volatile[v] = 0;
  else if (text.indexOf('|[partiallytrapped]') >= 0) mon.volatile[V.bound] = 0;
  state.reveal(parts, text);
}

function activate(state, mon, parts, text) {
  const what = parts[3];
  if (what.startsWith('ability: ')) {
    const id = state.tables.id(what.slice(9));
    if (id === 'mummy' || id === 'lingeringaroma') { // spreads to whoever touched it
      const other = parts[4] ? state.mon(parts[4]) : null;
      setAbility(mon, id);
      if (other) other.ability = id;
    } else if (id === 'commander') {
      const ally = state.of(text);
      setAbility(mon, id);
      mon.volatile[V.commanding] = 1;
      if (ally) ally.volatile[V.commanded] = 1;
    } else if (id === 'symbiosis') {
      setAbility(mon, id);
      const ally = state.of(text);
      mon.item = '';
      if (ally) ally.item = state.tables.id(parts[4]);
    } else {
      setAbility(mon, id);
      if (id === 'dancer') state.dancer = mon;
    }
  } else if (what.startsWith('item: ')) {
    if (text.indexOf('|[consumed]') < 0) mon.item = state.tables.id(what.slice(6));
  } else if (what === 'move: Feint' || text.endsWith('|[broken]')) {
    mon.stall = 0;
  } else if (what === 'trapped') {
    mon.volatile[V.trapped] = 1;
    mon.trapper = state.lastMover;
  } else if (what === 'Skill Swap') {
    const other = state.of(text);
    // Between allies the names stay secret.
    mon.ability = parts[4] ? state.tables.id(parts[4]) : null;
    if (other) other.ability = parts[5] ? state.tables.id(parts[5]) : null;
  } else if (what === 'move: Poltergeist') {
    mon.item = state.tables.id(parts[4]);
  } else if (BINDING.has(what)) {
    mon.volatile[V.bound] = 1;
  }
}

const BINDING = new Set([
  'Bind', 'Wrap', 'Fire Spin', 'Clamp', 'Whirlpool', 'Sand Tomb', 'Magma Storm', 'Infestation', 'Snap Trap', 'Thunder Cage',
].map((name) => `move: ${name}`));

/** Handlers of lines about the battle: [state, parts, text]. */
const GENERAL = {
  'switch': (state, parts) => state.enter(parts),
  'drag': (state, parts) => state.enter(parts),
  'replace': (state, parts) => state.unmask(parts),
  'turn'(state, parts) {
    state.turn = +parts[2];
  },
  'gametype'(state, parts) {
    state.width = parts[2] === 'doubles' ? 2 : parts[2] === 'triples' ? 3 : 1;
    for (const side of state.sides) side.active = new Array(state.width).fill(null);
  },
  'teamsize'(state, parts) {
    state.sides[parts[2].charCodeAt(1) - 49].teamSize = +parts[3];
  },
  'poke'(state, parts) {
    state.sides[parts[2].charCodeAt(1) - 49].preview.push(state.tables.details(parts[3]));
  },
  'clearpoke'(state) {
    for (const side of state.sides) side.preview.length = 0;
  },
  'swap'(state, parts) {
    const side = state.side(parts[2]);
    const from = parts[2].charCodeAt(2) - 97;
    const to = +parts[3];
    const mon = side.active[from];
    side.active[from] = side.active[to];
    side.active[to] = mon;
    side.active.forEach((other, i) => { if (other) other.slot = i; });
  },
  '-weather'(state, parts, text) {
    const id = parts[2] === 'none' ? '' : state.tables.id(parts[2]);
    if (text.indexOf('|[upkeep]') < 0) state.weatherSince = state.turn;
    state.weather = id;
    if (parts.length > 3) state.reveal(parts, text);
  },
  '-fieldstart'(state, parts, text) {
    const id = state.tables.id(bare(parts[2]));
    if (TERRAINS.has(id)) {
      state.terrain = id;
      state.terrainSince = state.turn;
    } else if (PSEUDO_INDEX.has(id)) {
      state.restart(PSEUDO_INDEX.get(id));
    }
    state.reveal(parts, text);
  },
  '-fieldend'(state, parts) {
    const id = state.tables.id(bare(parts[2]));
    if (TERRAINS.has(id)) {
      state.terrain = '';
    } else if (PSEUDO_INDEX.has(id)) {
      state.pseudo[PSEUDO_INDEX.get(id)] = 0;
    }
  },
  '-sidestart'(state, parts) {
    const i = SIDE_INDEX.get(state.tables.id(bare(parts[3])));
    if (i === undefined) return;
    const side = state.side(parts[2]);
    side.conditions[i]++;
    side.since[i] = state.turn;
  },
  '-sideend'(state, parts) {
    const i = SIDE_INDEX.get(state.tables.id(bare(parts[3])));
    if (i !== undefined) state.side(parts[2]).conditions[i] = 0;
  },
  '-swapsideconditions'(state) {
    const [a, b] = state.sides;
    [a.conditions, b.conditions] = [b.conditions, a.conditions];
    [a.since, b.since] = [b.since, a.since];
  },
  '-clearallboost'(state) {
    for (const side of state.sides) for (const mon of side.active) if (mon) mon.boosts.fill(0);
  },
  'win'(state) {
    state.ended = true;
  },
  'tie'(state) {
    state.ended = true;
  },
};

const HANDLERS = new Map(Object.entries(GENERAL));
for (const [command, handler] of Object.entries(ABOUT)) {
  HANDLERS.set(command, (state, parts, text) => {
    const mon = state.mon(parts[2]);
    if (mon) handler(state, mon, parts, text);
  });
}

// The revived one may be unknown by name (it fainted under an Illusion), but the side has one more all the same.
const heal = HANDLERS.get('-heal');
HANDLERS.set('-heal', (state, parts, text) => {
  if (text.endsWith('|[from] move: Revival Blessing')) state.side(parts[2]).fainted--;
  heal(state, parts, text);
});

module.exports = { HANDLERS };
