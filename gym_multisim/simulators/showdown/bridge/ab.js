'use strict';
// Speed of variants against each other, in alternation on a busy machine. Each variant is one warm process
// that plays the same battles when its turn comes; CPU time only.
// `node ab.js FORMAT ROUNDS BATTLES VARIANT...` with VARIANT plain, tables, or tables-PART (without that part).
const { fork } = require('child_process');
const path = require('path');

if (process.argv[2] === '--child') {
  const [, , , formatid, variant] = process.argv;
  const [kind, ...without] = variant.split('-');
  
  const sim = require(process.env.SIM || path.join(__dirname, 'env/node_modules/pokemon-showdown'));
  const { playBattle } = require('./play');
  if (kind !== 'plain') {
    const state = require('./' + kind).install(sim, { without });
    if (!state.installed) throw new Error(state.reason);
  }
  const teams = require('./teams').teamsFor(sim, formatid);
  process.on('message', ({ from, count }) => {
    let decisions = 0;
    const start = process.cpuUsage();
    for (let n = from; n < from + count; n++) {
      const r = playBattle(sim, formatid, n, { teams });
      decisions += r.decisions;
      r.battle.destroy();
    }
    const used = process.cpuUsage(start);
    process.send({ s: (used.user + used.system) / 1e6, decisions });
  });
  process.on('disconnect', () => process.exit(0));
} else {
  const [formatid, rounds, battles, ...variants] = process.argv.slice(2);
  const median = (list) => { const s = [...list].sort((a, b) => a - b); return s.length % 2 ? s[s.length >> 1] : (s[s.length / 2 - 1] + s[s.length / 2]) / 2; };
  (async () => {
    const children = variants.map((v) => fork(__filename, ['--child', formatid, v]));
    const ask = (child, message) => new Promise((done) => { child.once('message', done); child.send(message); });
    const results = variants.map(() => []);
    for (const child of children) await ask(child, { from: 500000, count: +(process.env.WARM || 80) });
    for (let round = 0; round < +rounds; round++) {
      for (let v = 0; v < variants.length; v++) results[v].push(await ask(children[v], { from: round * +battles, count: +battles }));
    }
    for (let v = 0; v < variants.length; v++) {
      const ms = median(results[v].map((r) => r.s * 1000 / battles));
      const ratio = median(results[v].map((r, i) => results[0][i].s / r.s));
      console.log(`${variants[v].padEnd(22)} ${ms.toFixed(2)} ms/battle  ${(1000 / ms).toFixed(1)} battles/s  ${median(results[v].map((r) => r.decisions / r.s)).toFixed(0)} decisions/s  ratio to ${variants[0]} ${ratio.toFixed(3)}`);
    }
    for (const child of children) child.disconnect();
  })();
}
