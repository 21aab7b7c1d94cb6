'use strict';
// Look-ups by name: the engine lower-cases and strips every name at every look-up.
// The answers are entries that the Dex keeps for good, so a name's answer never changes.
const MEMO = Symbol('names');
const TYPE_CHART = { 1: 1, 2: -1 };

/** A `get` that remembers; names without an entry of their own get a new object each time and are not kept. */
function remembering(plainGet) {
  return function get(name) {
    if (typeof name !== 'string') return plainGet.call(this, name);
    const memo = this[MEMO] || (this[MEMO] = new Map());
    let entry = memo.get(name);
    if (entry !== undefined) return entry;
    entry = plainGet.call(this, name);
    if (plainGet.call(this, name) === entry) memo.set(name, entry);
    return entry;
  };
}

function formatsGet(plainGet) {
  return function get(name, isTrusted) {
    if (typeof name !== 'string' || name.includes('@@@')) return plainGet.call(this, name, isTrusted);
    const memo = this[MEMO] || (this[MEMO] = new Map());
    let entry = memo.get(name);
    if (entry !== undefined) return entry;
    entry = plainGet.call(this, name, isTrusted);
    // Rules with a value ("maxteamsize=6") are no formats: an empty stand-in is made for each, and only read.
    if (!entry.exists || plainGet.call(this, name, isTrusted) === entry) memo.set(name, entry);
    return entry;
  };
}

const typingOf = (target) => target.getTypes?.() || target.types || target;

function getEffectiveness(source, target) {
  const sourceType = typeof source !== 'string' ? source.type : source;
  const typing = typeof target === 'string' ? target : typingOf(target);
  if (Array.isArray(typing)) {
    let total = 0;
    for (const type of typing) total += this.getEffectiveness(sourceType, type);
    return total;
  }
  const type = this.types.get(typing);
  return (type && TYPE_CHART[type.damageTaken[sourceType]]) || 0;
}

function getImmunity(source, target) {
  const sourceType = typeof source !== 'string' ? source.type : source;
  const typing = typeof target === 'string' ? target : typingOf(target);
  if (Array.isArray(typing)) {
    for (const type of typing) if (!this.getImmunity(sourceType, type)) return false;
    return true;
  }
  const type = this.types.get(typing);
  return !(type && type.damageTaken[sourceType] === 3);
}

module.exports = { remembering, formatsGet, getEffectiveness, getImmunity };
