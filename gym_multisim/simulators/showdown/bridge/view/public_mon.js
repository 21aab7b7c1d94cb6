'use strict';
// What the public knows about one team member and about one side: plain records, filled by the tracker.

const BOOSTS = ['atk', 'def', 'spa', 'spd', 'spe', 'accuracy', 'evasion'];

// States that end when the Pokémon leaves the field. The value is 1 or a count.
const VOLATILES = [
  'substitute', 'confusion', 'taunt', 'encore', 'disable', 'torment', 'leechseed', 'yawn', 'perish', 'saltcure', 'bound', 'trapped',
  'recharge', 'charging', 'focusenergy', 'booster', 'commanding', 'commanded', 'throatchop', 'healblock', 'attract', 'curse',
  'magnetrise', 'smackdown', 'flashfire', 'noretreat', 'imprison', 'aquaring', 'ingrain', 'destinybond', 'glaiverush', 'syrupbomb', 'tarshot',
];
const V = Object.fromEntries(VOLATILES.map((name, i) => [name, i]));
// What Baton Pass hands on: conditions that the engine does not mark `noCopy`.
const PASSED = [
  V.substitute, V.confusion, V.taunt, V.leechseed, V.perish, V.bound, V.focusenergy, V.throatchop, V.healblock, V.curse,
  V.magnetrise, V.noretreat, V.aquaring, V.ingrain, V.tarshot,
];

const SIDE_CONDITIONS = [
  'tailwind', 'reflect', 'lightscreen', 'auroraveil', 'safeguard', 'mist', 'stealthrock', 'spikes', 'toxicspikes', 'stickyweb',
];
const PSEUDO = ['trickroom', 'gravity', 'magicroom', 'wonderroom'];

/** One team member as the public knows it. */
class Mon {
  constructor(name, row) {
    this.name = name;
    this.row = row; // parsed details: what a switch line showed, or a permanent change of forme
    this.species = row.species; // shown now (formes, Transform)
    this.hp = 1;
    this.status = '';
    this.fainted = false;
    this.slot = -1;
    this.boosts = new Int8Array(BOOSTS.length);
    this.volatile = new Uint8Array(VOLATILES.length);
    this.moves = []; // ids of its own moves, in order of first use
    this.item = null; // null: not known; '': none
    this.lostItem = '';
    this.lostDuring = -1; // the count of moves at that time
    this.ability = null;
    this.baseAbility = null;
    this.tera = '';
    this.typeChange = null; // type indices that replace its own
    this.addedType = -1;
    this.transformed = false;
    this.acted = false; // since it came in
    this.lastMove = '';
    this.stall = 0; // successful protections in a row
    this.stallTurn = -1;
    this.trapper = null;
    this.before = null; // what was known before it last came in: undone when that was an Illusion
  }

  /** Everything that leaving the field ends. */
  leave() {
    this.boosts.fill(0);
    this.volatile.fill(0);
    this.typeChange = null;
    this.addedType = -1;
    this.transformed = false;
    this.species = this.row.species;
    this.ability = this.baseAbility;
    this.lastMove = '';
    this.stall = 0;
    this.stallTurn = -1;
    this.trapper = null;
    this.slot = -1;
  }

  /** Type indices without Terastallization. */
  ownTypes() {
    return this.typeChange || this.species.types;
  }
}

class SideState {
  constructor(width) {
    this.teamSize = 6;
    this.fainted = 0;
    this.teraUsed = false;
    this.mons = []; // in order of first appearance
    this.active = new Array(width).fill(null);
    this.conditions = new Uint8Array(SIDE_CONDITIONS.length); // layers, 0 for none
    this.since = new Int16Array(SIDE_CONDITIONS.length); // turn it started
    this.preview = []; // details shown at team preview
  }
}

function addMove(mon, id) {
  if (!mon.moves.includes(id)) mon.moves.push(id);
}

/** An ability shown as its own (changes by other effects are handled where they are reported). */
function setAbility(mon, id) {
  if (mon.ability === mon.baseAbility && !mon.transformed) mon.baseAbility = id;
  mon.ability = id;
}

module.exports = { Mon, SideState, addMove, setAbility, BOOSTS, VOLATILES, V, PASSED, SIDE_CONDITIONS, PSEUDO };
