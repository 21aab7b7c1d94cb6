'use strict';
// Legal teams for doubles formats of this generation that players bring teams to. Sets come from the package's own random
// sets, one by one through the format's validator; a few hand-written teams reach rare mechanics. Custom games have no
// validator: their teams are all made for rare cases.
const { bridge } = require('./package');
const { THEMES, teamOf } = require('./masks/teams');
const { seedOf } = require('./play');
const { Random } = bridge('choices/random');

/** A line per Pokémon: species | item | ability | moves | tera. */
const WRITTEN = {
  gen9vgc2025regi: [
    // Commander with Revival Blessing and Beat Up targets of its own.
    ['Dondozo|Leftovers|Oblivious|wavecrash,orderup,protect,earthquake|Grass', 'Tatsugiri|Choice Scarf|Commander|muddywater,dracometeor,icywind,sleeptalk|Steel',
      'Pawmot|Focus Sash|Iron Fist|revivalblessing,fakeout,closecombat,doubleshock|Ghost', 'Koraidon|Life Orb|Orichalcum Pulse|flareblitz,collisioncourse,protect,uturn|Fire',
      'Zoroark-Hisui|Covert Cloak|Illusion|bittermalice,hypervoice,protect,uturn|Normal', 'Rabsca|Sitrus Berry|Synchronize|revivalblessing,trickroom,psychic,lightscreen|Fairy'],
    // Imposter, Transform, Encore, ability changes, redirection, ally targets.
    ['Ditto|Choice Scarf|Imposter|transform|Ghost', 'Calyrex-Shadow|Life Orb|As One (Spectrier)|astralbarrage,pollenpuff,protect,encore|Normal',
      'Clefairy|Eviolite|Friend Guard|followme,helpinghand,skillswap,lifedew|Water', 'Incineroar|Safety Goggles|Intimidate|fakeout,partingshot,knockoff,flareblitz|Grass',
      'Zamazenta-Crowned|Rusted Shield|Dauntless Shield|heavyslam,bodypress,protect,wideguard|Dragon', 'Weezing-Galar|Mental Herb|Neutralizing Gas|strangesteam,taunt,protect,toxicspikes|Steel'],
    ['Terapagos|Leftovers|Tera Shift|terastarstorm,earthpower,calmmind,protect|Stellar', 'Ogerpon-Wellspring|Wellspring Mask|Water Absorb|ivycudgel,spikyshield,followme,hornleech|Water',
      'Whimsicott|Weakness Policy|Prankster|tailwind,encore,moonblast,worryseed|Ghost', 'Smeargle|Focus Sash|Own Tempo|transform,doodle,decorate,simplebeam|Ghost',
      'Miraidon|Choice Specs|Hadron Engine|electrodrift,dracometeor,voltswitch,dazzlinggleam|Electric', 'Amoonguss|Rocky Helmet|Regenerator|spore,ragepowder,pollenpuff,protect|Water'],
  ],
  // What switches abilities and items off, or hands them round, against what has some to lose.
  'gen9doublescustomgame@@@!teampreview': [
    ['Lopunny|Sitrus Berry|Klutz|switcheroo,fakeout,embargo,encore|Normal', 'Golurk|Choice Band|Klutz|earthquake,shadowpunch,gravity,protect|Ghost',
      'Gothitelle|Leftovers|Frisk|magicroom,psychic,futuresight,helpinghand|Steel', 'Weezing-Galar|Black Sludge|Neutralizing Gas|corrosivegas,sludgebomb,strangesteam,explosion|Dark',
      'Excadrill|Life Orb|Mold Breaker|earthquake,ironhead,rockslide,protect|Ground', 'Arbok|Rocky Helmet|Intimidate|gastroacid,gunkshot,glare,dragontail|Poison'],
    ['Shedinja|Lum Berry|Wonder Guard|shadowsneak,embargo,skillswap,protect|Ghost', 'Rotom-Wash|Air Balloon|Levitate|trick,hydropump,thunderbolt,wonderroom|Electric',
      'Snorlax|Sitrus Berry|Gluttony|bodyslam,recycle,bellydrum,roar|Normal', 'Haxorus|Lum Berry|Mold Breaker|dragonclaw,earthquake,taunt,dragondance|Fire',
      'Whimsicott|Focus Sash|Prankster|worryseed,moonblast,tailwind,substitute|Fairy', 'Cursola|Colbur Berry|Perish Body|perishsong,shadowball,wish,strengthsap|Ghost'],
    ['Zygarde|Assault Vest|Aura Break|coreenforcer,thousandarrows,rockslide,superpower|Dragon', 'Aegislash|Weakness Policy|Stance Change|kingsshield,shadowball,flashcannon,wideguard|Steel',
      'Morpeko|Sitrus Berry|Hunger Switch|aurawheel,partingshot,protect,fakeout|Electric', 'Audino|Oran Berry|Klutz|entrainment,simplebeam,healpulse,wish|Fairy',
      'Slowking-Galar|Safety Goggles|Regenerator|trickroom,chillyreception,psychicnoise,yawn|Poison', 'Mimikyu|Mental Herb|Disguise|playrough,trickroom,destinybond,curse|Ghost'],
  ],
};

function parse(line) {
  const [species, item, ability, moves, teraType] = line.split('|');
  return { name: species, species, item, ability, moves: moves.split(','), teraType, nature: 'Serious', level: 50, gender: '',
    evs: { hp: 252, atk: 84, def: 4, spa: 84, spd: 4, spe: 76 }, ivs: { hp: 31, atk: 31, def: 31, spa: 31, spd: 31, spe: 31 } };
}

const problemsOf = (sim, validator, team) => validator.validateTeam(sim.Teams.unpack(sim.Teams.pack(team))) || [];

/** A team of random sets, each kept only if the format allows it beside the others; null if six were not found. */
function drawTeam(sim, validator, level, seed) {
  const team = [];
  const generator = sim.Teams.getGenerator('gen9randomdoublesbattle', seed);
  for (let more = 0; more < 12 && team.length < 6; more++) {
    for (const { speciesId, role, ...set } of generator.getTeam()) {
      if (team.length === 6) break;
      const trial = [...team, { ...set, level, shiny: false, nature: set.nature || 'Serious' }];
      const problems = problemsOf(sim, validator, trial);
      // A team that is only too short may still grow.
      if (problems.every((problem) => /must bring at least|at least \d+ Pok/i.test(problem))) team.push(trial.at(-1));
    }
  }
  return team.length === 6 && !problemsOf(sim, validator, team).length ? team : null;
}

/** Teams that no validator would pass, made for rare cases. */
function themedTeams(count) {
  const random = new Random(17);
  const themes = Object.keys(THEMES);
  return Array.from({ length: count }, (_, n) => teamOf(themes[n % themes.length], random));
}

/** Two of the teams for each battle number; all pairs come in time. */
function pairsOf(sim, teams) {
  const count = teams.length;
  const packed = teams.map((team) => sim.Teams.pack(team));
  return (n) => [packed[n % count], packed[(n * 7 + 3 + Math.floor(n / count)) % count]];
}

/** Legal teams to add to the written ones. */
function legalTeams(sim, formatid, written, count) {
  const validator = sim.TeamValidator.get(formatid);
  const level = sim.Dex.formats.getRuleTable(sim.Dex.formats.get(formatid)).adjustLevel || 100;
  for (const team of written) {
    const problems = problemsOf(sim, validator, team);
    if (problems.length) throw new Error(`${formatid}: ${problems.join('; ')}`);
  }
  const teams = [];
  for (let n = 0; teams.length < count && n < 400; n++) {
    const team = drawTeam(sim, validator, level, seedOf(n, 17));
    if (team) teams.push(team);
  }
  if (teams.length < count) throw new Error(`only ${teams.length} legal teams for ${formatid}`);
  return teams;
}

/** Many teams of a format, the same for every process, two for each battle number; null where the format makes its own. */
function teamsFor(sim, formatid, count = 40) {
  const format = sim.Dex.formats.get(formatid);
  if (format.team) return null;
  const written = (WRITTEN[formatid] || []).map((lines) => lines.map(parse));
  const left = count - written.length;
  const isCustom = format.id.includes('customgame');
  return pairsOf(sim, [...written, ...(isCustom ? themedTeams(left) : legalTeams(sim, formatid, written, left))]);
}

module.exports = { teamsFor };
