'use strict';
// Plays battles on one engine, and prints for each a digest of all that it shows and holds.
//
//   node digests.js plain|tables FORMAT FROM TO            a line per battle: number, digest, turns, result
//   node digests.js plain|tables FORMAT N N+1 --lines      instead all that the digest was made of
//
// The first line says why the tables were left out, the last what the logs held of rare things.
const crypto = require('crypto');
const { loadPackage } = require('../package');
const { playBattle, seedOf } = require('../play');
const { teamsFor } = require('../brought_teams');

const [kind, formatid, from, to, lines] = process.argv.slice(2);

// What a comparison should have met, by what the log says.
const RARE = {
  revival: 'move: Revival Blessing', commander: 'Commander', tera: '|-terastallize|', illusion: 'Illusion',
  transform: '|-transform|', encore: 'Encore', struggle: '|Struggle|', ability: '|-ability|', endability: '|-endability|',
  recharge: '|-mustrecharge|', drag: '|drag|', substitute: 'Substitute', wish: 'Wish', future: 'Future Sight',
  skillswap: 'Skill Swap', gas: 'Neutralizing Gas', item: '|-item|', enditem: '|-enditem|', terrain: 'Terrain',
  weather: '|-weather|', trickroom: 'Trick Room', formechange: '|-formechange|', magicroom: 'Magic Room', embargo: 'Embargo',
  gastroacid: 'Gastro Acid', perish: 'Perish Song', berry: '[eat]',
};

/** The engine's other kind of seed, for every fifth battle. */
const sodium = (n) => `sodium,${seedOf(n, 1).split(',').map((x) => (+x).toString(16).padStart(4, '0')).join('')}`;

/** Plays battle n; `note(what, value)` sees everything about it. */
function play(sim, teams, n, note) {
  let battle = null;
  let requests = 0;
  let result;
  const tap = (what, value) => {
    if (what === 'start') {
      battle = value;
      return;
    }
    note(what, value);
    if (what === 'request' && n % 8 === 0 && ++requests % 10 === 0) note('state', battle.toJSON());
  };
  try {
    playBattle(sim, formatid, n, { teams: teams && teams(n), tap, seed: n % 5 === 4 ? sodium(n) : undefined });
    result = battle.winner || 'tie';
  } catch (error) {
    result = `threw ${error.message.slice(0, 200)}`; // both engines must fail alike; the stack's depth differs by design
  }
  for (const line of battle.log) note('log', line);
  note('seed', String(battle.prng.getSeed()));
  note('input', battle.inputLog);
  note('state', battle.toJSON());
  note('result', result);
  return { turns: battle.turn, result };
}

Date.now = () => 0; // logs hold the time of day, and two processes must agree on it
const { sim, tables } = loadPackage(kind === 'tables');
console.log(`tables ${tables}`);
const teams = teamsFor(sim, formatid);
const seen = { refused: 0, ...Object.fromEntries(Object.keys(RARE).map((name) => [name, 0])) };
for (let n = +from; n < +to; n++) {
  const hash = crypto.createHash('sha256');
  const { turns, result } = play(sim, teams, n, (what, value) => {
    const line = `${what} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
    hash.update(line);
    if (lines) console.log(line);
    if (what === 'refused') seen.refused++;
    if (what === 'log') for (const name in RARE) if (line.includes(RARE[name])) seen[name]++;
  });
  if (!lines) console.log(`${n} ${hash.digest('hex')} ${turns} ${result.replace(/\s+/g, '_')}`);
}
console.log(`seen ${JSON.stringify(seen)}`);
