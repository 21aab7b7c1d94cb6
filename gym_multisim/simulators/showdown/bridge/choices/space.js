'use strict';
// The action space of one doubles decision and how its legality is packed into 13 bytes.
//
// A slot has 45 actions: 10·move + 5·tera + (target + 2) for four moves and the targets −2, −1, none (0), +1, +2
// (ids 0–39); a switch to team position 3–6 (40–43); pass (44). In a slot that revives, ids 0–5 are team positions 1–6
// instead, since any fainted member may be named there, an active one too. Joint index: 45·slot0 + slot1.
//
// Layout (little bit order): 6 bytes for slot 0, 6 bytes for slot 1, 1 byte of flags. Legality of a pair is not a product
// of the two slots only because of three things that a side may do once: switch to a position, terastallize, and (when one
// reserve must fill two gaps) pass. They never overlap, which is what makes counting and sampling exact without a list.

const SLOT_ACTIONS = 45;
const JOINT_ACTIONS = SLOT_ACTIONS * SLOT_ACTIONS;
const FIRST_SWITCH = 40;
const PASS = 44;
const SLOT_BYTES = 6;
const MASK_BYTES = 2 * SLOT_BYTES + 1;

const FLAG_ONE_MUST_SWITCH = 1; // both slots flagged, one reserve: (pass, pass) leaves it at home
// For readers of a mask; the legality of a pair does not depend on them.
const FLAG_REVIVING_0 = 2;
const FLAG_REVIVING_1 = 4;
const FLAG_PREVIEW = 8;

// Inside this process a slot is two small integers, so that no step needs more than 32-bit arithmetic:
// `low` has ids 0–29 (moves 1–3), `high` has ids 30–44 (move 4, switches, pass).
const HIGH_FROM = 30;
const TERA_LOW = 0b1111100000_1111100000_1111100000;
const TERA_HIGH = 0b1111100000;
const SWITCHES_HIGH = 0b1111 << (FIRST_SWITCH - HIGH_FROM);
const PASS_HIGH = 1 << (PASS - HIGH_FROM);

function storeSlot(out, at, low, high) {
  out[at] = low;
  out[at + 1] = low >>> 8;
  out[at + 2] = low >>> 16;
  out[at + 3] = (low >>> 24) | (high << 6);
  out[at + 4] = high >>> 2;
  out[at + 5] = high >>> 10;
}

function lowOf(mask, at) {
  return mask[at] | (mask[at + 1] << 8) | (mask[at + 2] << 16) | ((mask[at + 3] & 63) << 24);
}

function highOf(mask, at) {
  return (mask[at + 3] >>> 6) | (mask[at + 4] << 2) | (mask[at + 5] << 10);
}

function hasAction(mask, at, action) {
  return (mask[at + (action >>> 3)] >>> (action & 7)) & 1;
}

function isTera(action) {
  return action < FIRST_SWITCH && action % 10 >= 5;
}

/** Whether a joint action is legal under the mask at `offset`. */
function isLegal(mask, offset, joint) {
  if (!(Number.isInteger(joint) && joint >= 0 && joint < JOINT_ACTIONS)) return false;
  const first = Math.floor(joint / SLOT_ACTIONS);
  const second = joint % SLOT_ACTIONS;
  if (!hasAction(mask, offset, first) || !hasAction(mask, offset + SLOT_BYTES, second)) return false;
  if (first === second && first >= FIRST_SWITCH && first < PASS) return false;
  if (isTera(first) && isTera(second)) return false;
  if (first === PASS && second === PASS && (mask[offset + 2 * SLOT_BYTES] & FLAG_ONE_MUST_SWITCH)) return false;
  return true;
}

const ANY = new Uint8Array(SLOT_ACTIONS);
const NO_TERA = new Uint8Array(SLOT_ACTIONS);

/** Writes the mask at `offset` as one byte per joint action to `out` from `at` on, which must be zeros there. */
function expand(mask, offset, out, at) {
  for (let action = 0; action < SLOT_ACTIONS; action++) {
    ANY[action] = hasAction(mask, offset + SLOT_BYTES, action);
    NO_TERA[action] = isTera(action) ? 0 : ANY[action];
  }
  for (let first = 0; first < SLOT_ACTIONS; first++) {
    if (!hasAction(mask, offset, first)) continue;
    const row = at + SLOT_ACTIONS * first;
    out.set(isTera(first) ? NO_TERA : ANY, row);
    if (first >= FIRST_SWITCH && first < PASS) out[row + first] = 0;
  }
  if (mask[offset + 2 * SLOT_BYTES] & FLAG_ONE_MUST_SWITCH) out[at + JOINT_ACTIONS - 1] = 0;
}

module.exports = {
  SLOT_ACTIONS, JOINT_ACTIONS, FIRST_SWITCH, PASS, SLOT_BYTES, MASK_BYTES,
  FLAG_ONE_MUST_SWITCH, FLAG_REVIVING_0, FLAG_REVIVING_1, FLAG_PREVIEW,
  HIGH_FROM, TERA_LOW, TERA_HIGH, SWITCHES_HIGH, PASS_HIGH,
  storeSlot, lowOf, highOf, hasAction, isTera, isLegal, expand,
};
