/** Stands for the Python worker in tests of the plugin: the same protocol, and each way in which a process can fail, by the name of a method. */

import { appendFileSync } from "node:fs";
import readline from "node:readline";

const [journal, manner] = process.argv.slice(2);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

if (manner === "no-module") {
  process.stderr.write("/usr/bin/python3: No module named tierkeep_mcp\n");
  process.exit(1);
}
appendFileSync(journal, `started ${process.pid}\n`);
if (manner !== "mute") say({ hello: { verbs: [], name: "tierkeep", version: "0", pid: process.pid, store: "double" } });

const deeds = {
  echo: (params) => params,
  die: () => process.exit(3),
  silence: () => undefined,
  refuse: () => {
    throw Object.assign(new Error("this owner has no such memory"), { code: "NotFoundError" });
  },
  "turn.recall": (params) => ({ text: `<memory-1>${params.text}</memory-1>`, tokens: 3, ids: ["e1"], partial: false, note: "" }),
  "turn.keep": (params) => ({ ids: params.messages.map((message) => message.id), failed: "" }),
  store: (params) => (params.text.startsWith("Instead") ? { ids: [], note: "it rests on what is gone" } : { ids: ["s1"], note: "" }),
  recall: () => ({ memories: [], note: "" }),
  forget: () => ({ forgotten: 1, note: "" }),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  appendFileSync(journal, `${line}\n`);
  if (method === "noise") process.stdout.write("this is no reply\n\n");
  if (method === "die-once" && !params.again) process.exit(3);
  try {
    const result = (deeds[method] ?? deeds.echo)(params);
    if (result !== undefined) say({ id, result });
  } catch (error) {
    say({ id, error: { code: error.code, message: error.message } });
  }
});
