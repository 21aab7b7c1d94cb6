'use strict';
// The engine's event functions, re-expressed over the tables. Anything unusual (a mod's own look-up,
// the stack and line limits) goes to the plain function, which then decides or throws as always.
const { eventNames } = require('./events');
const { makeHandlers } = require('./handlers');

function battleEvents(engine) {
  const { Battle, Pokemon, plain } = engine;
  const { Handler, lookupOf, collect, gatherPokemon, gatherSide, gatherField, gatherBattle } = makeHandlers(engine);
  const MAX_EXACT = 0xfffff; // times 4096 this still fits the engine's 32-bit truncation

  function runEvent(eventid, target, source, sourceEffect, relayVar, onEffect, fastExit) {
    const lookup = lookupOf(this);
    if (lookup.plain || this.eventDepth >= 8) {
      return plain.runEvent.call(this, eventid, target, source, sourceEffect, relayVar, onEffect, fastExit);
    }
    const names = eventNames(eventid);
    if (!target) target = this;
    const handlers = collect(this, lookup, names, target, source instanceof Pokemon ? source : null);
    const many = Array.isArray(target);
    if (onEffect) {
      if (!sourceEffect) throw new Error('onEffect passed without an effect');
      const callback = sourceEffect[names.on];
      if (callback !== undefined) {
        if (many) throw new Error('');
        handlers.unshift(this.resolvePriority({
          effect: sourceEffect, callback, state: this.initEffectState({}), end: null, effectHolder: target,
        }, names.on));
      }
    }
    let hasRelay = true;
    if (relayVar === undefined || relayVar === null) {
      relayVar = true;
      hasRelay = false;
    }
    if (handlers.length === 0) {
      if (many) {
        if (Array.isArray(relayVar)) return relayVar;
        return new Array(target.length).fill(true);
      }
      if (typeof relayVar !== 'number' || relayVar !== Math.abs(Math.floor(relayVar))) return relayVar;
      return lookup.exact && relayVar <= MAX_EXACT ? relayVar >>> 0 : this.modify(relayVar, 1);
    }
    if (handlers.length > 1) {
      if (names.leftToRight) handlers.sort(Battle.compareLeftToRightOrder);
      else if (fastExit) handlers.sort(Battle.compareRedirectOrder);
      else this.speedSort(handlers);
    }
    const parentEvent = this.event;
    this.event = { id: eventid, target, source, effect: sourceEffect, modifier: 1 };
    this.eventDepth++;
    let relays = null;
    if (many) relays = Array.isArray(relayVar) ? relayVar : new Array(target.length).fill(true);
    let argRelay = relayVar;
    let argTarget = target;
    for (const handler of handlers) {
      const i = handler.index;
      if (i !== undefined) {
        if (!relays[i] && !(relays[i] === 0 && eventid === 'DamagingHit')) continue;
        if (handler.target) {
          argTarget = handler.target;
          this.event.target = handler.target;
        }
        if (hasRelay) argRelay = relays[i];
      }
      const { effect, effectHolder, callback } = handler;
      const type = effect.effectType;
      if (type === 'Status') {
        if (effectHolder.status !== effect.id) continue;
      } else if (type === 'Ability') {
        if (effect.flags.breakable && this.suppressingAbility(effectHolder)) {
          this.debug(`${eventid} handler suppressed by Mold Breaker`);
          continue;
        }
        if (eventid !== 'End' && effectHolder instanceof Pokemon && effectHolder.ignoringAbility()) {
          if (eventid !== 'Update') this.debug(`${eventid} handler suppressed by Gastro Acid or Neutralizing Gas`);
          continue;
        }
      } else if (type === 'Item') {
        if (eventid !== 'Start' && eventid !== 'SwitchIn' && eventid !== 'TakeItem' &&
            effectHolder instanceof Pokemon && effectHolder.ignoringItem()) {
          if (eventid !== 'Update') this.debug(`${eventid} handler suppressed by Embargo, Klutz or Magic Room`);
          continue;
        }
      }
      if ((type === 'Weather' || eventid === 'Weather') && eventid !== 'Residual' && eventid !== 'End' &&
          this.field.suppressingWeather()) {
        this.debug(`${eventid} handler suppressed by Air Lock`);
        continue;
      }
      let returned;
      if (typeof callback === 'function') {
        const parentEffect = this.effect;
        const parentState = this.effectState;
        this.effect = effect;
        this.effectState = handler.state || this.initEffectState({});
        this.effectState.target = effectHolder;
        returned = hasRelay ? callback.call(this, argRelay, argTarget, source, sourceEffect) :
          callback.call(this, argTarget, source, sourceEffect);
        this.effect = parentEffect;
        this.effectState = parentState;
      } else {
        returned = callback;
      }
      if (returned !== undefined) {
        relayVar = returned;
        if (!relayVar || fastExit) {
          if (i === undefined) break;
          relays[i] = relayVar;
          if (relays.every((value) => !value)) break;
        }
        argRelay = relayVar;
      }
    }
    this.eventDepth--;
    if (typeof relayVar === 'number' && relayVar === Math.abs(Math.floor(relayVar))) {
      relayVar = this.modify(relayVar, this.event.modifier);
    }
    this.event = parentEvent;
    return many ? relays : relayVar;
  }

  function singleEvent(eventid, effect, state, target, source, sourceEffect, relayVar, customCallback) {
    const lookup = lookupOf(this);
    if (lookup.plain || this.eventDepth >= 8 || this.log.length - this.sentLogPos > 1000) {
      return plain.singleEvent.call(this, eventid, effect, state, target, source, sourceEffect, relayVar, customCallback);
    }
    let hasRelay = true;
    if (relayVar === undefined) {
      relayVar = true;
      hasRelay = false;
    }
    const callback = customCallback || effect[eventNames(eventid).on];
    // Without a callback every way out returns the relay variable; only debug lines would tell them apart.
    if (callback === undefined && lookup.quiet) return relayVar;
    const type = effect.effectType;
    if (type === 'Status') {
      if (target instanceof Pokemon && target.status !== effect.id) return relayVar;
    } else if (type === 'Ability') {
      if (eventid === 'SwitchIn' && effect.flags.breakable && this.suppressingAbility(target)) {
        this.debug(`${eventid} handler suppressed by Mold Breaker`);
        return relayVar;
      }
      if (eventid !== 'End' && target instanceof Pokemon && target.ignoringAbility()) {
        this.debug(`${eventid} handler suppressed by Gastro Acid or Neutralizing Gas`);
        return relayVar;
      }
    } else if (type === 'Item') {
      if (eventid !== 'Start' && eventid !== 'TakeItem' && eventid !== 'SetAbility' &&
          target instanceof Pokemon && target.ignoringItem()) {
        this.debug(`${eventid} handler suppressed by Embargo, Klutz or Magic Room`);
        return relayVar;
      }
    } else if (type === 'Weather') {
      if (eventid !== 'FieldStart' && eventid !== 'FieldResidual' && eventid !== 'FieldEnd' && this.field.suppressingWeather()) {
        this.debug(`${eventid} handler suppressed by Air Lock`);
        return relayVar;
      }
    }
    if (callback === undefined) return relayVar;
    const parentEffect = this.effect;
    const parentState = this.effectState;
    const parentEvent = this.event;
    this.effect = effect;
    this.effectState = state || this.initEffectState({});
    this.event = { id: eventid, target, source, effect: sourceEffect };
    this.eventDepth++;
    let returned = callback;
    if (typeof callback === 'function') {
      returned = hasRelay ? callback.call(this, relayVar, target, source, sourceEffect) :
        callback.call(this, target, source, sourceEffect);
    }
    this.eventDepth--;
    this.effect = parentEffect;
    this.effectState = parentState;
    this.event = parentEvent;
    return returned === undefined ? relayVar : returned;
  }

  function findEventHandlers(target, eventName, source) {
    const lookup = lookupOf(this);
    if (lookup.plain) return plain.findEventHandlers.call(this, target, eventName, source);
    return collect(this, lookup, eventNames(eventName), target, source);
  }

  function findPokemonEventHandlers(pokemon, callbackName, getKey) {
    const lookup = lookupOf(this);
    if (lookup.plain) return plain.findPokemonEventHandlers.call(this, pokemon, callbackName, getKey);
    const out = [];
    gatherPokemon(this, lookup.records, pokemon, callbackName, out, getKey);
    return out;
  }

  function findSideEventHandlers(side, callbackName, getKey, customHolder) {
    const lookup = lookupOf(this);
    if (lookup.plain) return plain.findSideEventHandlers.call(this, side, callbackName, getKey, customHolder);
    const out = [];
    gatherSide(this, lookup.records, side, callbackName, out, getKey, customHolder);
    return out;
  }

  function findFieldEventHandlers(field, callbackName, getKey, customHolder) {
    const lookup = lookupOf(this);
    if (lookup.plain) return plain.findFieldEventHandlers.call(this, field, callbackName, getKey, customHolder);
    const out = [];
    gatherField(this, lookup.records, field, callbackName, out, getKey, customHolder);
    return out;
  }

  function findBattleEventHandlers(callbackName, getKey, customHolder) {
    const lookup = lookupOf(this);
    if (lookup.plain) return plain.findBattleEventHandlers.call(this, callbackName, getKey, customHolder);
    const out = [];
    gatherBattle(this, lookup, callbackName, out, getKey, customHolder);
    return out;
  }

  return { runEvent, singleEvent, findEventHandlers, findPokemonEventHandlers, findSideEventHandlers,
    findFieldEventHandlers, findBattleEventHandlers };
}

module.exports = { battleEvents };
