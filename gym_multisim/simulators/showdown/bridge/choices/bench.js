'use strict';
// Time per mask, per random legal choice, and against asking the engine 2,025 times. `node bench.js [battles]`; JSON line.

const { Random } = require('./random');
const { MASK_BYTES } = require('./space');
const { writeMask, mustChoose } = require('./masks');
const { livingFoes } = require('./public');
const { randomLegal } = require('./legal');
const { decode } = require('./actions');
const { createOpponent } = require('./opponents');
const { askAll } = require('./fuzz/oracle');

const sim = require('./showdown').loadShowdown();
const random = new Random(7);
const mask = new Uint8Array(MASK_BYTES);
let sink = 0;

/** Best of five: other work on the machine only ever adds. */
function microseconds(count, work) {
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    const start = process.hrtime.bigint();
    work();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1000 / count);
  }
  return +best.toFixed(3);
}

function battle(n) {
  const seed = (k) => [n, k, 3, 4].join(',');
  return new sim.Battle({
    formatid: 'gen9randomdoublesbattle', seed: seed(1), p1: { name: 'a', seed: seed(2) }, p2: { name: 'b', seed: seed(3) },
  });
}

const requests = [];
const full = [];
for (let n = 0; n < +(process.argv[2] || 20); n++) {
  const b = battle(n);
  const players = [createOpponent('random', sim, n), createOpponent('random', sim, n + 1000)];
  while (!b.ended && b.turn < 200) {
    for (const side of b.sides) {
      if (b.ended || !mustChoose(side.activeRequest) || side.isChoiceDone()) continue;
      requests.push([JSON.parse(JSON.stringify(side.activeRequest)), livingFoes(side)]);
      if (full.length < 60 && requests.length % 17 === 0) {
        const start = process.hrtime.bigint();
        askAll(side, true, null);
        full.push(Number(process.hrtime.bigint() - start) / 1000);
      }
      b.choose(side.id, players[side.n].choose(side));
    }
  }
}
const n = requests.length;
const stamps = requests.map(([r, foes]) => writeMask(r, foes, mask));
const masks = requests.map(([r, foes]) => { const m = new Uint8Array(MASK_BYTES); writeMask(r, foes, m); return m; });
const loops = 100;
const per = (work) => microseconds(n * loops, () => { for (let k = 0; k < loops; k++) for (let i = 0; i < n; i++) sink += work(i); });
full.sort((a, b) => a - b);
console.log(JSON.stringify({
  requests: n,
  mask_us: per((i) => writeMask(requests[i][0], requests[i][1], mask)),
  random_legal_us: per((i) => randomLegal(masks[i], 0, random)),
  decode_us: per((i) => decode(requests[i][0], randomLegal(masks[i], 0, random), masks[i], 0, stamps[i]).length),
  engine_2025_us: Math.round(full[full.length >> 1]),
}), sink ? '' : ' ');
