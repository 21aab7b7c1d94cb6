'use strict';
// What the engine and the masks cost in one process, apart from everything else. Prints a line of JSON.
//
//   node bench.js FOLDER plain|tables [BATTLES] [FIRST] [FORMAT]    battles with random legal choices of both seats
//   node bench.js FOLDER plain|tables asked [FIRST] [FORMAT]        the same for as many seconds as each line on stdin says
//   node bench.js FOLDER masks [BATTLES] [FIRST] [FORMAT]           a mask, against asking the engine about all 2,025 actions
//
// FOLDER holds node_modules. The first tenth of the battles is played before the clock starts.

const readline = require('readline');

const { loadEngine } = require('./engine');
const { makeBattle } = require('./arena');
const { createOpponent } = require('./choices/opponents');
const { mustChoose, writeMask } = require('./choices/masks');
const { MASK_BYTES, SLOT_ACTIONS, FIRST_SWITCH, PASS } = require('./choices/space');
const { livingFoes } = require('./choices/public');

const ASKED_EVERY = 20; // decisions; asking the engine about everything takes long

/** Plays battle n; `look(side)` is called at every decision. Returns how many each side made. */
function play(sim, format, n, look) {
  const battle = makeBattle(sim, format, BigInt(n));
  const players = [0, 1].map((i) => createOpponent('random', sim, 2 * n + i));
  const decisions = [0, 0];
  while (!battle.ended && battle.turn <= 1000) {
    for (const side of battle.sides) {
      if (battle.ended || !mustChoose(side.activeRequest) || side.isChoiceDone()) continue;
      if (look) look(side);
      decisions[side.n]++;
      delete side.activeRequest.update; // an earlier amendment's mark
      if (battle.choose(side.id, players[side.n].choose(side)) || side.activeRequest.update) continue;
      throw new Error(`the engine refused a choice: ${side.choice.error}; request: ${JSON.stringify(side.activeRequest)}`);
    }
  }
  battle.destroy();
  return decisions;
}

/** The engine's words for one action of a slot. */
function phrase(action) {
  if (action === PASS) return 'pass';
  if (action >= FIRST_SWITCH) return `switch ${action - FIRST_SWITCH + 3}`;
  const target = (action % 5) - 2;
  return `move ${1 + Math.floor(action / 10)}${target ? ` ${target}` : ''}${action % 10 < 5 ? '' : ' terastallize'}`;
}

/** Asks the engine about every joint action, each time with undo; only where asking leaves no trace. */
function askAll(side, phrases) {
  let accepted = 0;
  for (const first of phrases) {
    for (const second of phrases) {
      if (side.choose(`${first}, ${second}`) && side.isChoiceDone()) accepted++;
      side.clearChoice();
    }
  }
  return accepted;
}

const leavesNoTrace = ({ active }) => !!active && active.every((slot) => slot && !slot.maybeTrapped && !slot.maybeDisabled && !slot.maybeLocked);
const microseconds = (since) => Number(process.hrtime.bigint() - since) / 1000;

function benchEngine(playOne, battles, first) {
  let decisions = 0;
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  for (let n = 0; n < battles; n++) {
    const [ours, theirs] = playOne(first + n, null);
    decisions += ours + theirs;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { battles, decisions, seconds: microseconds(began) / 1e6, cpu_seconds: (user + system) / 1e6 };
}

/** Plays for about so many seconds whenever a line asks for it; ends with stdin. */
async function benchAsked(playOne, first) {
  let next = first;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const from = next;
    let ours = 0;
    const began = process.hrtime.bigint();
    do ours += playOne(next++, null)[0]; while (microseconds(began) < 1e6 * Number(line));
    console.log(JSON.stringify({ battles: next - from, decisions_of_p1: ours, seconds: microseconds(began) / 1e6 }));
  }
}

function benchMasks(playOne, battles, first) {
  const mask = new Uint8Array(MASK_BYTES);
  const phrases = Array.from({ length: SLOT_ACTIONS }, (_, action) => phrase(action));
  const repeats = 100;
  const masks = [];
  const asked = [];
  const look = (side) => {
    const began = process.hrtime.bigint();
    for (let i = 0; i < repeats; i++) writeMask(side.activeRequest, livingFoes(side), mask);
    masks.push(microseconds(began) / repeats);
    if (masks.length % ASKED_EVERY || !leavesNoTrace(side.activeRequest)) return;
    const then = process.hrtime.bigint();
    askAll(side, phrases);
    asked.push(microseconds(then));
  };
  for (let n = 0; n < battles; n++) playOne(first + n, look);
  const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  return { decisions: masks.length, asked: asked.length, mask_us: median(masks), ask_all_us: median(asked) };
}

function main([folder, kind, battles = '200', first = '0', format = 'gen9randomdoublesbattle']) {
  if (!folder || !['plain', 'tables', 'masks'].includes(kind)) throw new Error('usage: node bench.js FOLDER plain|tables|masks [BATTLES] [FIRST] [FORMAT]');
  const { sim, version, tables } = loadEngine(folder, kind !== 'plain');
  const playOne = (n, look) => play(sim, format, n, look);
  if (battles === 'asked') {
    benchAsked(playOne, +first);
    return;
  }
  const warm = Math.ceil(+battles / 10);
  for (let n = 0; n < warm; n++) playOne(1000000 + n, null);
  const figures = (kind === 'masks' ? benchMasks : benchEngine)(playOne, +battles, +first);
  console.log(JSON.stringify({ kind, format, version, without_tables: tables, ...figures }));
}

main(process.argv.slice(2));
