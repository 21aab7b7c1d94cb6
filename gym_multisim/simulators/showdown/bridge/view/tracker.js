'use strict';
// What everybody can know about one battle, from its public log lines alone, kept up to date line by line.
// A line after `|split|pN` is secret to that player and is skipped; the public line that follows it is read.
// Nothing here looks at the engine's objects, so the same class can follow a replay or a real server's messages.

const { Mon, SideState, VOLATILES, V, BOOSTS, PASSED, SIDE_CONDITIONS, PSEUDO, addMove, setAbility } = require('./public_mon');
const { HANDLERS } = require('./log_lines');

const isDigit = (code) => code >= 48 && code <= 57;

class PublicState {
  constructor(tables) {
    this.tables = tables;
    this.lastLine = 0;
    this.lastText = '';
    this.width = 1;
    this.turn = 0;
    this.ended = false;
    this.weather = '';
    this.weatherSince = 0;
    this.terrain = '';
    this.terrainSince = 0;
    this.pseudo = new Uint8Array(PSEUDO.length);
    this.pseudoSince = new Int16Array(PSEUDO.length);
    this.sides = [new SideState(1), new SideState(1)];
    this.lastMover = null;
    this.dancer = null; // whose next move Dancer makes it copy
    this.moves = 0; // used in this battle so far
  }

  /** Reads what is new in an engine's log (`battle.log`). */
  update(log) {
    let i = this.lastLine;
    // The engine may drop a `-anim` line it has already written: the lines after it move up by one.
    if (i > 0 && log[i - 1] !== this.lastText && (i > log.length || log[i - 2] === this.lastText || this.lastText.startsWith('|-anim|'))) i--;
    const end = log.length;
    while (i < end) {
      const line = log[i];
      if (line.startsWith('|split|')) {
        i += 2; // over the secret line
        this.line(log[i]);
      } else {
        this.line(line);
      }
      i++;
    }
    this.lastLine = i;
    this.lastText = i ? log[i - 1] : '';
  }

  /** Reads one public line. */
  line(text) {
    const end = text.indexOf('|', 1);
    if (end === 1) return;
    const handler = HANDLERS.get(end < 0 ? text.slice(1) : text.slice(1, end));
    if (handler !== undefined) handler(this, text.split('|'), text);
  }

  // --- who is meant ---

  side(ident) {
    return this.sides[ident.charCodeAt(1) - 49];
  }

  /** "p1a: Name" is who stands there; "p1: Name" is looked up on the team. Null if nobody is known. */
  mon(ident) {
    const side = this.side(ident);
    if (!side) return null;
    const code = ident.charCodeAt(2);
    if (code !== 58) return side.active[code - 97] || null;
    const name = ident.slice(4);
    let found = null;
    for (const mon of side.mons) if (mon.name === name && (!found || found.fainted)) found = mon;
    return found;
  }

  /** Who stands after `[of]` in a line, or null. */
  of(text) {
    const at = text.indexOf('|[of] ');
    if (at < 0) return null;
    const stop = text.indexOf('|', at + 6);
    return this.mon(stop < 0 ? text.slice(at + 6) : text.slice(at + 6, stop));
  }

  // --- conditions ("53/100 par", "0 fnt") ---

  condition(mon, text) {
    let i = 0;
    let hp = 0;
    let code = text.charCodeAt(0);
    if (!isDigit(code)) return;
    while (isDigit(code)) {
      hp = hp * 10 + code - 48;
      code = text.charCodeAt(++i);
    }
    let max = 0;
    if (code === 47) {
      code = text.charCodeAt(++i);
      while (isDigit(code)) {
        max = max * 10 + code - 48;
        code = text.charCodeAt(++i);
      }
    }
    if (hp > 0) mon.fainted = false; // Revival Blessing
    mon.hp = max ? hp / max : 0;
    const space = text.indexOf(' ', i);
    const status = space < 0 ? '' : text.slice(space + 1);
    mon.status = status === 'fnt' ? '' : status;
  }

  // --- coming and going ---

  find(side, name, row) {
    for (const mon of side.mons) {
      if (mon.row.key === row.key && mon.name === name) return mon;
    }
    const mon = new Mon(name, row);
    side.mons.push(mon);
    return mon;
  }

  enter(parts) {
    const ident = parts[2];
    const side = this.side(ident);
    const slot = ident.charCodeAt(2) - 97;
    const row = this.tables.details(parts[3]);
    const old = side.active[slot];
    const from = parts[5] || '';
    let passed = null;
    if (old && (from === '[from] Baton Pass' || from === '[from] Shed Tail')) passed = this.handOver(old, from === '[from] Shed Tail');
    if (old) {
      this.release(old);
      old.leave();
    }
    let mon = this.find(side, ident.slice(5), row);
    if (mon.fainted) this.wasIllusion(mon);
    // Terastallized before and not now, or already on the field: somebody else wears these looks.
    if ((mon.tera && !row.tera) || mon.slot >= 0) mon = new Mon(mon.name, row);
    mon.before = {
      hp: mon.hp, status: mon.status, moves: mon.moves.length, item: mon.item, lostItem: mon.lostItem,
      ability: mon.baseAbility, tera: mon.tera, row: mon.row,
    };
    mon.row = row;
    mon.tera = row.tera;
    mon.leave();
    mon.slot = slot;
    mon.acted = false;
    side.active[slot] = mon;
    this.condition(mon, parts[4]);
    if (passed) {
      mon.boosts.set(passed.boosts);
      mon.volatile.set(passed.volatile);
    }
  }

  handOver(old, onlySubstitute) {
    const volatile = new Uint8Array(VOLATILES.length);
    if (onlySubstitute) volatile[V.substitute] = old.volatile[V.substitute];
    else for (const v of PASSED) volatile[v] = old.volatile[v];
    return { boosts: onlySubstitute ? new Int8Array(BOOSTS.length) : old.boosts.slice(), volatile };
  }

  /** What a Pokémon does to others ends when it leaves. */
  release(mon) {
    for (const side of this.sides) {
      for (const other of side.active) {
        if (!other || other === mon) continue;
        if (other.trapper === mon) {
          other.trapper = null;
          other.volatile[V.trapped] = 0;
        }
      }
    }
  }

  /** A fainted Pokémon comes in: the one that fainted under its looks was somebody else. */
  wasIllusion(mon) {
    mon.fainted = false;
    this.restore(mon);
  }

  restore(mon) {
    const b = mon.before;
    if (!b) return;
    mon.hp = b.hp;
    mon.status = b.status;
    mon.moves.length = Math.min(mon.moves.length, b.moves);
    mon.item = b.item;
    mon.lostItem = b.lostItem;
    mon.ability = mon.baseAbility = b.ability;
    mon.tera = b.tera;
    mon.row = b.row;
  }

  /** `replace`: an Illusion ends. What was seen since it came in belongs to the newly named Pokémon. */
  unmask(parts) {
    const ident = parts[2];
    const side = this.side(ident);
    const slot = ident.charCodeAt(2) - 97;
    const row = this.tables.details(parts[3]);
    const mask = side.active[slot];
    const real = this.find(side, ident.slice(5), row);
    if (!mask || mask === real) return;
    real.row = row;
    real.species = row.species;
    for (const key of ['hp', 'status', 'boosts', 'volatile', 'tera', 'acted', 'lastMove', 'stall', 'stallTurn', 'trapper', 'slot', 'item', 'lostItem']) {
      real[key] = mask[key];
    }
    for (let i = mask.before ? mask.before.moves : 0; i < mask.moves.length; i++) addMove(real, mask.moves[i]);
    mask.boosts = new Int8Array(BOOSTS.length);
    mask.volatile = new Uint8Array(VOLATILES.length);
    real.fainted = false;
    real.ability = real.baseAbility = 'illusion';
    this.restore(mask);
    mask.leave();
    // A change of types seen before was the model's; the engine announces the real one's at the turn's end.
    real.typeChange = null;
    real.addedType = -1;
    side.active[slot] = real;
  }

  faint(mon, side) {
    this.release(mon);
    const ally = side.active.find((other) => other && other !== mon);
    if (ally && mon.volatile[V.commanded]) ally.volatile[V.commanding] = 0;
    const { slot } = mon;
    mon.leave();
    mon.slot = slot;
    mon.tera = '';
    mon.fainted = true;
    mon.hp = 0;
    mon.status = '';
    side.fainted++;
  }

  // --- what lines give away ---

  /** `[from] ability: X`, `[from] item: X`, `[of] pNx: Name` at the end of many lines. */
  reveal(parts, text) {
    const at = text.indexOf('|[from] ');
    if (at < 0) return;
    const kind = text.charCodeAt(at + 8);
    const isAbility = kind === 97 && text.startsWith('ability: ', at + 8);
    const isItem = !isAbility && kind === 105 && text.startsWith('item: ', at + 8);
    if (!isAbility && !isItem) return;
    const start = at + (isAbility ? 17 : 14);
    const stop = text.indexOf('|', start);
    const id = this.tables.id(stop < 0 ? text.slice(start) : text.slice(start, stop));
    let owner = this.mon(parts[2]);
    // Healing is credited to whom it came from, but named after the healed one's own ability or item.
    const credited = (parts[1] === '-heal' && id !== 'hospitality') || parts[1] === '-immune';
    if (!credited && text.indexOf('|[of] ', at) >= 0) owner = this.of(text);
    if (!owner) return;
    if (isAbility) setAbility(owner, id);
    // A berry that does something has just been eaten (or stolen and eaten), and announced as gone before.
    else if (!id.endsWith('berry') && (owner.lostItem !== id || owner.item)) owner.item = id;
  }

  restart(index) {
    this.pseudo[index] = 1;
    this.pseudoSince[index] = this.turn;
  }
}

module.exports = { PublicState, BOOSTS, VOLATILES, V, SIDE_CONDITIONS, PSEUDO };
