'use strict';
// Seat policies: who plays a side that nobody trains. A policy reads its own side's request and what both sides see, and
// is determined by its seed. After a refusal with an amended request it is simply asked again.

const { Random } = require('./random');
const {
  SLOT_ACTIONS, MASK_BYTES, SLOT_BYTES, FIRST_SWITCH, PASS, FLAG_REVIVING_0, FLAG_REVIVING_1, hasAction, isTera, isLegal,
} = require('./space');
const { writeMask } = require('./masks');
const { livingFoes } = require('./public');
const { randomLegal } = require('./legal');
const { decode, parse } = require('./actions');
const { worth } = require('./damage');

/** Uniform over the legal joint actions. */
class RandomOpponent {
  constructor(sim, seed) {
    this.mask = new Uint8Array(MASK_BYTES);
    this.random = new Random(seed);
  }

  reset(seed) {
    this.random.reset(seed);
  }

  choose(side) {
    const request = side.activeRequest;
    const stamp = writeMask(request, livingFoes(side), this.mask);
    return decode(request, this.pick(side, request), this.mask, 0, stamp);
  }

  pick() {
    return randomLegal(this.mask, 0, this.random);
  }
}

/** The most expected damage of both slots together; does not switch unless it must. Ties are drawn. */
class MaxDamageOpponent extends RandomOpponent {
  pick(side, request) {
    if (request.teamPreview) return randomLegal(this.mask, 0, this.random);
    const scores = [this.scores(side, request, 0), this.scores(side, request, 1)];
    let best = -Infinity;
    let ties = [];
    for (const [a, x] of scores[0]) {
      for (const [b, y] of scores[1]) {
        const total = x + y;
        if (total < best - 1e-9 || !isLegal(this.mask, 0, SLOT_ACTIONS * a + b)) continue;
        if (total > best + 1e-9) {
          best = total;
          ties = [];
        }
        ties.push(SLOT_ACTIONS * a + b);
      }
    }
    return this.random.pick(ties);
  }

  /** [action, score] of every action of a slot. */
  scores(side, request, slot) {
    const found = [];
    const revives = this.mask[2 * SLOT_BYTES] & (slot ? FLAG_REVIVING_1 : FLAG_REVIVING_0);
    for (let action = 0; action < SLOT_ACTIONS; action++) {
      if (!hasAction(this.mask, slot * SLOT_BYTES, action)) continue;
      found.push([action, revives ? this.memberScore(side, request, action) : this.score(side, request, slot, action)]);
    }
    return found;
  }

  score(side, request, slot, action) {
    if (action === PASS) return 0;
    if (action >= FIRST_SWITCH) {
      return request.forceSwitch ? this.memberScore(side, request, action - FIRST_SWITCH + 2) : -1e6;
    }
    const { dex } = side.battle;
    const own = request.side.pokemon[slot];
    const shown = request.active[slot].moves[Math.floor(action / 10)];
    const ally = side.active[1 - slot];
    const tera = isTera(action);
    const damage = worth(dex, dex.moves.get(shown.id), own, tera ? own.teraType : own.terastallized,
      shown.target, (action % 5) - 2, side.foe.active, ally && !ally.fainted ? ally : null);
    return tera ? damage - 1e-3 : damage; // the Tera type is kept until it does something
  }

  /** How hard a team member would hit with its best move. */
  memberScore(side, request, index) {
    const { dex } = side.battle;
    const own = request.side.pokemon[index];
    let best = 0;
    for (const id of own.moves) {
      const move = dex.moves.get(id);
      for (const target of ['normal', 'any', 'adjacentFoe'].includes(move.target) ? [1, 2] : [0]) {
        best = Math.max(best, worth(dex, move, own, own.terastallized, move.target, target, side.foe.active, null));
      }
    }
    return best;
  }
}

/** The package's own RandomPlayerAI, its answers taken from the stream it would write to. */
class ShowdownRandomOpponent {
  constructor(sim, seed) {
    this.sim = sim;
    this.fallback = new RandomOpponent(sim, seed);
    this.reset(seed);
  }

  reset(seed) {
    const random = new Random(seed, 1);
    this.fallback.reset(seed);
    this.answer = null;
    const stream = { write: (text) => { this.answer = text; } };
    const four = [0, 0, 0, 0].map(() => random.below(65536)).join(',');
    this.player = new this.sim.RandomPlayerAI(stream, { seed: four });
  }

  choose(side) {
    const request = side.activeRequest;
    this.answer = null;
    this.player.receiveRequest(request);
    if (this.answer === null) throw new Error(`RandomPlayerAI has no answer to ${JSON.stringify(request)}`);
    // A revival and a switch at once, with one reserve for the switch: its answer would make the engine itself fail.
    const flags = request.forceSwitch;
    if (flags && flags[0] && flags[1] && request.side.pokemon.some((p, i) => i < 2 && p.reviving)) {
      const mask = new Uint8Array(MASK_BYTES);
      writeMask(request, livingFoes(side), mask);
      if (!isLegal(mask, 0, parse(request, this.answer))) return this.fallback.choose(side);
    }
    return this.answer;
  }
}

const OPPONENTS = { random: RandomOpponent, showdown_random: ShowdownRandomOpponent, max_damage: MaxDamageOpponent };

/** A policy with choose(side) → choice string and reset(seed). `sim`: the package, as loadEngine gives it. */
function createOpponent(kind, sim, seed) {
  const Kind = Object.hasOwn(OPPONENTS, kind) ? OPPONENTS[kind] : null;
  if (!Kind) throw new Error(`unknown opponent "${kind}" (known: ${Object.keys(OPPONENTS).join(', ')})`);
  return new Kind(sim, seed);
}

module.exports = { createOpponent, OPPONENTS: Object.keys(OPPONENTS) };
