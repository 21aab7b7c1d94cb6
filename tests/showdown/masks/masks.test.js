'use strict';
// Masks of states that play reaches seldom or never, made by hand.
const test = require('node:test');
const assert = require('node:assert');
const { bridge, loadSim } = require('../package');
const { maskOf, listLegal, themedBattle, playSeats } = require('../seats');
const { compareDecision } = require('./compare');
const { MASK_BYTES, isLegal } = bridge('choices/space');
const { writeMask } = bridge('choices/masks');
const { previewOrders } = bridge('choices/preview');
const { countLegal } = bridge('choices/legal');
const { decode } = bridge('choices/actions');
const { createOpponent } = bridge('choices/opponents');

const sim = loadSim();

test('every forced switch: flags, living and fainted members, revivals', () => {
  const battle = themedBattle(sim, 'revival');
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

test('team preview: 90 of VGC and 15 pairs, each accepted by the engine, no two the same', () => {
  for (const [format, count] of [['gen9vgc2025regi', 90], ['gen9doublescustomgame', 15]]) {
    const battle = themedBattle(sim, 'ejects', format);
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
    playSeats(battle, [createOpponent('max_damage', sim, 1), createOpponent('random', sim, 2)], 30);
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
