'use strict';
// One battle with random legal choices on the package's own Battle, driven synchronously.
const { bridge } = require('./package');
const { choose } = require('./random_player');
const { Random } = bridge('choices/random');

const CHOICES = 0; // the stream of a battle's choices; its other salts are for teams and the engine

/** Four 16-bit numbers from one: the engine's fast generator, and no other seed kind, takes them. */
function seedOf(n, salt) {
  const random = new Random(n, salt);
  return [0, 0, 0, 0].map(() => random.below(65536)).join(',');
}

/** A battle between two seats: of teams that are given, or that the format makes. */
function newBattle(sim, formatid, n, { teams = null, seed = seedOf(n, 1), send } = {}) {
  const seat = (i) => ({ name: `P${i + 1}`, ...(teams ? { team: teams[i] } : { seed: seedOf(n, i + 2) }) });
  return new sim.Battle({ formatid, seed, send, p1: seat(0), p2: seat(1) });
}

/**
 * Plays battle number n. `teams` are two packed teams, or null for formats that make them. `onRound(battle)` is called
 * before each round of choices, when both sides' requests stand; `tap(what, value)` sees every message, request and choice.
 */
function playBattle(sim, formatid, n, { teams = null, seed, onRound = null, tap = null, maxTurns = 1000 } = {}) {
  const random = new Random(n, CHOICES);
  const note = tap || (() => {});
  const battle = newBattle(sim, formatid, n, { teams, seed, send: tap ? (type, data) => tap('send', [type, data]) : undefined });
  note('start', battle);
  while (!battle.ended && battle.turn < maxTurns) {
    if (onRound) onRound(battle);
    let acted = false;
    for (const side of battle.sides) {
      if (!side.requestState || side.isChoiceDone()) continue;
      act(battle, side, random, note);
      acted = true;
    }
    if (!acted && !battle.ended) throw new Error('nobody may act');
  }
  return battle;
}

/** Chooses until the engine accepts: a trap that the request did not show is found by trying. */
function act(battle, side, random, note) {
  for (let tries = 0; ; tries++) {
    const request = side.activeRequest;
    note('request', request);
    const text = tries < 20 ? choose(request, random) : 'default';
    note('choice', text);
    if (battle.choose(side.id, text)) return;
    note('refused', side.choice.error);
    if (tries > 20) throw new Error(`no legal choice: ${side.choice.error} ${JSON.stringify(request)}`);
  }
}

module.exports = { newBattle, playBattle, seedOf };
