'use strict';
// The one place where these tests find things: the bridge's own files, and the npm package in the folder that
// GYM_MULTISIM_SHOWDOWN names (the one that holds node_modules).
const path = require('path');

const BRIDGE = path.join(__dirname, '..', '..', 'gym_multisim', 'simulators', 'showdown', 'bridge');

/** A file of the bridge, by its path there. */
const bridge = (name) => require(path.join(BRIDGE, name));

/** { sim, version, tables }, as the bridge loads it; `tables` is '' or why the tables were left out. */
function loadPackage(wantsTables) {
  const folder = process.env.GYM_MULTISIM_SHOWDOWN;
  if (!folder) throw new Error('GYM_MULTISIM_SHOWDOWN must name the folder that holds node_modules/pokemon-showdown');
  return bridge('engine').loadEngine(path.resolve(folder), wantsTables);
}

/** The package's exports, with the tables in place unless GYM_MULTISIM_TABLES is "off". */
function loadSim() {
  const wantsTables = process.env.GYM_MULTISIM_TABLES !== 'off';
  const { sim, tables } = loadPackage(wantsTables);
  if (wantsTables && tables) throw new Error(`no tables: ${tables}`);
  return sim;
}

module.exports = { bridge, loadPackage, loadSim };
