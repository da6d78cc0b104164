/** `openclaw tierkeep setup | doctor | search`. */

import { candidates, firstThatWorks, look, workerCommand } from "./python.js";
import { NOBODY, OWNER } from "./scope.js";
import { ID, blockedHooks, readSettings } from "./settings.js";
import { Worker } from "./worker.js";

/** Milliseconds that a command waits for its worker, starting included. */
const WAIT_MS = 90_000;
const SETUP = `Run: openclaw ${ID} setup`;

/**
 * Add the commands to OpenClaw's.
 *
 * @param {any} program The host's Commander program.
 * @param {any} api
 */
export function registerCommands(program, api) {
  const group = program.command("tierkeep").description("Set up, check and search the tierkeep memory");
  group
    .command("setup")
    .description("Find a Python with tierkeep, and grant this plugin what it needs in OpenClaw's configuration")
    .option("--python <path>", "the interpreter that has tierkeep installed")
    .option("--path <folder>", "where the memory lies")
    .action((/** @type {any} */ options) => report(setup(api, options)));
  group
    .command("doctor")
    .description("Check everything that memory needs: one write, one recall and one forget included")
    .action(() => report(doctor(api)));
  group
    .command("search")
    .description("Search a memory as the recall tool does")
    .argument("<query...>", "what to look for")
    .option("--agent <id>", "whose: the agent", "main")
    .option("--user <name>", `whose: ${OWNER}, or another person as channel:id`, OWNER)
    .option("--json", "print JSON", false)
    .action((/** @type {string[]} */ query, /** @type {any} */ options) => report(search(api, query.join(" "), options)));
}

/**
 * Print the lines of a command; the exit code says whether all is well.
 *
 * @param {Promise<{ok: boolean, lines: string[]}>} work
 */
async function report(work) {
  const { ok, lines } = await work;
  for (const line of lines) process.stdout.write(`${line}\n`);
  if (!ok) process.exitCode = 1;
}

/**
 * Find the interpreter and write what the plugin needs into OpenClaw's configuration.
 *
 * @param {any} api
 * @param {{python?: string, path?: string}} options
 */
async function setup(api, options) {
  const recorded = api.pluginConfig?.python;
  const python = await firstThatWorks(options.python ? [options.python] : candidates(process.env, recorded));
  const another = `  Another interpreter: openclaw ${ID} setup --python /path/to/python3`;
  if (!python.ok) return { ok: false, lines: [`✗ ${python.says}`, another] };
  await api.runtime.config.mutateConfigFile({
    afterWrite: { mode: "auto" },
    mutate: (/** @type {any} */ draft) => grant(draft, { python: python.executable, ...(options.path ? { path: options.path } : {}) }),
  });
  const lines = [
    `✓ ${python.says}`,
    `✓ plugins.entries.${ID}.hooks.allowConversationAccess = true: turns are recalled for and kept`,
    `✓ plugins.slots.memory = "${ID}"`,
  ];
  return { ok: true, lines: [...lines, `Now check it: openclaw ${ID} doctor`] };
}

/**
 * Write into a configuration what the plugin needs; nothing else is touched.
 *
 * @param {any} draft OpenClaw's configuration.
 * @param {Record<string, string>} config Settings of the plugin to record.
 */
export function grant(draft, config) {
  const plugins = (draft.plugins ??= {});
  const entry = ((plugins.entries ??= {})[ID] ??= {});
  entry.enabled = true;
  entry.hooks = { ...entry.hooks, allowConversationAccess: true };
  if (entry.hooks.allowPromptInjection === false) delete entry.hooks.allowPromptInjection;
  entry.config = { ...entry.config, ...config };
  plugins.slots = { ...plugins.slots, memory: ID };
  if (Array.isArray(plugins.allow) && !plugins.allow.includes(ID)) plugins.allow.push(ID);
}

/**
 * Check what memory needs.
 *
 * @param {any} api
 */
async function doctor(api) {
  const settings = settingsOf(api);
  const python = await look(settings.python);
  const blocked = blockedHooks(api.config);
  const slot = api.config?.plugins?.slots?.memory;
  const checks = [
    { ok: python.ok, says: python.says },
    { ok: !blocked, says: blocked ? `${blocked}. ${SETUP}` : "OpenClaw lets this plugin see conversations" },
    { ok: slot === ID, says: slot === ID ? "this plugin has the memory slot" : `the memory slot is ${slot ?? "memory-core"}'s. ${SETUP}` },
    ...(python.ok ? await tryOut(settings, api.logger) : []),
  ];
  const lines = checks.map((check) => `${check.ok ? "✓" : "✗"} ${check.says}`);
  return { ok: checks.every((check) => check.ok), lines: [...lines, ...hints(api.config, settings)] };
}

/**
 * Write, recall and forget one sentence in a memory of nobody's, through a worker of its own.
 *
 * @param {import("./settings.js").Settings} settings
 * @param {import("./worker.js").Log} log
 */
async function tryOut(settings, log) {
  return await withWorker(settings, log, async (worker) => {
    const word = `probe${Date.now().toString(36)}`;
    const stored = await worker.request("store", { owner: NOBODY, text: `The doctor's word of today is ${word}.` }, WAIT_MS);
    const began = performance.now();
    const found = await worker.request("turn.recall", { owner: NOBODY, text: `What is the doctor's word of today, ${word}?` }, WAIT_MS);
    const took = (performance.now() - began).toFixed(0);
    const gone = await worker.request("forget", { owner: NOBODY, ids: stored.ids }, WAIT_MS);
    const about = await worker.request("describe", {}, WAIT_MS);
    return [
      { ok: stored.ids.length === 1, says: `one sentence was written to ${settings.path}${stored.note ? `: ${stored.note}` : ""}` },
      { ok: found.text.includes(word), says: `it was recalled in ${took} ms${found.note ? `: ${found.note}` : ""}` },
      { ok: gone.forgotten === 1, says: `it was forgotten again${gone.note ? `: ${gone.note}` : ""}` },
      { ok: true, says: `${about.events} messages in the memory, embedder: ${about.embedder ?? "none (search by words)"}` },
    ];
  }).catch((error) => [{ ok: false, says: `the memory does not work: ${error.message}` }]);
}

/**
 * @param {any} config
 * @param {import("./settings.js").Settings} settings
 */
function hints(config, settings) {
  const channels = Object.keys(config?.channels ?? {});
  if (channels.length === 0 || settings.owners.size > 0) return [];
  const apart = "nothing says which sender is you: what you say there is a memory apart. See commands.ownerAllowFrom.";
  return [`· You write on ${channels.join(", ")}, and ${apart}`];
}

/**
 * Search a memory.
 *
 * @param {any} api
 * @param {string} query
 * @param {{agent: string, user: string, json: boolean}} options
 */
async function search(api, query, options) {
  const owner = { agent: options.agent, user: options.user };
  const found = await withWorker(settingsOf(api), api.logger, (worker) => worker.request("recall", { owner, query }, WAIT_MS));
  if (options.json) return { ok: true, lines: [JSON.stringify(found)] };
  const lines = found.memories.map((/** @type {any} */ memory) => `${memory.at}  ${memory.text}  (${memory.origin}, ${memory.id})`);
  return { ok: true, lines: lines.length ? lines : [`Nothing was found. ${found.note}`.trim()] };
}

/** @param {any} api */
function settingsOf(api) {
  return readSettings(api.pluginConfig ?? {}, api.config, api.runtime.state.resolveStateDir(process.env));
}

/**
 * @template T
 * @param {import("./settings.js").Settings} settings
 * @param {import("./worker.js").Log} log
 * @param {(worker: Worker) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withWorker(settings, log, work) {
  const quiet = { info: () => {}, warn: log.warn, error: log.error };
  const worker = new Worker(workerCommand(settings), quiet);
  try {
    return await work(worker);
  } finally {
    await worker.stop();
  }
}
