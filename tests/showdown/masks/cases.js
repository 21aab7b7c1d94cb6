'use strict';
// The special cases a run must have met. A case is counted where the request (or what the engine accepts) shows it.

const { ACCEPTED } = require('./oracle');
const { split, aim, isDead } = require('./compare');

const CASES = {
  force_switch_one: 'one slot must switch, a reserve lives',
  force_switch_both: 'both slots must switch, two or more reserves live',
  force_switch_both_one_reserve: 'both slots must switch, one reserve lives',
  force_switch_mid_turn: 'a living Pokémon must switch (U-turn, Eject Button, Eject Pack, Emergency Exit)',
  revival_with_reserves: 'Revival Blessing while a reserve lives',
  revival_without_reserves: 'Revival Blessing while none lives: the engine accepts pass',
  revival_of_active: 'Revival Blessing may name a fainted ally on the field',
  commander: 'Tatsugiri commands: only pass',
  commanded: 'Dondozo is commanded: trapped',
  struggle: 'no usable move',
  struggle_in_disguise: 'all moves disabled, and the request does not show it',
  recharge: 'recharging',
  locked_move: 'locked into a move (Outrage, two turns)',
  trapped: 'trapped, with a living reserve',
  maybe_trapped: 'maybe trapped',
  maybe_trapped_but_free: 'maybe trapped, and the switch is accepted',
  maybe_trapped_refused: 'a maybe trapped Pokémon was refused its switch and asked again',
  maybe_disabled: 'maybe disabled (Imprison)',
  maybe_disabled_refused: 'a maybe disabled move was refused and the request amended',
  tera_available: 'a slot may terastallize',
  tera_both: 'both slots may, so the pair is barred',
  tera_used_up: 'the side has terastallized before',
  disabled: 'a move is disabled that has PP left',
  pp_zero: 'a move has no PP left',
  one_slot_fainted: 'a fainted slot passes',
  fainted_foe: 'a foe place holds no living Pokémon',
  no_living_target: 'a move with no living target keeps its targets',
  target_normal: 'foes and ally: a move that may hit the ally',
  target_any: 'any target',
  target_adjacent_foe: 'foes only',
  target_adjacent_ally: 'ally only (Helping Hand, Coaching)',
  target_adjacent_ally_or_self: 'ally or self (Acupressure)',
  target_self: 'self',
  target_spread: 'all adjacent (foes)',
  target_side_or_field: 'a side or the field',
  target_random: 'a random foe',
  target_scripted: 'scripted (Counter)',
  pollen_puff_heal_block: 'Pollen Puff without its ally target under Heal Block',
  pollen_puff: 'Pollen Puff with it',
  curse_ghost: 'Curse of a Ghost',
  curse_other: 'Curse of another',
  tera_starstorm_stellar: 'Tera Starstorm as a spread move',
  tera_starstorm: 'Tera Starstorm with a target',
  no_reserve: 'a move request with no living reserve',
};

/** The theme whose teams show a case soonest, for those that random teams seldom show. */
const THEME_FOR = {
  force_switch_both_one_reserve: 'revival', revival_with_reserves: 'revival', revival_without_reserves: 'lastrevival',
  revival_of_active: 'lastrevival', no_living_target: 'lonely', one_slot_fainted: 'lonely', no_reserve: 'lonely', commander: 'commander', commanded: 'commander', struggle: 'struggle', pp_zero: 'revival',
  struggle_in_disguise: 'disguise', recharge: 'locks', locked_move: 'locks', trapped: 'trappers', maybe_trapped: 'trappers',
  maybe_trapped_but_free: 'maybetrap', maybe_trapped_refused: 'trappers', maybe_disabled: 'imprison',
  maybe_disabled_refused: 'imprison', target_adjacent_foe: 'allies', target_adjacent_ally: 'allies',
  target_adjacent_ally_or_self: 'allies', target_scripted: 'trappers', target_random: 'struggle',
  pollen_puff_heal_block: 'healblock', pollen_puff: 'healblock', curse_ghost: 'curse', curse_other: 'curse',
  tera_starstorm_stellar: 'terapagos', tera_starstorm: 'terapagos', force_switch_mid_turn: 'ejects',
};

const SPREAD = new Set(['allAdjacent', 'allAdjacentFoes']);
const AREA = new Set(['allySide', 'foeSide', 'all', 'allyTeam', 'allies']);
const KIND = {
  normal: 'target_normal', any: 'target_any', adjacentFoe: 'target_adjacent_foe', adjacentAlly: 'target_adjacent_ally',
  adjacentAllyOrSelf: 'target_adjacent_ally_or_self', self: 'target_self', randomNormal: 'target_random',
  scripted: 'target_scripted',
};

function ofMove(side, slot, move, found) {
  const kind = move.target;
  if (KIND[kind]) found.add(KIND[kind]);
  if (SPREAD.has(kind)) found.add('target_spread');
  if (AREA.has(kind)) found.add('target_side_or_field');
  if (move.pp === 0) found.add('pp_zero');
  else if (move.disabled) found.add('disabled');
  if (move.id === 'pollenpuff') found.add(kind === 'adjacentFoe' ? 'pollen_puff_heal_block' : 'pollen_puff');
  if (move.id === 'curse') found.add(kind === 'self' ? 'curse_other' : 'curse_ghost');
  if (move.id === 'terastarstorm') found.add(kind === 'normal' ? 'tera_starstorm' : 'tera_starstorm_stellar');
  if (move.id === 'struggle') found.add('struggle');
  if (move.id === 'recharge') found.add('recharge');
  else if (move.pp === undefined && move.id !== 'struggle') found.add('locked_move');
}

function ofMoveRequest(side, request, outcome, found) {
  const reserves = side.pokemon.slice(2).some((p) => !p.fainted);
  if (!reserves) found.add('no_reserve');
  if (side.foe.active.some(isDead)) found.add('fainted_foe');
  if (side.pokemon.some((p) => p.terastallized)) found.add('tera_used_up');
  let teras = 0;
  request.active.forEach((active, slot) => {
    const own = side.active[slot];
    if (!own || !active) return;
    if (own.fainted) { found.add('one_slot_fainted'); return; }
    if (own.volatiles['commanding']) { found.add('commander'); return; }
    if (own.volatiles['commanded']) found.add('commanded');
    if (active.canTerastallize) teras++;
    if (active.trapped && reserves) found.add('trapped');
    if (active.maybeDisabled) found.add('maybe_disabled');
    if (active.maybeTrapped) {
      found.add('maybe_trapped');
      if (!outcome.lifted.trap) found.add('maybe_trapped_but_free');
    }
    active.moves.forEach((move) => ofMove(side, slot, move, found));
  });
  if (teras) found.add('tera_available');
  if (teras === 2) found.add('tera_both');
  if (outcome.disguised) found.add('struggle_in_disguise');
  for (let joint = 0; joint < 2025; joint++) {
    if (outcome.accepted[joint] !== ACCEPTED || !outcome.legal(joint)) continue;
    if (split(joint).some((id, slot) => aim(id) && isDead(side.active[slot].getAtLoc(aim(id))))) {
      found.add('no_living_target');
      break;
    }
  }
}

function ofForceSwitch(side, request, found) {
  const flags = request.forceSwitch;
  const reserves = side.pokemon.slice(2).filter((p) => !p.fainted).length;
  const revives = request.side.pokemon.findIndex((p, i) => i < 2 && p.reviving && flags[i]);
  if (revives >= 0) {
    found.add(reserves ? 'revival_with_reserves' : 'revival_without_reserves');
    if (side.active.some((p) => p && p.fainted)) found.add('revival_of_active');
    return;
  }
  if (flags[0] && flags[1]) found.add(reserves > 1 ? 'force_switch_both' : 'force_switch_both_one_reserve');
  else found.add('force_switch_one');
  if (flags.some((flag, i) => flag && !side.active[i].fainted)) found.add('force_switch_mid_turn');
}

/** The names of the cases that one compared decision shows. `outcome` is compareDecision's, plus legal(joint). */
function casesOf(side, outcome) {
  const found = new Set();
  const request = side.activeRequest;
  if (request.forceSwitch) ofForceSwitch(side, request, found);
  else if (request.active) ofMoveRequest(side, request, outcome, found);
  return found;
}

module.exports = { CASES, THEME_FOR, casesOf };
