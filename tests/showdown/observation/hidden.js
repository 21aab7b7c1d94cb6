'use strict';
// Proves that nothing hidden enters an observation. `node hidden.js [BATTLES]`; fails on any difference.
//  1. Secret log lines replaced by lies, in both sides' channels: same public state, same observations.
//  2. A spectator's text (the engine's own public channel), fed line by line: same observations.
//  3. Copies of the battle in which everything hidden about the other side is altered, and the request made anew: same observations.
//  4. Two battles against teams that look alike and differ in all that is hidden, from the first request on: same observations.
//  5. Controls: altered visible facts do change the observation, so equality above is not empty.
const path = require('path');
const { bridge, loadSim } = require('../package');
const { newBattle, playBattle, seedOf } = require('../play');
const { lie, alterHidden, lookAlike } = require('./alterations');
const { Random } = bridge('choices/random');
const { tablesFor } = bridge('view/dex_tables');
const { PublicState } = bridge('view/tracker');
const { SIZE, write } = bridge('view/observe');

const sim = loadSim();
const battleModule = Object.values(require.cache).find((m) => m && m.filename && m.filename.endsWith(path.join('dist', 'sim', 'battle.js')));
const { extractChannelMessages } = battleModule.exports;
const FORMAT = 'gen9randomdoublesbattle';
const KINDS = [
  'secret lines told wrong', 'spectator\'s text', 'altered exact HP', 'altered unknown item', 'altered unknown ability',
  'altered unseen species', 'hidden facts altered (move request)', 'hidden facts altered (switch request)',
  'controls: a visible HP line altered', 'look-alike teams',
];
const battles = +(process.argv[2] || 30);
const tables = tablesFor(sim.Dex);
const failures = [];
const counts = {};
const count = (what) => { counts[what] = (counts[what] || 0) + 1; };

function observe(state, request, side) {
  const row = new Float32Array(SIZE);
  write(row, 0, state, request, side);
  return row;
}

function stateOf(log) {
  const state = new PublicState(tables);
  state.update(log);
  return state;
}

function expectEqual(what, a, b, detail) {
  count(what);
  for (let i = 0; i < SIZE; i++) {
    if (Object.is(a[i], b[i]) || a[i] === b[i]) continue;
    failures.push(`${what}: feature ${i} is ${a[i]} and ${b[i]} (${detail})`);
    return;
  }
}

const different = (a, b) => a.some((x, i) => x !== b[i]);

function checkDecision(battle, n) {
  const log = battle.log.slice();
  const state = stateOf(log);
  const lies = stateOf(lie(log));
  const spectator = new PublicState(tables);
  for (const line of extractChannelMessages(log.join('\n'), [0])[0]) spectator.line(line);
  const random = new Random(n * 977 + log.length);
  for (let x = 0; x < 2; x++) {
    const side = battle.sides[x];
    const request = JSON.parse(JSON.stringify(side.activeRequest));
    const detail = `battle ${n} turn ${battle.turn} ${side.id}`;
    if (JSON.stringify(request).includes(`"${side.foe.id}`)) failures.push(`request names the other side (${detail})`);
    const row = observe(state, request, x);
    if (row.some((v) => !(v >= -1.5 && v <= 1.5))) failures.push(`feature ${row.findIndex((v) => !(v >= -1.5 && v <= 1.5))} out of range (${detail})`);
    expectEqual('secret lines told wrong', row, observe(lies, request, x), detail);
    expectEqual('spectator\'s text', row, observe(spectator, request, x), detail);
    if ((log.length + x) % 4 !== 0) continue; // copies are slow
    const copy = sim.Battle.fromJSON(JSON.stringify(battle.toJSON()));
    const kind = battle.requestState === 'move' ? 'move' : battle.requestState;
    if (JSON.stringify(copy.getRequests(kind)[x]) !== JSON.stringify(request)) {
      // Amended after a refusal (a trapped Pokémon tried to leave): what the side has learned stands in this request alone.
      count('requests that cannot be made anew (skipped)');
      copy.destroy();
      continue;
    }
    alterHidden(copy, 1 - x, state, random, count);
    const again = copy.getRequests(kind)[x];
    const told = { ...JSON.parse(JSON.stringify(again)) };
    expectEqual(`hidden facts altered (${kind} request)`, row, observe(stateOf(lie(copy.log, side.foe.id)), told, x), detail);
    copy.destroy();
  }
}

// --- 4. look-alike teams ---

function checkLookAlikes(n) {
  const random = new Random(n + 31);
  const teams = [0, 1].map((i) => sim.Teams.generate(FORMAT, { seed: seedOf(n, 40 + i) }));
  for (const set of teams[1].slice(0, 2)) {
    // Leads without anything to announce, and with the gender fixed, so that they look alike.
    set.item = 'Sitrus Berry';
    set.ability = 'Moxie';
    const possible = sim.Dex.species.get(set.species).gender;
    set.gender = possible || 'F';
  }
  const start = (foe) => newBattle(sim, FORMAT, n, { teams: [teams[0], foe].map((team) => sim.Teams.pack(team)) });
  const a = start(teams[1]);
  const b = start(lookAlike(sim.Dex, teams[1], random));
  const publicText = (battle) => extractChannelMessages(battle.log.filter((l) => !l.startsWith('|t:|')).join('\n'), [0])[0].join('\n');
  if (publicText(a) !== publicText(b)) {
    count('look-alikes that an own ability told apart (skipped)');
    return;
  }
  if (JSON.stringify(a.sides[0].activeRequest) !== JSON.stringify(b.sides[0].activeRequest)) {
    // Transform shows its user the copied moves: knowledge that the game gives, in the side's own request.
    if (a.log.some((line) => line.startsWith('|-transform|p1'))) count('look-alikes that an own Imposter told apart (skipped)');
    else failures.push(`requests of look-alikes differ (teams ${n})`);
    return;
  }
  expectEqual('look-alike teams', observe(stateOf(a.log), a.sides[0].activeRequest, 0), observe(stateOf(b.log), b.sides[0].activeRequest, 0), `teams ${n}`);
  // Control: to the side that owns them they do not look alike.
  if (!different(observe(stateOf(a.log), a.sides[1].activeRequest, 1), observe(stateOf(b.log), b.sides[1].activeRequest, 1))) failures.push(`owner sees no difference (teams ${n})`);
}

// --- 5. controls ---

function checkControls(battle) {
  const { log } = battle;
  const i = log.findLastIndex((line, at) => at > 1 && log[at - 2] === '|split|p2' && line.startsWith('|-damage|p2') && line.includes('/100'));
  if (i < 0 || battle.sides[1].active.every((p) => !p || p.fainted)) return;
  const parts = log[i].split('|');
  const state = stateOf(log);
  const name = parts[2].slice(5);
  const hp = parseInt(parts[3], 10) / 100;
  const isShown = state.sides[1].active.some((mon) => mon && !mon.fainted && mon.name === name && Math.abs(mon.hp - hp) < 1e-9);
  if (!isShown || log.slice(i + 1).some((line) => line.includes(name) && line.includes('/100'))) return; // told again since
  const altered = log.slice();
  parts[3] = parts[3].replace(/^\d+/, (old) => (+old > 50 ? +old - 20 : +old + 20));
  altered[i] = parts.join('|');
  const request = battle.sides[0].activeRequest;
  count('controls: a visible HP line altered');
  if (!different(observe(state, request, 0), observe(stateOf(altered), request, 0))) failures.push(`a visible change did not change the observation: ${log[i]}, turn ${battle.turn} ${JSON.stringify(state.sides[1].active.map((mon) => mon && [mon.name, mon.hp, mon.fainted]))}`);
}

let decisions = 0;
for (let n = 0; n < battles; n++) {
  const onRound = (battle) => {
    decisions++;
    checkDecision(battle, n);
    checkControls(battle);
  };
  const battle = playBattle(sim, FORMAT, n, { onRound });
  battle.destroy();
}
for (let n = 0; n < battles * 4; n++) checkLookAlikes(n);

for (const [what, times] of Object.entries(counts)) console.log(`${what}: ${times}`);
for (const failure of failures.slice(0, 20)) console.log(`FAILED ${failure}`);
console.log(`${battles} battles, ${decisions} decision points, ${failures.length} failures`);
const never = KINDS.filter((what) => !counts[what]);
if (never.length) console.log(`never done: ${never.join(', ')}`);
process.exitCode = failures.length || never.length ? 1 : 0;
