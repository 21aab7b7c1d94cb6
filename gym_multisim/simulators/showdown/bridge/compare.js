'use strict';
// Plays the same battles on the plain and on the patched engine, in two processes, and compares them whole.
// `node compare.js COUNT FORMAT [FROM]`: exit status 1 on any difference; the first three are dumped beside this file.
const { spawn, spawnSync } = require('child_process');
const path = require('path');
const readline = require('readline');

const [count = '20', formatid = 'gen9randomdoublesbattle', from = '0'] = process.argv.slice(2);
const child = path.join(__dirname, 'compare-child.js');

function linesOf(kind, lines) {
  const p = spawn(process.execPath, [child, kind, formatid, from, String(+from + +count)], { stdio: ['ignore', 'pipe', 'inherit'] });
  readline.createInterface({ input: p.stdout }).on('line', (line) => lines.push(line));
  return new Promise((done) => p.on('close', done));
}

async function main() {
  const plain = [];
  const tables = [];
  const codes = await Promise.all([linesOf('plain', plain), linesOf('tables', tables)]);
  const seen = plain.at(-1)?.startsWith('seen') ? plain.pop().slice(5) : '{}';
  if (tables.at(-1)?.startsWith('seen')) tables.pop();
  const different = [];
  for (let i = 0; i < +count; i++) if (plain[i] === undefined || plain[i] !== tables[i]) different.push(i + +from);
  const threw = plain.filter((line) => line.includes('threw')).length;
  const turns = plain.reduce((sum, line) => sum + +line.split(' ')[2], 0);
  for (const n of different.slice(0, 3)) {
    for (const kind of ['plain', 'tables']) {
      spawnSync(process.execPath, [child, kind, formatid, String(n), String(n + 1), path.join(__dirname, `dump-${formatid}-${n}-${kind}.txt`)]);
    }
  }
  console.log(JSON.stringify({ formatid, from: +from, battles: plain.length, turns, threw, different: different.length, first: different.slice(0, 5), codes, seen: JSON.parse(seen) }));
  process.exit(different.length || codes.some(Boolean) ? 1 : 0);
}
main();
