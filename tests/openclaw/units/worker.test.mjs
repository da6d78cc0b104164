import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { advice } from "../../../plugins/tierkeep_openclaw/worker.js";
import { lives, until, workerOf } from "./helpers.mjs";

const LONG = 10_000;

test("a request starts the worker and gets its reply", async (t) => {
  const { worker, starts } = workerOf(t);
  assert.deepEqual(starts(), []);
  assert.deepEqual(await worker.request("echo", { a: 1 }, LONG), { a: 1 });
  assert.equal(starts().length, 1);
});

test("many requests at once each get their own reply, from one worker", async (t) => {
  const { worker, starts } = workerOf(t);
  const replies = await Promise.all(Array.from({ length: 100 }, (_, n) => worker.request("echo", { n }, LONG)));
  assert.deepEqual(replies.map((reply) => reply.n), Array.from({ length: 100 }, (_, n) => n));
  assert.equal(starts().length, 1);
});

test("text of every kind arrives as it was sent", async (t) => {
  const { worker } = workerOf(t);
  const text = "Zürich\n東京 🦊 \u2028\u0000 \ud800 <memory-1>";
  assert.equal((await worker.request("echo", { text }, LONG)).text, text);
});

test("an error of the memory's keeps its name", async (t) => {
  const { worker } = workerOf(t);
  await assert.rejects(worker.request("refuse", {}, LONG), { code: "NotFoundError", message: "this owner has no such memory" });
});

test("a request that is not answered in time is given up, and a late worker is not ended", async (t) => {
  const { worker } = workerOf(t);
  await worker.request("echo", {}, LONG);
  const pid = worker.pid;
  await assert.rejects(worker.request("silence", {}, 50), { code: "timeout" });
  await worker.request("echo", {}, LONG);
  assert.equal(worker.pid, pid);
});

test("a worker that answers nothing at all is ended and started again", async (t) => {
  const { worker, starts, log } = workerOf(t);
  await worker.request("echo", {}, LONG);
  for (let n = 0; n < 3; n += 1) await assert.rejects(worker.request("silence", {}, 30), { code: "timeout" });
  assert.deepEqual(await worker.request("echo", { back: true }, LONG), { back: true });
  assert.equal(starts().length, 2);
  assert.match(log.said.error[0], /has not answered 3 requests/);
});

test("when the worker dies, what waits is told at once, and the next request gets a new worker", async (t) => {
  const { worker, starts, log } = workerOf(t);
  const waiting = worker.request("silence", {}, LONG);
  await until(() => worker.pid !== undefined);
  await assert.rejects(Promise.all([waiting, worker.request("die", {}, LONG)]), { code: "down" });
  assert.deepEqual(await worker.request("echo", { back: true }, LONG), { back: true });
  assert.equal(starts().length, 2);
  assert.match(log.said.error[0], /ended \(exit code 3\); it is started again/);
});

test("a request that may be made twice is made again when the worker dies over it", async (t) => {
  const { worker, starts } = workerOf(t);
  await worker.request("echo", {}, LONG);
  process.kill(worker.pid, "SIGSTOP");
  const waiting = worker.requestAgain("echo", { kept: true }, LONG);
  process.kill(worker.pid, "SIGKILL");
  assert.deepEqual(await waiting, { kept: true });
  assert.equal(starts().length, 2);
});

test("the pause before each start is longer, and the log does not fill up", async (t) => {
  const { worker, log } = workerOf(t, { manner: "no-module" });
  const failed = async () => await worker.request("echo", {}, 3).catch((error) => error.code);
  let tries = 0;
  while (log.said.error.length < 3 || tries < 40) tries += (await failed()) ? 1 : 0;
  const pauses = log.said.error.map((line) => Number(/again in ([\d.]+) s/.exec(line)[1]));
  assert.deepEqual(pauses, [0.005, 0.01, 0.02]);
  assert.deepEqual(log.said.warn, []);
  assert.match(log.said.error[0], /tierkeep is not installed for .*pip install tierkeep/);
});

test("while the worker is down for longer than the deadline, a request fails at once", async (t) => {
  const { worker, log } = workerOf(t, { manner: "no-module", backoff: { first: 60_000, last: 60_000 } });
  await assert.rejects(worker.request("echo", {}, LONG), { code: "down" });
  const began = performance.now();
  await assert.rejects(worker.request("echo", {}, LONG), { code: "down", message: /No module named tierkeep_mcp/ });
  assert.ok(performance.now() - began < 1_000);
  assert.equal(log.said.error.length, 1);
});

test("an interpreter that does not exist is an error that says what to do", async (t) => {
  const { worker, log } = workerOf(t, { command: "/nowhere/python3", backoff: { first: 60_000, last: 60_000 } });
  await assert.rejects(worker.request("echo", {}, LONG), { code: "down" });
  assert.match(log.said.error[0], /There is no \/nowhere\/python3. Run: openclaw tierkeep setup/);
});

test("a worker that says nothing after its start costs no more than the deadline", async (t) => {
  const { worker } = workerOf(t, { manner: "mute" });
  const began = performance.now();
  await assert.rejects(worker.request("echo", {}, 100), { code: "timeout", message: /still starting/ });
  assert.ok(performance.now() - began < 2_000);
});

test("what is no reply is logged and passed over", async (t) => {
  const { worker, log } = workerOf(t);
  assert.deepEqual(await worker.request("noise", { n: 1 }, LONG), { n: 1 });
  assert.match(log.said.warn[0], /no reply: this is no reply/);
});

test("stopping ends the process, finishes what was asked, and refuses what comes later", async (t) => {
  const { worker, starts } = workerOf(t);
  const first = worker.request("echo", { n: 1 }, LONG);
  await until(() => starts().length === 1);
  await first;
  const last = worker.request("echo", { n: 2 }, LONG);
  await new Promise((resolve) => setImmediate(resolve));
  await worker.stop();
  assert.deepEqual(await last, { n: 2 });
  assert.equal(lives(starts()[0]), false);
  await assert.rejects(worker.request("echo", {}, LONG), { code: "stopped" });
  assert.equal(starts().length, 1);
});

test("a worker that does not end by itself is killed", async (t) => {
  const { worker, starts } = workerOf(t);
  await worker.request("echo", {}, LONG);
  process.kill(worker.pid, "SIGSTOP");
  await worker.stop(100);
  assert.equal(lives(starts()[0]), false);
});

test("stopping what never ran, or twice, does nothing", async (t) => {
  const { worker, starts } = workerOf(t);
  await Promise.all([worker.stop(), worker.stop()]);
  assert.deepEqual(starts(), []);
});

for (const end of ["exit", "SIGKILL"]) {
  test(`a host that ends by ${end} takes its worker along, and an idle worker does not keep it alive`, async () => {
    const host = spawn(process.execPath, [fileURLToPath(new URL("host.mjs", import.meta.url)), end], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    host.stdout.on("data", (chunk) => (said += chunk));
    await new Promise((resolve) => host.on("close", resolve));
    const pid = Number(said);
    assert.ok(pid > 0);
    await until(() => !lives(pid));
  });
}

test("advice is given only where something can be done", () => {
  assert.match(advice("python3", "/usr/bin/python3: No module named tierkeep_mcp"), /^tierkeep is not installed for python3/);
  assert.equal(advice("python3", "exit code 1"), "");
});
