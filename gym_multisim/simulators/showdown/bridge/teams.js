'use strict';
// Legal teams for formats that players bring teams to. Sets come from the package's own random sets of the
// generation, one by one through the format's validator; a few hand-written teams reach rare mechanics.
const { makeRandom } = require('./chooser');

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
};

function parse(line) {
  const [species, item, ability, moves, teraType] = line.split('|');
  return { name: species, species, item, ability, moves: moves.split(','), teraType, nature: 'Serious', level: 50, gender: '',
    evs: { hp: 252, atk: 84, def: 4, spa: 84, spd: 4, spe: 76 }, ivs: { hp: 31, atk: 31, def: 31, spa: 31, spd: 31, spe: 31 } };
}

/** Many legal teams of a format, the same for every process; null where the format makes its own. */
function teamsFor(sim, formatid, count = 40) {
  const format = sim.Dex.formats.get(formatid);
  if (format.team) return null;
  const validator = sim.TeamValidator.get(formatid);
  const gen = sim.Dex.forFormat(format).gen;
  const doubles = format.gameType !== 'singles';
  const legal = (team) => { const copy = sim.Teams.unpack(sim.Teams.pack(team)); return validator.validateTeam(copy) === null ? copy : null; };
  const teams = [];
  for (const lines of WRITTEN[formatid] || []) {
    const team = lines.map(parse);
    const problems = validator.validateTeam(sim.Teams.unpack(sim.Teams.pack(team)));
    if (problems) throw new Error(`${formatid}: ${problems.join('; ')}`);
    teams.push(sim.Teams.pack(legal(team)));
  }
  const source = doubles && [8, 9].includes(gen) ? `gen${gen}randomdoublesbattle` : `gen${gen}randombattle`;
  const random = makeRandom(17);
  for (let tries = 0; teams.length < count && tries < 400; tries++) {
    const seed = [0, 1, 2, 3].map(() => random.below(65536)).join(',');
    const team = [];
    const generator = sim.Teams.getGenerator(source, seed);
    for (let more = 0; more < 12 && team.length < 6; more++) {
      for (const set of generator.getTeam()) {
        if (team.length === 6) break;
        delete set.speciesId; delete set.role;
        const level = format.ruleTable?.adjustLevel || sim.Dex.formats.getRuleTable(format).defaultLevel || 100;
        const trial = [...team, { ...set, level, shiny: false, nature: set.nature || 'Serious' }];
        // A team that is only too short may still grow.
        const problems = validator.validateTeam(sim.Teams.unpack(sim.Teams.pack(trial))) || [];
        if (problems.every((p) => /must bring at least|at least \d+ Pok/i.test(p))) team.push(trial[trial.length - 1]);
      }
    }
    const packed = team.length === 6 && legal(team);
    if (packed) teams.push(sim.Teams.pack(packed));
  }
  if (teams.length < 2) throw new Error(`no legal teams for ${formatid}`);
  return (n) => [teams[n % teams.length], teams[(n * 7 + 3 + Math.floor(n / teams.length)) % teams.length]];
}

module.exports = { teamsFor };
