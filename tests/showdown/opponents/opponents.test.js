'use strict';
// Who plays the other seat: what each opponent is said to be, it is.
const test = require('node:test');
const assert = require('node:assert');
const { bridge, loadSim } = require('../package');
const { newBattle, seedOf } = require('../play');
const { maskOf, listLegal, themedBattle, playSeats } = require('../seats');
const { createOpponent, OPPONENTS } = bridge('choices/opponents');
const { parse } = bridge('choices/actions');

const FORMAT = 'gen9randomdoublesbattle';
const sim = loadSim();
const opponents = (kinds, seed) => kinds.map((kind, i) => createOpponent(kind, sim, 2 * seed + i));
const withoutTime = (log) => log.filter((line) => !line.startsWith('|t:|'));

/** How far draws of `random` at one decision are from even: χ² and its degrees of freedom. */
function unevenness(side, seed) {
  const legal = listLegal(maskOf(side).mask);
  const each = 400;
  const counts = new Map(legal.map((joint) => [joint, 0]));
  const opponent = createOpponent('random', sim, seed);
  for (let i = 0; i < each * legal.length; i++) {
    const joint = parse(side.activeRequest, opponent.choose(side));
    assert.ok(counts.has(joint), `${joint} is not legal`);
    counts.set(joint, counts.get(joint) + 1);
  }
  let chi = 0;
  for (const n of counts.values()) chi += (n - each) ** 2 / each;
  return { chi, degrees: legal.length - 1 };
}

/** Plays a battle as the package means it: text streams between its BattleStream and two of its RandomPlayerAIs. */
async function playStreams(n, seeds) {
  const stream = new sim.BattleStream();
  const streams = sim.getPlayerStreams(stream);
  const players = seeds.map((seed, i) => new sim.RandomPlayerAI(streams[`p${i + 1}`], { seed }));
  players.forEach((player) => player.start());
  const seat = (i) => JSON.stringify({ name: `P${i + 1}`, seed: seedOf(n, i + 2) });
  streams.omniscient.write(`>start ${JSON.stringify({ formatid: FORMAT, seed: seedOf(n, 1) })}\n>player p1 ${seat(0)}\n>player p2 ${seat(1)}`);
  for await (const chunk of streams.omniscient) if (/^\|(win\||tie$)/m.test(chunk)) break;
  return stream.battle;
}

test('random is uniform over the legal joint actions', (t) => {
  const battle = newBattle(sim, FORMAT, 3);
  const sum = { chi: 0, degrees: 0 };
  let requests = 0;
  playSeats(battle, opponents(['random', 'random'], 3), 20, (side) => {
    if (requests++ % 3) return;
    const { chi, degrees } = unevenness(side, 100 + requests);
    sum.chi += chi;
    sum.degrees += degrees;
  });
  t.diagnostic(`χ² is ${sum.chi.toFixed(1)} with ${sum.degrees} degrees of freedom`);
  assert.ok(sum.degrees > 500);
  assert.ok(Math.abs(sum.chi - sum.degrees) < 4 * Math.sqrt(2 * sum.degrees));
});

test('showdown_random is the package\'s RandomPlayerAI', async () => {
  for (let n = 0; n < 20; n++) {
    const seeds = [];
    class Spied extends sim.RandomPlayerAI {
      constructor(stream, options) {
        super(stream, options);
        seeds.push(options.seed);
      }
    }
    const ours = newBattle(sim, FORMAT, n);
    playSeats(ours, [0, 1].map((i) => createOpponent('showdown_random', { ...sim, RandomPlayerAI: Spied }, 2 * n + i)));
    const theirs = await playStreams(n, seeds);
    assert.ok(ours.ended);
    const [own, other] = [ours, theirs].map((battle) => withoutTime(battle.log));
    const at = own.findIndex((line, i) => line !== other[i]);
    assert.ok(at < 0 && own.length === other.length, `battle ${n}, line ${at}: ${own[at]} and ${other[at]}`);
  }
});

test('max_damage beats random from either seat', (t) => {
  const wins = [0, 0];
  for (let n = 0; n < 60; n++) {
    const seat = n % 2;
    const battle = newBattle(sim, FORMAT, 100 + n);
    playSeats(battle, opponents(seat ? ['random', 'max_damage'] : ['max_damage', 'random'], n));
    if (battle.winner === `P${seat + 1}`) wins[seat]++;
  }
  t.diagnostic(`won ${wins} of 30 and 30`);
  assert.ok(wins[0] >= 25 && wins[1] >= 25, `${wins} of 30 and 30`);
});

test('every opponent is determined by its seed', () => {
  const record = (kind, seed) => {
    const texts = [];
    const player = createOpponent(kind, sim, 99);
    player.reset(seed);
    for (let n = 0; n < 2; n++) {
      playSeats(newBattle(sim, FORMAT, n), [player, createOpponent('random', sim, n)], 1000, (side, text) => { if (side.n === 0) texts.push(text); });
    }
    return texts.join('\n');
  };
  for (const kind of OPPONENTS) {
    assert.equal(record(kind, 1), record(kind, 1));
    assert.notEqual(record(kind, 1), record(kind, 2));
  }
  assert.throws(() => createOpponent('best', sim, 1), /unknown opponent "best"/);
});

test('every opponent plays on through rare requests', () => {
  for (const theme of ['revival', 'imprison', 'commander', 'ejects', 'locks', 'terapagos']) {
    for (const kind of OPPONENTS) playSeats(themedBattle(sim, theme), opponents([kind, kind], 1), 40);
  }
});
