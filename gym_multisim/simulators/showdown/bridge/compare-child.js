'use strict';
// Plays battles and prints one line per battle: a digest of all that a battle shows and holds.
// `node compare-child.js KIND FORMAT FROM TO [DUMPFILE]`
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const sim = require(process.env.SIM || path.join(__dirname, 'env/node_modules/pokemon-showdown'));
const { playBattle, seedOf } = require('./play');

const [kind, formatid, from, to, dump] = process.argv.slice(2);
// The log holds the time of day; two processes must agree on it.
Date.now = () => 0;
if (kind === 'tables') {
  const state = require('./tables').install(sim);
  if (!state.installed) throw new Error(state.reason);
}
const teams = require('./teams').teamsFor(sim, formatid);

// Rare things, counted in the logs, to know that a comparison reached them.
const RARE = { revival: 'move: Revival Blessing', commander: 'Commander', tera: '|-terastallize|', dynamax: '|Dynamax', mega: '|-mega|',
  zmove: '|-zpower|', illusion: 'Illusion', transform: '|-transform|', encore: 'Encore', struggle: '|Struggle|', ability: '|-ability|', endability: '|-endability|',
  recharge: '|-mustrecharge|', drag: '|drag|', substitute: 'Substitute', wish: 'Wish', future: 'Future Sight', skillswap: 'Skill Swap',
  gas: 'Neutralizing Gas', item: '|-item|', enditem: '|-enditem|', terrain: 'Terrain', weather: '|-weather|', room: 'Room', formechange: '|-formechange|' };
const seen = {};

for (let n = +from; n < +to; n++) {
  const hash = crypto.createHash('sha256');
  const lines = [];
  const note = (what, value) => {
    const line = `${what} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
    hash.update(line);
    if (dump) lines.push(line);
  };
  let battle = null;
  let requests = 0;
  let result = 'error';
  let turns = 0;
  // Every eighth battle writes the whole state now and then; every fifth uses the other kind of seed.
  const tap = (what, value) => {
    if (what === 'start') { battle = value; return; }
    note(what, value);
    if (what === 'refused') seen.refused = (seen.refused || 0) + 1;
    if (what === 'request' && n % 8 === 0 && ++requests % 10 === 0) note('state', battle.toJSON());
  };
  const seed = n % 5 === 4 ? `sodium,${seedOf(n, 1).split(',').map((x) => (+x).toString(16).padStart(4, '0')).join('')}` : undefined;
  try {
    const played = playBattle(sim, formatid, n, { teams, tap, seed });
    battle = played.battle;
    turns = battle.turn;
    result = battle.winner || 'tie';
  } catch (error) {
    // Both engines must fail alike; the stack's depth differs by design.
    result = `threw ${error.message.slice(0, 200)}`;
  }
  if (battle) {
    for (const line of battle.log) {
      note('log', line);
      for (const name in RARE) if (line.includes(RARE[name])) seen[name] = (seen[name] || 0) + 1;
    }
    note('seed', String(battle.prng.getSeed()));
    note('input', battle.inputLog);
    if (battle.sides.every(Boolean)) note('state', battle.toJSON());
  }
  note('result', result);
  if (dump) fs.writeFileSync(dump, lines.join('\n'));
  console.log(`${n} ${hash.digest('hex').slice(0, 32)} ${turns} ${result.replace(/\s+/g, '_')}`);
}
console.log(`seen ${JSON.stringify(seen)}`);
