'use strict';
// What the engine itself accepts: all 2,025 joint actions are put to `side.choose`, and everything that a choice changes
// is put back after each. Written from the documented formula alone, on purpose without masks.js, actions.js or space.js.

const REFUSED = 0;
const ACCEPTED = 1;
const UNAVAILABLE = 2; // refused for a reason the request did not show; the engine amends the request
const THREW = 3;

/** The choice string of one slot's action id; null where the id means nothing. */
function phrase(id, reviving) {
  if (reviving) return id === 44 ? 'pass' : id < 6 ? `switch ${id + 1}` : null;
  if (id === 44) return 'pass';
  if (id >= 40) return `switch ${id - 37}`;
  const target = (id % 5) - 2;
  return `move ${1 + Math.floor(id / 10)}${target < 0 ? ` ${target}` : target > 0 ? ` +${target}` : ''}`
    + `${id % 10 > 4 ? ' terastallize' : ''}`;
}

const revivingSlots = (request) => [0, 1].map((s) => !!(request.forceSwitch && request.forceSwitch[s]
  && request.side.pokemon[s].reviving));

const FIELDS = ['trapped', 'maybeTrapped', 'maybeDisabled', 'maybeLocked', 'switchFlag'];

/** Remembers what a choice may change besides side.choice: the request, and flags of the active Pokémon. */
function remember(side) {
  const request = side.activeRequest;
  const text = JSON.stringify(request.active || null);
  const update = request.update;
  const flags = side.active.map((p) => p && FIELDS.map((f) => p[f]));
  return () => {
    if (request.update !== update) {
      if (update === undefined) delete request.update;
      else request.update = update;
    }
    if (request.active && JSON.stringify(request.active) !== text) {
      JSON.parse(text).forEach((data, i) => {
        if (!data) return;
        for (const key of Object.keys(request.active[i])) delete request.active[i][key]; // and so keep their order
        Object.assign(request.active[i], data);
      });
    }
    side.active.forEach((p, i) => { if (p) FIELDS.forEach((f, k) => { p[f] = flags[i][k]; }); });
    side.activeRequest = request;
    side.clearChoice();
  };
}

/** Everything about a half-made choice that the engine reads when it hears the second half. */
function halfState(side) {
  const c = side.choice;
  return [c.actions.length, c.terastallize, [...c.switchIns], c.forcedSwitchesLeft, c.forcedPassesLeft,
    side.active.map((p) => p && FIELDS.map((f) => p[f]))].join('|');
}

/** One side's conversation with the engine about a decision. `close` puts everything back. */
class Asker {
  constructor(side) {
    this.side = side;
    this.request = side.activeRequest;
    this.wasUpdate = this.request.update;
    this.restore = remember(side);
    this.flags = side.active.map((p) => p && FIELDS.map((f) => p[f]));
    this.send = side.battle.send;
    // emitRequest turns the whole request into text; the text goes nowhere here, and 2,000 of them would be half the run.
    side.emitRequest = function emit(update = this.activeRequest, amended = false) {
      if (amended) this.activeRequest.update = true;
      this.activeRequest = update;
    };
    side.battle.send = () => {};
  }

  /** The verdict on a choice string; `done(accepted)` is asked while the engine still holds the choice. */
  ask(text, whole, done) {
    const { side, request } = this;
    request.update = undefined;
    side.choice.cantUndo = false;
    let verdict = REFUSED;
    let message = '';
    try {
      if (side.choose(text) && (!whole || side.isChoiceDone())) verdict = ACCEPTED;
      // A move that the request itself shows as disabled is amended too (with its source): nothing hidden there.
      else if (request.update) verdict = UNAVAILABLE;
    } catch (error) {
      verdict = THREW;
      ({ message } = error);
    }
    if (done) done(verdict, message);
    if (request.update) this.restore();
    else side.active.forEach((p, i) => { if (p) for (let k = 0; k < FIELDS.length; k++) p[FIELDS[k]] = this.flags[i][k]; });
    return verdict;
  }

  close() {
    delete this.side.emitRequest;
    this.side.battle.send = this.send;
    if (this.wasUpdate === undefined) delete this.request.update;
    else this.request.update = this.wasUpdate;
    this.restore();
  }
}

/**
 * The engine's verdict on every joint action: {result[2025], ignored[2025] (tera said, accepted and dropped), thrown, asked}.
 * `full` really asks 2,025 times. Otherwise first halves are asked alone: refused ones refuse all their pairs, because the
 * engine reads halves in order and stops at the first error; and of those that leave the same state behind, the pairs of
 * one are asked for all. `onAccepted(joint, actions, reviving)` sees what the engine understood.
 */
function askAll(side, full, onAccepted) {
  const result = new Uint8Array(2025);
  const ignored = new Uint8Array(2025);
  const thrown = [];
  const reviving = revivingSlots(side.activeRequest);
  const phrases = reviving.map((r) => Array.from({ length: 45 }, (_, id) => phrase(id, r)));
  const asker = new Asker(side);
  const rows = new Map(); // state after the first half → the first id whose row was asked
  let asked = 0;
  const dropped = (slot, id) => !reviving[slot] && id < 40 && id % 10 > 4 && !side.choice.actions[slot].terastallize;
  const askRow = (a) => {
    for (let b = 0; b < 45; b++) {
      if (phrases[1][b] === null) continue;
      const joint = 45 * a + b;
      asked++;
      result[joint] = asker.ask(`${phrases[0][a]}, ${phrases[1][b]}`, true, (verdict, message) => {
        if (verdict === THREW) thrown.push([joint, message]);
        if (verdict !== ACCEPTED) return;
        if (dropped(0, a) || dropped(1, b)) ignored[joint] = 1;
        if (onAccepted) onAccepted(joint, side.choice.actions, reviving);
      });
    }
  };
  try {
    for (let a = 0; a < 45; a++) {
      if (phrases[0][a] === null) continue;
      if (full) {
        askRow(a);
        continue;
      }
      let state = '';
      let drop = false;
      asked++;
      const verdict = asker.ask(phrases[0][a], false, (v) => {
        if (v !== ACCEPTED) return;
        state = halfState(side);
        drop = side.choice.actions.length === 1 && dropped(0, a);
      });
      if (verdict !== ACCEPTED) {
        for (let b = 0; b < 45; b++) if (phrases[1][b] !== null) result[45 * a + b] = verdict;
        continue;
      }
      state += drop;
      if (!rows.has(state)) {
        askRow(a);
        rows.set(state, a);
      } else {
        const from = 45 * rows.get(state);
        result.copyWithin(45 * a, from, from + 45);
        ignored.copyWithin(45 * a, from, from + 45);
      }
    }
  } finally {
    asker.close();
  }
  return { result, ignored, thrown, asked };
}

/** Makes untrue, for a while, what the engine knows and the request does not show. Returns {lifted, undo}. */
function liftHidden(side) {
  const undo = [];
  const request = side.activeRequest;
  const lifted = { trap: false, moves: 0 };
  if (request.active) {
    side.active.forEach((p, slot) => {
      const shown = request.active[slot];
      if (!p || !shown || p.fainted || p.volatiles['commanding']) return;
      if (p.trapped === 'hidden' && !shown.trapped && shown.maybeTrapped) {
        p.trapped = false;
        lifted.trap = true;
        undo.push(() => { p.trapped = 'hidden'; });
      }
      if (!p.isLastActive()) return;
      for (const known of p.moveSlots) {
        const move = shown.moves.find((m) => m.id === known.id);
        if (known.disabled === 'hidden' && move && !move.disabled) {
          known.disabled = false;
          lifted.moves++;
          undo.push(() => { known.disabled = 'hidden'; });
        }
      }
    });
  }
  return { lifted, undo: () => undo.forEach((f) => f()) };
}

module.exports = { ACCEPTED, UNAVAILABLE, phrase, revivingSlots, askAll, liftHidden, remember };
