/**
 * The worker and the turns of an installation. A gateway loads a plugin several times over, for its service, for agents and for tools; all
 * of those must share one worker, and what one knows of a turn the others must know too.
 */

import { workerCommand } from "./python.js";
import { Turns } from "./turns.js";
import { Worker } from "./worker.js";

/** Where they are found, also by other copies of this module. */
const PLACE = Symbol.for("tierkeep.openclaw.parts");

/**
 * @typedef {object} Parts
 * @property {Worker} worker
 * @property {Turns} turns
 * @property {import("./settings.js").Settings} settings
 */

/**
 * Return the parts of an installation; they are made when they are first asked for.
 *
 * @param {import("./settings.js").Settings} settings
 * @param {import("./worker.js").Log} log
 * @returns {Parts}
 */
export function partsOf(settings, log) {
  const all = allParts();
  const key = keyOf(settings);
  let parts = all.get(key);
  if (!parts) {
    const worker = new Worker(workerCommand(settings), log);
    parts = { worker, turns: new Turns(worker, settings, log), settings };
    all.set(key, parts);
  }
  return parts;
}

/**
 * Return parts that work: the gateway starts, or this plugin was loaded anew. Workers of other settings are ended.
 *
 * @param {import("./settings.js").Settings} settings
 * @param {import("./worker.js").Log} log
 */
export async function freshParts(settings, log) {
  const all = allParts();
  for (const [key, parts] of [...all]) {
    if (key === keyOf(settings) && !parts.worker.stopped) continue;
    all.delete(key);
    await parts.worker.stop();
  }
  return partsOf(settings, log);
}

/** @returns {Map<string, Parts>} */
function allParts() {
  const place = /** @type {any} */ (globalThis);
  return (place[PLACE] ??= new Map());
}

/** @param {import("./settings.js").Settings} settings */
function keyOf(settings) {
  return JSON.stringify(settings, (_key, value) => (value instanceof Set || value instanceof Map ? [...value] : value));
}
