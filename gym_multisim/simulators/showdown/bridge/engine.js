'use strict';
// Loads the npm package's simulator from where it was installed, and puts the tables in if they fit it.

const path = require('path');

/**
 * `folder` holds node_modules; `wantsTables`: whether to replace the engine's look-ups.
 * Without the tables the plain engine runs, and stderr says why.
 * Returns { sim, version, tables }: the package's exports with its RandomPlayerAI (which they leave out), its version, and
 * '' or why the tables were left out.
 */
function loadEngine(folder, wantsTables) {
  const root = path.join(folder, 'node_modules', 'pokemon-showdown');
  const { version } = require(path.join(root, 'package.json'));
  const exported = require(path.join(root, 'dist', 'sim'));
  const { RandomPlayerAI } = require(path.join(root, 'dist', 'sim', 'tools', 'random-player-ai.js'));
  const sim = { ...exported, RandomPlayerAI };
  let tables = 'switched off';
  if (wantsTables) {
    const { install } = require('./tables');
    const result = install(exported);
    tables = result.installed ? '' : result.reason;
    if (tables) console.error(`The plain engine runs, without the tables that make it faster: ${tables}`);
  }
  return { sim, version, tables };
}

module.exports = { loadEngine };
