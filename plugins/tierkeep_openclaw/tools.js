/** The three tools that a model may be given, for the person whose turn it is. */

import { personOf, skipped } from "./scope.js";
import { TOOLS } from "./words.js";

/**
 * Return the tools of a run, or none when it does not say whose memory it is.
 *
 * @param {any} ctx The run, as the host's tool factories get it.
 * @param {import("./parts.js").Parts} parts
 */
export function toolsOf(ctx, parts) {
  const { worker, settings } = parts;
  const person = personOf({ ...ctx, channel: ctx.messageChannel, senderId: ctx.requesterSenderId }, settings);
  if (!person || skipped(ctx)) return [];
  worker.start(); // a run begins: outside a gateway this is the first that is heard of it, and the recall comes seconds later
  /** @type {(verb: string, params: object) => Promise<any>} */
  const ask = (verb, params) => worker.request(verb, { owner: person.owner, ...params }, settings.toolMs);
  const tools = [
    tool(TOOLS.recall, (params) => ask("recall", { query: String(params.query ?? "") })),
    tool(TOOLS.store, (params) => store(String(params.text ?? ""), { ...parts, ctx, person })),
  ];
  // In a shared memory, what others said is not a participant's to remove.
  if (settings.scope === "sender" || person.isOwner) tools.push(tool(TOOLS.forget, (params) => ask("forget", { ids: params.ids ?? [] })));
  return tools;
}

/**
 * Keep a sentence of the model's. In a turn that has read the web or used a tool, it counts as what was read there: a page that tells a
 * model to remember something gets no more authority than a page.
 *
 * @param {string} text
 * @param {import("./parts.js").Parts & {ctx: any, person: import("./scope.js").Person}} run
 */
async function store(text, { worker, turns, settings, ctx, person }) {
  const taint = turns.taintOf(ctx);
  const shown = turns.shownIn(ctx);
  const origin = taint ?? (person.isOwner ? undefined : "participant");
  if (!origin) {
    const stored = await worker.request("store", { owner: person.owner, text, derived_from: shown }, settings.toolMs);
    if (stored.ids.length > 0 || shown.length === 0) return stored;
    // What it was shown may be forgotten by now: "forget the old address and note the new one". Then it rests on what is left.
  }
  const message = { role: "assistant", text, origin: origin ?? "agent" };
  const kept = await worker.request("turn.keep", { owner: person.owner, messages: [message], rests_on: shown }, settings.toolMs);
  return { ids: kept.ids, note: kept.failed };
}

/**
 * @param {{name: string, label: string, description: string, parameters: object}} words
 * @param {(params: any) => Promise<any>} work
 */
function tool(words, work) {
  return {
    ...words,
    // Tool search hides plugin tools behind a directory; a memory that the model does not see is not used.
    catalogMode: "direct-only",
    /**
     * @param {string} _id
     * @param {any} params
     */
    async execute(_id, params) {
      const details = await work(params).catch((error) => ({ note: `the memory could not do this: ${error.message}` }));
      return { content: [{ type: "text", text: JSON.stringify(details) }], details };
    },
  };
}
