'use strict';
// One side's view of a doubles battle as a row of numbers, from that side's own request and the public state, and nothing else.
// layout.js names what is written here, in the same order. Numbers lie between −1.5 and 1.5.
// Own team members keep the order of the request, because actions count switch positions and slots in that order.

const { TYPE_NAMES, TYPE, STATS, TARGET_CLASSES, EFFECTS, clamp } = require('./dex_tables');
const { BOOSTS, V } = require('./public_mon');
const {
  FEATURES, SIZE, TYPES, SLOTS, TEAM, BENCH, MOVES, STATUSES, WEATHERS, TERRAINS, STATES, SIDE_FEATURES,
  SLOT_STATE, MOVE_SIZE, BENCH_SIZE, FOE_SIZE, FOE_BENCH_SIZE,
} = require('./layout');
const {
  WEATHER_BITS, own, foes, scaled, begin, readMember, readFoe, takeFactors, presentTypes,
  moveType, stab, factorOf, outright, statusWorks, knownThreat, statRatio, speedOf, bestFactor,
} = require('./matchup');

const STATUS_INDEX = new Map(STATUSES.map((s, i) => [s, i]));

// Set by write() for the functions below: a process writes one row at a time.
let tables;
let state;
let out;
let k;

function writeTypes(types) {
  for (let i = 0; i < types.length; i++) out[k + types[i]] = 1;
  k += TYPES;
}

function writeStatus(status) {
  const i = STATUS_INDEX.get(status);
  if (i !== undefined) out[k + i] = 1;
  k += STATUSES.length;
}

function writeBoosts(boosts) {
  for (let i = 0; i < BOOSTS.length; i++) out[k++] = boosts[i] / 4;
}

function writeStates(mon) {
  const v = mon.volatile;
  out[k] = v[V.substitute];
  out[k + 1] = v[V.confusion];
  out[k + 2] = v[V.taunt];
  out[k + 3] = v[V.encore];
  out[k + 4] = v[V.disable];
  out[k + 5] = v[V.leechseed];
  out[k + 6] = v[V.yawn];
  out[k + 7] = v[V.perish] / 4;
  out[k + 8] = v[V.saltcure];
  out[k + 9] = v[V.trapped] || v[V.bound] ? 1 : 0;
  out[k + 10] = v[V.recharge];
  out[k + 11] = v[V.charging];
  out[k + 12] = v[V.focusenergy];
  out[k + 13] = v[V.booster];
  out[k + 14] = v[V.commanding] || v[V.commanded] ? 1 : 0;
  out[k + 15] = mon.stallTurn >= state.turn - 1 && mon.stall > 0 ? Math.min(1.5, mon.stall / 2) : 0;
  k += STATES.length;
}

function writeStats(stats) {
  for (let i = 0; i < STATS.length; i++) out[k++] = Math.min(1.5, stats[i] / 300);
}


function writeSpeed(view, side, foeSide) {
  const mine = speedOf(view, side);
  const sign = state.pseudo[0] ? -1 : 1;
  for (const foe of foes) out[k++] = foe.here ? sign * clamp(Math.log2(mine / speedOf(foe, foeSide)), -1.5, 1.5) : 0;
}

function writeThreat(view) {
  for (const foe of foes) out[k++] = foe.here ? scaled(bestFactor(foe, view.factors)) : 0;
}

const teraFactors = new Float32Array(TYPES);

function writeSide(side) {
  const c = side.conditions;
  const age = (i) => (state.turn - side.since[i]);
  out[k] = c[0] ? 1 : 0;
  out[k + 1] = c[0] ? clamp((4 - age(0)) / 4, 0, 1) : 0;
  out[k + 2] = c[1];
  out[k + 3] = c[2];
  out[k + 4] = c[3];
  let screens = 0;
  for (let i = 1; i <= 3; i++) if (c[i]) screens = Math.max(screens, age(i) / 8);
  out[k + 5] = Math.min(1.5, screens);
  out[k + 6] = c[4] ? 1 : 0;
  out[k + 7] = c[6] ? 1 : 0;
  out[k + 8] = c[7] / 3;
  out[k + 9] = c[8] / 2;
  out[k + 10] = c[9] ? 1 : 0;
  k += SIDE_FEATURES.length;
}

function writeGlobal(request, mine, theirs, members) {
  out[k + (request.active ? 0 : request.forceSwitch ? 1 : request.teamPreview ? 2 : 3)] = 1;
  k += 4;
  out[k++] = Math.min(1.5, state.turn / 25);
  let alive = 0;
  let hp = 0;
  for (let i = 0; i < members; i++) {
    if (own[i].here) alive++;
    hp += own[i].hp;
  }
  const foeAlive = theirs.teamSize - theirs.fainted;
  let foeHp = theirs.teamSize;
  for (const mon of theirs.mons) foeHp -= 1 - mon.hp;
  out[k++] = alive / TEAM;
  out[k++] = foeAlive / TEAM;
  out[k++] = (alive - foeAlive) / TEAM;
  out[k++] = hp / TEAM;
  out[k++] = Math.max(0, foeHp) / TEAM;
  out[k++] = mine.teraUsed ? 0 : 1;
  out[k++] = theirs.teraUsed ? 0 : 1;
  const bits = WEATHER_BITS[state.weather];
  if (bits) for (const b of bits) out[k + b] = 1;
  k += WEATHERS.length;
  out[k++] = bits ? Math.min(1.5, (state.turn - state.weatherSince) / 8) : 0;
  const terrain = TERRAINS.indexOf(state.terrain);
  if (terrain >= 0) out[k + terrain] = 1;
  k += TERRAINS.length;
  out[k++] = terrain >= 0 ? Math.min(1.5, (state.turn - state.terrainSince) / 8) : 0;
  out[k++] = state.pseudo[0];
  out[k++] = state.pseudo[0] ? clamp((5 - state.turn + state.pseudoSince[0]) / 5, 0, 1) : 0;
  out[k++] = state.pseudo[1];
  out[k++] = state.pseudo[2] || state.pseudo[3] ? 1 : 0;
  writeSide(mine);
  writeSide(theirs);
}

function writeOwnSlot(request, slot, mine, theirs) {
  const end = k + SLOT_STATE + MOVES * MOVE_SIZE;
  const view = own[slot];
  const active = request.active ? request.active[slot] : null;
  const forced = request.forceSwitch ? request.forceSwitch[slot] === true : false;
  const member = view.member;
  const present = member !== null && view.onField;
  const commanding = present && member.commanding === true;
  out[k] = present ? 1 : 0;
  out[k + 1] = (active && present && !commanding) || forced ? 1 : 0;
  out[k + 2] = forced ? 1 : 0;
  out[k + 3] = member !== null && member.reviving ? 1 : 0;
  if (!present) {
    k = end;
    return;
  }
  const canTera = !!(active && active.canTerastallize);
  out[k + 7] = commanding ? 1 : 0;
  if (active) {
    out[k + 4] = active.trapped ? 1 : 0;
    out[k + 5] = active.maybeTrapped ? 1 : 0;
    out[k + 6] = active.maybeDisabled || active.maybeLocked ? 1 : 0;
    out[k + 8] = active.moves.length === 1 ? 1 : 0;
    out[k + 9] = canTera ? 1 : 0;
  }
  out[k + 10] = view.tera ? 1 : 0;
  out[k + 11] = view.mon !== null && !view.mon.acted ? 1 : 0;
  k += 12;
  out[k++] = view.hp;
  writeStatus(view.status);
  writeTypes(view.types);
  writeStats(view.stats);
  writeBoosts(view.boosts);
  if (view.mon !== null) writeStates(view.mon);
  else k += STATES.length;
  writeThreat(view);
  for (const foe of foes) out[k++] = foe.here ? knownThreat(foe, view) : 0;
  writeSpeed(view, mine, theirs);
  if (canTera && view.teraType >= 0 && view.teraType !== TYPE.Stellar) {
    for (let t = 0; t < TYPES; t++) teraFactors[t] = tables.factor[t * TYPES + view.teraType];
    for (let f = 0; f < SLOTS; f++) out[k + f] = foes[f].here ? scaled(bestFactor(foes[f], teraFactors)) : 0;
  }
  k += SLOTS;
  const ally = own[1 - slot];
  const tera = canTera ? TYPE_NAMES[view.teraType] || '' : '';
  for (let m = 0; m < MOVES; m++) {
    const start = k;
    if (active) {
      const move = active.moves[m];
      if (move) {
        out[k] = 1;
        out[k + 1] = move.disabled ? 0 : 1;
        out[k + 2] = move.maxpp ? move.pp / move.maxpp : 1;
        writeMove(tables.move(move.id), move.target, view, ally, tera);
      }
    } else if (member.moves[m]) {
      out[k] = 1;
      writeMove(tables.move(member.moves[m]), '', view, ally, '');
    }
    k = start + MOVE_SIZE;
  }
}

function writeMove(row, targetWord, user, ally, tera) {
  const type = moveType(row, user, user.tera);
  const kind = tables.targetClass(targetWord, row);
  const p = outright(row, type, user, user.tera);
  const damages = row.category !== 0;
  out[k + 3] = Math.min(1.5, p);
  out[k + 4] = row.accuracy;
  out[k + 5] = row.category === 1 ? 1 : 0;
  out[k + 6] = row.category === 2 ? 1 : 0;
  out[k + 7] = row.priority / 5;
  out[k + 8] = damages && !row.fixed && stab(type, user, user.tera) > 1.2 ? 1 : 0;
  k += 9;
  out[k + kind] = 1;
  k += TARGET_CLASSES.length;
  const single = kind === 0;
  const spread = kind === 1 || kind === 2;
  const hitsAlly = ally.onField && (kind === 2 || (single && (row.target === 'normal' || row.target === 'any')));
  if (single || spread) {
    let targets = kind === 2 && ally.onField ? 1 : 0;
    for (const foe of foes) if (foe.here) targets++;
    const share = spread && targets > 1 ? 0.75 : 1;
    for (let f = 0; f < SLOTS; f++) if (foes[f].here) writeHit(f, row, type, p * share, user, foes[f]);
    if (hitsAlly) {
      if (kind === 2 && ally.ability === 'telepathy' && damages) out[k + 2] = -1.5;
      else writeHit(2, row, type, p * share, user, ally);
    }
    if (tera && damages) {
      const changed = moveType(row, user, tera);
      const q = outright(row, changed, user, tera) * share;
      for (let f = 0; f < SLOTS; f++) if (foes[f].here) out[k + 6 + f] = Math.min(1.5, q * factorOf(row, changed, user, foes[f]));
    }
    if (damages && !row.fixed) {
      for (let f = 0; f < SLOTS; f++) if (foes[f].here) out[k + 8 + f] = statRatio(row, user, foes[f]);
    }
  }
  k += 10;
  out.set(row.effects, k);
  if (row.firstTurnOnly && user.mon !== null && user.mon.acted) out.fill(0, k, k + EFFECTS.length);
}

function writeHit(at, row, type, power, user, target) {
  if (row.category === 0) {
    if (!statusWorks(row, target)) out[k + at] = -1.5;
    return;
  }
  const f = factorOf(row, type, user, target);
  out[k + at] = scaled(f);
  out[k + 3 + at] = Math.min(1.5, power * f);
}

function writeBench(view, mine, theirs) {
  const end = k + BENCH_SIZE;
  if (view.member === null) {
    k = end;
    return;
  }
  out[k] = 1;
  out[k + 1] = view.here ? 1 : 0;
  out[k + 2] = view.tera ? 1 : 0;
  k += 3;
  out[k++] = view.hp;
  writeStatus(view.status);
  writeTypes(view.types);
  writeStats(view.stats);
  const { moves } = view.member;
  for (let m = 0; m < moves.length; m++) {
    const row = tables.move(moves[m]);
    if (row.category === 0) continue;
    const type = moveType(row, view, view.tera);
    const p = outright(row, type, view, view.tera);
    for (let f = 0; f < SLOTS; f++) {
      if (!foes[f].here) continue;
      const q = Math.min(1.5, p * factorOf(row, type, view, foes[f]));
      if (q > out[k + f]) out[k + f] = q;
    }
  }
  k += SLOTS;
  writeThreat(view);
  writeSpeed(view, mine, theirs);
  k = end;
}

function writeFoe(view) {
  const end = k + FOE_SIZE;
  if (!view.here) {
    k = end;
    return;
  }
  const { mon } = view;
  out[k] = 1;
  out[k + 1] = mon.tera ? 1 : 0;
  out[k + 2] = mon.acted ? 0 : 1;
  out[k + 3] = mon.item ? 1 : 0;
  out[k + 4] = mon.item === '' ? 1 : 0;
  out[k + 5] = Math.min(1.5, mon.moves.length / MOVES);
  k += 6;
  out[k++] = view.hp;
  writeStatus(view.status);
  writeTypes(view.types);
  writeStats(view.stats);
  out[k++] = mon.row.species.stats.hp / 255;
  out[k++] = mon.row.level / 100;
  writeBoosts(view.boosts);
  writeStates(mon);
  k = end;
}

function writeFoeBench(side) {
  const end = k + BENCH * FOE_BENCH_SIZE;
  for (const mon of side.mons) {
    if (mon.slot >= 0 || k >= end) continue;
    const types = presentTypes(mon.row.species.types, mon.tera);
    out[k] = 1;
    out[k + 1] = mon.fainted ? 0 : 1;
    out[k + 2] = mon.status ? 1 : 0;
    out[k + 3] = mon.hp;
    k += 4;
    writeTypes(types);
    for (let s = 0; s < SLOTS; s++) {
      if (!own[s].onField || mon.fainted) continue;
      let best = 0;
      for (const t of mon.row.species.types) best = Math.max(best, own[s].factors[t]);
      for (const t of types) best = Math.max(best, own[s].factors[t]);
      out[k + s] = scaled(best);
    }
    k += SLOTS;
  }
  k = end;
}

/**
 * Writes side `sideIndex`'s row of SIZE numbers at `offset` of a Float32Array.
 * `publicState` must have read the log up to the request. A missing request gives a row of zeros.
 */
function write(target, offset, publicState, request, sideIndex) {
  target.fill(0, offset, offset + SIZE);
  if (!request || !request.side) return;
  out = target;
  k = offset;
  state = publicState;
  tables = state.tables;
  const mine = state.sides[sideIndex];
  const theirs = state.sides[1 - sideIndex];
  begin(state);
  const team = request.side.pokemon;
  const members = Math.min(TEAM, team.length);
  for (let i = 0; i < TEAM; i++) {
    if (i < members) {
      readMember(own[i], team[i], team[i].active ? mine.active[i] || null : null);
      takeFactors(own[i]);
    } else {
      own[i].member = null;
      own[i].here = own[i].onField = false;
      own[i].hp = 0;
    }
  }
  for (let f = 0; f < SLOTS; f++) {
    readFoe(foes[f], theirs.active[f]);
    if (foes[f].here) takeFactors(foes[f]);
  }
  writeGlobal(request, mine, theirs, members);
  for (let slot = 0; slot < SLOTS; slot++) writeOwnSlot(request, slot, mine, theirs);
  for (let i = SLOTS; i < TEAM; i++) writeBench(own[i], mine, theirs);
  for (const foe of foes) writeFoe(foe);
  writeFoeBench(theirs);
  if (k !== offset + SIZE) throw new Error(`wrote ${k - offset} of ${SIZE} features`);
}

module.exports = { FEATURES, SIZE, write };
