'use strict';
// Proves that nothing hidden enters an observation. `node hidden_test.js [BATTLES]`; fails on any difference.
//  1. Secret log lines replaced by lies, in both sides' channels: same public state, same observations.
//  2. A spectator's text (the engine's own public channel), fed line by line: same observations.
//  3. Copies of the battle in which everything hidden about the other side is altered, and the request made anew: same observations.
//  4. Two battles against teams that look alike and differ in all that is hidden, from the first request on: same observations.
//  5. Controls: altered visible facts do change the observation, so equality above is not empty.
const path = require('path');
const { sim, makeRandom, choose, playBattle, seedOf } = require('./load');
const { tablesFor } = require('./dex_tables');
const { PublicState } = require('./tracker');
const { SIZE, write } = require('./observe');

const battleModule = Object.values(require.cache).find((m) => m && m.filename && m.filename.endsWith(path.join('dist', 'sim', 'battle.js')));
const { extractChannelMessages } = battleModule.exports;
const FORMAT = 'gen9randomdoublesbattle';
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

/** Every secret line told wrong: other figures, other names, or nonsense. */
function lie(log, onlySide) {
  return log.map((line, i) => {
    if (!i || !log[i - 1].startsWith('|split|') || (onlySide && log[i - 1] !== `|split|${onlySide}`)) return line;
    const parts = line.split('|');
    if (parts[1] === 'switch' || parts[1] === 'drag') return `|${parts[1]}|${parts[2].slice(0, 3)}: Magikarp|Magikarp, L1|1/999 slp`;
    if (i % 3 === 0) return '|faint|p1a: Nobody';
    return `|${parts[1]}|${parts[2]}|7/777 tox|[from] item: Lagging Tail`;
  });
}

// --- 3. hidden facts of one side, altered in a copy of the battle ---

const SPARE_MOVES = ['splash', 'tackle', 'hyperbeam', 'spore', 'protect', 'tailwind', 'earthquake', 'fakeout', 'thunderwave'];
const SPARE_ITEMS = ['leftovers', 'choicescarf', 'airballoon', 'ironball', 'focussash', '', 'lifeorb'];
const SPARE_ABILITIES = ['levitate', 'waterabsorb', 'intimidate', 'drizzle', 'wonderguard', 'flashfire', 'moxie'];
const SPARE_SPECIES = ['Magikarp', 'Shedinja', 'Blissey', 'Rayquaza', 'Ditto', 'Pikachu'];

function alterHidden(copy, foe, state, random) {
  const side = copy.sides[foe];
  for (const p of side.pokemon) {
    const seen = state.sides[foe].mons.find((mon) => mon.name === p.name) || state.sides[foe].active.find((mon) => mon && mon.name === p.name);
    const revealed = seen ? seen.moves : [];
    for (const list of new Set([p.moveSlots, p.baseMoveSlots])) {
      for (const slot of list) {
        slot.pp = random.below(slot.maxpp + 1);
        if (revealed.includes(slot.id)) continue;
        slot.id = random.pick(SPARE_MOVES);
        slot.move = copy.dex.moves.get(slot.id).name;
        slot.target = copy.dex.moves.get(slot.id).target;
        slot.disabled = !slot.disabled;
      }
    }
    if (!seen || seen.item === null) p.item = random.pick(SPARE_ITEMS);
    if (!seen || seen.ability === null) p.ability = p.baseAbility = random.pick(SPARE_ABILITIES);
    if (!p.terastallized) p.teraType = random.pick(['Ghost', 'Fairy', 'Steel', 'Stellar']);
    for (const s in p.storedStats) p.storedStats[s] = 1 + random.below(400);
    for (const s in p.baseStoredStats) p.baseStoredStats[s] = 1 + random.below(400);
    for (const s in p.set.evs) p.set.evs[s] = random.below(253);
    p.set.nature = 'Jolly';
    // The same shown percentage: other HP, and other HP out of another maximum.
    if (p.hp && !p.fainted) {
      const shown = p.getHealth().shared;
      const { hp, maxhp } = p;
      const factor = 1 + random.below(3);
      for (let tries = 0; tries < 40; tries++) {
        p.maxhp = maxhp * factor;
        p.hp = Math.max(1, Math.min(p.maxhp, hp * factor + random.below(9) - 4));
        if (p.getHealth().shared === shown) break;
        p.maxhp = maxhp;
        p.hp = hp;
      }
      if (p.hp !== hp) count('altered exact HP');
    }
    // Hidden clocks: sleep, confusion, the substitute's HP.
    if (p.statusState && p.statusState.time) p.statusState.time = 1 + random.below(3);
    if (p.volatiles.confusion) p.volatiles.confusion.time = 1 + random.below(4);
    if (p.volatiles.substitute) p.volatiles.substitute.hp = 1 + random.below(50);
    if (!seen && !p.isActive) {
      count('altered unseen species');
      const species = copy.dex.species.get(random.pick(SPARE_SPECIES));
      p.species = p.baseSpecies = species;
      p.types = species.types;
      p.name = species.name;
      p.fullname = `${side.id}: ${species.name}`;
      p.level = 1 + random.below(100);
      p.details = p.getUpdatedDetails();
    }
  }
  for (const id in side.sideConditions) if (side.sideConditions[id].duration) side.sideConditions[id].duration += 3;
  if (copy.field.weatherState.duration) copy.field.weatherState.duration += 3;
  if (copy.field.terrainState.duration) copy.field.terrainState.duration += 3;
  copy.prng.setSeed('9,8,7,6');
}

function checkDecision(battle, n) {
  const log = battle.log.slice();
  const state = stateOf(log);
  const lies = stateOf(lie(log));
  const spectator = new PublicState(tables);
  for (const line of extractChannelMessages(log.join('\n'), [0])[0]) spectator.line(line);
  const random = makeRandom(n * 977 + log.length);
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
    alterHidden(copy, 1 - x, state, random);
    const kind = battle.requestState === 'move' ? 'move' : battle.requestState;
    const again = copy.getRequests(kind)[x];
    const told = { ...JSON.parse(JSON.stringify(again)) };
    expectEqual(`hidden facts altered (${kind} request)`, row, observe(stateOf(lie(copy.log, side.foe.id)), told, x), detail);
    copy.destroy();
  }
}

// --- 4. look-alike teams ---

/** The same leads to look at; moves, items, abilities, stats, Tera types and the four others differ. */
function lookAlike(team, random) {
  const used = new Set(team.map((set) => sim.Dex.species.get(set.species).baseSpecies));
  return team.map((set, i) => {
    const changed = { ...set, gender: set.gender, evs: { hp: 4, atk: 200, def: 8, spa: 200, spd: 16, spe: 80 }, nature: 'Timid', teraType: 'Ghost' };
    changed.moves = ['Protect', 'Tackle', 'Splash', random.pick(['Tailwind', 'Earthquake', 'Fake Out'])];
    changed.item = random.pick(['Leftovers', 'Choice Scarf', 'Focus Sash']);
    changed.ability = random.pick(['Levitate', 'Water Absorb', 'Moxie', 'Flash Fire', 'Wonder Guard']);
    if (i < 2) return changed;
    const other = ['Magikarp', 'Shedinja', 'Blissey', 'Rayquaza', 'Pikachu', 'Snorlax', 'Gengar'].find((name) => !used.has(name));
    used.add(other);
    return { ...changed, name: other, species: other, gender: '', level: 50 };
  });
}

function checkLookAlikes(n) {
  const random = makeRandom(n + 31);
  const teams = [0, 1].map((i) => sim.Teams.generate(FORMAT, { seed: seedOf(n, 40 + i) }));
  for (const set of teams[1].slice(0, 2)) {
    // Leads without anything to announce, and with the gender fixed, so that they look alike.
    set.item = 'Sitrus Berry';
    set.ability = 'Moxie';
    const possible = sim.Dex.species.get(set.species).gender;
    set.gender = possible || 'F';
  }
  const start = (foe) => new sim.Battle({
    formatid: FORMAT, seed: seedOf(n, 1), p1: { name: 'P1', team: sim.Teams.pack(teams[0]) }, p2: { name: 'P2', team: sim.Teams.pack(foe) },
  });
  const a = start(teams[1]);
  const b = start(lookAlike(teams[1], random));
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
  const shown = (state) => state.sides[1].active.some((mon) => mon && !mon.fainted && parts[2].startsWith(`p2${'ab'[mon.slot]}`) && Math.abs(mon.hp - parseInt(parts[3], 10) / 100) < 1e-9);
  const state = stateOf(log);
  const name = parts[2].slice(5);
  if (!shown(state) || log.slice(i + 1).some((line) => line.includes(name) && line.includes('/100'))) return; // told again since
  const altered = log.slice();
  parts[3] = parts[3].replace(/^\d+/, (hp) => (+hp > 50 ? +hp - 20 : +hp + 20));
  altered[i] = parts.join('|');
  const request = battle.sides[0].activeRequest;
  count('controls: a visible HP line altered');
  if (!different(observe(state, request, 0), observe(stateOf(altered), request, 0))) failures.push(`a visible change did not change the observation: ${log[i]}, turn ${battle.turn} ${JSON.stringify(state.sides[1].active.map((mon) => mon && [mon.name, mon.hp, mon.fainted]))}`);
}

let decisions = 0;
for (let n = 0; n < battles; n++) {
  const battle = playBattle(FORMAT, 20000 + n, (b) => {
    decisions++;
    checkDecision(b, n);
    checkControls(b);
  }, { choices: choose });
  battle.destroy();
}
for (let n = 0; n < battles * 4; n++) checkLookAlikes(n);

for (const [what, times] of Object.entries(counts)) console.log(`${what}: ${times}`);
for (const failure of failures.slice(0, 20)) console.log(`FAILED ${failure}`);
console.log(`${battles} battles, ${decisions} decision points, ${failures.length} failures`);
process.exitCode = failures.length || !counts['look-alike teams'] ? 1 : 0;
