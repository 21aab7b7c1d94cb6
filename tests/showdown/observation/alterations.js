'use strict';
// Changes to what a side cannot know of the other, and to nothing else.

/** Every secret line told wrong: other figures, other names, or nonsense. */
function lie(log, onlySide) {
  return log.map((line, i) => {
    if (!i || !log[i - 1].startsWith('|split|') || (onlySide && log[i - 1] !== `|split|${onlySide}`)) return line;
    const parts = line.split('|');
    if (parts[1] === 'switch' || parts[1] === 'drag') return `|${parts[1]}|${parts[2].slice(0, 3)}: Magikarp|Magikarp, L1|1/999 slp`;
    if (i % 3 === 0) return '|faint|p1a: Nobody';
    return `|${parts[1]}|${parts[2]}|7/777 tox|[from] item: Lagging Tail`;
  });
}

const SPARE_MOVES = ['splash', 'tackle', 'hyperbeam', 'spore', 'protect', 'tailwind', 'earthquake', 'fakeout', 'thunderwave'];
const SPARE_ITEMS = ['leftovers', 'choicescarf', 'airballoon', 'ironball', 'focussash', '', 'lifeorb'];
const SPARE_ABILITIES = ['levitate', 'waterabsorb', 'intimidate', 'drizzle', 'wonderguard', 'flashfire', 'moxie'];
const SPARE_SPECIES = ['Magikarp', 'Shedinja', 'Blissey', 'Rayquaza', 'Ditto', 'Pikachu'];

/** Other PP everywhere, and other moves where none was seen. */
function alterMoves(copy, pokemon, revealed, random) {
  for (const list of new Set([pokemon.moveSlots, pokemon.baseMoveSlots])) {
    for (const slot of list) {
      slot.pp = random.below(slot.maxpp + 1);
      if (revealed.includes(slot.id)) continue;
      slot.id = random.pick(SPARE_MOVES);
      slot.move = copy.dex.moves.get(slot.id).name;
      slot.target = copy.dex.moves.get(slot.id).target;
      slot.disabled = !slot.disabled;
    }
  }
}

function alterStats(pokemon, random) {
  for (const stats of [pokemon.storedStats, pokemon.baseStoredStats]) for (const s in stats) stats[s] = 1 + random.below(400);
  for (const s in pokemon.set.evs) pokemon.set.evs[s] = random.below(253);
  pokemon.set.nature = 'Jolly';
}

/** The same shown percentage: other HP, and other HP out of another maximum. Returns whether there was any. */
function alterHealth(pokemon, random) {
  if (!pokemon.hp || pokemon.fainted) return false;
  const shown = pokemon.getHealth().shared;
  const { hp, maxhp } = pokemon;
  const factor = 1 + random.below(3);
  for (let tries = 0; tries < 40; tries++) {
    pokemon.maxhp = maxhp * factor;
    pokemon.hp = Math.max(1, Math.min(pokemon.maxhp, hp * factor + random.below(9) - 4));
    if (pokemon.getHealth().shared === shown) break;
    pokemon.maxhp = maxhp;
    pokemon.hp = hp;
  }
  return pokemon.hp !== hp;
}

/** Hidden clocks: sleep, confusion, and the substitute's HP. */
function alterClocks(pokemon, random) {
  const { confusion, substitute } = pokemon.volatiles;
  if (pokemon.statusState && pokemon.statusState.time) pokemon.statusState.time = 1 + random.below(3);
  if (confusion) confusion.time = 1 + random.below(4);
  if (substitute) substitute.hp = 1 + random.below(50);
}

/** Somebody else altogether. */
function alterSpecies(copy, side, pokemon, random) {
  const species = copy.dex.species.get(random.pick(SPARE_SPECIES));
  pokemon.species = pokemon.baseSpecies = species;
  pokemon.types = species.types;
  pokemon.name = species.name;
  pokemon.fullname = `${side.id}: ${species.name}`;
  pokemon.level = 1 + random.below(100);
  pokemon.details = pokemon.getUpdatedDetails();
}

/**
 * Alters everything hidden of side `foe` in a copy of a battle; `state` says what is public. `count(what)` is told of
 * every alteration.
 */
function alterHidden(copy, foe, state, random, count) {
  const side = copy.sides[foe];
  const { mons, active } = state.sides[foe];
  for (const pokemon of side.pokemon) {
    const seen = [...mons, ...active].find((mon) => mon && mon.name === pokemon.name);
    alterMoves(copy, pokemon, seen ? seen.moves : [], random);
    alterStats(pokemon, random);
    alterClocks(pokemon, random);
    if (alterHealth(pokemon, random)) count('altered exact HP');
    if (!seen || seen.item === null) {
      pokemon.item = random.pick(SPARE_ITEMS);
      count('altered unknown item');
    }
    if (!seen || seen.ability === null) {
      pokemon.ability = pokemon.baseAbility = random.pick(SPARE_ABILITIES);
      count('altered unknown ability');
    }
    if (!pokemon.terastallized) pokemon.teraType = random.pick(['Ghost', 'Fairy', 'Steel', 'Stellar']);
    if (!seen && !pokemon.isActive) {
      alterSpecies(copy, side, pokemon, random);
      count('altered unseen species');
    }
  }
  const { weatherState, terrainState } = copy.field;
  for (const state of [...Object.values(side.sideConditions), weatherState, terrainState]) if (state.duration) state.duration += 3;
  copy.prng.setSeed('9,8,7,6');
}

/** The same leads to look at; moves, items, abilities, stats, Tera types and the four others differ. */
function lookAlike(dex, team, random) {
  const used = new Set(team.map((set) => dex.species.get(set.species).baseSpecies));
  return team.map((set, i) => {
    const changed = { ...set, gender: set.gender, evs: { hp: 4, atk: 200, def: 8, spa: 200, spd: 16, spe: 80 }, nature: 'Timid', teraType: 'Ghost' };
    changed.moves = ['Protect', 'Tackle', 'Splash', random.pick(['Tailwind', 'Earthquake', 'Fake Out'])];
    changed.item = random.pick(['Leftovers', 'Choice Scarf', 'Focus Sash']);
    changed.ability = random.pick(['Levitate', 'Water Absorb', 'Moxie', 'Flash Fire', 'Wonder Guard']);
    if (i < 2) return changed;
    const other = ['Magikarp', 'Shedinja', 'Blissey', 'Rayquaza', 'Pikachu', 'Snorlax', 'Gengar'].find((name) => !used.has(name));
    used.add(other);
    return { ...changed, name: other, species: other, gender: '', level: 50 };
  });
}

module.exports = { lie, alterHidden, lookAlike };
