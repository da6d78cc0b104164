import assert from "node:assert/strict";
import { test } from "node:test";
import { personOf, skipped } from "../../../plugins/tierkeep_openclaw/scope.js";
import { settingsOf } from "./helpers.mjs";

const OWNED = { commands: { ownerAllowFrom: ["telegram:1"] } };

for (const [name, who, given, config, expected] of [
  ["the operator on webchat", { channel: "webchat" }, {}, {}, ["owner", true]],
  ["the operator's command line", { channel: "webchat", senderId: "cli" }, {}, {}, ["owner", true]],
  ["the gateway's own API", {}, {}, {}, ["owner", true]],
  ["a sender", { channel: "telegram", senderId: "7" }, {}, {}, ["telegram:7", false]],
  ["the same id on another channel", { channel: "discord", senderId: "7" }, {}, {}, ["discord:7", false]],
  ["the owner on a channel", { channel: "Telegram", senderId: "1" }, {}, OWNED, ["owner", true]],
  ["the owner by the plugin's settings", { channel: "signal", senderId: "+49" }, { owners: ["signal:+49"] }, {}, ["owner", true]],
  ["the owner by a bare id", { channel: "signal", senderId: "+49" }, { owners: ["+49"] }, {}, ["owner", true]],
  ["an open allowlist", { channel: "telegram", senderId: "7" }, {}, { commands: { ownerAllowFrom: ["*"] } }, ["telegram:7", false]],
  ["one person on two channels", { channel: "discord", senderId: "8" }, {}, { session: { identityLinks: { ben: ["discord:8"] } } }, ["ben", false]],
  ["the owner through a link", { channel: "discord", senderId: "8" }, { owners: ["ana"] }, { session: { identityLinks: { ana: ["discord:8"] } } }, ["owner", true]],
  ["a shared memory", { channel: "telegram", senderId: "7" }, { scope: "agent" }, {}, ["owner", false]],
]) {
  test(`whose memory: ${name}`, () => {
    const person = personOf({ agentId: "main", sessionId: "s", ...who }, settingsOf(given, config));
    assert.deepEqual([person.owner.user, person.isOwner], expected);
    assert.deepEqual([person.owner.agent, person.owner.session], ["main", "s"]);
  });
}

for (const [name, who] of [
  ["no agent", { channel: "webchat" }],
  ["a blank agent", { agentId: " ", channel: "webchat" }],
  ["a channel that names no sender", { agentId: "main", channel: "telegram" }],
  ["a sender of no channel", { agentId: "main", senderId: "7" }],
]) {
  test(`nobody's memory: ${name}`, () => assert.equal(personOf(who, settingsOf()), undefined));
}

for (const ctx of [
  { trigger: "cron" },
  { trigger: "heartbeat" },
  { trigger: "memory" },
  { trigger: "user", inputProvenance: { kind: "inter_session" } },
  { trigger: "user", inputProvenance: { kind: "internal_system" } },
  { trigger: "user", sessionKey: "agent:main:subagent:1" },
  { trigger: "user", sessionKey: "agent:main:main:subagent:1" },
  { trigger: "user", sessionKey: "agent:main:cron:job:run:1" },
  { trigger: "user", sessionKey: "agent:main:hook:mail" },
  { trigger: "user", sessionKey: "agent:main:dreaming-narrative-rem-1" },
]) {
  test(`nobody speaks in ${JSON.stringify(ctx)}`, () => assert.notEqual(skipped(ctx), ""));
}

for (const ctx of [
  {},
  { trigger: "user" },
  { trigger: "manual", sessionKey: "agent:main:main" },
  { trigger: "user", sessionKey: "agent:cron:main", inputProvenance: { kind: "external_user" } },
  { trigger: "user", sessionKey: "agent:main:telegram:direct:subagent7" },
  { trigger: "user", sessionKey: "agent:main:telegram:group:-100" },
]) {
  test(`somebody speaks in ${JSON.stringify(ctx)}`, () => assert.equal(skipped(ctx), ""));
}
