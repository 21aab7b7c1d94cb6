'use strict';
// The layout of one observation row, feature by feature: the documentation is made from FEATURES, and observe.js writes in this order.

const { TYPE_NAMES, STATS, TARGET_CLASSES, EFFECTS } = require('./dex_tables');
const { BOOSTS } = require('./public_mon');

const TYPES = TYPE_NAMES.length;
const SLOTS = 2;
const TEAM = 6;
const BENCH = TEAM - SLOTS;
const MOVES = 4;
const STATUSES = ['brn', 'par', 'slp', 'frz', 'psn', 'tox'];
const WEATHERS = ['sun', 'rain', 'sand', 'snow', 'strong'];
const TERRAINS = ['electricterrain', 'grassyterrain', 'mistyterrain', 'psychicterrain'];
const STATES = [
  'substitute', 'confusion', 'taunt', 'encore', 'disable', 'leechseed', 'yawn', 'perish', 'saltcure', 'trapped', 'recharge', 'charging',
  'focusenergy', 'booster', 'command', 'protections',
];
const SIDE_FEATURES = ['tailwind', 'tailwind_left', 'reflect', 'lightscreen', 'auroraveil', 'screens_age', 'safeguard', 'stealthrock', 'spikes', 'toxicspikes', 'stickyweb'];

const FEATURES = [];
function feature(name, size, meaning) {
  FEATURES.push({ name, size, meaning });
}

function sideLayout(who) {
  feature(`${who}.conditions`, SIDE_FEATURES.length, `conditions on this side: ${SIDE_FEATURES.join(', ')} (turns left / 4, age / 8, layers / most layers)`);
}

function layout() {
  feature('request', 4, 'what is asked: move, forced switch, team preview, nothing (wait); one-hot');
  feature('turn', 1, 'turn / 25, at most 1.5');
  feature('alive', 3, 'own and foe Pokémon left / 6; the difference / 6');
  feature('team_hp', 2, 'sum of HP fractions / 6, own and foe (unseen foes count as full)');
  feature('tera_left', 2, 'own side and foe side may still Terastallize');
  feature('weather', WEATHERS.length, `${WEATHERS.join(', ')} (strong: the legendary kinds)`);
  feature('weather_age', 1, 'turns since it began / 8');
  feature('terrain', TERRAINS.length, TERRAINS.join(', '));
  feature('terrain_age', 1, 'turns since it began / 8');
  feature('rooms', 4, 'trick room, its turns left / 5, gravity, magic or wonder room');
  sideLayout('own');
  sideLayout('foe');
  for (const slot of ['a', 'b']) {
    const own = `own_${slot}`;
    feature(`${own}.flags`, 12, 'on the field and able to fight; must choose now; forced to switch; reviving; trapped; may be trapped; moves may be disabled or locked; commanding; has one move only; may Terastallize; has Terastallized; has not moved since it came in');
    feature(`${own}.hp`, 1, 'HP fraction, exact');
    feature(`${own}.status`, STATUSES.length, STATUSES.join(', '));
    feature(`${own}.types`, TYPES, 'present types, multi-hot in alphabetical order (with Stellar)');
    feature(`${own}.stats`, STATS.length, `${STATS.join(', ')} / 300, without boosts`);
    feature(`${own}.boosts`, BOOSTS.length, `${BOOSTS.join(', ')} / 4`);
    feature(`${own}.states`, STATES.length, `${STATES.join(', ')} (perish: turns gone / 4; protections: in a row / 2)`);
    feature(`${own}.threat`, SLOTS, 'effectiveness of each foe\'s best own-type attack on it');
    feature(`${own}.known_threat`, SLOTS, 'expected power of each foe\'s strongest revealed move on it');
    feature(`${own}.speed`, SLOTS, 'log2 of its speed over each foe\'s estimated speed; sign turned in trick room');
    feature(`${own}.tera_threat`, SLOTS, 'threat, were it to Terastallize now (0 if it cannot)');
    for (let m = 1; m <= MOVES; m++) {
      const move = `${own}.move${m}`;
      feature(`${move}.usable`, 3, 'exists; may be chosen; PP left / most (0 while no move is asked for)');
      feature(`${move}.static`, 6, 'power × accuracy × STAB / 200; accuracy; physical; special; priority / 5; has STAB');
      feature(`${move}.target`, TARGET_CLASSES.length, TARGET_CLASSES.join(', '));
      feature(`${move}.effectiveness`, 3, 'on foe a, foe b, ally');
      feature(`${move}.expected`, 3, 'expected power on foe a, foe b, ally: power × accuracy × STAB × effectiveness × spread × weather / 200');
      feature(`${move}.tera`, 2, 'expected power on foe a, foe b, were it to Terastallize with this move (0 if it cannot)');
      feature(`${move}.stats`, 2, 'half the log2 of own attacking stat over foe a\'s, foe b\'s estimated defending stat, with boosts and burn');
      feature(`${move}.effects`, EFFECTS.length, EFFECTS.join(', '));
    }
  }
  for (let b = SLOTS + 1; b <= TEAM; b++) {
    const bench = `bench_${b}`;
    feature(`${bench}.flags`, 3, `team position ${b}: exists; has not fainted; has Terastallized`);
    feature(`${bench}.hp`, 1, 'HP fraction, exact');
    feature(`${bench}.status`, STATUSES.length, STATUSES.join(', '));
    feature(`${bench}.types`, TYPES, 'types, multi-hot');
    feature(`${bench}.stats`, STATS.length, `${STATS.join(', ')} / 300`);
    feature(`${bench}.best`, SLOTS, 'expected power of its best move on foe a, foe b');
    feature(`${bench}.threat`, SLOTS, 'effectiveness of each foe\'s best own-type attack on it');
    feature(`${bench}.speed`, SLOTS, 'log2 of its speed over each foe\'s estimated speed; sign turned in trick room');
  }
  for (const slot of ['a', 'b']) {
    const foe = `foe_${slot}`;
    feature(`${foe}.flags`, 6, 'on the field and able to fight; has Terastallized; has not moved since it came in; item known; known to hold none; revealed moves / 4');
    feature(`${foe}.hp`, 1, 'HP fraction as shown');
    feature(`${foe}.status`, STATUSES.length, STATUSES.join(', '));
    feature(`${foe}.types`, TYPES, 'present types as shown, multi-hot');
    feature(`${foe}.stats`, STATS.length + 2, `${STATS.join(', ')} / 300 estimated from species and level; base HP / 255; level / 100`);
    feature(`${foe}.boosts`, BOOSTS.length, `${BOOSTS.join(', ')} / 4`);
    feature(`${foe}.states`, STATES.length, STATES.join(', '));
  }
  for (let b = 1; b <= BENCH; b++) {
    const bench = `foe_bench_${b}`;
    feature(`${bench}.flags`, 3, 'revealed (in order of first appearance); has not fainted; has a status');
    feature(`${bench}.hp`, 1, 'HP fraction as last shown');
    feature(`${bench}.types`, TYPES, 'types as shown, multi-hot');
    feature(`${bench}.threat`, SLOTS, 'effectiveness of its best own-type attack on own a, own b');
  }
}
layout();
const SIZE = FEATURES.reduce((sum, f) => sum + f.size, 0);

// Sizes of the blocks that repeat.
const SLOT_STATE = 12 + 1 + STATUSES.length + TYPES + STATS.length + BOOSTS.length + STATES.length + 4 * SLOTS;
const MOVE_SIZE = 3 + 6 + TARGET_CLASSES.length + 3 + 3 + 2 + 2 + EFFECTS.length;
const BENCH_SIZE = 3 + 1 + STATUSES.length + TYPES + STATS.length + 3 * SLOTS;
const FOE_SIZE = 6 + 1 + STATUSES.length + TYPES + STATS.length + 2 + BOOSTS.length + STATES.length;
const FOE_BENCH_SIZE = 3 + 1 + TYPES + SLOTS;

module.exports = {
  FEATURES, SIZE, TYPES, SLOTS, TEAM, BENCH, MOVES, STATUSES, WEATHERS, TERRAINS, STATES, SIDE_FEATURES,
  SLOT_STATE, MOVE_SIZE, BENCH_SIZE, FOE_SIZE, FOE_BENCH_SIZE,
};
