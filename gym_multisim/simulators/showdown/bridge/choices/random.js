'use strict';
// A generator of its own for choices: the engine's must not be touched by them. Counter-based, so that its whole state is
// (seed, stream, counter), any of which can be set: a run is resumed or a seat separated without drawing numbers.

// The finishing step of MurmurHash3, which spreads every input bit over all output bits.
function spread(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

class Random {
  /** `seed`: a whole number below 2^53; `stream` separates generators of one seed. */
  constructor(seed, stream = 0) {
    this.reset(seed, stream);
  }

  reset(seed, stream = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`a seed must be a whole number from 0, not ${seed}`);
    this.key = spread((seed >>> 0) ^ 0x9e3779b9);
    this.key = spread(this.key ^ Math.floor(seed / 4294967296));
    this.salt = spread(this.key ^ Math.imul((stream >>> 0) + 1, 0x85ebca77));
    this.counter = 0;
  }

  /** 32 bits. Two rounds with two keys: one round would make all streams shifts of one sequence. */
  next() {
    const c = this.counter;
    this.counter = (c + 1) >>> 0;
    return spread(Math.imul(spread((c + this.key) | 0) ^ this.salt, 0x9e3779b1)) >>> 0;
  }

  /** A whole number from 0 to n − 1, all exactly equally likely: the ragged end of the range is drawn again. */
  below(n) {
    const end = 4294967296 - (4294967296 % n);
    let x = this.next();
    while (x >= end) x = this.next();
    return x % n;
  }

  pick(list) {
    return list[this.below(list.length)];
  }
}

module.exports = { Random };
