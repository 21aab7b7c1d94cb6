'use strict';
// How many joint actions a mask allows, the k-th of them, and a uniformly random one, without listing them.

const {
  SLOT_ACTIONS, SLOT_BYTES, HIGH_FROM, TERA_LOW, TERA_HIGH, SWITCHES_HIGH, PASS_HIGH, FLAG_ONE_MUST_SWITCH, lowOf, highOf,
} = require('./space');

function ones(x) {
  x -= (x >>> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

const lowestBit = (x) => 31 - Math.clz32(x & -x);

/** What slot 1 may not do once slot 0 has chosen the action with this bit (one of the two words is 0). */
function barredLow(low) {
  return low & TERA_LOW ? TERA_LOW : 0;
}

function barredHigh(low, high, flags) {
  if ((low & TERA_LOW) || (high & TERA_HIGH)) return TERA_HIGH;
  if (high & SWITCHES_HIGH) return high;
  if ((high & PASS_HIGH) && (flags & FLAG_ONE_MUST_SWITCH)) return PASS_HIGH;
  return 0;
}

/** The number of legal joint actions. The three things barred never share a pair, so they are subtracted one by one. */
function countLegal(mask, offset = 0) {
  const low0 = lowOf(mask, offset);
  const high0 = highOf(mask, offset);
  const low1 = lowOf(mask, offset + SLOT_BYTES);
  const high1 = highOf(mask, offset + SLOT_BYTES);
  const pairs = (ones(low0) + ones(high0)) * (ones(low1) + ones(high1));
  const teras = (ones(low0 & TERA_LOW) + ones(high0 & TERA_HIGH)) * (ones(low1 & TERA_LOW) + ones(high1 & TERA_HIGH));
  const same = ones(high0 & high1 & SWITCHES_HIGH);
  const passes = mask[offset + 2 * SLOT_BYTES] & FLAG_ONE_MUST_SWITCH && high0 & high1 & PASS_HIGH ? 1 : 0;
  return pairs - teras - same - passes;
}

/** The id of the k-th set bit of a slot's two words. */
function nthAction(low, high, k) {
  const inLow = ones(low);
  let word = low;
  let base = 0;
  if (k >= inLow) {
    k -= inLow;
    word = high;
    base = HIGH_FROM;
  }
  while (k--) word &= word - 1;
  return base + lowestBit(word);
}

/** The k-th legal joint action in ascending order, 0 ≤ k < countLegal. */
function nthLegal(mask, offset, k) {
  const low0 = lowOf(mask, offset);
  const high0 = highOf(mask, offset);
  const low1 = lowOf(mask, offset + SLOT_BYTES);
  const high1 = highOf(mask, offset + SLOT_BYTES);
  const flags = mask[offset + 2 * SLOT_BYTES];
  const all = ones(low1) + ones(high1);
  const teras = ones(low1 & TERA_LOW) + ones(high1 & TERA_HIGH);
  for (let rest = low0; rest; rest &= rest - 1) {
    const bit = rest & -rest;
    const count = bit & TERA_LOW ? all - teras : all;
    if (k < count) {
      return SLOT_ACTIONS * lowestBit(bit) + nthAction(low1 & ~barredLow(bit), high1 & ~barredHigh(bit, 0, flags), k);
    }
    k -= count;
  }
  for (let rest = high0; rest; rest &= rest - 1) {
    const bit = rest & -rest;
    const barred = barredHigh(0, bit, flags);
    const teraBit = bit & TERA_HIGH;
    const count = teraBit ? all - teras : all - ones(high1 & barred);
    if (k < count) {
      return SLOT_ACTIONS * (HIGH_FROM + lowestBit(bit)) + nthAction(teraBit ? low1 & ~TERA_LOW : low1, high1 & ~barred, k);
    }
    k -= count;
  }
  throw new Error('there are not that many legal actions');
}

/** A joint action drawn uniformly from the legal ones, with one number of the generator (more only to be exact). */
function randomLegal(mask, offset, random) {
  const count = countLegal(mask, offset);
  if (!count) throw new Error('no legal action in this mask');
  return nthLegal(mask, offset, random.below(count));
}

module.exports = { countLegal, nthLegal, randomLegal };
