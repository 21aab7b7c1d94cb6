'use strict';
// Finds and loads the simulator package: at $SHOWDOWN, or where Node finds `pokemon-showdown`.

const path = require('path');

/** The package's exports, with its RandomPlayerAI (which they leave out), `version` and `root`. */
function loadShowdown(from = process.env.SHOWDOWN || 'pokemon-showdown') {
  const entry = require.resolve(from);
  const root = path.resolve(path.dirname(entry), '..', '..');
  const { RandomPlayerAI } = require(path.join(path.dirname(entry), 'tools', 'random-player-ai.js'));
  const { version } = require(path.join(root, 'package.json'));
  return { ...require(entry), RandomPlayerAI, version, root };
}

module.exports = { loadShowdown };
