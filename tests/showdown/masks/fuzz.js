'use strict';
// Plays random legal battles and, at every decision of both sides, compares the mask with what the engine's own `choose`
// accepts among all 2,025 joint actions. Fails if they differ, or if a special case was never met.
//
//   node fuzz.js [--decisions 2000] [--seed 1] [--json] [--share 0.5] [--full 1] [--only THEME|random] [--export FILE]
//
// --full: the share of decisions, drawn at random, at which really all 2,025 choice strings are asked; elsewhere those are left
// out whose answer follows from one that is asked (oracle.js says why).
// --share: the share of decisions from gen9randomdoublesbattle; the rest come from teams made for rare cases.
// --only: battles of one theme alone, or random ones alone; then no case is missed.
// --export: 267 bytes per decision for readers of masks: the 13 of the mask, and 2,025 bits (little bit order) of what the
// engine accepts less the prunings.

const fs = require('fs');
const { bridge, loadSim } = require('../package');
const { newBattle } = require('../play');
const { compareDecision, mismatch } = require('./compare');
const { CASES, THEME_FOR, casesOf } = require('./cases');
const { THEMES, teamOf } = require('./teams');
const { Random } = bridge('choices/random');
const { MASK_BYTES, JOINT_ACTIONS, isLegal, expand } = bridge('choices/space');
const { writeMask, mustChoose, PRUNINGS } = bridge('choices/masks');
const { livingFoes } = bridge('choices/public');
const { countLegal, nthLegal, randomLegal } = bridge('choices/legal');
const { decode } = bridge('choices/actions');

const MAX_TURNS = 60; // a battle of two stalling teams has nothing new to say after that
const OVERTIME = 1.25; // a run may go on this far for a case that was not met
const MADE_TURNS = [4, 8, 12, 30]; // made teams show their rare case early, and there are many of them to get through

function options(argv) {
  const found = { decisions: 2000, seed: 1, json: false, share: 0.5, full: 1, only: '', export: '' };
  for (let i = 0; i < argv.length; i++) {
    const key = argv[i].replace(/^--/, '');
    if (!(key in found)) throw new Error(`unknown option ${argv[i]}`);
    if (typeof found[key] === 'boolean') found[key] = true;
    else found[key] = typeof found[key] === 'string' ? argv[++i] : Number(argv[++i]);
  }
  return found;
}

const randomBattle = (sim, random) => newBattle(sim, 'gen9randomdoublesbattle', random.next());

function madeBattle(sim, random, theme) {
  // Possible trapping abilities are only suspected in formats that know which abilities a species can have.
  const formatid = random.below(2) ? 'gen9doublesou@@@!teampreview' : 'gen9doublescustomgame@@@!teampreview';
  const names = Object.keys(THEMES);
  const teams = [0, 1].map(() => teamOf(random.below(4) ? theme : random.pick(names), random));
  return newBattle(sim, formatid, random.next(), { teams });
}

class Run {
  constructor(settings) {
    this.settings = settings;
    this.random = new Random(settings.seed);
    this.mask = new Uint8Array(MASK_BYTES);
    this.decisions = 0;
    this.battles = 0;
    this.made = 0;
    this.themed = 0;
    this.amendments = 0;
    this.largest = 0;
    this.full = 0;
    this.asked = 0;
    this.purity = 0;
    this.cases = Object.fromEntries(Object.keys(CASES).map((k) => [k, 0]));
    this.pruned = Object.fromEntries(Object.keys(PRUNINGS).map((k) => [k, 0]));
    this.formats = {};
    this.throws = {};
    this.exported = settings.export ? fs.openSync(settings.export, 'w') : null;
  }

  make(side) {
    const stamp = writeMask(side.activeRequest, livingFoes(side), this.mask);
    const copy = this.mask.slice();
    this.stamp = stamp;
    return (joint) => isLegal(copy, 0, joint);
  }

  compare(side) {
    const pure = this.decisions % 10 === 0;
    const full = this.random.below(1000) < 1000 * this.settings.full;
    const before = pure ? this.stateOf(side) : null;
    const outcome = compareDecision(side, (s) => this.make(s), full);
    if (pure) {
      if (this.stateOf(side) !== before) throw mismatch(side, 'asking has changed the battle', []);
      this.purity++;
    }
    outcome.legal = this.make(side);
    this.checkCount(side, outcome);
    if (this.exported !== null) this.exportPair(outcome.expected);
    this.decisions++;
    this.full += full;
    this.asked += outcome.asked;
    this.amendments += outcome.amendments;
    this.largest = Math.max(this.largest, outcome.size);
    const format = side.battle.format.id;
    this.formats[format] = (this.formats[format] || 0) + 1;
    for (const [name, n] of Object.entries(outcome.pruned)) {
      if (!(name in PRUNINGS)) throw mismatch(side, `a pruning without a reason: ${name}`, []);
      this.pruned[name] += n;
    }
    for (const [, message] of outcome.thrown) this.throws[message] = (this.throws[message] || 0) + 1;
    if (outcome.amendments && outcome.lifted.moves) this.cases.maybe_disabled_refused++;
    for (const name of casesOf(side, outcome)) this.cases[name]++;
  }

  /** The mask as the bridge sends it, and what the engine accepted: one byte per joint action each. */
  exportPair(expected) {
    const bytes = new Uint8Array(2 * JOINT_ACTIONS);
    expand(this.mask, 0, bytes, 0);
    for (let joint = 0; joint < JOINT_ACTIONS; joint++) if (expected[joint]) bytes[JOINT_ACTIONS + joint] = 1;
    fs.writeSync(this.exported, bytes);
  }

  stateOf(side) {
    side.clearChoice(); // "is the choice done?" writes forced passes into it, before anything is asked
    return JSON.stringify([side.battle.toJSON(), side.activeRequest]);
  }

  /** Counting and ranking must list exactly the mask's actions, in order. */
  checkCount(side, outcome) {
    if (countLegal(this.mask) !== outcome.size) throw mismatch(side, `counted ${countLegal(this.mask)} of ${outcome.size}`, []);
    for (let joint = 0, k = 0; joint < JOINT_ACTIONS; joint++) {
      if (!outcome.legal(joint)) continue;
      if (nthLegal(this.mask, 0, k) !== joint) throw mismatch(side, `the ${k}-th is not ${nthLegal(this.mask, 0, k)}`, [joint]);
      k++;
    }
  }

  /** Chooses uniformly among the legal actions; a refusal must come with an amended request, and is answered. */
  act(side) {
    for (let tries = 0; ; tries++) {
      const request = side.activeRequest;
      const hidden = request.active && request.active.some((a) => a && (a.maybeTrapped || a.maybeDisabled || a.maybeLocked));
      const joint = randomLegal(this.mask, 0, this.random);
      const text = decode(request, joint, this.mask, 0, this.stamp);
      delete request.update;
      this.stamp = writeMask(request, livingFoes(side), this.mask);
      const stale = this.stamp;
      if (side.battle.choose(side.id, text)) return;
      if (!hidden || !request.update || tries > 8) throw mismatch(side, `refused: ${text}: ${side.choice.error}`, [joint]);
      if (/trapped/.test(side.choice.error)) this.cases.maybe_trapped_refused++;
      this.mustBeStale(side, joint, stale);
      this.compare(side);
    }
  }

  mustBeStale(side, joint, stamp) {
    let caught = false;
    try { decode(side.activeRequest, joint, this.mask, 0, stamp); } catch { caught = true; }
    if (!caught) throw mismatch(side, 'an amended request was decoded with the old mask', [joint]);
  }

  play(battle, maxTurns) {
    this.battles++;
    while (!battle.ended && battle.turn <= maxTurns && this.decisions < OVERTIME * this.settings.decisions) {
      let acted = false;
      for (const side of battle.sides) {
        if (!mustChoose(side.activeRequest) || side.isChoiceDone()) continue;
        this.compare(side);
        this.act(side);
        acted = true;
        if (battle.ended) break;
      }
      if (!acted && !battle.ended) throw new Error('nobody may act');
    }
    battle.destroy();
  }

  run(sim) {
    const { decisions, share, only } = this.settings;
    const themes = Object.keys(THEMES);
    while (this.decisions < decisions || (this.decisions < OVERTIME * decisions && this.wanted().length)) {
      const before = this.decisions;
      const made = only ? only !== 'random' : this.decisions >= decisions || this.made < (1 - share) * (this.decisions + 1);
      if (made) {
        this.play(madeBattle(sim, this.random, only || this.nextTheme(themes)), this.random.pick(MADE_TURNS));
        this.made += this.decisions - before;
      } else {
        this.play(randomBattle(sim, this.random), MAX_TURNS);
      }
    }
  }

  /** Themes of the cases that were not met yet. */
  wanted() {
    return Object.keys(THEME_FOR).filter((name) => !this.cases[name]).map((name) => THEME_FOR[name]);
  }

  /** Every theme in turn; in between, themes of cases that were not met yet. */
  nextTheme(themes) {
    const n = this.themed++;
    const wanted = this.wanted();
    return n >= themes.length && n % 2 && wanted.length ? this.random.pick(wanted) : themes[n % themes.length];
  }

  report(seconds) {
    const missing = Object.keys(this.cases).filter((k) => !this.cases[k]);
    const { decisions, battles, full, asked, amendments, largest, purity, cases, pruned, formats, throws } = this;
    return { seed: this.settings.seed, decisions, battles, full, asked, seconds: +seconds.toFixed(1), ms_per_decision: +(1000 * seconds / decisions).toFixed(2),
      largest, amendments, purity, formats, cases, missing, pruned, throws };
  }
}

function main() {
  const settings = options(process.argv.slice(2));
  const sim = loadSim();
  const run = new Run(settings);
  const start = process.cpuUsage();
  const seconds = () => { const u = process.cpuUsage(start); return (u.user + u.system) / 1e6; };
  try {
    run.run(sim);
  } catch (error) {
    console.error(JSON.stringify({ failed: error.message, ...(error.report || {}), seed: settings.seed, decision: run.decisions }, null, 1));
    if (!error.report) console.error(error.stack);
    process.exit(1);
  }
  const report = run.report(seconds());
  if (settings.json) {
    console.log(JSON.stringify(report));
  } else {
    console.log(`${report.decisions} decisions of ${report.battles} battles agree (${report.seconds} s, seed ${report.seed})`);
    for (const [name, n] of Object.entries(report.cases)) console.log(`  ${String(n).padStart(6)}  ${name}: ${CASES[name]}`);
    console.log('pruned:', report.pruned, 'engine threw:', report.throws);
  }
  if (report.missing.length && !settings.only) {
    console.error(`never met: ${report.missing.join(', ')}`);
    process.exit(1);
  }
}

main();
