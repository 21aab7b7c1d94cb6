'use strict';
// What both sides can see of a battle, read from the engine's objects. Nothing else of the other side may be read by a
// mask or a seat policy; keeping it in one file makes that easy to check.

/** Living foe slots: bit 0 for +1, bit 1 for +2. Faints are announced before any request is made. */
function livingFoes(side) {
  const active = side.foe.active;
  return (active[0] && !active[0].fainted ? 1 : 0) | (active[1] && !active[1].fainted ? 2 : 0);
}

/** The types a Pokémon defends with, as shown: an illusion's, or its Tera type (a Stellar one leaves its own in place). */
function shownTypes(pokemon) {
  const seen = pokemon.illusion || pokemon;
  if (!pokemon.terastallized) return seen.apparentType.split('/');
  return pokemon.terastallized === 'Stellar' ? seen.species.types : [pokemon.terastallized];
}

module.exports = { livingFoes, shownTypes };
