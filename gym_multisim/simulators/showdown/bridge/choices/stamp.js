'use strict';
// A fingerprint of one request together with its mask, so that an action is only ever decoded against the request that
// its mask was made from. The engine has no request ids in process, and amends a request in place after a refusal; hence a
// serial number per request object, mixed with what an amendment can change and with the mask's bytes.

const { MASK_BYTES } = require('./space');

const SERIAL = Symbol('serial'); // which no JSON shows; a WeakMap of requests costs more than the rest of a mask
let last = 0;

const serialOf = (request) => request[SERIAL] ?? (request[SERIAL] = ++last);

function mix(hash, value) {
  const h = Math.imul(hash ^ value, 0x01000193);
  return h ^ (h >>> 15);
}

/** What the engine may change in a request after it was sent, as bits. */
function amendable(active) {
  if (!active) return 0;
  let bits = (active.trapped ? 1 : 0) | (active.maybeTrapped ? 2 : 0) | (active.maybeDisabled ? 4 : 0)
    | (active.maybeLocked ? 8 : 0) | (active.canTerastallize ? 16 : 0);
  const moves = active.moves;
  for (let i = 0; i < moves.length; i++) if (moves[i].disabled) bits |= 32 << i;
  return bits;
}

/** A 32-bit number, never 0. */
function stampOf(request, mask, offset) {
  let hash = mix(0x811c9dc5, serialOf(request));
  for (let i = 0; i < MASK_BYTES; i++) hash = mix(hash, mask[offset + i]);
  hash = mix(hash, request.update ? 1 : 0);
  if (request.active) {
    for (let slot = 0; slot < request.active.length; slot++) hash = mix(hash, amendable(request.active[slot]));
  }
  return (hash >>> 0) || 1;
}

module.exports = { stampOf };
