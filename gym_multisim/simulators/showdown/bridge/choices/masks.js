'use strict';
// Which of a side's 45 actions per slot are legal, from that side's own request.
//
// Nothing of the other side is read here. `foes` says which foe slots hold a living Pokémon (bit 0: +1, bit 1: +2), which
// everybody sees; it only serves to prune. What a request hides (a trap or a disabled move that is only possible:
// maybeTrapped, maybeDisabled, maybeLocked) stays legal until the engine refuses it and amends the request; then the mask
// is to be made again, and the old stamp no longer fits.

const {
  SLOT_BYTES, MASK_BYTES, HIGH_FROM, FIRST_SWITCH, SLOT_ACTIONS, PASS_HIGH,
  FLAG_ONE_MUST_SWITCH, FLAG_REVIVING_0, FLAG_REVIVING_1, FLAG_PREVIEW, storeSlot,
} = require('./space');
const { previewOrders } = require('./preview');
const { stampOf } = require('./stamp');

/** Every choice that the engine accepts and the mask leaves out, with the reason. The fuzz test knows no others. */
const PRUNINGS = Object.freeze({
  fainted_target: 'A move aimed at a fainted or empty place, while the same move has a living target: the engine accepts it '
    + 'and redirects or wastes it. Where no target of a move is alive, all its targets stay.',
  pass_while_reviving: 'Passing in a slot that revives, which the engine accepts when no reserve lives: it throws the '
    + 'revival away and leaves the slot\'s state behind for the rest of the turn.',
  tera_without_effect: 'Terastallizing with a locked move, a recharge or Struggle: the engine accepts the word and ignores '
    + 'it, and does not even ask whether the side may still terastallize.',
  struggle_in_disguise: 'The request shows usable moves, but hidden effects (Imprison) disable all of them: the engine then '
    + 'takes any move at all, one that the request itself disables and a second terastallization too, and makes it Struggle.',
  preview_order: 'Orders within the leading pair and within the rest of a team preview.',
});

const MOVE_SLOTS = 4;
const NO_TARGET = 0b00100;
const FOES = 0b11000;
const OWN = 0b00011;
// Own places are −1 (slot 0) and −2 (slot 1), so the place of slot s has bit 1 − s, and its ally's has bit s.
const ALLY = [0b00001, 0b00010];

/** Targets (bit = target + 2) that must be chosen between; every other kind of move forbids a target. */
function targetsOf(kind, slot) {
  switch (kind) {
    case 'normal':
    case 'any': return FOES | ALLY[slot];
    case 'adjacentFoe': return FOES;
    case 'adjacentAlly': return ALLY[slot];
    case 'adjacentAllyOrSelf': return OWN;
    default: return NO_TARGET; // also a locked move, whose request names no target
  }
}

const isFainted = (member) => member.condition.endsWith(' fnt');

function livingReserves(team) {
  let bits = 0;
  for (let i = 2; i < team.length; i++) if (!isFainted(team[i])) bits |= 1 << (i - 2);
  return bits;
}

function fainted(team) {
  let bits = 0;
  for (let i = 0; i < team.length; i++) if (isFainted(team[i])) bits |= 1 << i;
  return bits;
}

const switchBits = (reserves) => reserves << (FIRST_SWITCH - HIGH_FROM);

/** Places with a living Pokémon, as target bits; bit 2 stands for "no target", which is never pruned. */
function livingPlaces(team, foes) {
  let bits = NO_TARGET | (foes << 3);
  if (!isFainted(team[0])) bits |= 0b00010;
  if (!isFainted(team[1])) bits |= 0b00001;
  return bits;
}

function writeMoves(request, foes, out, offset) {
  const team = request.side.pokemon;
  const living = livingPlaces(team, foes);
  const reserves = switchBits(livingReserves(team));
  for (let slot = 0; slot < 2; slot++) {
    const active = request.active[slot];
    const own = team[slot];
    let low = 0;
    let high = 0;
    if (own.commanding || isFainted(own)) {
      high = PASS_HIGH;
    } else {
      const moves = active.moves;
      if (moves.length > MOVE_SLOTS) throw unserved(`${moves.length} moves`, request);
      const tera = active.canTerastallize ? 1 : 0;
      for (let i = 0; i < moves.length; i++) {
        if (moves[i].disabled) continue;
        const all = targetsOf(moves[i].target, slot);
        const bits = (all & living) || all;
        const both = tera ? bits | (bits << 5) : bits;
        if (i < 3) low |= both << (10 * i);
        else high |= both;
      }
      if (!active.trapped) high |= reserves;
    }
    storeSlot(out, offset + slot * SLOT_BYTES, low, high);
  }
  out[offset + 2 * SLOT_BYTES] = 0;
}

// A forced switch: of the flagged slots, as many switch as there are living reserves, the others pass. Reviving is a switch
// to the engine, and counts against that number when it comes first: after it, the slot that follows may have to pass.
function writeSwitches(request, out, offset) {
  const team = request.side.pokemon;
  const flags = request.forceSwitch;
  const reserves = livingReserves(team);
  let count = 0;
  for (let bits = reserves; bits; bits &= bits - 1) count++;
  const gaps = (flags[0] ? 1 : 0) + (flags[1] ? 1 : 0);
  let switches = Math.min(gaps, count);
  const passes = gaps - switches;
  let byte = 0;
  let open = 0;
  for (let slot = 0; slot < 2; slot++) {
    let low = 0;
    let high = 0;
    if (!flags[slot]) {
      high = PASS_HIGH;
    } else if (team[slot].reviving) {
      low = fainted(team);
      byte |= slot ? FLAG_REVIVING_1 : FLAG_REVIVING_0;
      if (switches) switches--;
    } else {
      if (switches) high |= switchBits(reserves);
      if (passes) high |= PASS_HIGH;
      if (switches && passes) open++;
    }
    storeSlot(out, offset + slot * SLOT_BYTES, low, high);
  }
  if ((byte & FLAG_REVIVING_0) && (byte & FLAG_REVIVING_1)) throw unserved('two revivals at once', request);
  if (open === 2) byte |= FLAG_ONE_MUST_SWITCH;
  out[offset + 2 * SLOT_BYTES] = byte;
}

function writePreview(request, out, offset) {
  const count = previewOrders(request).length;
  out.fill(0, offset, offset + MASK_BYTES);
  const rows = Math.max(1, Math.floor(count / SLOT_ACTIONS));
  const columns = Math.min(count, SLOT_ACTIONS);
  for (let a = 0; a < rows; a++) out[offset + (a >>> 3)] |= 1 << (a & 7);
  for (let b = 0; b < columns; b++) out[offset + SLOT_BYTES + (b >>> 3)] |= 1 << (b & 7);
  out[offset + 2 * SLOT_BYTES] = FLAG_PREVIEW;
}

function unserved(what, request) {
  return new Error(`this action space does not hold ${what}: ${JSON.stringify(request)}`);
}

/** Whether a side has anything to choose. */
function mustChoose(request) {
  return !!request && !request.wait;
}

/**
 * Writes the 13 bytes of a request's mask at `offset` and returns the stamp that `decode` wants back (never 0).
 * A side that waits gets an empty mask and the stamp 0. `foes`: living foe slots, 3 = both.
 */
function writeMask(request, foes, out, offset = 0) {
  if (!mustChoose(request)) {
    out.fill(0, offset, offset + MASK_BYTES);
    return 0;
  }
  const size = request.side.pokemon.length;
  if (size > 6 || size < 2) throw unserved(`a team of ${size}`, request); // the engine itself fails in doubles with one
  if (request.teamPreview) {
    writePreview(request, out, offset);
  } else if (request.forceSwitch) {
    if (request.forceSwitch.length !== 2) throw unserved('anything but doubles', request);
    writeSwitches(request, out, offset);
  } else {
    if (request.active.length !== 2) throw unserved('anything but doubles', request);
    writeMoves(request, foes, out, offset);
  }
  return stampOf(request, out, offset);
}

module.exports = { PRUNINGS, writeMask, mustChoose };
