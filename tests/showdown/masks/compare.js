'use strict';
// One decision: the mask against what the engine accepts, minus the named prunings.

const { ACCEPTED, UNAVAILABLE, askAll, liftHidden, phrase, revivingSlots, remember } = require('./oracle');

const split = (joint) => [Math.floor(joint / 45), joint % 45];
const isDead = (pokemon) => !pokemon || pokemon.fainted;

/** The target location an id aims at, where it is a move with a target; 0 otherwise. */
const aim = (id) => (id < 40 ? (id % 5) - 2 : 0);

/** Is there the same joint action, but aimed at a living target, that the engine accepts too? */
function livingAlternative(side, slot, joint, result) {
  const id = split(joint)[slot];
  const first = id - (id % 5);
  for (let other = first; other < first + 5; other++) {
    const t = aim(other);
    if (!t || isDead(side.active[slot].getAtLoc(t))) continue;
    const same = slot === 0 ? 45 * other + (joint % 45) : joint - (joint % 45) + other;
    if (result[same] === ACCEPTED) return true;
  }
  return false;
}

/** The pruning that removes an accepted joint action, or null. Judged from the engine's state, not from the mask. */
function pruningOf(side, joint, result, ignored, reviving) {
  if (ignored[joint]) return 'tera_without_effect';
  const ids = split(joint);
  for (let slot = 0; slot < 2; slot++) {
    if (reviving[slot]) {
      if (ids[slot] === 44) return 'pass_while_reviving';
      continue;
    }
    const t = aim(ids[slot]);
    if (t && isDead(side.active[slot].getAtLoc(t)) && livingAlternative(side, slot, joint, result)) return 'fainted_target';
  }
  return null;
}

/** What the engine understood must be what the number says. */
function checkMeaning(side) {
  const request = side.activeRequest;
  return (joint, actions, reviving) => {
    const bad = (why) => {
      const error = new Error(`joint action ${joint} was understood as ${side.getChoice()}: ${why}`);
      throw error;
    };
    split(joint).forEach((id, slot) => {
      const done = actions[slot];
      if (reviving[slot] && id < 6) {
        if (done.choice !== 'revivalblessing' || done.target !== side.pokemon[id]) bad('revival');
      } else if (id === 44) {
        if (done.choice !== 'pass') bad('pass');
      } else if (id >= 40) {
        if (!/switch$/.test(done.choice) || done.target !== side.pokemon[id - 38]) bad('switch');
      } else {
        if (done.choice !== 'move' || done.pokemon !== side.active[slot]) bad('slot');
        const move = request.active[slot].moves[Math.floor(id / 10)];
        if (done.moveSlot === undefined) return; // locked, or Struggle: the engine takes its own move and target
        if (done.moveSlot !== Math.floor(id / 10) || done.moveid !== move.id) bad('move');
        if (done.targetLoc !== aim(id)) bad('target');
        if (!!done.terastallize !== id % 10 > 4) bad('tera');
      }
    });
  };
}

/** A slot all of whose moves are disabled, some of them only by hidden effects. */
function disguised(side, slot) {
  const p = side.active[slot];
  const shown = side.activeRequest.active && side.activeRequest.active[slot];
  if (!p || !shown || p.fainted || shown.moves[0].id === 'struggle' || shown.moves[0].pp === undefined) return false;
  return !p.getMoves().length;
}

function describe(joints, request) {
  const reviving = revivingSlots(request);
  return joints.slice(0, 12).map((j) => `${j}: ${split(j).map((id, s) => phrase(id, reviving[s])).join(', ')}`);
}

function mismatch(side, what, joints, extra = {}) {
  const error = new Error(what);
  error.report = {
    what, count: joints.length, joints: describe(joints, side.activeRequest), ...extra,
    format: side.battle.format.id, turn: side.battle.turn, side: side.id, request: side.activeRequest,
    log: side.battle.log.slice(-40),
  };
  return error;
}

/**
 * Compares one decision of a side, asking about all joint actions (`full`) or all distinct ones. `make(side)` makes the mask and returns legal(joint).
 * Returns counts; throws an error with a report where anything differs.
 */
function compareDecision(side, make, full) {
  const request = side.activeRequest;
  const reviving = revivingSlots(request);
  const pruned = {};
  const legal = make(side);

  const { lifted, undo } = liftHidden(side);
  const shown = askAll(side, full, checkMeaning(side));
  const expected = new Uint8Array(2025);
  const prune = (name) => { pruned[name] = (pruned[name] || 0) + 1; };
  for (let joint = 0; joint < 2025; joint++) {
    if (shown.result[joint] !== ACCEPTED) continue;
    const name = pruningOf(side, joint, shown.result, shown.ignored, reviving);
    if (name) prune(name);
    else expected[joint] = 1;
  }
  undo();

  const missing = [];
  const extra = [];
  let size = 0;
  for (let joint = 0; joint < 2025; joint++) {
    const is = legal(joint) ? 1 : 0;
    size += is;
    if (is === expected[joint]) continue;
    (is ? extra : missing).push(joint);
  }
  if (missing.length) throw mismatch(side, 'the engine accepts what the mask forbids', missing);
  if (extra.length) throw mismatch(side, 'the mask allows what the engine refuses', extra, { thrown: shown.thrown.slice(0, 4) });
  if (!size) throw mismatch(side, 'an empty mask', []);

  const outcome = { size, expected, pruned, thrown: shown.thrown, accepted: shown.result, lifted, disguised: 0, amendments: 0, asked: shown.asked };
  if (lifted.trap || lifted.moves) compareHidden(side, make, full, expected, shown.result, outcome, prune);
  return outcome;
}

// With the hidden facts back in place: what is refused must be refused as "unavailable", and following the amended
// requests the mask must shrink to exactly what the engine accepts.
function compareHidden(side, make, full, expected, shown, outcome, prune) {
  const restore = remember(side);
  const inDisguise = [0, 1].filter((slot) => disguised(side, slot));
  outcome.disguised = inDisguise.length;
  const real = askAll(side, full, null);
  const wrong = [];
  for (let joint = 0; joint < 2025; joint++) {
    if (expected[joint] && real.result[joint] !== ACCEPTED && real.result[joint] !== UNAVAILABLE) wrong.push(joint);
    if (shown[joint] !== ACCEPTED && real.result[joint] === ACCEPTED) {
      if (inDisguise.length) prune('struggle_in_disguise');
      else wrong.push(joint);
    }
  }
  if (wrong.length) throw mismatch(side, 'hidden facts change more than they may', wrong);
  let legal = make(side);
  for (;;) {
    let refused = -1;
    let size = 0;
    for (let joint = 0; joint < 2025; joint++) {
      if (!legal(joint)) continue;
      size++;
      if (refused < 0 && real.result[joint] !== ACCEPTED) refused = joint;
    }
    if (refused < 0) {
      const lost = [];
      for (let joint = 0; joint < 2025; joint++) {
        if (expected[joint] && real.result[joint] === ACCEPTED && !legal(joint)) lost.push(joint);
      }
      if (lost.length) throw mismatch(side, 'amended requests forbid what the engine accepts', lost);
      break;
    }
    side.choice.cantUndo = false;
    const reviving = revivingSlots(side.activeRequest);
    const text = split(refused).map((id, s) => phrase(id, reviving[s])).join(', ');
    const accepted = side.choose(text) && side.isChoiceDone();
    if (accepted) throw mismatch(side, 'the engine changed its mind', [refused]);
    side.clearChoice();
    const next = make(side);
    let left = 0;
    for (let joint = 0; joint < 2025; joint++) {
      if (!next(joint)) continue;
      left++;
      if (!legal(joint)) throw mismatch(side, 'an amended request allows more than before', [joint]);
    }
    if (left >= size) throw mismatch(side, 'an amended request takes nothing away', [refused]);
    legal = next;
    outcome.amendments++;
  }
  restore();
}

module.exports = { compareDecision, mismatch, split, aim, isDead };
