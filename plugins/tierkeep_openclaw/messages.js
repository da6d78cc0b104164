/** OpenClaw's messages as the memory takes them: what was said, by whom it was said, and where it comes from. Pure functions. */

import { createHash } from "node:crypto";
import { outside } from "./outside.js";
import { spoken } from "./spoken.js";
import { TOOL_NAMES } from "./words.js";

/** Replies that stand for saying nothing. */
const SILENT = /^(NO_REPLY|HEARTBEAT_OK|ANNOUNCE_SKIP|REPLY_SKIP)\b/;
/** Begins what the host has fenced because it came from outside. */
const OUTSIDE = "<<<EXTERNAL_UNTRUSTED_CONTENT";
/** Characters of a message that are handed over; of a tool's result the memory itself keeps the beginning only. */
const MOST_CHARS = { user: 200_000, assistant: 200_000, tool: 8_000 };

/**
 * @typedef {object} Said A message as the worker takes it (`tierkeep_mcp.service.Said`).
 * @property {string} text
 * @property {"user" | "assistant" | "tool"} role
 * @property {string} id
 * @property {string} [speaker]
 * @property {string} [at]
 * @property {string} [origin]
 * @property {string} [uri]
 */

/**
 * Return where a turn begins: where the history ended before it, or at its last user message when that place has moved.
 *
 * @param {any[]} messages All messages of the session.
 * @param {number | undefined} before How many there were before the turn.
 */
export function startOfTurn(messages, before) {
  if (before !== undefined && messages[before]?.role === "user") return before;
  const last = messages.findLastIndex((message) => message?.role === "user");
  return last < 0 ? messages.length : last;
}

/**
 * Return an id for each message: the same whenever and wherever the session shows it.
 *
 * @param {any[]} messages
 * @param {string} session
 * @param {string} [run] The run whose messages stand last. The history names the runs of earlier ones.
 */
export function idsOf(messages, session, run = "") {
  /** @type {string[]} */
  const ids = [];
  for (const message of messages.toReversed()) {
    run = message?.__openclaw?.runId ?? run;
    // A person's message gets another timestamp when it is written down; its run and its words stay.
    const call = String(message?.toolCallId ?? "").replace(/[^a-z0-9]/gi, ""); // some providers' rules change the rest on the way
    const what = message?.role === "user" ? [run, textOf(message)] : [message?.timestamp ?? textOf(message), call];
    ids.unshift(hashed([session, message?.role, ...what]));
  }
  return ids;
}

/** @param {unknown[]} parts */
function hashed(parts) {
  return `openclaw-${createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32)}`;
}

/**
 * Return a message's text, without thoughts, pictures and calls.
 *
 * @param {any} message
 * @returns {string}
 */
export function textOf(message) {
  const content = message?.content;
  if (typeof content === "string") return content.trim();
  if (!Array.isArray(content)) return "";
  const texts = content.filter((part) => part?.type === "text" && typeof part.text === "string").map((part) => part.text);
  return texts.join("\n").trim();
}

/**
 * Return where a tool's result comes from: "web", "tool", or "trusted_tool" when the operator vouches for it.
 *
 * @param {string} name
 * @param {import("./settings.js").Settings} settings
 * @param {any} [message] The result, when there is one: the host marks what came over the network.
 */
export function originOfTool(name, settings, message) {
  if (settings.trustedTools.has(name)) return "trusted_tool";
  // Through tool search a result has the name of the bridge; what came from outside is still fenced by the host.
  const outside = message?.__openclaw?.resultContentSource === "network" || textOf(message).includes(OUTSIDE);
  return outside || settings.webTools.has(name) ? "web" : "tool";
}

/**
 * Return what of messages is to be kept.
 *
 * @param {any[]} messages In order.
 * @param {string[]} ids Theirs, from `idsOf`.
 * @param {import("./scope.js").Person} person Who spoke.
 * @param {import("./settings.js").Settings} settings
 * @returns {Said[]}
 */
export function toKeep(messages, ids, person, settings) {
  const addresses = addressesIn(messages);
  const said = messages.map((message, at) => {
    if (message?.role === "user") return fromPerson(message, ids[at], person);
    if (message?.role === "assistant") return fromAgent(message, ids[at]);
    if (message?.role === "toolResult") return fromTool(message, ids[at], addresses, settings);
    return undefined;
  });
  return said.flatMap((one) => (one && one.text !== "" && settings.keep.has(one.role) ? [clipped(one)] : []));
}

/**
 * Return the ids of the results of tools among messages that anybody could have written, other than our own tools'.
 *
 * @param {any[]} messages
 * @param {string[]} ids
 * @param {import("./settings.js").Settings} settings
 */
export function webResults(messages, ids, settings) {
  return ids.filter((_id, at) => isWebResult(messages[at], settings));
}

/**
 * @param {any} message
 * @param {import("./settings.js").Settings} settings
 */
function isWebResult(message, settings) {
  return message?.role === "toolResult" && !TOOL_NAMES.has(message.toolName) && originOfTool(message.toolName, settings, message) === "web";
}

/**
 * Return the ids of memories that the recall tool showed among messages.
 *
 * @param {any[]} messages
 * @returns {string[]}
 */
export function recalledBy(messages) {
  const results = messages.filter((message) => message?.role === "toolResult" && message.toolName === "memory_recall");
  const memories = results.flatMap((message) => message.details?.memories ?? []);
  return memories.map((memory) => memory?.id).filter((id) => typeof id === "string");
}

/**
 * @param {any} message
 * @param {string} id
 * @param {import("./scope.js").Person} person
 * @returns {Said | undefined}
 */
function fromPerson(message, id, person) {
  const provenance = message.provenance?.kind;
  if (provenance === "inter_session" || provenance === "internal_system") return undefined;
  const speaker = person.sender.slice(0, 200);
  const text = spoken(textOf(message));
  return { text, role: "user", id, origin: person.isOwner ? "user" : "participant", ...(speaker ? { speaker } : {}), ...at(message) };
}

/**
 * @param {any} message
 * @param {string} id
 * @returns {Said | undefined}
 */
function fromAgent(message, id) {
  const text = textOf(message);
  return SILENT.test(text) ? undefined : { text, role: "assistant", id, ...at(message) };
}

/**
 * @param {any} message
 * @param {string} id
 * @param {Map<string, string>} addresses
 * @param {import("./settings.js").Settings} settings
 * @returns {Said | undefined}
 */
function fromTool(message, id, addresses, settings) {
  const name = String(message.toolName ?? "").slice(0, 200);
  if (TOOL_NAMES.has(name)) return undefined;
  const origin = originOfTool(name, settings, message);
  const uri = addresses.get(message.toolCallId);
  const text = origin === "web" ? outside(textOf(message)) : textOf(message);
  return { text, role: "tool", id, speaker: name, origin, ...(uri ? { uri } : {}), ...at(message) };
}

/**
 * Return which address each call of a turn asked for.
 *
 * @param {any[]} turn
 * @returns {Map<string, string>}
 */
function addressesIn(turn) {
  const content = turn.flatMap((message) => (message?.role === "assistant" && Array.isArray(message.content) ? message.content : []));
  const calls = content
    .filter((part) => part?.type === "toolCall")
    .map((call) => [call.id, call.arguments?.url ?? call.arguments?.args?.url]);
  return new Map(calls.filter(([, url]) => typeof url === "string").map(([id, url]) => [id, url.slice(0, 2_000)]));
}

/** @param {any} message */
function at(message) {
  return Number.isFinite(message.timestamp) ? { at: new Date(message.timestamp).toISOString() } : {};
}

/**
 * @param {Said} said
 * @returns {Said}
 */
function clipped(said) {
  const most = MOST_CHARS[said.role];
  return said.text.length <= most ? said : { ...said, text: said.text.slice(0, most) };
}
