'use strict';
// Random teams of generation 9. A generator is the same for every battle of a format until it makes its first team.

function generators(plainGet, Generator) {
  const fresh = new WeakMap();
  return function getGenerator(format, seed = null) {
    const known = typeof format === 'object' && format !== null ? fresh.get(format) : undefined;
    if (known === undefined) {
      const generator = plainGet.call(this, format, seed);
      if (Object.getPrototypeOf(generator) === Generator.prototype && typeof format === 'object') {
        fresh.set(format, { ...generator, prng: null });
      }
      return generator;
    }
    const generator = Object.assign(Object.create(Generator.prototype), known);
    generator.setSeed(seed);
    return generator;
  };
}

/** The pool that every team of a kind starts from: remembered for the last lists asked about, handed out as copies. */
function pools(plainPool) {
  const memo = new Map();
  return function getPokemonPool(type, pokemonToExclude = [], isMonotype = false, pokemonList) {
    if (pokemonToExclude.length || isMonotype) return plainPool.call(this, type, pokemonToExclude, isMonotype, pokemonList);
    const key = `${this.dex.currentMod} ${pokemonList.length}`;
    let known = memo.get(key);
    if (known === undefined || known.list.some((name, i) => name !== pokemonList[i])) {
      const [pool, species] = plainPool.call(this, type, pokemonToExclude, isMonotype, pokemonList);
      known = { list: pokemonList.slice(), pool, species };
      memo.set(key, known);
    }
    const pool = {};
    for (const name in known.pool) pool[name] = known.pool[name].slice();
    return [pool, known.species.slice()];
  };
}

module.exports = { generators, pools };
