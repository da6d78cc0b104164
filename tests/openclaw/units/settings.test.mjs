import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { grant } from "../../../plugins/tierkeep_openclaw/cli.js";
import { candidates, look } from "../../../plugins/tierkeep_openclaw/python.js";
import { ID, blockedHooks, readSettings } from "../../../plugins/tierkeep_openclaw/settings.js";
import { TOOL_NAMES } from "../../../plugins/tierkeep_openclaw/words.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../../plugins/tierkeep_openclaw/${name}`, import.meta.url), "utf8"));
const manifest = read("openclaw.plugin.json");

test("the manifest says what the code does", () => {
  assert.deepEqual([manifest.id, manifest.kind], [ID, "memory"]);
  assert.deepEqual(new Set(manifest.contracts.tools), TOOL_NAMES);
  const settings = readSettings({}, {}, "/state");
  for (const [name, { default: usual }] of Object.entries(manifest.configSchema.properties)) {
    if (usual === undefined || name === "webTools") continue;
    assert.deepEqual(settings[name] instanceof Set ? [...settings[name]] : settings[name], usual, name);
  }
  assert.deepEqual(Object.keys(manifest.uiHints).sort(), Object.keys(manifest.configSchema.properties).sort());
  assert.equal(settings.path, "/state/tierkeep");
});

test("the package needs nothing, and its entry is there", () => {
  const { dependencies, openclaw } = read("package.json");
  assert.equal(dependencies, undefined);
  assert.deepEqual(openclaw.extensions, ["./index.js"]);
});

test("setup grants what is needed and leaves the rest alone", () => {
  const draft = { plugins: { allow: ["other"], entries: { tierkeep: { hooks: { allowPromptInjection: false, timeoutMs: 5 }, config: { budget: 7 } } }, slots: { x: "y" } } };
  grant(draft, { python: "/usr/bin/python3" });
  assert.equal(blockedHooks(draft), "");
  assert.deepEqual(draft.plugins, {
    allow: ["other", "tierkeep"],
    entries: { tierkeep: { enabled: true, hooks: { allowConversationAccess: true, timeoutMs: 5 }, config: { budget: 7, python: "/usr/bin/python3" } } },
    slots: { x: "y", memory: "tierkeep" },
  });
  const empty = {};
  grant(empty, {});
  assert.equal(blockedHooks(empty), "");
});

test("what stands in the way of the hooks is said", () => {
  assert.match(blockedHooks({}), /allowConversationAccess is not true/);
  const entries = { tierkeep: { hooks: { allowConversationAccess: true, allowPromptInjection: false } } };
  assert.match(blockedHooks({ plugins: { entries } }), /allowPromptInjection is false/);
});

test("an active environment comes first when Python is looked for", () => {
  assert.deepEqual(candidates({ VIRTUAL_ENV: "/venv" }, "/recorded"), ["/venv/bin/python", "/recorded", "python3", "python"]);
  assert.deepEqual(candidates({}), ["python3", "python"]);
});

test("an interpreter that does not run is said to be none", async () => {
  const found = await look("/nowhere/python3");
  assert.equal(found.ok, false);
  assert.match(found.says, /\/nowhere\/python3 does not run/);
});
