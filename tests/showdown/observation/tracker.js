'use strict';
// Compares the tracker with the engine's own values at every decision of random battles: everything that the public can see.
// `node tracker.js [BATTLES per format] [FIRST] [FORMAT]`; prints mismatches and fails unless there are none.
const { isDeepStrictEqual } = require('util');
const { bridge, loadSim } = require('../package');
const { playBattle, seedOf } = require('../play');
const { tablesFor, TYPE_NAMES } = bridge('view/dex_tables');
const { PublicState, BOOSTS, V, SIDE_CONDITIONS, PSEUDO } = bridge('view/tracker');

const [battles = '30', first = '0', only = ''] = process.argv.slice(2);
const sim = loadSim();
const tables = tablesFor(sim.Dex);
const mismatches = new Map();
const exceptions = new Map();
let checks = 0;
let decisions = 0;
const where = { format: '', n: 0 };

function note(map, kind, detail) {
  const seen = map.get(kind) || { count: 0, example: '' };
  if (!seen.count) seen.example = `${where.format} #${where.n} ${detail}`;
  seen.count++;
  map.set(kind, seen);
}

function same(kind, got, want, detail) {
  checks++;
  if (got !== want) note(mismatches, kind, `${detail()}: tracker ${got}, engine ${want}`);
}

/** The public form of a Pokémon's condition, from the engine itself. */
function shared(pokemon) {
  const [hp, status = ''] = pokemon.getHealth().shared.split(' ');
  const [cur, max = '100'] = hp.split('/');
  return { hp: +cur / +max, status: status === 'fnt' ? '' : status };
}

// Volatile states that the public sees begin and end.
const VOLATILES = {
  substitute: 'substitute', confusion: 'confusion', taunt: 'taunt', encore: 'encore', disable: 'disable', torment: 'torment',
  leechseed: 'leechseed', yawn: 'yawn', saltcure: 'saltcure', bound: 'partiallytrapped', recharge: 'mustrecharge',
  commanding: 'commanding', commanded: 'commanded', throatchop: 'throatchop', healblock: 'healblock', attract: 'attract', curse: 'curse',
  trapped: 'trapped', smackdown: 'smackdown', magnetrise: 'magnetrise', noretreat: 'noretreat', imprison: 'imprison', flashfire: 'flashfire',
  destinybond: 'destinybond', glaiverush: 'glaiverush', syrupbomb: 'syrupbomb', tarshot: 'tarshot', aquaring: 'aquaring', ingrain: 'ingrain',
};

/** Names whose public looks the engine itself hides. */
const shownName = (species) => (['Greninja-Bond', 'Rockruff-Dusk'].includes(species.name) ? species.baseSpecies : species.name);

function compareActive(battle, state, side, i) {
  const p = battle.sides[side].active[i];
  const mon = state.sides[side].active[i];
  const detail = () => `turn ${battle.turn} ${battle.sides[side].id}${'ab'[i]} ${p && p.name}`;
  same('active is there', !!mon, !!p, detail);
  if (!mon || !p) return;
  const health = shared(p);
  same('fainted', mon.fainted, p.fainted, detail);
  same('hp', mon.hp, health.hp, detail);
  same('status', mon.status, health.status, detail);
  if (p.fainted) return;
  const illusion = p.illusion !== null;
  const seen = p.illusion || p;
  same('name', mon.name, seen.name, detail);
  same('level', mon.row.level, illusion && !battle.ruleTable.has('illusionlevelmod') ? p.level : seen.level, detail);
  BOOSTS.forEach((b, k) => same(`boost ${b}`, mon.boosts[k], p.boosts[b], detail));
  same('terastallized', mon.tera, p.terastallized || '', detail);
  for (const [name, id] of Object.entries(VOLATILES)) same(`volatile ${name}`, !!mon.volatile[V[name]], !!p.volatiles[id], detail);
  same('volatile focusenergy', !!mon.volatile[V.focusenergy], !!(p.volatiles.focusenergy || p.volatiles.dragoncheer), detail);
  same('volatile booster', !!mon.volatile[V.booster], !!(p.volatiles.protosynthesis || p.volatiles.quarkdrive), detail);
  same('perish count', mon.volatile[V.perish], p.volatiles.perishsong ? 4 - p.volatiles.perishsong.duration : 0, detail);
  if (battle.requestState === 'move') {
    // The engine's counter: 3, 9, 27… after one, two, three protections in a row.
    const stall = p.volatiles.stall ? Math.round(Math.log(p.volatiles.stall.counter) / Math.log(3)) : 0;
    same('stall', mon.stallTurn === state.turn - 1 ? mon.stall : 0, stall, detail);
    same('acted', mon.acted, p.activeMoveActions > 0, detail);
    // In the middle of a turn the engine still carries it after the attack was seen.
    same('volatile charging', !!mon.volatile[V.charging], !!p.volatiles.twoturnmove, detail);
  }
  if (illusion) return; // species, types, moves, item, ability: what is shown is another's, and meant to be
  same('species', mon.species.name, shownName(p.species), detail);
  if (battle.requestState === 'move' && !p.terastallized) {
    same('types', mon.ownTypes().map((t) => TYPE_NAMES[t]).join('/'), p.types.filter((t) => t !== '???').join('/'), detail);
    same('added type', mon.addedType < 0 ? '' : TYPE_NAMES[mon.addedType], p.addedType, detail);
  }
  if (hasIllusion(battle.sides[side])) note(exceptions, 'moves, item, ability of a team with Illusion', '');
  else compareKnown(mon, p, detail);
}

/** Named exception: what a disguised member showed stays with its model until the disguise breaks in view. */
function hasIllusion(side) {
  return side.pokemon.some((p) => p.set.ability === 'Illusion');
}

/** What was revealed must be true. */
function compareKnown(mon, p, detail) {
  if (mon.item !== null) same('item', mon.item, p.item, detail);
  if (mon.ability !== null) same('ability', mon.ability, p.ability, detail);
  for (const id of mon.moves) same('moves', p.baseMoveSlots.some((m) => m.id === id) || `${id} not among its own`, true, detail);
}

function compareBench(battle, state, side) {
  const team = battle.sides[side].pokemon;
  for (const mon of state.sides[side].mons) {
    if (mon.slot >= 0) continue;
    if (hasIllusion(battle.sides[side])) {
      note(exceptions, 'bench entries of a team with Illusion', '');
      continue;
    }
    const p = team.find((q) => !q.isActive && q.name === mon.name && q.level === mon.row.level);
    const detail = () => `turn ${battle.turn} bench ${battle.sides[side].id} ${mon.name}`;
    same('bench is there', !!p, true, detail);
    if (!p) continue;
    const health = shared(p);
    same('bench fainted', mon.fainted, p.fainted, detail);
    if (['regenerator', 'trace', 'imposter'].includes(p.baseAbility)) note(exceptions, 'bench hp with Regenerator, Trace, Imposter (healed unseen)', '');
    else same('bench hp', mon.hp, health.hp, detail);
    if (p.baseAbility === 'naturalcure') note(exceptions, 'bench status with Natural Cure (cured unseen)', '');
    else same('bench status', mon.status, health.status, detail);
    same('bench terastallized', mon.tera, p.terastallized || '', detail);
    compareKnown(mon, p, detail);
  }
}

function compareField(battle, state) {
  const detail = () => `turn ${battle.turn}`;
  same('turn', state.turn, battle.turn, detail);
  same('weather', state.weather, battle.field.weather, detail);
  same('terrain', state.terrain, battle.field.terrain, detail);
  PSEUDO.forEach((id, i) => same(id, !!state.pseudo[i], !!battle.field.pseudoWeather[id], detail));
  battle.sides.forEach((side, s) => {
    const mine = state.sides[s];
    SIDE_CONDITIONS.forEach((id, i) => {
      const c = side.sideConditions[id];
      same(`side ${id}`, mine.conditions[i], c ? c.layers || 1 : 0, detail);
      if (id === 'tailwind' && c && battle.requestState === 'move') same('tailwind turns left', 4 - (state.turn - mine.since[i]), c.duration, detail);
    });
    same('team size', mine.teamSize, side.pokemon.length, detail);
    same('number fainted', mine.fainted, side.pokemon.filter((p) => p.fainted).length, detail);
    same('tera used', mine.teraUsed, side.pokemon.every((p) => p.canTerastallize === null || p.canTerastallize === undefined), detail);
  });
  const trick = battle.field.pseudoWeather.trickroom;
  if (trick && battle.requestState === 'move') same('trick room turns left', 5 - (state.turn - state.pseudoSince[0]), trick.duration, detail);
}

// VGC brings team preview and four of six; any teams will do, the engine does not validate them.
const randomTeams = (n) => [60, 70].map((salt) => sim.Teams.pack(sim.Teams.generate('gen9randomdoublesbattle', { seed: seedOf(n, salt) })));
const FORMATS = { gen9randomdoublesbattle: null, gen9randombattle: null, gen9vgc2025regi: randomTeams };

/** Compares at every decision of one battle, and the whole log read at once at its end. */
function checkBattle(format, n, teams) {
  Object.assign(where, { format, n });
  const state = new PublicState(tables);
  const onRound = (battle) => {
    state.update(battle.log);
    if (battle.requestState === 'teampreview') return;
    decisions++;
    compareField(battle, state);
    for (let s = 0; s < 2; s++) {
      for (let i = 0; i < state.width; i++) compareActive(battle, state, s, i);
      compareBench(battle, state, s);
    }
  };
  const battle = playBattle(sim, format, n, { teams: teams && teams(n), onRound });
  state.update(battle.log);
  const whole = new PublicState(tables);
  whole.update(battle.log);
  same('read at once', isDeepStrictEqual(state.sides, whole.sides), true, () => 'end');
  battle.destroy();
}

/** A `-anim` line that the engine takes back after it was read. */
function checkLineTakenBack() {
  const state = new PublicState(tables);
  const log = ['|gametype|singles', '|turn|3', '|-anim|p1a: A|Dig|p2a: B'];
  state.update(log);
  log.splice(2, 1);
  log.push('|turn|4', '|-weather|RainDance');
  state.update(log);
  same('line taken back', `${state.turn} ${state.weather}`, '4 raindance', () => '');
}

for (const [format, teams] of Object.entries(FORMATS)) {
  if (only && only !== format) continue;
  for (let n = +first; n < +first + +battles; n++) checkBattle(format, n, teams);
}
checkLineTakenBack();

for (const [kind, { count, example }] of mismatches) console.log(`MISMATCH ${kind} × ${count}: ${example}`);
for (const [kind, { count }] of exceptions) console.log(`exception, not compared: ${kind} × ${count}`);
console.log(`${battles} battles a format, ${decisions} decision points, ${checks} comparisons, ${[...mismatches.values()].reduce((a, m) => a + m.count, 0)} mismatches`);
process.exitCode = mismatches.size ? 1 : 0;
