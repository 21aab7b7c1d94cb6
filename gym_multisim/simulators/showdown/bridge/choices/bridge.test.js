'use strict';
// Run with `node --test` ($SHOWDOWN: the package). States that play reaches seldom or never are made by hand here.

const test = require('node:test');
const assert = require('node:assert');
const sim = require('./showdown').loadShowdown();
const { Random } = require('./random');
const { MASK_BYTES, JOINT_ACTIONS, isLegal } = require('./space');
const { writeMask, mustChoose } = require('./masks');
const { previewOrders } = require('./preview');
const { livingFoes } = require('./public');
const { countLegal, nthLegal, randomLegal } = require('./legal');
const { decode, encode, parse } = require('./actions');
const { createOpponent, OPPONENTS } = require('./opponents');
const { compareDecision } = require('./fuzz/compare');
const { teamOf } = require('./fuzz/teams');

const listLegal = (mask, offset = 0) => Array.from({ length: JOINT_ACTIONS }, (_, j) => j).filter((j) => isLegal(mask, offset, j));

function maskOf(side) {
  const mask = new Uint8Array(MASK_BYTES);
  const stamp = writeMask(side.activeRequest, livingFoes(side), mask);
  return { mask, stamp };
}

function custom(theme, format = 'gen9doublescustomgame@@@!teampreview', seed = 5) {
  const random = new Random(seed);
  return new sim.Battle({
    formatid: format, seed: '1,2,3,4', p1: { name: 'a', team: teamOf(theme, random, 6) }, p2: { name: 'b', team: teamOf(theme, random, 6) },
  });
}

function randomDoubles(n) {
  const seed = (k) => [n, k, 3, 4].join(',');
  return new sim.Battle({
    formatid: 'gen9randomdoublesbattle', seed: seed(1), p1: { name: 'a', seed: seed(2) }, p2: { name: 'b', seed: seed(3) },
  });
}

function play(battle, players, limit = 1000, tap = null) {
  let refused = 0;
  while (!battle.ended && battle.turn < limit) {
    for (const side of battle.sides) {
      if (battle.ended || !mustChoose(side.activeRequest) || side.isChoiceDone()) continue;
      for (let tries = 0; ; tries++) {
        const text = players[side.n].choose(side);
        if (tap) tap(side, text);
        if (battle.choose(side.id, text)) break;
        refused++;
        assert.ok(side.activeRequest.update && tries < 8, `${text}: ${side.choice.error} ${JSON.stringify(side.activeRequest)}`);
      }
    }
  }
  return refused;
}

test('every forced switch: flags, living and fainted members, revivals', () => {
  const battle = custom('revival');
  const side = battle.sides[0];
  side.foe.active.forEach((p) => { p.switchFlag = false; });
  let compared = 0;
  let threw = 0;
  for (let dead = 0; dead < 64; dead++) {
    side.pokemon.forEach((p, i) => { p.fainted = !!((dead >> i) & 1); p.hp = p.fainted ? 0 : 50; });
    for (let flags = 1; flags < 4; flags++) {
      for (const reviving of [-1, 0, 1]) {
        const reserves = [2, 3, 4, 5].filter((i) => !side.pokemon[i].fainted).length;
        if (reviving < 0 ? !reserves : !((flags >> reviving) & 1) || !dead || side.active[reviving].fainted) continue;
        side.active.forEach((p, i) => {
          p.switchFlag = !!((flags >> i) & 1);
          side.slotConditions[i] = i === reviving ? { revivalblessing: { id: 'revivalblessing' } } : {};
        });
        battle.makeRequest('switch');
        const outcome = compareDecision(side, (s) => {
          const { mask } = maskOf(s);
          return (j) => isLegal(mask, 0, j);
        }, true);
        threw += outcome.thrown.length;
        compared++;
      }
    }
  }
  assert.ok(compared > 200, `${compared}`);
  assert.ok(threw > 0); // the engine fails on a revival followed by a switch with one reserve: never in the mask
});

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

test('random legal actions are uniform', () => {
  const { mask } = maskOf(custom('allies').sides[0]);
  const all = listLegal(mask);
  const random = new Random(11);
  const draws = 400 * all.length;
  const counts = new Map(all.map((j) => [j, 0]));
  for (let i = 0; i < draws; i++) {
    const j = randomLegal(mask, 0, random);
    counts.set(j, counts.get(j) + 1);
  }
  let chi = 0;
  for (const n of counts.values()) chi += (n - 400) ** 2 / 400;
  const degrees = all.length - 1;
  assert.ok(Math.abs(chi - degrees) < 5 * Math.sqrt(2 * degrees), `chi² ${chi} with ${degrees}`);
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
  const battle = custom('trappers');
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
  const battle = randomDoubles(4);
  const players = [createOpponent('random', sim, 1), createOpponent('random', sim, 2)];
  let compared = 0;
  play(battle, players, 1000, (side) => {
    const { mask, stamp } = maskOf(side);
    for (const j of listLegal(mask)) {
      assert.equal(parse(side.activeRequest, decode(side.activeRequest, j, mask, 0, stamp)), j);
      compared++;
    }
  });
  assert.ok(compared > 1000);
  assert.equal(encode([{ move: 2, target: -1, tera: true }, { switchTo: 5 }]), 45 * 16 + 42);
});

test('team preview: 90 of VGC and 15 pairs, each accepted by the engine, no two the same', () => {
  for (const [format, count] of [['gen9vgc2025regi', 90], ['gen9doublescustomgame', 15]]) {
    const battle = custom('ejects', format);
    for (const side of battle.sides) {
      const { mask, stamp } = maskOf(side);
      const legal = listLegal(mask);
      assert.deepEqual(legal, Array.from({ length: count }, (_, i) => i));
      assert.equal(countLegal(mask), count);
      const seen = new Set();
      for (const j of legal) {
        assert.ok(side.choose(decode(side.activeRequest, j, mask, 0, stamp)), side.choice.error);
        seen.add(side.choice.actions.map((a) => a.pokemon.position).join(''));
        side.clearChoice();
      }
      assert.equal(seen.size, count);
    }
    play(battle, [createOpponent('max_damage', sim, 1), createOpponent('random', sim, 2)], 30);
  }
  const members = (n) => ({ pokemon: new Array(n).fill({}) });
  assert.equal(previewOrders({ side: members(5), maxChosenTeamSize: 4 }).length, 30);
  assert.equal(previewOrders({ side: members(4), maxChosenTeamSize: 4 }).length, 6);
  assert.throws(() => previewOrders({ side: members(6), maxChosenTeamSize: 3 }), /cannot carry/);
  assert.throws(() => previewOrders({ side: members(7) }), /7 team members/);
});

test('what the space does not hold is said, and a waiting side has an empty mask', () => {
  const out = new Uint8Array(MASK_BYTES).fill(7);
  assert.equal(writeMask({ wait: true, side: {} }, 3, out), 0);
  assert.ok(out.every((b) => b === 0));
  const member = { condition: '10/10' };
  const side = { pokemon: [member, member] };
  const many = { active: [{ moves: new Array(5).fill({}) }, { moves: [] }], side };
  assert.throws(() => writeMask(many, 3, out), /5 moves/);
  assert.throws(() => writeMask({ active: [{ moves: [] }], side }, 3, out), /doubles/);
  assert.throws(() => writeMask({ active: [], side: { pokemon: new Array(7).fill(member) } }, 3, out), /team of 7/);
});

test('opponents: legal, deterministic by seed, and max_damage beats random', { timeout: 300000 }, () => {
  const record = (kind, seed) => {
    const texts = [];
    const player = createOpponent(kind, sim, 99);
    player.reset(seed);
    for (let n = 0; n < 2; n++) {
      play(randomDoubles(n), [player, createOpponent('random', sim, n)], 1000, (side, text) => { if (side.n === 0) texts.push(text); });
    }
    return texts.join('\n');
  };
  for (const kind of OPPONENTS) {
    assert.equal(record(kind, 1), record(kind, 1));
    assert.notEqual(record(kind, 1), record(kind, 2));
  }
  let wins = 0;
  for (let n = 0; n < 10; n++) {
    const battle = randomDoubles(100 + n);
    play(battle, [createOpponent('max_damage', sim, n), createOpponent('random', sim, n)]);
    wins += battle.winner === 'a';
  }
  assert.ok(wins >= 8, `${wins} of 10`);
  for (const theme of ['revival', 'imprison', 'commander', 'ejects', 'locks', 'terapagos']) {
    for (const kind of OPPONENTS) play(custom(theme), [createOpponent(kind, sim, 1), createOpponent(kind, sim, 2)], 40);
  }
  assert.throws(() => createOpponent('best', sim, 1), /unknown opponent "best"/);
});
