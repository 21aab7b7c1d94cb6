'use strict';
// Plays the same battles on the plain engine and on the one with tables, and compares them whole: logs, requests, messages,
// choices, final states.
//
//   node compare.js FORMAT COUNT [FROM]      a line of JSON; fails on any difference, and shows where the first one begins
const { spawn, spawnSync } = require('child_process');
const path = require('path');

const AT_ONCE = 2;
const CHILD = path.join(__dirname, 'digests.js');
const [formatid = 'gen9randomdoublesbattle', count = '20', from = '0'] = process.argv.slice(2);

/** The lines of one child, once it has ended well. */
function digests(kind, first, last) {
  const child = spawn(process.execPath, [CHILD, kind, formatid, first, last], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (data) => { text += data; });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      if (code) return fail(new Error(`${kind} battles ${first}–${last} ended with ${code || signal}`));
      const lines = text.trim().split('\n');
      const reason = lines.shift().slice('tables '.length);
      if (kind === 'tables' && reason) return fail(new Error(`the tables were left out: ${reason}`));
      return done({ kind, seen: JSON.parse(lines.pop().slice('seen '.length)), battles: lines });
    });
  });
}

/** Runs jobs, a few at a time, and returns their results in order. */
async function runAll(jobs) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) {
      const job = next++;
      results[job] = await jobs[job]();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/** Where battle n first differs. */
function firstDifference(n) {
  const [plain, tables] = ['plain', 'tables'].map((kind) => spawnSync(process.execPath,
    [CHILD, kind, formatid, n, n + 1, '--lines'], { encoding: 'utf8', maxBuffer: 1 << 30 }).stdout.split('\n').slice(1));
  const at = plain.findIndex((line, i) => line !== tables[i]);
  const shown = (lines) => lines.slice(Math.max(0, at - 3), at + 2).map((line) => line.slice(0, 300)).join('\n');
  return `battle ${n}, line ${at}\nplain:\n${shown(plain)}\ntables:\n${shown(tables)}`;
}

async function main() {
  const first = +from;
  const middle = first + (+count >> 1);
  const last = first + +count;
  const jobs = ['plain', 'tables'].flatMap((kind) => [() => digests(kind, first, middle), () => digests(kind, middle, last)]);
  const results = await runAll(jobs);
  const of = (kind) => results.filter((result) => result.kind === kind).flatMap((result) => result.battles);
  const plain = of('plain');
  const tables = of('tables');
  if (plain.length !== +count) throw new Error(`${plain.length} battles were played of ${count}`);
  const different = plain.map((line, i) => (line === tables[i] ? -1 : first + i)).filter((n) => n >= 0);
  const seen = {};
  for (const result of results.slice(0, 2)) for (const name in result.seen) seen[name] = (seen[name] || 0) + result.seen[name];
  console.log(JSON.stringify({
    format: formatid, battles: plain.length, different: different.length, first: different.slice(0, 5),
    turns: plain.reduce((sum, line) => sum + +line.split(' ')[2], 0),
    threw: plain.filter((line) => line.includes(' threw_')).length, seen,
  }));
  if (!different.length) return;
  console.error(firstDifference(different[0]));
  process.exitCode = 1;
}

main().catch((error) => {
  console.error(error.stack);
  process.exitCode = 1;
});
