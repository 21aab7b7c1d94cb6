'use strict';
// Between joint action numbers and the engine's choice strings. A number that is not legal is an error, never replaced.

const {
  SLOT_ACTIONS, JOINT_ACTIONS, FIRST_SWITCH, PASS, SLOT_BYTES, FLAG_REVIVING_0, FLAG_REVIVING_1, isLegal,
} = require('./space');
const { stampOf } = require('./stamp');
const { previewOrders } = require('./preview');

function slotText(action) {
  if (action === PASS) return 'pass';
  if (action >= FIRST_SWITCH) return `switch ${action - FIRST_SWITCH + 3}`;
  const target = (action % 5) - 2;
  const parts = ['move', Math.floor(action / 10) + 1];
  if (target) parts.push(target > 0 ? `+${target}` : target);
  if (action % 10 >= 5) parts.push('terastallize');
  return parts.join(' ');
}

const TEXTS = Array.from({ length: SLOT_ACTIONS }, (_, action) => slotText(action));
const REVIVALS = Array.from({ length: 6 }, (_, i) => `switch ${i + 1}`);

function textOf(action, reviving) {
  return reviving ? REVIVALS[action] : TEXTS[action];
}

function fail(reason, request, joint) {
  const known = Number.isInteger(joint) && joint >= 0 && joint < JOINT_ACTIONS;
  const named = known ? ` (${TEXTS[Math.floor(joint / SLOT_ACTIONS)]}, ${TEXTS[joint % SLOT_ACTIONS]})` : '';
  const error = new Error(`${reason}: action ${joint}${named} for the request ${JSON.stringify(request)}`);
  error.request = request;
  error.action = joint;
  return error;
}

/**
 * The choice string of a joint action. `mask`, `offset` and `stamp` are those that writeMask gave for this very request;
 * throws if the request has changed since, or if the action is not legal in it.
 */
function decode(request, joint, mask, offset, stamp) {
  if (!request || request.wait) throw fail('this side has nothing to choose', request, joint);
  if (!stamp || stampOf(request, mask, offset) !== stamp) {
    throw fail('the mask was made from another request, or the request was amended since', request, joint);
  }
  if (!isLegal(mask, offset, joint)) throw fail('illegal action', request, joint);
  if (request.teamPreview) return `team ${previewOrders(request)[joint].join('')}`;
  const flags = mask[offset + 2 * SLOT_BYTES];
  const first = textOf(Math.floor(joint / SLOT_ACTIONS), flags & FLAG_REVIVING_0);
  const second = textOf(joint % SLOT_ACTIONS, flags & FLAG_REVIVING_1);
  return `${first}, ${second}`;
}

/** One slot's action from its parts: {move: 1–4, target, tera}, {switchTo: 3–6}, {revive: 1–6} or {pass: true}. */
function encodeSlot(part) {
  if (part.pass) return PASS;
  if (part.revive) return part.revive - 1;
  if (part.switchTo) return FIRST_SWITCH + part.switchTo - 3;
  return 10 * (part.move - 1) + (part.tera ? 5 : 0) + (part.target || 0) + 2;
}

/** The joint action of two slots' parts. */
function encode(parts) {
  return SLOT_ACTIONS * encodeSlot(parts[0]) + encodeSlot(parts[1]);
}

const MOVE = /^move ([1-4])(?: ([+-]?[12]))?( terastallize)?$/;

/** The joint action of a choice string with numbered moves, or -1 where this space has none for it. */
function parse(request, text) {
  const texts = text.split(',').map((t) => t.trim());
  if (request.teamPreview || texts.length !== 2) return -1;
  const parts = texts.map((t, slot) => {
    if (t === 'pass') return { pass: true };
    const move = MOVE.exec(t);
    if (move) return { move: +move[1], target: +(move[2] || 0), tera: !!move[3] };
    const to = /^switch ([1-6])$/.exec(t);
    if (!to) return null;
    if (request.forceSwitch && request.forceSwitch[slot] && request.side.pokemon[slot].reviving) return { revive: +to[1] };
    return +to[1] >= 3 ? { switchTo: +to[1] } : null;
  });
  return parts[0] && parts[1] ? encode(parts) : -1;
}

module.exports = { decode, encode, parse };
