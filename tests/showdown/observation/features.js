'use strict';
// Checks of the layout and of single features against the engine: `node features.js [BATTLES]`.
// Flags, HP, stats and usable moves must equal the request's, types and effectiveness what the engine computes from types alone.
const { bridge, loadSim } = require('../package');
const { playBattle } = require('../play');
const { tablesFor, TYPE_NAMES } = bridge('view/dex_tables');
const { PublicState } = bridge('view/tracker');
const { FEATURES, SIZE, write } = bridge('view/observe');

const sim = loadSim();
const battles = +(process.argv[2] || 60);
const tables = tablesFor(sim.Dex);
const at = new Map();
let sum = 0;
for (const f of FEATURES) {
  if (at.has(f.name)) throw new Error(`two features named ${f.name}`);
  at.set(f.name, sum);
  sum += f.size;
}
if (sum !== SIZE) throw new Error('SIZE');
if (sim.Dex.types.names().join() !== TYPE_NAMES.join()) throw new Error('type names');

const wrong = new Map();
let checks = 0;
function same(kind, got, want, detail) {
  checks++;
  if (Math.abs(got - want) < 1e-4) return;
  const w = wrong.get(kind) || { count: 0, example: `${detail()}: ${got}, should be ${want}` };
  w.count++;
  wrong.set(kind, w);
}

const row = new Float32Array(SIZE + 2);
row[0] = row[SIZE + 1] = 7; // nothing may be written outside
const get = (name, i = 0) => row[1 + at.get(name) + i];

/** What types alone say, from the engine's Dex. */
function scaledFactor(type, p) {
  const types = p.terastallized && p.terastallized !== 'Stellar' ? [p.terastallized] : [...p.types, ...(p.addedType ? [p.addedType] : [])];
  if (!sim.Dex.getImmunity(type, types)) return -1.5;
  return types.reduce((total, t) => total + sim.Dex.getEffectiveness(type, t), 0) / 2;
}

function check(battle, state, s) {
  const side = battle.sides[s];
  const { activeRequest: request } = side;
  row.fill(3, 1, 1 + SIZE); // left-overs of another row must not shine through
  write(row, 1, state, request, s);
  const detail = () => `turn ${battle.turn} ${side.id} ${JSON.stringify(request)}`;
  same('all in range', row.every((v, i) => i === 0 || i > SIZE || (v >= -1.5 && v <= 1.5)) ? 1 : 0, 1, detail);
  same('request', get('request', request.active ? 0 : request.forceSwitch ? 1 : 3), 1, detail);
  same('own alive', get('alive', 0) * 6, side.pokemon.filter((p) => !p.fainted).length, detail);
  same('foe alive', get('alive', 1) * 6, side.foe.pokemon.filter((p) => !p.fainted).length, detail);
  same('tera left', get('tera_left'), side.pokemon.some((p) => p.canTerastallize !== null) ? 1 : 0, detail);
  side.pokemon.forEach((p, i) => {
    const name = i < 2 ? `own_${'ab'[i]}` : `bench_${i + 1}`;
    if (i >= 2) same('exists', get(`${name}.flags`), 1, detail);
    same('fit', get(`${name}.flags`, i < 2 ? 0 : 1), p.fainted ? 0 : 1, detail);
    if (i < 2 && p.fainted) return;
    same('hp', get(`${name}.hp`), p.hp / p.maxhp, detail);
    same('status', ['brn', 'par', 'slp', 'frz', 'psn', 'tox'].findIndex((_, k) => get(`${name}.status`, k)), ['brn', 'par', 'slp', 'frz', 'psn', 'tox'].indexOf(p.status), detail);
    same('speed stat', get(`${name}.stats`, 4), Math.min(1.5, p.baseStoredStats.spe / 300), detail);
    if (i < 2) checkSlot(battle, side, i, name, p, request, detail);
  });
  side.foe.active.forEach((p, f) => {
    same('foe fit', get(`foe_${'ab'[f]}.flags`), p && !p.fainted ? 1 : 0, detail);
    if (!p || p.fainted || p.illusion) return;
    same('foe boosts', get(`foe_${'ab'[f]}.boosts`, 1) * 4, p.boosts.def, detail);
  });
}

function checkSlot(battle, side, i, name, p, request, detail) {
  const active = request.active ? request.active[i] : null;
  const forced = request.forceSwitch ? request.forceSwitch[i] : false;
  const flag = (k) => get(`${name}.flags`, k);
  same('must act', flag(1), (active && !p.volatiles.commanding) || forced ? 1 : 0, detail);
  same('trapped', flag(4), active && active.trapped ? 1 : 0, detail);
  same('can tera', flag(9), active && active.canTerastallize ? 1 : 0, detail);
  same('boost', get(`${name}.boosts`, 4) * 4, p.boosts.spe, detail);
  if (battle.requestState === 'move') {
    const types = p.terastallized && p.terastallized !== 'Stellar' ? [p.terastallized] : [...p.types, ...(p.addedType ? [p.addedType] : [])];
    TYPE_NAMES.forEach((t, k) => same('own types', get(`${name}.types`, k), types.includes(t) ? 1 : 0, detail));
  }
  if (!active) return;
  for (let m = 0; m < 4; m++) {
    const move = active.moves[m];
    same('move exists', get(`${name}.move${m + 1}.usable`, 0), move ? 1 : 0, detail);
    if (!move) continue;
    same('move usable', get(`${name}.move${m + 1}.usable`, 1), move.disabled ? 0 : 1, detail);
    checkEffectiveness(battle, side, i, name, p, move, m, detail);
  }
}

function checkEffectiveness(battle, side, i, name, p, move, m, detail) {
  const dexMove = sim.Dex.moves.get(move.id);
  const rowOf = tables.move(move.id);
  if (!dexMove.exists || dexMove.category === 'Status' || rowOf.typeRule || rowOf.fixed) return;
  if (['freezedry', 'flyingpress', 'thousandarrows'].includes(dexMove.id)) return;
  if (['pixilate', 'aerilate', 'refrigerate', 'galvanize', 'liquidvoice', 'scrappy', 'mindseye', 'normalize'].includes(p.ability)) return;
  if (!['normal', 'any', 'adjacentFoe', 'allAdjacentFoes', 'allAdjacent', 'randomNormal'].includes(move.target)) return;
  side.foe.active.forEach((foe, f) => {
    if (!foe || foe.fainted || foe.illusion || foe.volatiles.smackdown || foe.volatiles.magnetrise || battle.field.pseudoWeather.gravity) return;
    const got = get(`${name}.move${m + 1}.effectiveness`, f);
    const want = scaledFactor(dexMove.type, foe);
    // An immunity that is more than types: the ability must be known to all, or the Air Balloon announced.
    if (got === -1.5 && want !== -1.5) same('known immunity', foe.runImmunity(dexMove.type) && foe.ability !== tables.species(foe.species.name).onlyAbility && !knownAbility(battle, foe) ? 1 : 0, 0, detail);
    else if (!(foe.terastallized && dexMove.type === 'Stellar')) same('effectiveness', got, Math.min(1.5, want), () => `${move.id} on ${foe.name} ${detail()}`);
  });
}

const knownAbility = (battle, foe) => battle.log.some((line) => line.includes('ability') && line.toLowerCase().replace(/[^a-z]/g, '').includes(foe.ability));

let decisions = 0;
for (let n = 0; n < battles; n++) {
  const state = new PublicState(tables);
  const onRound = (battle) => {
    state.update(battle.log);
    for (let s = 0; s < 2; s++) check(battle, state, s);
    decisions++;
  };
  const battle = playBattle(sim, 'gen9randomdoublesbattle', n, { onRound });
  battle.destroy();
}
if (row[0] !== 7 || row[SIZE + 1] !== 7) throw new Error('written outside its row');
for (const [kind, w] of wrong) console.log(`WRONG ${kind} × ${w.count}: ${w.example.slice(0, 600)}`);
console.log(`${battles} battles, ${decisions} decision points, ${checks} checks, ${[...wrong.values()].reduce((a, w) => a + w.count, 0)} wrong`);
process.exitCode = wrong.size ? 1 : 0;
