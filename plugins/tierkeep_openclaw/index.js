/** tierkeep as OpenClaw's memory. Here things are only registered; `turns.js` says what happens in a turn. */

import { definePluginEntry } from "openclaw/plugin-sdk/plugin-entry";
import { registerCommands } from "./cli.js";
import { freshParts, partsOf } from "./parts.js";
import { NOBODY } from "./scope.js";
import { ID, blockedHooks, readSettings } from "./settings.js";
import { toolsOf } from "./tools.js";
import { GUIDANCE, TOOLS, TOOL_NAMES } from "./words.js";

/** Milliseconds on top of a deadline of ours, after which the host gives a hook up. */
const SLACK_MS = 1_000;
/** Milliseconds in which the worker starts and has answered once. */
const WARM_MS = 60_000;

export default definePluginEntry({
  id: ID,
  name: "tierkeep",
  description: "Tiered, guarded memory: recall before each turn, capture after it, evidence with every memory.",
  register,
});

/** @param {any} api The host's plugin API. */
function register(api) {
  api.registerCli((/** @type {any} */ { program }) => registerCommands(program, api), {
    commands: [ID],
    descriptors: [{ name: ID, description: "Set up, check and search the tierkeep memory", hasSubcommands: true }],
  });
  if (api.registrationMode === "cli-metadata" || api.registrationMode === "setup-only") return;
  const log = prefixed(api.logger);
  const settings = readSettings(api.pluginConfig ?? {}, api.config, api.runtime.state.resolveStateDir(process.env));
  const parts = () => partsOf(settings, log);
  registerTools(api, parts);
  registerHooks(api, parts, settings);
  api.registerMemoryCapability({ promptBuilder: guidance });
  api.registerService({ id: "tierkeep-worker", start: () => started(api, settings, log), stop: () => parts().worker.stop() });
}

/**
 * @param {any} api
 * @param {() => import("./parts.js").Parts} parts
 */
function registerTools(api, parts) {
  for (const { name } of Object.values(TOOLS)) {
    api.registerTool((/** @type {any} */ ctx) => toolsOf(ctx, parts()).find((tool) => tool.name === name) ?? null, { name });
  }
}

/**
 * @param {any} api
 * @param {() => import("./parts.js").Parts} parts
 * @param {import("./settings.js").Settings} settings
 */
function registerHooks(api, parts, settings) {
  /** @type {(name: string, work: (event: any, ctx: any) => any, options?: object) => void} */
  const on = (name, work, options = {}) => api.on(name, work, options);
  on("before_prompt_build", (event, ctx) => parts().turns.beforePrompt(event, ctx), { timeoutMs: settings.deadlineMs + SLACK_MS });
  on("agent_end", (event, ctx) => parts().turns.afterTurn(event, ctx), { timeoutMs: settings.keepMs + SLACK_MS });
  on("before_tool_call", (event, ctx) => parts().turns.beforeTool(event, ctx));
  on("gateway_stop", () => parts().worker.stop());
}

/**
 * The gateway runs: have the worker ready before the first turn, and say loudly what is missing.
 *
 * @param {any} api
 * @param {import("./settings.js").Settings} settings
 * @param {import("./worker.js").Log} log
 */
async function started(api, settings, log) {
  const blocked = blockedHooks(api.config);
  const loss = "The memory tools work; turns are neither recalled for nor kept.";
  if (blocked) log.error(`NOTHING IS REMEMBERED: ${blocked}. ${loss} Run: openclaw ${ID} setup`);
  const { worker } = await freshParts(settings, log);
  // The first recall of a process loads what it needs: let it be nobody's, and not somebody's turn.
  worker.request("turn.recall", { owner: NOBODY, text: "Is the memory warm?" }, WARM_MS).catch(() => {});
}

/** @param {{availableTools: Set<string>}} params */
function guidance({ availableTools }) {
  const tools = [...TOOL_NAMES].filter((name) => availableTools.has(name));
  return ["## Memory", GUIDANCE, ...(tools.length ? [`Tools: ${tools.join(", ")}.`] : []), ""];
}

/** @param {any} logger */
function prefixed(logger) {
  /** @type {(level: "debug" | "info" | "warn" | "error") => (message: string) => void} */
  const says = (level) => (message) => logger[level]?.(`${ID}: ${message}`);
  return { debug: says("debug"), info: says("info"), warn: says("warn"), error: says("error") };
}
