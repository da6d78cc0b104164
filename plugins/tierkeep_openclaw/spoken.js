/**
 * What a person wrote, without what the host put around it. In a group the host adds what others said since, and a page or an e-mail that
 * somebody forwarded: those are not the words of the person whose message it is, and must not be kept as theirs.
 */

/** In front of the message itself, after what a group's others said. */
const CURRENT_MESSAGE = "[Current message - respond to this]";
/** At the end of the first line of each block that the host adds about a message. */
const CONTEXT_MARK = "⟦openclaw:ctx⟧";
/** From this line on, everything is the channel's. */
const CHANNEL_CONTEXT = `Context: ${CONTEXT_MARK}`;
const BLOCKS = [
  /<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>[\s\S]*?(<<<END_OPENCLAW_INTERNAL_CONTEXT>>>|$)/g,
  /<<<EXTERNAL_UNTRUSTED_CONTENT\b[^>]*>>>[\s\S]*?(<<<END_EXTERNAL_UNTRUSTED_CONTENT\b[^>]*>>>|$)/g,
  /<active_memory_plugin>[\s\S]*?(<\/active_memory_plugin>|$)/g,
];
const TIMESTAMP = /^\[[A-Za-z]{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2}[^\]]*\] */;

/**
 * Return what the person wrote.
 *
 * @param {string} text A user message as the host has it.
 */
export function spoken(text) {
  // The last one: somebody in the group may have written the same words before.
  const at = text.lastIndexOf(CURRENT_MESSAGE);
  let own = at < 0 ? text : text.slice(at + CURRENT_MESSAGE.length);
  for (const block of BLOCKS) own = own.replace(block, "");
  return withoutContext(own.replace(TIMESTAMP, "")).trim().replace(TIMESTAMP, "");
}

/** @param {string} text */
function withoutContext(text) {
  if (!text.includes(CONTEXT_MARK)) return text;
  const lines = text.split("\n");
  const kept = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at].trim();
    if (line === CHANNEL_CONTEXT) break;
    if (line.endsWith(CONTEXT_MARK)) at = endOfBlock(lines, at);
    else kept.push(lines[at]);
  }
  return kept.join("\n");
}

/**
 * Return the last line of a block: of JSON, or up to an empty line.
 *
 * @param {string[]} lines
 * @param {number} header
 */
function endOfBlock(lines, header) {
  const fenced = lines[header + 1]?.trim() === "```json";
  const end = lines.findIndex((line, at) => at > header + (fenced ? 1 : 0) && line.trim() === (fenced ? "```" : ""));
  return end < 0 ? lines.length : end;
}
