/** Which Python runs the worker, and how the worker is started. */

import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** This folder: a place that holds no Python modules which could stand in for others. */
const HERE = path.dirname(fileURLToPath(import.meta.url));
/** Milliseconds that a look at an interpreter may take: a cold disk makes the first import slow. */
const LOOK_MS = 60_000;
const LOOK = `
import json, sys
found = {"executable": sys.executable, "python": "%d.%d" % sys.version_info[:2], "new": sys.version_info >= (3, 11)}
try:
    import tierkeep, tierkeep_mcp.worker
    found["tierkeep"] = tierkeep.__version__
except ImportError as error:
    found["problem"] = str(error)
print(json.dumps(found))
`;

/**
 * Return the command of a worker.
 *
 * @param {import("./settings.js").Settings} settings
 * @returns {import("./worker.js").Command}
 */
export function workerCommand(settings) {
  // Ahead of the plugin's own deadline, so that what was found until then still arrives.
  const seconds = Math.max(settings.deadlineMs * 0.8, 50) / 1000;
  return {
    command: settings.python,
    args: ["-m", "tierkeep_mcp.worker", "--path", settings.path, "--budget", String(settings.budget), "--deadline", String(seconds)],
    cwd: HERE,
    env: { ...process.env, PYTHONSAFEPATH: "1" },
  };
}

/**
 * @typedef {object} Look
 * @property {boolean} ok Whether the worker can run there.
 * @property {string} executable
 * @property {string} says What is there, or what is missing and how to get it.
 */

/**
 * Return whether an interpreter can run the worker.
 *
 * @param {string} python
 * @returns {Promise<Look>}
 */
export function look(python) {
  return new Promise((resolve) => {
    execFile(python, ["-c", LOOK], { cwd: HERE, timeout: LOOK_MS, env: { ...process.env, PYTHONSAFEPATH: "1" } }, (error, stdout) => {
      if (!error) resolve(read(python, stdout));
      else resolve({ ok: false, executable: python, says: `${python} does not run: ${error.message.split("\n")[0]}` });
    });
  });
}

/**
 * @param {string} python
 * @param {string} stdout
 * @returns {Look}
 */
function read(python, stdout) {
  const found = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
  const executable = found.executable || python;
  if (!found.new) return { ok: false, executable, says: `${executable} is Python ${found.python}; tierkeep needs 3.11 or newer` };
  if (found.problem) {
    const remedy = `Run: ${executable} -m pip install tierkeep`;
    return { ok: false, executable, says: `tierkeep is not installed for ${executable} (${found.problem}). ${remedy}` };
  }
  return { ok: true, executable, says: `tierkeep ${found.tierkeep} for Python ${found.python}, ${executable}` };
}

/**
 * Return the first interpreter that can run the worker, or the first one's complaint.
 *
 * @param {string[]} candidates
 * @returns {Promise<Look>}
 */
export async function firstThatWorks(candidates) {
  /** @type {Look | undefined} */
  let first;
  for (const python of candidates) {
    const found = await look(python);
    if (found.ok) return found;
    first ??= found;
  }
  return first ?? { ok: false, executable: "", says: "no Python was named" };
}

/**
 * Return where an interpreter is looked for when nobody names one.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {string} [configured] The one that was recorded.
 */
export function candidates(env, configured) {
  const inside = process.platform === "win32" ? ["Scripts", "python.exe"] : ["bin", "python"];
  const active = env.VIRTUAL_ENV ? [path.join(env.VIRTUAL_ENV, ...inside)] : [];
  return [...new Set([...active, ...(configured ? [configured] : []), "python3", "python"])];
}
