'use strict';
// One battle with random legal choices on the package's own Battle, driven synchronously.
const { makeRandom, choose } = require('./chooser');

/** Four 16-bit numbers from one: the engine's fast generator, and no other seed kind, takes them. */
function seedOf(n, salt) {
  const r = makeRandom(Math.imul(n + 1, 0x9e3779b1) ^ salt);
  return [r.below(65536), r.below(65536), r.below(65536), r.below(65536)].join(',');
}

/**
 * Plays battle number n. `teams(n)` gives [p1team, p2team] or null for formats that make teams.
 * `tap(event, value)` sees every request and choice, for comparisons.
 */
function playBattle(sim, formatid, n, { teams = null, tap = null, maxTurns = 1000, seed = seedOf(n, 1) } = {}) {
  const random = makeRandom(Math.imul(n + 1, 0x85ebca6b));
  const given = teams ? teams(n) : null;
  const options = { formatid, seed, send: tap ? (type, data) => tap('send', [type, data]) : undefined };
  for (let i = 0; i < (sim.Dex.formats.get(formatid).playerCount || 2); i++) {
    options[`p${i + 1}`] = { name: `P${i + 1}`, ...(given ? { team: given[i] } : { seed: seedOf(n, i + 2) }) };
  }
  const battle = new sim.Battle(options);
  if (tap) tap('start', battle);
  let decisions = 0;
  let refused = 0;
  while (!battle.ended && battle.turn < maxTurns) {
    let acted = false;
    for (const side of battle.sides) {
      if (!side.requestState || side.isChoiceDone()) continue;
      for (let tries = 0; ; tries++) {
        const request = side.activeRequest;
        if (tap) tap('request', request, side.id);
        const text = tries < 20 ? choose(request, random) : 'default';
        if (tap) tap('choice', text, side.id);
        decisions++;
        acted = true;
        if (battle.choose(side.id, text)) break;
        refused++;
        if (tap) tap('refused', side.choice.error, side.id);
        if (tries > 20) throw new Error(`no legal choice: ${side.choice.error} ${JSON.stringify(request)}`);
      }
    }
    if (!acted && !battle.ended) throw new Error('nobody may act');
  }
  return { battle, decisions, refused };
}

module.exports = { playBattle, seedOf };
