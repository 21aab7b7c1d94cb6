'use strict';
// A random legal choice for one request, the same for the same generator state.
// Written from the request alone and apart from the bridge's masks; for singles and doubles of every generation.

const CHOOSABLE = new Set(['normal', 'any', 'adjacentAlly', 'adjacentAllyOrSelf', 'adjacentFoe']);

/** Target numbers a player must choose between; [0] where a target is forbidden. */
function targetsOf(type, slot, width) {
  if (width === 1 || !CHOOSABLE.has(type)) return [0];
  const self = -(slot + 1);
  const ally = slot === 0 ? -2 : -1;
  switch (type) {
    case 'adjacentAlly': return [ally];
    case 'adjacentAllyOrSelf': return [ally, self];
    case 'adjacentFoe': return [1, 2];
    default: return [1, 2, ally];
  }
}

function moveText(number, target, event) {
  return `move ${number}${target ? ` ${target > 0 ? '+' : ''}${target}` : ''}${event ? ` ${event}` : ''}`;
}

/** Every way to use a move from this slot: {text, once} where `once` names what a side may do once a turn. */
function moveOptions(active, slot, width) {
  const options = [];
  const dynamaxed = active.maxMoves && !active.canDynamax;
  active.moves.forEach((move, i) => {
    const add = (targetType, event, once) => {
      for (const t of targetsOf(targetType, slot, width)) options.push({ text: moveText(i + 1, t, event), once });
    };
    if (dynamaxed) {
      const max = active.maxMoves.maxMoves[i];
      if (max && !max.disabled) add(max.target, '');
      return;
    }
    const max = active.canDynamax && active.maxMoves.maxMoves[i];
    if (max && !max.disabled) add(max.target, 'dynamax', 'dynamax');
    if (move.disabled) return;
    add(move.target, '');
    if (active.canTerastallize) add(move.target, 'terastallize', 'tera');
    if (active.canMegaEvo) add(move.target, 'mega', 'mega');
    if (active.canMegaEvoX) add(move.target, 'megax', 'mega');
    if (active.canMegaEvoY) add(move.target, 'megay', 'mega');
    if (active.canUltraBurst) add(move.target, 'ultra', 'ultra');
    const z = active.canZMove && active.canZMove[i];
    if (z) add(z.target, 'zmove', 'zmove');
  });
  return options;
}

function benchOf(request, width) {
  const bench = [];
  request.side.pokemon.forEach((p, i) => {
    if (i >= width && !p.condition.endsWith(' fnt')) bench.push(i + 1);
  });
  return bench;
}

function chooseMoves(request, random) {
  const width = request.active.length;
  const bench = benchOf(request, width);
  const used = new Set();
  const texts = [];
  for (let slot = 0; slot < width; slot++) {
    const active = request.active[slot];
    const own = request.side.pokemon[slot];
    if (!active || own.condition.endsWith(' fnt') || own.commanding) {
      texts.push('pass');
      continue;
    }
    const options = moveOptions(active, slot, width).filter((o) => !o.once || !used.has(o.once));
    if (!active.trapped) {
      for (const position of bench) {
        const once = `switch${position}`;
        if (!used.has(once)) options.push({ text: `switch ${position}`, once });
      }
    }
    // Nothing enabled at all (old generations' locks): the engine's own default is always legal.
    if (!options.length) return 'default';
    const choice = random.pick(options);
    if (choice.once) used.add(choice.once);
    texts.push(choice.text);
  }
  return texts.join(', ');
}

function chooseSwitches(request, random) {
  const flags = request.forceSwitch;
  const width = flags.length;
  const team = request.side.pokemon;
  const bench = benchOf(request, width);
  const flagged = flags.filter(Boolean).length;
  // With fewer reserves than gaps the engine asks for exactly that many switches, in any of the slots.
  let switches = Math.min(flagged, bench.length);
  let passes = flagged - switches;
  const texts = [];
  flags.forEach((flag, slot) => {
    if (!flag) {
      texts.push('pass');
    } else if (team[slot].reviving) {
      const fainted = [];
      team.forEach((p, i) => { if (p.condition.endsWith(' fnt')) fainted.push(i + 1); });
      texts.push(`switch ${random.pick(fainted)}`);
    } else if (switches && (!passes || random.below(2))) {
      switches--;
      texts.push(`switch ${bench.splice(random.below(bench.length), 1)[0]}`);
    } else {
      passes--;
      texts.push('pass');
    }
  });
  return texts.join(', ');
}

function chooseTeam(request, random) {
  const left = request.side.pokemon.map((_, i) => i + 1);
  const count = Math.min(left.length, request.maxChosenTeamSize || left.length);
  const picks = [];
  while (picks.length < count) picks.push(left.splice(random.below(left.length), 1)[0]);
  return `team ${picks.join(',')}`;
}

/** The choice string for a request, or null where there is nothing to choose. */
function choose(request, random) {
  if (!request || request.wait) return null;
  if (request.teamPreview) return chooseTeam(request, random);
  if (request.forceSwitch) return chooseSwitches(request, random);
  return chooseMoves(request, random);
}

module.exports = { choose };
