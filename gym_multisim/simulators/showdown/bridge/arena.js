'use strict';
// One battle after another: from one decision of the learner's seats to the next.
//
// A seat is a row of the vector environment. With a scripted opponent there is one, p1, and the opponent's decisions are made
// in here; in self-play there are two, and a seat that is not asked waits.

const { PublicState } = require('./view/tracker');
const { tablesFor } = require('./view/dex_tables');
const { MASK_BYTES } = require('./choices/space');
const { mustChoose, writeMask } = require('./choices/masks');
const { decode } = require('./choices/actions');
const { countLegal } = require('./choices/legal');
const { livingFoes } = require('./choices/public');
const { Random } = require('./choices/random');

const STATUS = { ABSENT: 0, ACTIVE: 1, WAITING: 2 };
const METRICS = ['win', 'turns', 'foe_faints', 'own_faints', 'illegal', 'forced'];

/** Four 16-bit numbers for the engine's own generator, from a 64-bit seed; `salt` separates its uses. */
function engineSeed(seed, salt) {
  const random = new Random(Number(seed & 0x1fffffffffffffn), 16 + salt + 8 * Number(seed >> 53n));
  return [0, 1, 2, 3].map(() => random.below(65536)).join(',');
}

/** A battle that has made its teams and its first requests. */
function makeBattle(sim, format, seed) {
  const player = (name, salt) => ({ name, seed: engineSeed(seed, salt) });
  return new sim.Battle({
    formatid: format, seed: engineSeed(seed, 0), p1: player('Learner', 1), p2: player('Opponent', 2),
  });
}

class Arena {
  /** `clock` adds up what the parts cost; `opponent` is null in self-play. */
  constructor(engine, settings, opponent, clock) {
    this.engine = engine;
    this.settings = settings;
    this.opponent = opponent;
    this.clock = clock;
    this.seats = opponent ? 1 : 2;
    this.battle = null;
    this.ready = null; // { seed, battle }: the next battle, made while there was nothing else to do
    this.masks = new Uint8Array(2 * MASK_BYTES);
    this.stamps = [0, 0];
    this.status = [STATUS.ABSENT, STATUS.ABSENT];
    this.reward = [0, 0];
    this.forced = [0, 0];
    this.illegal = [0, 0];
    this.terminated = false;
    this.truncated = false;
  }

  /** Makes the battle of a seed ahead of time. */
  prepare(seed) {
    if (this.ready && this.ready.seed === seed) return;
    this.ready = { seed, battle: makeBattle(this.engine.sim, this.settings.format, seed) };
  }

  reset(seed) {
    const began = performance.now();
    this.prepare(seed);
    if (this.battle) this.battle.destroy();
    this.battle = this.ready.battle;
    this.ready = null;
    this.public = new PublicState(tablesFor(this.engine.sim.Dex));
    if (this.opponent) this.opponent.reset(Number(seed & 0x1fffffffffffffn));
    this.forced.fill(0);
    this.illegal.fill(0);
    this.reward.fill(0);
    this.terminated = this.truncated = false;
    this.standing = this.stand();
    this.clock.engine += performance.now() - began;
    this.advance();
  }

  /** Takes the seats' joint actions, and plays on until a seat is asked again or the battle is over. */
  step(actions) {
    const began = performance.now();
    this.reward.fill(0);
    for (let seat = 0; seat < this.seats; seat++) {
      if (this.status[seat] === STATUS.ACTIVE) this.act(seat, actions[seat]);
    }
    this.clock.engine += performance.now() - began;
    this.advance();
  }

  act(seat, action) {
    const side = this.battle.sides[seat];
    const offset = seat * MASK_BYTES;
    const text = decode(side.activeRequest, action, this.masks, offset, this.stamps[seat]);
    if (side.activeRequest.forceSwitch) this.forced[seat]++;
    this.choose(side, text);
  }

  /** Lets the engine take a choice. A refusal that amends the request is a new decision; any other is a bug. */
  choose(side, text) {
    const request = side.activeRequest;
    delete request.update; // an earlier amendment's mark; only a new one counts
    if (this.battle.choose(side.id, text)) return;
    const error = side.choice.error;
    if (side.activeRequest.update) return;
    this.illegal[side.n]++;
    throw new Error(`the engine refused ${JSON.stringify(text)}: ${error}; request: ${JSON.stringify(request)}`);
  }

  isAsked(side) {
    return mustChoose(side.activeRequest) && !side.isChoiceDone();
  }

  /** Plays the opponent's decisions until a seat must decide or the battle is over; then looks at it. */
  advance() {
    const { battle } = this;
    let began = performance.now();
    const asked = () => battle.sides.slice(0, this.seats).some((side) => this.isAsked(side));
    while (!battle.ended && battle.turn <= this.settings.maxTurns) {
      const foe = this.opponent ? battle.sides[1] : null;
      if (foe && this.isAsked(foe)) {
        this.choose(foe, this.opponent.choose(foe));
        continue;
      }
      if (asked()) break;
      throw new Error(`nobody may act in turn ${battle.turn}`);
    }
    this.clock.engine += performance.now() - began;
    this.judge();
    began = performance.now();
    this.public.update(battle.log);
    this.clock.encode += performance.now() - began;
    this.ask();
  }

  /** Status, mask and stamp of every seat. */
  ask() {
    const began = performance.now();
    for (let seat = 0; seat < this.seats; seat++) {
      const side = this.battle.sides[seat];
      const offset = seat * MASK_BYTES;
      const isOver = this.terminated || this.truncated;
      if (!isOver && this.isAsked(side)) {
        this.stamps[seat] = writeMask(side.activeRequest, livingFoes(side), this.masks, offset);
        if (!countLegal(this.masks, offset)) {
          throw new Error(`no legal action for the request ${JSON.stringify(side.activeRequest)}`);
        }
        this.status[seat] = STATUS.ACTIVE;
      } else {
        this.masks.fill(0, offset, offset + MASK_BYTES);
        this.stamps[seat] = 0;
        this.status[seat] = STATUS.WAITING;
      }
    }
    this.clock.mask += performance.now() - began;
  }

  /** Rewards since the last decision, and whether the battle is over. */
  judge() {
    const { battle, settings } = this;
    const now = this.stand();
    for (let seat = 0; seat < this.seats; seat++) {
      const foe = 1 - seat;
      const faints = now.faints[foe] - this.standing.faints[foe] - (now.faints[seat] - this.standing.faints[seat]);
      const health = now.health[seat] - this.standing.health[seat] - (now.health[foe] - this.standing.health[foe]);
      this.reward[seat] = settings.faintReward * faints + settings.healthReward * health;
      if (battle.ended && battle.winner) {
        this.reward[seat] += battle.winner === battle.sides[seat].name ? settings.winReward : -settings.winReward;
      }
    }
    this.standing = now;
    this.terminated = battle.ended;
    this.truncated = !battle.ended && battle.turn > settings.maxTurns;
  }

  /** Faints and the sum of health fractions of both sides. */
  stand() {
    const faints = [0, 0];
    const health = [0, 0];
    this.battle.sides.forEach((side, n) => {
      for (const pokemon of side.pokemon) {
        if (pokemon.fainted) faints[n]++;
        health[n] += pokemon.hp / pokemon.maxhp;
      }
    });
    return { faints, health };
  }

  /** The numbers of METRICS for one seat. */
  metrics(seat, out, offset) {
    const { battle, standing } = this;
    out[offset] = battle.ended && battle.winner === battle.sides[seat].name ? 1 : 0;
    out[offset + 1] = battle.turn;
    out[offset + 2] = standing.faints[1 - seat];
    out[offset + 3] = standing.faints[seat];
    out[offset + 4] = this.illegal[seat];
    out[offset + 5] = this.forced[seat];
  }
}

module.exports = { Arena, METRICS, makeBattle };
