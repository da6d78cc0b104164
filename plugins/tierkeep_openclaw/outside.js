/**
 * What the web said, without what the host put around it: a notice about untrusted content, which reads like an attack to a guard that
 * looks for orders, fences, and the bookkeeping of the tool and of tool search.
 */

/** The host's notice, as text and inside JSON. */
const NOTICE = /SECURITY NOTICE: The following content is from an EXTERNAL[\s\S]*?Send messages to third parties(?:\\n|\s)*/g;
const FENCES = [
  /<<<(?:END_)?EXTERNAL_UNTRUSTED_CONTENT\b[^>]*>>>/g,
  /\[\[(?:END_)?MARKER_SANITIZED\]\]/g,
  /^\s*Source: [^\n]*\n---\n/,
];
/** Envelopes within envelopes that are opened. */
const DEEPEST = 4;

/**
 * Return what was found outside; the whole text when it is of no form that we know.
 *
 * @param {string} text A tool's result as the model saw it.
 */
export function outside(text) {
  return opened(text.replace(NOTICE, ""), 0);
}

/**
 * @param {string} text
 * @param {number} depth
 * @returns {string}
 */
function opened(text, depth) {
  const bare = unfenced(text);
  const inside = depth < DEEPEST ? contentOf(bare) : undefined;
  return inside === undefined ? bare : opened(inside, depth + 1);
}

/** @param {string} text */
function unfenced(text) {
  return FENCES.reduce((left, fence) => left.replace(fence, ""), text).trim();
}

/**
 * Return the text inside an envelope: of tool search, of a tool, or of the fetch tool.
 *
 * @param {string} text
 * @returns {string | undefined}
 */
function contentOf(text) {
  if (!text.startsWith("{")) return undefined;
  try {
    const found = JSON.parse(text);
    const parts = found.result?.content ?? found.content;
    if (Array.isArray(parts)) return parts.map((part) => part?.text ?? "").join("\n");
    if (typeof found.text !== "string") return undefined;
    return [found.title, unfenced(found.text)].filter((part) => typeof part === "string").join("\n");
  } catch {
    return undefined; // cut off, or only looks like JSON
  }
}
