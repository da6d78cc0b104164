/** Whose memory a turn works with, and which turns have none. Decided from what the host says of a run, never from what a model says. */

/** Runs that no person started. */
const UNATTENDED = new Set(["cron", "heartbeat", "memory", "overflow"]);
/** Input that another session or OpenClaw itself wrote. */
const NOT_A_PERSON = new Set(["inter_session", "internal_system"]);
/** Sessions, after their agent's name, in which agents and programs talk. */
const NOT_A_CHAT = /^(subagent|cron|hook|acp|harness|dreaming-[a-z]+)\b|:(subagent|heartbeat)(:|$)/;
/** Ways in that only somebody with the gateway's own credential has. */
const OPERATOR_CHANNELS = new Set(["webchat", "cli"]);
/** The user part of the owner's memory, the same on every channel. */
export const OWNER = "owner";
/** A memory of nobody's, for trying things out. */
export const NOBODY = { tenant: "tierkeep-doctor", user: "probe", agent: "probe", session: "probe" };

/**
 * @typedef {object} Who
 * @property {string} [agentId]
 * @property {string} [channel] Channel that the message came in on, such as "telegram".
 * @property {string} [senderId] The sender, as that channel knows them.
 */

/**
 * @typedef {object} Person
 * @property {{user: string, agent: string, session?: string}} owner Whose memory, as the worker takes it.
 * @property {boolean} isOwner Whether the sender is the owner of this installation.
 * @property {string} sender The sender's name for the memory; "" for the owner.
 */

/**
 * Return whose memory a run works with, or undefined when that cannot be told: then nothing is recalled and nothing kept.
 *
 * @param {Who & {sessionId?: string, sessionKey?: string}} who
 * @param {import("./settings.js").Settings} settings
 * @returns {Person | undefined}
 */
export function personOf(who, settings) {
  const agent = text(who.agentId);
  const sender = senderOf(who, settings);
  if (!agent || !sender) return undefined;
  const session = text(who.sessionId) || text(who.sessionKey);
  const isOwner = sender === OWNER;
  const user = settings.scope === "agent" ? OWNER : sender;
  return { owner: { user, agent, ...(session ? { session } : {}) }, isOwner, sender: isOwner ? "" : sender };
}

/**
 * @param {Who} who
 * @param {import("./settings.js").Settings} settings
 * @returns {string} "" when nobody can tell.
 */
function senderOf(who, settings) {
  const channel = text(who.channel).toLowerCase();
  const id = text(who.senderId);
  // There the sender's id, if any, is that of a program, such as "cli". A run of no channel and no sender came in by the gateway's own API.
  if (OPERATOR_CHANNELS.has(channel) || (!channel && !id)) return OWNER;
  if (!channel || !id) return "";
  const named = `${channel}:${id}`;
  const person = settings.links.get(named.toLowerCase());
  const names = [named, id, ...(person ? [person] : [])];
  return names.some((name) => settings.owners.has(name.toLowerCase())) ? OWNER : (person ?? named);
}

/**
 * Return why a run is none that a person speaks in, or "" for one that is.
 *
 * @param {{trigger?: string, sessionKey?: string, inputProvenance?: {kind?: string}}} ctx
 */
export function skipped(ctx) {
  if (UNATTENDED.has(text(ctx.trigger))) return `a ${ctx.trigger} run`;
  if (NOT_A_PERSON.has(text(ctx.inputProvenance?.kind))) return `input of kind ${ctx.inputProvenance?.kind}`;
  const session = text(ctx.sessionKey).toLowerCase();
  return NOT_A_CHAT.test(session.replace(/^agent:[^:]*:/, "")) ? `session ${session}` : "";
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value.trim() : "";
}
