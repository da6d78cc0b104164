/** The plugin's settings, with what they are when nobody says anything. The manifest's schema has checked them before. */

import path from "node:path";

/** The plugin's id: in the manifest, in `plugins.entries` and in the memory slot. */
export const ID = "tierkeep";

/** Tools of OpenClaw whose results anybody on the web could have written. A tool that marks its results as network says so itself. */
const WEB_TOOLS = ["web_search", "web_fetch", "x_search", "browser"];

/**
 * @typedef {object} Settings
 * @property {string} python Interpreter that runs the worker.
 * @property {string} path Folder of the memory.
 * @property {boolean} recall Whether turns are given what is remembered.
 * @property {Set<string>} keep Roles whose messages are kept.
 * @property {"sender" | "agent"} scope Whether each person has a memory of their own.
 * @property {Set<string>} owners Senders who are the owner, as `channel:id` or a bare id.
 * @property {Map<string, string>} links Names of people by their ids, from OpenClaw's `session.identityLinks`.
 * @property {number} budget Tokens of a recall.
 * @property {number} deadlineMs Milliseconds that a turn waits for its recall.
 * @property {number} keepMs Milliseconds that keeping a turn may take.
 * @property {number} toolMs Milliseconds that a memory tool may take.
 * @property {Set<string>} webTools Tools whose results come from the web.
 * @property {Set<string>} trustedTools Tools whose results the operator vouches for.
 */

/**
 * Return the settings of an installation.
 *
 * @param {Record<string, any>} given `plugins.entries.tierkeep.config`.
 * @param {Record<string, any>} config OpenClaw's own configuration: whom it takes for the owner counts here too.
 * @param {string} stateDir OpenClaw's state folder.
 * @returns {Settings}
 */
export function readSettings(given, config, stateDir) {
  const owners = [...(given.owners ?? []), ...(config?.commands?.ownerAllowFrom ?? [])].map(String);
  return {
    python: given.python ?? (process.platform === "win32" ? "python" : "python3"),
    path: given.path ?? path.join(stateDir, "tierkeep"),
    recall: given.recall ?? true,
    keep: new Set(given.keep ?? ["user", "assistant", "tool"]),
    scope: given.scope ?? "sender",
    // "*" opens commands to everybody; it makes nobody the one whose memory this is.
    owners: new Set(owners.filter((owner) => owner !== "*").map((owner) => owner.toLowerCase())),
    links: linksOf(config?.session?.identityLinks ?? {}),
    budget: given.budget ?? 1024,
    deadlineMs: given.deadlineMs ?? 2000,
    keepMs: 20_000,
    toolMs: 10_000,
    webTools: new Set([...WEB_TOOLS, ...(given.webTools ?? [])]),
    trustedTools: new Set(given.trustedTools ?? []),
  };
}

/**
 * @param {Record<string, string[]>} people Ids of one person on several channels, by name.
 * @returns {Map<string, string>}
 */
function linksOf(people) {
  return new Map(Object.entries(people).flatMap(([name, ids]) => ids.map((id) => [String(id).toLowerCase(), name])));
}

/**
 * Return why turns are neither given memories nor kept, or "" when nothing is in the way.
 *
 * @param {Record<string, any>} config OpenClaw's configuration.
 */
export function blockedHooks(config) {
  const hooks = config?.plugins?.entries?.[ID]?.hooks ?? {};
  if (hooks.allowConversationAccess !== true) {
    return `plugins.entries.${ID}.hooks.allowConversationAccess is not true, so OpenClaw does not let this plugin see conversations`;
  }
  if (hooks.allowPromptInjection === false) {
    return `plugins.entries.${ID}.hooks.allowPromptInjection is false, so OpenClaw drops what this plugin recalls`;
  }
  return "";
}
