'use strict';
// Teams made for what random teams seldom or never show. A theme is a list of sets; a team takes some of its first sets
// (`lead`) and fills up from the rest of the theme and from FILLERS.

const s = (species, ability, item, moves, more = {}) => ({
  name: species, species, ability, item, moves, nature: 'Serious', level: 50, gender: '',
  evs: { hp: 4, atk: 100, def: 4, spa: 100, spd: 4, spe: 100 }, ivs: { hp: 31, atk: 31, def: 31, spa: 31, spd: 31, spe: 31 }, ...more,
});

const FILLERS = [
  s('Amoonguss', 'Regenerator', 'Sitrus Berry', ['Pollen Puff', 'Rage Powder', 'Spore', 'Protect']),
  s('Incineroar', 'Intimidate', 'Sitrus Berry', ['Fake Out', 'Parting Shot', 'Flare Blitz', 'U-turn']),
  s('Garchomp', 'Rough Skin', 'Choice Scarf', ['Earthquake', 'Outrage', 'Rock Slide', 'Stomping Tantrum']),
  s('Gholdengo', 'Good as Gold', 'Choice Specs', ['Make It Rain', 'Shadow Ball', 'Steel Beam', 'Trick']),
  s('Rillaboom', 'Grassy Surge', 'Assault Vest', ['Fake Out', 'Wood Hammer', 'Grassy Glide', 'U-turn']),
  s('Dragonite', 'Multiscale', 'Lum Berry', ['Extreme Speed', 'Hyper Beam', 'Fly', 'Tailwind']),
];

const THEMES = {
  commander: [
    s('Dondozo', 'Unaware', 'Leftovers', ['Wave Crash', 'Order Up', 'Earthquake', 'Protect']),
    s('Tatsugiri', 'Commander', 'Focus Sash', ['Muddy Water', 'Draco Meteor', 'Icy Wind', 'Protect']),
    s('Dondozo', 'Oblivious', 'Sitrus Berry', ['Wave Crash', 'Outrage', 'Rest', 'Sleep Talk']),
    s('Tatsugiri', 'Commander', 'Eject Button', ['Muddy Water', 'Dragon Pulse', 'Helping Hand', 'Baton Pass']),
  ],
  revival: [
    s('Pawmot', 'Volt Absorb', 'Focus Sash', ['Revival Blessing', 'Close Combat', 'Fake Out', 'Double Shock']),
    s('Rabsca', 'Synchronize', 'Leftovers', ['Revival Blessing', 'Psychic', 'Bug Buzz', 'Ally Switch']),
    s('Electrode', 'Aftermath', 'Eject Pack', ['Explosion', 'Volt Switch', 'Overheat', 'Thunderbolt']),
    s('Golem', 'Sturdy', 'Custap Berry', ['Explosion', 'Memento', 'Earthquake', 'Self-Destruct']),
    s('Weezing', 'Levitate', 'Eject Button', ['Explosion', 'Memento', 'Sludge Bomb', 'Will-O-Wisp']),
    s('Pawmot', 'Iron Fist', 'Choice Scarf', ['Revival Blessing', 'Thunder Punch', 'Mach Punch', 'Ice Punch']),
  ],
  // The bomb faints in the first turn; the revival then has no reserve, and the fallen ally on the field to name.
  lastrevival: [
    s('Dusclops', 'Pressure', 'Eviolite', ['Revival Blessing']),
    s('Golem', 'Sturdy', 'Leftovers', ['Explosion']),
    s('Dusclops', 'Pressure', 'Leftovers', ['Revival Blessing', 'Night Shade']),
  ],
  lonely: [
    s('Dusclops', 'Pressure', 'Eviolite', ['Helping Hand', 'Night Shade', 'Pain Split']),
    s('Golem', 'Sturdy', 'Leftovers', ['Explosion']),
    s('Sableye', 'Prankster', 'Leftovers', ['Aromatic Mist', 'Coaching', 'Foul Play']),
  ],
  healblock: [
    s('Vikavolt', 'Levitate', 'Leftovers', ['Pollen Puff', 'Volt Switch', 'Thunderbolt', 'Agility']),
    s('Gothitelle', 'Shadow Tag', 'Sitrus Berry', ['Psychic Noise', 'Heal Block', 'Heal Pulse', 'Psychic']),
    s('Comfey', 'Triage', 'Leftovers', ['Pollen Puff', 'Floral Healing', 'Draining Kiss', 'Ally Switch']),
    s('Amoonguss', 'Effect Spore', 'Leftovers', ['Pollen Puff', 'Synthesis', 'Giga Drain', 'Rage Powder']),
    s('Mesprit', 'Levitate', 'Leftovers', ['Heal Block', 'Psychic Noise', 'Healing Wish', 'U-turn']),
  ],
  curse: [
    s('Dusknoir', 'Pressure', 'Leftovers', ['Curse', 'Spite', 'Skill Swap', 'Shadow Sneak']),
    s('Snorlax', 'Thick Fat', 'Leftovers', ['Curse', 'Body Slam', 'Rest', 'Sleep Talk']),
    s('Gourgeist', 'Insomnia', 'Leftovers', ['Curse', 'Trick-or-Treat', 'Grudge', 'Destiny Bond'], { teraType: 'Normal' }),
    s('Greninja', 'Protean', 'Life Orb', ['Curse', 'Night Shade', 'Mat Block', 'Soak'], { teraType: 'Ghost' }),
    s('Banette', 'Cursed Body', 'Leftovers', ['Curse', 'Disable', 'Spite', 'Trick']),
  ],
  terapagos: [
    s('Terapagos', 'Tera Shift', 'Leftovers', ['Tera Starstorm', 'Earth Power', 'Calm Mind', 'Protect'], { teraType: 'Stellar' }),
    s('Ogerpon-Wellspring', 'Water Absorb', 'Wellspring Mask', ['Ivy Cudgel', 'Follow Me', 'Spiky Shield', 'U-turn'], { teraType: 'Water' }),
    s('Smeargle', 'Own Tempo', 'Focus Sash', ['Tera Starstorm', 'Spore', 'Acupressure', 'Transform'], { teraType: 'Stellar' }),
    s('Ditto', 'Imposter', 'Choice Scarf', ['Transform'], { teraType: 'Ghost' }),
  ],
  trappers: [
    s('Gothitelle', 'Shadow Tag', 'Leftovers', ['Psychic', 'Imprison', 'Taunt', 'Disable']),
    s('Dugtrio', 'Arena Trap', 'Leftovers', ['Earthquake', 'Stealth Rock', 'Memento', 'Protect']),
    s('Magnezone', 'Magnet Pull', 'Leftovers', ['Thunderbolt', 'Flash Cannon', 'Electric Terrain', 'Volt Switch']),
    s('Wobbuffet', 'Shadow Tag', 'Leftovers', ['Encore', 'Counter', 'Mirror Coat', 'Destiny Bond']),
    s('Corviknight', 'Pressure', 'Shed Shell', ['Iron Head', 'Brave Bird', 'U-turn', 'Roost']),
    s('Scizor', 'Technician', 'Choice Band', ['Bullet Punch', 'U-turn', 'Bug Bite', 'Block']),
    s('Zoroark', 'Illusion', 'Focus Sash', ['Night Daze', 'Encore', 'Flamethrower', 'Spite']),
  ],
  maybetrap: [
    s('Dugtrio', 'Sand Veil', 'Leftovers', ['Earthquake', 'Stealth Rock', 'Memento', 'Protect']),
    s('Gothitelle', 'Frisk', 'Leftovers', ['Psychic', 'Ally Switch', 'Taunt', 'Trick Room']),
    s('Dugtrio', 'Arena Trap', 'Leftovers', ['Earthquake', 'Sucker Punch', 'Rock Slide', 'Protect']),
    s('Gothitelle', 'Shadow Tag', 'Leftovers', ['Psychic', 'Imprison', 'Protect', 'Heal Pulse']),
    s('Magnezone', 'Sturdy', 'Leftovers', ['Thunderbolt', 'Flash Cannon', 'Protect', 'Volt Switch']),
    s('Probopass', 'Magnet Pull', 'Leftovers', ['Power Gem', 'Flash Cannon', 'Block', 'Volt Switch']),
    s('Excadrill', 'Mold Breaker', 'Leftovers', ['Iron Head', 'Earthquake', 'Protect', 'Rapid Spin']),
  ],
  imprison: [
    s('Gallade', 'Justified', 'Leftovers', ['Imprison', 'Protect', 'Psycho Cut', 'Close Combat']),
    s('Grimmsnarl', 'Prankster', 'Leftovers', ['Taunt', 'Torment', 'Spirit Break', 'Thunder Wave']),
    s('Farigiraf', 'Armor Tail', 'Leftovers', ['Imprison', 'Trick Room', 'Psychic', 'Protect']),
    s('Gardevoir', 'Trace', 'Leftovers', ['Imprison', 'Psychic', 'Protect', 'Disable']),
    s('Oranguru', 'Inner Focus', 'Leftovers', ['Instruct', 'Psychic', 'Protect', 'Imprison']),
    s('Hatterene', 'Magic Bounce', 'Leftovers', ['Protect', 'Psychic']),
    s('Indeedee', 'Psychic Surge', 'Leftovers', ['Imprison', 'Protect', 'Psychic', 'Encore']),
  ],
  disguise: [
    s('Mew', 'Synchronize', 'Leftovers', ['Imprison', 'Protect']),
    s('Wynaut', 'Telepathy', 'Leftovers', ['Protect']),
    s('Slowbro', 'Own Tempo', 'Leftovers', ['Psychic', 'Protect']),
    s('Mew', 'Synchronize', 'Choice Scarf', ['Imprison', 'Psychic', 'Protect', 'Taunt']),
    s('Donphan', 'Sturdy', 'Leftovers', ['Earthquake', 'Protect']),
    s('Espeon', 'Synchronize', 'Choice Specs', ['Psychic', 'Baton Pass']),
  ],
  locks: [
    s('Dragonite', 'Inner Focus', 'Leftovers', ['Outrage', 'Hyper Beam', 'Giga Impact', 'Fly']),
    s('Slaking', 'Truant', 'Choice Band', ['Giga Impact', 'Hyper Beam', 'Encore', 'Slack Off']),
    s('Porygon-Z', 'Adaptability', 'Power Herb', ['Hyper Beam', 'Solar Beam', 'Uproar', 'Recycle']),
    s('Dragapult', 'Clear Body', 'Choice Band', ['Phantom Force', 'Outrage', 'Dragon Darts', 'U-turn']),
    s('Drilbur', 'Sand Rush', 'Leftovers', ['Dig', 'Rollout', 'Earthquake', 'Metal Sound']),
    s('Braviary', 'Defiant', 'Sitrus Berry', ['Sky Attack', 'Fly', 'Sky Drop', 'Thrash']),
    s('Miltank', 'Scrappy', 'Leftovers', ['Rollout', 'Ice Ball', 'Body Slam', 'Helping Hand']),
    s('Groudon', 'Drought', 'Leftovers', ['Bide', 'Eruption', 'Precipice Blades', 'Gravity']),
  ],
  struggle: [
    s('Blissey', 'Natural Cure', 'Assault Vest', ['Soft-Boiled']),
    s('Shuckle', 'Sturdy', 'Choice Band', ['Stone Edge']),
    s('Spiritomb', 'Pressure', 'Leftovers', ['Spite', 'Torment', 'Disable', 'Grudge']),
    s('Alomomola', 'Regenerator', 'Choice Scarf', ['Wish', 'Flip Turn']),
    s('Sableye', 'Prankster', 'Leftovers', ['Taunt', 'Disable', 'Quash', 'Torment']),
    s('Aerodactyl', 'Pressure', 'Focus Sash', ['Fly', 'Sky Drop', 'Taunt', 'Stone Edge']),
    s('Greedent', 'Cheek Pouch', 'Sitrus Berry', ['Stuff Cheeks', 'Belch', 'Bullet Seed', 'Body Slam']),
    s('Tinkaton', 'Pickpocket', 'Leftovers', ['Gigaton Hammer', 'Encore', 'Fake Out', 'Fling']),
  ],
  ejects: [
    s('Tornadus', 'Prankster', 'Red Card', ['U-turn', 'Tailwind', 'Bleakwind Storm', 'Taunt']),
    s('Golisopod', 'Emergency Exit', 'Leftovers', ['First Impression', 'Leech Life', 'Liquidation', 'Protect']),
    s('Blastoise', 'Torrent', 'Eject Button', ['Shell Smash', 'Flip Turn', 'Water Pulse', 'Dragon Tail']),
    s('Latios', 'Levitate', 'Eject Pack', ['Draco Meteor', 'Overheat', 'Psycho Boost', 'Ally Switch']),
    s('Cyclizar', 'Regenerator', 'Eject Pack', ['Shed Tail', 'Draco Meteor', 'Knock Off', 'Overheat']),
    s('Incineroar', 'Intimidate', 'Eject Pack', ['Parting Shot', 'Fake Out', 'Roar', 'Overheat']),
    s('Electrode', 'Static', 'Eject Button', ['Explosion', 'Volt Switch', 'Thunderbolt', 'Taunt']),
    s('Porygon2', 'Download', 'Eject Button', ['Teleport', 'Tri Attack', 'Trick Room', 'Recover']),
  ],
  allies: [
    s('Toxapex', 'Regenerator', 'Leftovers', ['Acupressure', 'Doodle', 'Baneful Bunker', 'Counter']),
    s('Sylveon', 'Pixilate', 'Leftovers', ['Helping Hand', 'Hyper Voice', 'Acupressure', 'Wish']),
    s('Falinks', 'Battle Armor', 'Leftovers', ['Coaching', 'Close Combat', 'Beat Up', 'No Retreat']),
    s('Oranguru', 'Telepathy', 'Leftovers', ['Instruct', 'After You', 'Gravity', 'Psychic']),
    s('Shuckle', 'Contrary', 'Leftovers', ['Acupressure', 'Helping Hand', 'Power Split', 'Infestation']),
    s('Hatterene', 'Healer', 'Leftovers', ['Heal Pulse', 'Decorate', 'Life Dew', 'Aromatic Mist']),
    s('Weavile', 'Pressure', 'Leftovers', ['Beat Up', 'Fling', 'Hold Hands', 'Icicle Crash']),
    s('Alcremie', 'Aroma Veil', 'Leftovers', ['Decorate', 'Dragon Cheer', 'Howl', 'Ally Switch']),
    s('Zoroark', 'Illusion', 'Focus Sash', ['Night Daze', 'Copycat', 'U-turn', 'Me First']),
  ],
};

// Most teams are whole; these cases are about having nobody left.
const SIZES = { lastrevival: [2, 2, 3], lonely: [2, 2, 3], disguise: [2, 3, 4] };

function sizeOf(theme, random) {
  if (SIZES[theme]) return random.pick(SIZES[theme]);
  return random.below(10) < 7 ? 6 : 2 + random.below(4);
}

/** A team of a theme: as many members as suit it, from its own list first, each species set at most once. */
function teamOf(theme, random, count = sizeOf(theme, random)) {
  const own = THEMES[theme].slice();
  const team = own.splice(0, 2); // the first two are the heart of a theme, and lead
  if (random.below(2)) team.reverse();
  const pool = own.concat(random.below(2) ? FILLERS : []);
  while (team.length < count && pool.length) team.push(pool.splice(random.below(pool.length), 1)[0]);
  const left = FILLERS.filter((f) => !team.includes(f));
  while (team.length < count) team.push(left.splice(random.below(left.length), 1)[0]);
  return JSON.parse(JSON.stringify(team.slice(0, count)));
}

module.exports = { THEMES, teamOf };
