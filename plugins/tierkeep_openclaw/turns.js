/**
 * The memory's part in a turn: recall before the model is asked, keep afterwards what was said. A memory that is slow, broken or absent
 * never stops a turn: the hooks return nothing then, within their deadline, and the log says so.
 */

import { idsOf, originOfTool, recalledBy, startOfTurn, toKeep, webResults } from "./messages.js";
import { personOf, skipped } from "./scope.js";
import { spoken } from "./spoken.js";
import { TOOL_NAMES } from "./words.js";

/** Turns that are remembered at once; more than a gateway has in flight. */
const MOST_RUNS = 256;

/**
 * @typedef {object} Run What is known of a turn that has begun.
 * @property {string} session
 * @property {number} before Messages that the session had.
 * @property {string[]} shown Ids of the memories that its model is shown.
 * @property {boolean} skip Whether no person speaks in it.
 */

/** The hooks of one installation. */
export class Turns {
  #worker;
  #settings;
  #log;
  /** @type {Map<string, Run>} */
  #runs = new Map();
  /** @type {Map<string, "web" | "tool">} What the current turn of a session rests on besides the user's and the model's words. */
  #taints = new Map();

  /**
   * @param {import("./worker.js").Worker} worker
   * @param {import("./settings.js").Settings} settings
   * @param {import("./worker.js").Log & {debug?: (message: string) => void}} log
   */
  constructor(worker, settings, log) {
    this.#worker = worker;
    this.#settings = settings;
    this.#log = log;
  }

  /**
   * Before the prompt is built: return what the memory has for the message.
   *
   * @param {{prompt: string, currentUserMessage?: string, messages: any[]}} event
   * @param {any} ctx
   * @returns {Promise<{prependContext: string} | undefined>}
   */
  async beforePrompt(event, ctx) {
    const messages = event.messages ?? [];
    const why = skipped(ctx);
    const earlier = ctx.runId ? this.#runs.get(ctx.runId) : undefined; // a prompt that is built again after tools were called
    /** @type {Run} */
    const run = earlier ?? { session: sessionOf(ctx), before: messages.length, shown: [], skip: why !== "" };
    remember(this.#runs, runOf(ctx), run);
    if (why) return this.#say(`nothing is recalled in ${why}`);
    const person = personOf(whoOf(ctx), this.#settings);
    if (!person) return this.#warn(`nothing was recalled: ${nobody(ctx)}`);
    const ids = idsOf(messages, person.owner.session ?? "");
    if (webResults(messages, ids, this.#settings).length) remember(this.#taints, sessionOf(ctx), "web");
    else if (!earlier) this.#taints.delete(sessionOf(ctx));
    const text = spoken(event.currentUserMessage ?? event.prompt ?? "");
    if (!this.#settings.recall || !text) return undefined;
    return await this.#recall(person, { text, seen: ids, key: ctx.runId ?? null }, run);
  }

  /**
   * @param {import("./scope.js").Person} person
   * @param {{text: string, seen: string[], key: string | null}} asked
   * @param {Run} run
   */
  async #recall(person, asked, run) {
    const began = performance.now();
    try {
      const evidence = await this.#worker.request("turn.recall", { owner: person.owner, ...asked }, this.#settings.deadlineMs);
      run.shown = evidence.ids;
      const took = (performance.now() - began).toFixed(1);
      const note = evidence.note ? `: ${evidence.note}` : "";
      this.#say(`recalled ${evidence.ids.length} memories, ${evidence.tokens} tokens, in ${took} ms${note}`);
      return evidence.text ? { prependContext: evidence.text } : undefined;
    } catch (error) {
      return this.#warn(`this turn is answered without memory: ${messageOf(error)}`);
    }
  }

  /**
   * Before a tool is called: from now on the turn rests on what it returns.
   *
   * @param {{toolName: string}} event
   * @param {any} ctx
   */
  beforeTool(event, ctx) {
    if (TOOL_NAMES.has(event.toolName)) return;
    const origin = originOfTool(event.toolName, this.#settings);
    const session = sessionOf(ctx);
    if (origin === "trusted_tool" || this.#taints.get(session) === "web") return;
    remember(this.#taints, session, origin === "web" ? "web" : "tool");
  }

  /**
   * Return what a session's current turn rests on besides the user's and the model's words: "web", "tool", or undefined for nothing.
   *
   * @param {{sessionKey?: string, sessionId?: string}} ctx
   */
  taintOf(ctx) {
    return this.#taints.get(sessionOf(ctx));
  }

  /**
   * Return the ids of the memories that a session's model has been shown in its current turn.
   *
   * @param {{sessionKey?: string, sessionId?: string}} ctx
   */
  shownIn(ctx) {
    return [...this.#runs.values()].findLast((run) => run.session === sessionOf(ctx))?.shown ?? [];
  }

  /**
   * After a turn: keep what was said in it.
   *
   * @param {{messages: any[]}} event
   * @param {any} ctx
   */
  async afterTurn(event, ctx) {
    const run = this.#runs.get(runOf(ctx));
    const messages = event.messages ?? [];
    const why = skipped(ctx) || (run?.skip ? "a turn that no person began" : "");
    if (why) return this.#say(`nothing is kept of ${why}`);
    const person = personOf(whoOf(ctx), this.#settings);
    if (!person) return this.#warn(`nothing was kept: ${nobody(ctx)}`);
    const start = startOfTurn(messages, run?.before);
    const ids = idsOf(messages, person.owner.session ?? "", ctx.runId);
    const turn = messages.slice(start);
    const kept = toKeep(turn, ids.slice(start), person, this.#settings);
    if (kept.length === 0) return undefined;
    // What was read on the web in earlier turns still stands in the window.
    const read = webResults(messages.slice(0, start), ids.slice(0, start), this.#settings);
    const rests = [...(run?.shown ?? []), ...recalledBy(turn), ...read];
    await this.#keep({ owner: person.owner, messages: kept, rests_on: rests });
  }

  /** @param {{owner: object, messages: object[], rests_on: string[]}} params */
  async #keep(params) {
    try {
      const kept = await this.#worker.requestAgain("turn.keep", params, this.#settings.keepMs);
      if (kept.failed) this.#log.error(`a turn was not kept whole: ${kept.failed}`);
      else this.#say(`kept ${kept.ids.length} of ${params.messages.length} messages`);
    } catch (error) {
      this.#log.error(`a turn was not kept: ${messageOf(error)}`);
    }
  }

  /** @param {string} message */
  #say(message) {
    this.#log.debug?.(message);
    return undefined;
  }

  /** @param {string} message */
  #warn(message) {
    this.#log.warn(message);
    return undefined;
  }
}

/**
 * Return who speaks in a run, in the words of `scope.js`.
 *
 * @param {any} ctx
 * @returns {import("./scope.js").Who & {sessionId?: string, sessionKey?: string}}
 */
function whoOf(ctx) {
  return { ...ctx, channel: ctx.messageProvider ?? ctx.channel };
}

/** @param {any} ctx */
function nobody(ctx) {
  return `this run does not say whose memory it is (channel ${ctx.messageProvider ?? ctx.channel}, agent ${ctx.agentId})`;
}

/** @param {any} ctx */
function runOf(ctx) {
  return ctx.runId ?? sessionOf(ctx);
}

/** @param {any} ctx */
function sessionOf(ctx) {
  return ctx.sessionKey ?? ctx.sessionId ?? "";
}

/**
 * Put a value in front of the newest of a map that forgets its oldest.
 *
 * @template T
 * @param {Map<string, T>} map
 * @param {string} key
 * @param {T} value
 */
function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST_RUNS) map.delete(/** @type {string} */ (map.keys().next().value));
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
