'use strict';
// Active moves: each use of a move is a deep copy of its Dex entry. Entries are frozen and shared,
// so which members need copying is known once per entry.

function cloneValue(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(cloneValue);
  const copy = { __proto__: Object.getPrototypeOf(value), ...value };
  for (const key in copy) {
    if (copy[key] !== null && typeof copy[key] === 'object') copy[key] = cloneValue(copy[key]);
  }
  return copy;
}

function moveFunctions({ plain, deepClone }) {
  const nested = new WeakMap();
  // The battle whose end of turn is running, see endTurn.
  let ending = null;

  function nestedKeys(move) {
    let keys = nested.get(move);
    if (keys === undefined) {
      keys = Object.isFrozen(move) ? Object.keys(move).filter((key) => move[key] !== null && typeof move[key] === 'object') : null;
      nested.set(move, keys);
    }
    return keys;
  }

  function getActiveMove(move) {
    if (move && typeof move.hit === 'number') return move;
    const base = this.moves.get(move);
    // The end of a turn asks every move of every active Pokémon whether it disables itself. Most have no
    // such callback, and then nothing but the entry's flags is read: a copy would be thrown away unread.
    if (ending !== null && ending.eventDepth === 0 && typeof move === 'string' && base.onDisableMove === undefined) return base;
    const keys = this.deepClone === deepClone ? nestedKeys(base) : null;
    let copy;
    if (keys === null) {
      copy = this.deepClone(base);
    } else {
      copy = { __proto__: Object.getPrototypeOf(base), ...base };
      for (const key of keys) copy[key] = cloneValue(copy[key]);
    }
    copy.hit = 0;
    return copy;
  }

  function endTurn() {
    const before = ending;
    // Debug battles announce suppressed handlers, which the short way would skip.
    ending = this.debugMode ? null : this;
    try {
      return plain.endTurn.call(this);
    } finally {
      ending = before;
    }
  }

  return { dex: { getActiveMove }, battle: { endTurn } };
}

module.exports = { moveFunctions };
