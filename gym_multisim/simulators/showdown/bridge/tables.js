'use strict';
// Faster look-ups for the package's own simulator, put in from outside: nothing on disk changes.
// `install(sim)` replaces functions on the engine's prototypes, but only where the version and the text
// of every function it replaces or goes around are the ones that the replacements were compared with.
// Otherwise nothing is touched and the reason is returned.
const fs = require('fs');
const path = require('path');
const { rootOf, targetsOf, hashesOf } = require('./tables/targets');
const { battleEvents } = require('./tables/battle-events');
const { moveFunctions } = require('./tables/moves');
const names = require('./tables/names');
const prng = require('./tables/prng');
const teams = require('./tables/teams');
const expected = require('./tables/hashes.json');

const VERSION = '0.11.11';
const DONE = Symbol.for('gym_multisim.showdown.tables');

function replace(owner, functions) {
  for (const [name, value] of Object.entries(functions)) {
    Object.defineProperty(owner, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

function refusal(root, targets) {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  if (version !== VERSION) return `pokemon-showdown ${version} is not ${VERSION}, which the tables were compared with`;
  const found = hashesOf(targets.functions);
  const changed = Object.keys(expected).filter((name) => found[name] !== expected[name]);
  if (changed.length) return `not the functions of pokemon-showdown ${VERSION}: ${changed.join(', ')}`;
  return '';
}

/** Puts the tables in place. Returns { installed, reason }: '' or why nothing was touched. */
function install(sim) {
  if (sim.Battle[DONE]) return { installed: true, reason: 'already installed' };
  let targets;
  try {
    const root = rootOf(sim);
    if (!root) return { installed: false, reason: 'the package that made this Battle class was not found' };
    targets = targetsOf(sim, root);
    const reason = refusal(root, targets);
    if (reason) return { installed: false, reason };
  } catch (error) {
    return { installed: false, reason: `the package could not be read: ${error.message}` };
  }
  const { owners, Generator, Field } = targets;
  const { Battle, Pokemon, Side } = sim;
  const plain = {};
  for (const name of Object.getOwnPropertyNames(owners.Battle)) {
    const { value } = Object.getOwnPropertyDescriptor(owners.Battle, name);
    if (typeof value === 'function') plain[name] = value;
  }
  replace(owners.Battle, battleEvents({ Battle, Pokemon, Side, Field, plain }));
  const moves = moveFunctions({ plain, deepClone: sim.Dex.deepClone });
  replace(owners.Battle, moves.battle);
  replace(owners.ModdedDex, moves.dex);
  for (const kind of ['abilities', 'items', 'moves', 'species', 'conditions', 'natures', 'types']) {
    replace(owners[kind], { get: names.remembering(owners[kind].get) });
  }
  replace(owners.formats, { get: names.formatsGet(owners.formats.get) });
  replace(owners.ModdedDex, { getEffectiveness: names.getEffectiveness, getImmunity: names.getImmunity });
  replace(owners.Gen5RNG, { next: prng.next });
  replace(owners.Teams, { getGenerator: teams.generators(owners.Teams.getGenerator, Generator) });
  replace(owners.RandomTeams, { getPokemonPool: teams.pools(owners.RandomTeams.getPokemonPool) });
  Object.defineProperty(Battle, DONE, { value: true });
  return { installed: true, reason: '' };
}

module.exports = { install };
