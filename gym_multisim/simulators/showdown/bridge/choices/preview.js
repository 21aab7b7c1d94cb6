'use strict';
// Team preview in the first entries of the joint space: which pair leads, and which others come along.
// The order within the pair and within the rest is left out: it changes nothing but the slot numbers.

const { SLOT_ACTIONS } = require('./space');

const lists = new Map();

/** Every set of `size` numbers out of `from`, ascending. */
function subsets(from, size) {
  if (size === 0) return [[]];
  const found = [];
  from.forEach((first, i) => {
    for (const rest of subsets(from.slice(i + 1), size - 1)) found.push([first, ...rest]);
  });
  return found;
}

/** The orders a side may choose between, as team positions from 1: leads first. */
function previewOrders(request) {
  const team = request.side.pokemon.length;
  const size = Math.min(team, request.maxChosenTeamSize || team);
  const key = team * 32 + size;
  let orders = lists.get(key);
  if (!orders) {
    if (team > 6 || team < 1) throw new Error(`team preview with ${team} team members is not served`);
    const all = Array.from({ length: team }, (_, i) => i + 1);
    orders = [];
    for (const leads of subsets(all, Math.min(2, size))) {
      const others = all.filter((p) => !leads.includes(p));
      for (const back of subsets(others, size - leads.length)) orders.push([...leads, ...back]);
    }
    // Two factors carry a prefix of the joint space only if it ends with a full or within the first row of 45.
    if (orders.length > SLOT_ACTIONS && orders.length % SLOT_ACTIONS) {
      throw new Error(`team preview with ${size} of ${team} has ${orders.length} choices, which the mask cannot carry`);
    }
    lists.set(key, orders);
  }
  return orders;
}

module.exports = { previewOrders };
