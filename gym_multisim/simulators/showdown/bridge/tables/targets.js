'use strict';
// Every function of the engine that the tables replace or go around, with where it lives.
// Their texts are hashed: the replacements are right for these texts and no others.
const path = require('path');
const crypto = require('crypto');

/** The package's folder, found through the module that made this very Battle class. */
function rootOf(sim) {
  const file = path.join('dist', 'sim', 'battle.js');
  for (const module of Object.values(require.cache)) {
    if (module && module.filename && module.filename.endsWith(file) && module.exports.Battle === sim.Battle) {
      return path.resolve(path.dirname(module.filename), '..', '..');
    }
  }
  return null;
}

const KINDS = ['abilities', 'items', 'moves', 'species', 'conditions', 'natures', 'types', 'formats'];

function targetsOf(sim, root) {
  const at = (file) => require(path.join(root, 'dist', file));
  const ModdedDex = sim.Dex.constructor;
  const rng = new sim.PRNG('1,2,3,4').rng;
  const Generator = at('data/random-battles/gen9/teams').default;
  const owners = {
    Battle: sim.Battle.prototype, Pokemon: sim.Pokemon.prototype, Side: sim.Side.prototype,
    Field: at('sim/field').Field.prototype, ModdedDex: ModdedDex.prototype,
    Gen5RNG: Object.getPrototypeOf(rng), RandomTeams: Generator.prototype, Teams: sim.Teams,
  };
  for (const kind of KINDS) owners[kind] = Object.getPrototypeOf(sim.Dex[kind]);
  const methods = {
    Battle: ['runEvent', 'singleEvent', 'findEventHandlers', 'findPokemonEventHandlers', 'findBattleEventHandlers',
      'findFieldEventHandlers', 'findSideEventHandlers', 'getCallback', 'resolvePriority', 'speedSort', 'comparePriority',
      'fieldEvent', 'onEvent', 'endTurn', 'modify', 'initEffectState', 'getTeam', 'suppressingAbility'],
    Pokemon: ['getStatus', 'getAbility', 'getItem', 'alliesAndSelf', 'foes', 'ignoringAbility', 'ignoringItem'],
    Side: ['allies', 'foes', 'activeTeam'],
    Field: ['getWeather', 'getTerrain', 'suppressingWeather'],
    ModdedDex: ['getActiveMove', 'getEffectiveness', 'getImmunity', 'trunc'],
    Gen5RNG: ['next', 'nextFrame', 'multiplyAdd'],
    // The constructor's text is the whole class: what a fresh generator holds, and what teams do with it.
    RandomTeams: ['constructor', 'getPokemonPool'],
    Teams: ['getGenerator'],
  };
  for (const kind of KINDS) methods[kind] = kind === 'formats' ? ['get'] : ['get', 'getByID'];
  const functions = { deepClone: sim.Dex.deepClone, toID: sim.toID };
  for (const [owner, names] of Object.entries(methods)) {
    for (const name of names) functions[`${owner}.${name}`] = owners[owner][name];
  }
  return { owners, functions, Generator, Field: at('sim/field').Field };
}

function hashesOf(functions) {
  const hashes = {};
  for (const [name, fn] of Object.entries(functions)) {
    const text = typeof fn === 'function' ? Function.prototype.toString.call(fn) : 'absent';
    hashes[name] = crypto.createHash('sha256').update(text).digest('hex').slice(0, 20);
  }
  return hashes;
}

module.exports = { rootOf, targetsOf, hashesOf };

// `node tables/targets.js PATH_TO_PACKAGE` prints the hashes of an untouched package.
if (require.main === module) {
  const sim = require(path.resolve(process.argv[2]));
  console.log(JSON.stringify(hashesOf(targetsOf(sim, rootOf(sim)).functions), null, 1));
}
