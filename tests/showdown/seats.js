'use strict';
// Battles between seat policies, and the decisions they meet.
const { bridge } = require('./package');
const { newBattle } = require('./play');
const { teamOf } = require('./masks/teams');
const { Random } = bridge('choices/random');
const { MASK_BYTES, JOINT_ACTIONS, isLegal } = bridge('choices/space');
const { writeMask, mustChoose } = bridge('choices/masks');
const { livingFoes } = bridge('choices/public');

/** The mask of a side's decision, with its stamp. */
function maskOf(side) {
  const mask = new Uint8Array(MASK_BYTES);
  const stamp = writeMask(side.activeRequest, livingFoes(side), mask);
  return { mask, stamp };
}

/** The joint actions a mask allows, ascending. */
function listLegal(mask, offset = 0) {
  return Array.from({ length: JOINT_ACTIONS }, (_, joint) => joint).filter((joint) => isLegal(mask, offset, joint));
}

/** A battle between two whole teams of a theme. */
function themedBattle(sim, theme, format = 'gen9doublescustomgame@@@!teampreview') {
  const random = new Random(5);
  return newBattle(sim, format, 5, { teams: [teamOf(theme, random, 6), teamOf(theme, random, 6)] });
}

/** Plays on to the end, or to a turn; a refusal must come with an amended request. Returns how many there were. */
function playSeats(battle, players, limit = 1000, tap = null) {
  let refused = 0;
  while (!battle.ended && battle.turn < limit) {
    for (const side of battle.sides) {
      if (battle.ended || !mustChoose(side.activeRequest) || side.isChoiceDone()) continue;
      for (let tries = 0; ; tries++) {
        const text = players[side.n].choose(side);
        if (tap) tap(side, text);
        delete side.activeRequest.update; // an earlier amendment's mark
        if (battle.choose(side.id, text)) break;
        refused++;
        if (!side.activeRequest.update || tries > 8) {
          throw new Error(`refused ${text}: ${side.choice.error} ${JSON.stringify(side.activeRequest)}`);
        }
      }
    }
  }
  return refused;
}

module.exports = { maskOf, listLegal, themedBattle, playSeats };
