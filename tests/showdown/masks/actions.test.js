'use strict';
// Numbers of joint actions: counting, ranking, drawing, and their way to the engine's words and back.
const test = require('node:test');
const assert = require('node:assert');
const { bridge, loadSim } = require('../package');
const { newBattle } = require('../play');
const { maskOf, listLegal, themedBattle, playSeats } = require('../seats');
const { Random } = bridge('choices/random');
const { MASK_BYTES, SLOT_BYTES, JOINT_ACTIONS, FLAG_ONE_MUST_SWITCH, isLegal, expand } = bridge('choices/space');
const { countLegal, nthLegal, randomLegal } = bridge('choices/legal');
const { decode, encode, parse } = bridge('choices/actions');
const { createOpponent } = bridge('choices/opponents');

const sim = loadSim();

test('counting, ranking and drawing agree with the list of legal actions', () => {
  const random = new Random(3);
  const mask = new Uint8Array(MASK_BYTES + 5);
  for (let round = 0; round < 3000; round++) {
    for (let i = 0; i < MASK_BYTES; i++) mask[5 + i] = random.next() & (round % 3 ? random.next() : 255);
    mask[5 + 5] &= 31;
    mask[5 + 11] &= 31;
    mask[5 + 12] &= 1;
    const all = listLegal(mask, 5);
    assert.equal(countLegal(mask, 5), all.length);
    for (let k = 0; k < all.length; k += 1 + (round % 7)) assert.equal(nthLegal(mask, 5, k), all[k]);
    if (all.length) assert.ok(all.includes(randomLegal(mask, 5, random)));
  }
});

test('a mask as it is sent has a byte for each pair of actions, as the rule says of the pair', () => {
  const random = new Random(5);
  const mask = new Uint8Array(MASK_BYTES + 5);
  for (let round = 0; round < 500; round++) {
    for (let i = 0; i < MASK_BYTES; i++) mask[5 + i] = random.next() & (round % 3 ? random.next() : 255);
    mask[5 + 5] &= 31;
    mask[5 + 11] &= 31;
    mask[5 + 12] &= 1;
    const out = new Uint8Array(JOINT_ACTIONS + 6);
    expand(mask, 5, out, 3);
    const expected = Array.from({ length: JOINT_ACTIONS }, (_, joint) => Number(isLegal(mask, 5, joint)));
    assert.deepEqual([...out.subarray(3, 3 + JOINT_ACTIONS)], expected);
    assert.deepEqual([...out.subarray(0, 3), ...out.subarray(3 + JOINT_ACTIONS)], [0, 0, 0, 0, 0, 0]);
  }
});

test('one reserve for two gaps means one switch and one pass', () => {
  const mask = new Uint8Array(MASK_BYTES);
  for (const slot of [0, SLOT_BYTES]) mask[slot + 5] = 0b10001; // 40, a switch, and 44, pass
  mask[2 * SLOT_BYTES] = FLAG_ONE_MUST_SWITCH;
  const out = new Uint8Array(JOINT_ACTIONS);
  expand(mask, 0, out, 0);
  assert.deepEqual([...out.keys()].filter((joint) => out[joint]), [40 * 45 + 44, 44 * 45 + 40]);
});

test('the generator: same seed same numbers, other streams and seeds others, exact bounds', () => {
  const draw = (seed, stream) => { const r = new Random(seed, stream); return Array.from({ length: 1000 }, () => r.next()); };
  assert.deepEqual(draw(1), draw(1));
  const seen = new Set([...draw(1), ...draw(1, 1), ...draw(2), ...draw(2 ** 40 + 1)]);
  assert.ok(seen.size > 3990);
  const counts = new Array(7).fill(0);
  const r = new Random(4);
  for (let i = 0; i < 70000; i++) counts[r.below(7)]++;
  counts.forEach((n) => assert.ok(Math.abs(n - 10000) < 500, `${counts}`));
  assert.throws(() => new Random(-1), /whole number/);
});

test('an action is decoded only with its own request and mask, and only if legal', () => {
  const battle = themedBattle(sim, 'trappers');
  const [side, other] = battle.sides;
  const { mask, stamp } = maskOf(side);
  const request = side.activeRequest;
  const legal = listLegal(mask);
  assert.ok(battle.sides[0].choose(decode(request, legal[0], mask, 0, stamp)));
  side.clearChoice();
  const illegal = [2024, 0, 45 * 40 + 40].filter((j) => !legal.includes(j));
  assert.ok(illegal.length);
  for (const j of [...illegal, -1, 2025, 1.5, NaN, undefined, '3']) {
    assert.throws(() => decode(request, j, mask, 0, stamp), (e) => e.request === request && /illegal action/.test(e.message));
  }
  assert.throws(() => decode(other.activeRequest, legal[0], mask, 0, stamp), /another request/);
  assert.throws(() => decode(JSON.parse(JSON.stringify(request)), legal[0], mask, 0, stamp), /another request/);
  assert.throws(() => decode({ wait: true, side: {} }, legal[0], mask, 0, stamp), /nothing to choose/);
  const changed = mask.slice();
  changed[1] ^= 4;
  assert.throws(() => decode(request, legal[0], changed, 0, stamp), /another request/);
  request.active[1].trapped = !request.active[1].trapped;
  assert.throws(() => decode(request, legal[0], mask, 0, stamp), /amended/);
});

test('decode and parse are inverse', () => {
  const battle = newBattle(sim, 'gen9randomdoublesbattle', 4);
  const players = [createOpponent('random', sim, 1), createOpponent('random', sim, 2)];
  let compared = 0;
  playSeats(battle, players, 1000, (side) => {
    const { mask, stamp } = maskOf(side);
    for (const j of listLegal(mask)) {
      assert.equal(parse(side.activeRequest, decode(side.activeRequest, j, mask, 0, stamp)), j);
      compared++;
    }
  });
  assert.ok(compared > 1000);
  assert.equal(encode([{ move: 2, target: -1, tera: true }, { switchTo: 5 }]), 45 * 16 + 42);
});
