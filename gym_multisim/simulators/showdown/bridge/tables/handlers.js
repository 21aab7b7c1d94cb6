'use strict';
// Who hears an event, in the engine's own order: the order decides which ties the generator breaks.
const { ON, ALLY, ANY, FOE, SOURCE } = require('./events');
const { recordsOf } = require('./effects');

/** Where a battle and a Pokémon keep their look-up state; symbols stay out of the engine's own copies. */
const LOOKUP = Symbol('lookup');

/** One Pokémon's effects as records, checked by identity against what it holds now. */
class Ears {
  constructor() {
    this.status = '';
    this.statusRecord = null;
    this.ability = null;
    this.abilityRecord = null;
    this.item = null;
    this.itemRecord = null;
    this.species = null;
    this.speciesRecord = null;
  }
}

function makeHandlers({ Battle, Pokemon, Side, Field }) {
  class Handler {
    constructor(battle, listener, state, holder, end) {
      this.effect = listener.effect;
      this.callback = listener.callback;
      this.state = state;
      this.end = end;
      this.effectHolder = holder;
      this.order = listener.order;
      this.priority = listener.priority;
      this.subOrder = listener.subOrder;
      this.effectOrder = undefined;
      this.speed = undefined;
      this.index = undefined;
      this.target = undefined;
      this.endCallArgs = undefined;
      if (listener.bySeat && state) {
        const seat = state.target;
        if (seat instanceof Side) this.subOrder = state.isSlotCondition ? 3 : 4;
        else if (seat instanceof Field) this.subOrder = 5;
      }
      if (listener.byAge) this.effectOrder = state?.effectOrder;
      if (holder && holder.getStat) {
        this.speed = listener.bounces ? holder.getStat('spe', true, true) : holder.speed;
        if (listener.switchIn) {
          this.speed -= battle.speedOrder.indexOf(holder.getFieldPositionValue()) / (battle.activePerHalf * 2);
        }
      }
    }
  }

  const own = Object.prototype.hasOwnProperty;
  // What the tables go around. A mod or format that brings its own version gets the plain engine.
  const BATTLE_PARTS = ['getCallback', 'findEventHandlers', 'findPokemonEventHandlers', 'findBattleEventHandlers',
    'findFieldEventHandlers', 'findSideEventHandlers', 'resolvePriority', 'runEvent', 'singleEvent'];
  const POKEMON_PARTS = ['getStatus', 'getAbility', 'getItem'];
  const SIDE_PARTS = ['allies', 'foes', 'activeTeam'];
  const FIELD_PARTS = ['getWeather', 'getTerrain'];
  const FORMULA_PARTS = ['modify', 'trunc'];

  function overrides(holders, parts) {
    return holders.some((holder) => holder && parts.some((part) => own.call(holder, part)));
  }

  class BattleLookup {
    constructor(battle) {
      const { format, dex } = battle;
      const scripts = dex.data.Scripts;
      this.records = recordsOf(dex);
      this.plain = overrides([battle], BATTLE_PARTS) || overrides([scripts.pokemon, format.pokemon], POKEMON_PARTS) ||
        overrides([scripts.field, format.field], FIELD_PARTS);
      // Two sides facing each other, where "allies" and "foes" are the living of the active slots.
      this.facing = battle.gameType !== 'multi' && battle.gameType !== 'freeforall' &&
        !overrides([scripts.side, format.side, scripts.pokemon, format.pokemon], [...SIDE_PARTS, 'alliesAndSelf']);
      // Whole numbers come through the modifier 1 unchanged, unless a mod counts differently.
      this.exact = battle.trunc === Object.getPrototypeOf(dex).trunc && !overrides([battle], ['modify']);
      this.formatRecord = this.records.format(format);
      this.quiet = !battle.debugMode;
    }
  }

  function lookupOf(battle) {
    return battle[LOOKUP] || (battle[LOOKUP] = new BattleLookup(battle));
  }

  function earsOf(records, pokemon) {
    const ears = pokemon[LOOKUP] || (pokemon[LOOKUP] = new Ears());
    if (ears.ability !== pokemon.ability) {
      ears.ability = pokemon.ability;
      ears.abilityRecord = records.ability(pokemon.ability);
    }
    if (ears.item !== pokemon.item) {
      ears.item = pokemon.item;
      ears.itemRecord = records.item(pokemon.item);
    }
    if (ears.species !== pokemon.baseSpecies) {
      ears.species = pokemon.baseSpecies;
      ears.speciesRecord = records.species(pokemon.baseSpecies);
    }
    if (ears.status !== pokemon.status) {
      ears.status = pokemon.status;
      ears.statusRecord = pokemon.status ? records.condition(pokemon.status) : null;
    }
    return ears;
  }

  /**
   * Under which prefixes anything on this Pokémon listens. Volatile and slot conditions are always asked:
   * an ability or an item may sit among them as a condition ("ability:levitate").
   */
  function pokemonMask(records, pokemon, names, audience) {
    let mask = 0;
    if (audience.ability | audience.item | audience.species) {
      const ears = earsOf(records, pokemon);
      mask = ears.abilityRecord.mask(names) | ears.itemRecord.mask(names);
      if (audience.species) mask |= ears.speciesRecord.mask(names);
    }
    if (audience.condition && pokemon.status !== '') mask |= records.condition(pokemon.status).mask(names);
    for (const id in pokemon.volatiles) mask |= records.condition(id).mask(names);
    for (const id in pokemon.side.slotConditions[pokemon.position]) mask |= records.condition(id).mask(names);
    return mask;
  }

  function gatherPokemon(battle, records, pokemon, name, out, getKey) {
    const ears = earsOf(records, pokemon);
    let listener;
    const statusRecord = ears.statusRecord || records.condition(pokemon.status);
    listener = statusRecord.pokemonListener(name);
    if (listener.callback !== undefined || (getKey && pokemon.statusState[getKey])) {
      out.push(new Handler(battle, listener, pokemon.statusState, pokemon, pokemon.clearStatus));
    }
    for (const id in pokemon.volatiles) {
      const state = pokemon.volatiles[id];
      listener = records.condition(id).pokemonListener(name);
      if (listener.callback !== undefined || (getKey && state[getKey])) {
        out.push(new Handler(battle, listener, state, pokemon, pokemon.removeVolatile));
      }
    }
    listener = ears.abilityRecord.pokemonListener(name);
    if (listener.callback !== undefined || (getKey && pokemon.abilityState[getKey])) {
      out.push(new Handler(battle, listener, pokemon.abilityState, pokemon, pokemon.clearAbility));
    }
    listener = ears.itemRecord.pokemonListener(name);
    if (listener.callback !== undefined || (getKey && pokemon.itemState[getKey])) {
      out.push(new Handler(battle, listener, pokemon.itemState, pokemon, pokemon.clearItem));
    }
    if (!ears.speciesRecord.silent) {
      listener = ears.speciesRecord.pokemonListener(name);
      if (listener.callback !== undefined) {
        out.push(new Handler(battle, listener, pokemon.speciesState, pokemon, () => {}));
      }
    }
    const side = pokemon.side;
    const slot = side.slotConditions[pokemon.position];
    for (const id in slot) {
      listener = records.condition(id).pokemonListener(name);
      if (listener.callback !== undefined || (getKey && slot[id][getKey])) {
        const handler = new Handler(battle, listener, slot[id], pokemon, side.removeSlotCondition);
        handler.endCallArgs = [side, pokemon, listener.effect.id];
        out.push(handler);
      }
    }
  }

  function gatherSide(battle, records, side, name, out, getKey, customHolder) {
    const conditions = side.sideConditions;
    for (const id in conditions) {
      const listener = records.condition(id).listener(name);
      if (listener.callback !== undefined || (getKey && conditions[id][getKey])) {
        out.push(new Handler(battle, listener, conditions[id], customHolder || side,
          customHolder ? null : side.removeSideCondition));
      }
    }
  }

  function gatherField(battle, records, field, name, out, getKey, customHolder) {
    const holder = customHolder || field;
    for (const id in field.pseudoWeather) {
      const listener = records.condition(id).listener(name);
      const state = field.pseudoWeather[id];
      if (listener.callback !== undefined || (getKey && state[getKey])) {
        out.push(new Handler(battle, listener, state, holder, customHolder ? null : field.removePseudoWeather));
      }
    }
    if (field.weather !== '' || getKey) {
      const listener = records.condition(field.weather).listener(name);
      if (listener.callback !== undefined || (getKey && battle.field.weatherState[getKey])) {
        out.push(new Handler(battle, listener, battle.field.weatherState, holder, customHolder ? null : field.clearWeather));
      }
    }
    if (field.terrain !== '' || getKey) {
      const listener = records.condition(field.terrain).listener(name);
      if (listener.callback !== undefined || (getKey && field.terrainState[getKey])) {
        out.push(new Handler(battle, listener, field.terrainState, holder, customHolder ? null : field.clearTerrain));
      }
    }
  }

  function gatherBattle(battle, lookup, name, out, getKey, customHolder) {
    const holder = customHolder || battle;
    const listener = lookup.formatRecord.listener(name);
    if (listener.callback !== undefined || (getKey && battle.formatData[getKey])) {
      out.push(new Handler(battle, listener, battle.formatData, holder, null));
    }
    if (!battle.events) return;
    const custom = battle.events[name];
    if (custom === undefined) return;
    for (const h of custom) {
      out.push({
        effect: h.target, callback: h.callback, state: h.target.effectType === 'Format' ? battle.formatData : null,
        end: null, effectHolder: holder, priority: h.priority, order: h.order, subOrder: h.subOrder,
      });
    }
  }

  function hearAlly(battle, records, pokemon, names, audience, out) {
    const mask = pokemonMask(records, pokemon, names, audience);
    if (mask & ALLY) gatherPokemon(battle, records, pokemon, names.onAlly, out);
    if (mask & ANY) gatherPokemon(battle, records, pokemon, names.onAny, out);
  }

  function hearFoe(battle, records, pokemon, names, audience, out) {
    const mask = pokemonMask(records, pokemon, names, audience);
    if (mask & FOE) gatherPokemon(battle, records, pokemon, names.onFoe, out);
    if (mask & ANY) gatherPokemon(battle, records, pokemon, names.onAny, out);
  }

  function hearField(battle, lookup, names, audience, out) {
    const { records } = lookup;
    const field = battle.field;
    if (audience.condition & ON) {
      let mask = 0;
      for (const id in field.pseudoWeather) mask |= records.condition(id).mask(names);
      if (field.weather !== '') mask |= records.condition(field.weather).mask(names);
      if (field.terrain !== '') mask |= records.condition(field.terrain).mask(names);
      if (mask & ON) gatherField(battle, records, field, names.on, out);
    }
    if (battle.events || lookup.formatRecord.mask(names) & ON) gatherBattle(battle, lookup, names.on, out);
  }

  function hearSide(battle, records, side, names, out, near) {
    const conditions = side.sideConditions;
    let mask = 0;
    for (const id in conditions) mask |= records.condition(id).mask(names);
    if (mask === 0) return;
    if (near) {
      if (mask & ON) gatherSide(battle, records, side, names.on, out);
    } else if (names.prefixed && mask & FOE) {
      gatherSide(battle, records, side, names.onFoe, out);
    }
    if (names.prefixed && mask & ANY) gatherSide(battle, records, side, names.onAny, out);
  }

  /** All handlers of an event, unsorted. */
  function collect(battle, lookup, names, target, source) {
    const out = [];
    if (Array.isArray(target)) {
      for (let i = 0; i < target.length; i++) {
        const heard = collect(battle, lookup, names, target[i], source);
        for (const handler of heard) {
          handler.target = target[i];
          handler.index = i;
          out.push(handler);
        }
      }
      return out;
    }
    const { records } = lookup;
    const audience = records.audience(names);
    const prefixes = audience.all;
    // Nothing in this Dex, nor this format, listens to the event at all.
    if (prefixes === 0 && !battle.events && !lookup.formatRecord.mask(names)) return out;
    const bubbleDown = target instanceof Side;
    let side = bubbleDown ? target : null;
    if (!bubbleDown && target instanceof Pokemon && (target.isActive || source?.isActive)) {
      side = target.side;
      if (prefixes & ON && pokemonMask(records, target, names, audience) & ON) gatherPokemon(battle, records, target, names.on, out);
      if (names.prefixed) {
        if (prefixes & (ALLY | ANY)) {
          if (lookup.facing) {
            for (const ally of side.active) if (ally && ally.hp) hearAlly(battle, records, ally, names, audience, out);
          } else {
            for (const ally of target.alliesAndSelf()) hearAlly(battle, records, ally, names, audience, out);
          }
        }
        if (prefixes & (FOE | ANY)) {
          if (lookup.facing) {
            for (const foe of side.foe.active) if (foe && foe.hp) hearFoe(battle, records, foe, names, audience, out);
          } else {
            for (const foe of target.foes()) hearFoe(battle, records, foe, names, audience, out);
          }
        }
      }
    }
    if (source && names.prefixed && prefixes & SOURCE && pokemonMask(records, source, names, audience) & SOURCE) {
      gatherPokemon(battle, records, source, names.onSource, out);
    }
    if (side !== null && (bubbleDown || audience.condition)) {
      for (const each of battle.sides) {
        const near = each === side || each === side.allySide;
        if (bubbleDown) {
          for (const active of each.active) {
            if (near) gatherPokemon(battle, records, active, names.on, out);
            else if (names.prefixed) gatherPokemon(battle, records, active, names.onFoe, out);
            if (names.prefixed) gatherPokemon(battle, records, active, names.onAny, out);
          }
        }
        if (each.n < 2 || !each.allySide) hearSide(battle, records, each, names, out, near);
      }
    }
    hearField(battle, lookup, names, audience, out);
    return out;
  }

  return { LOOKUP, Handler, lookupOf, collect, gatherPokemon, gatherSide, gatherField, gatherBattle };
}

module.exports = { makeHandlers };
