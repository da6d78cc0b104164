import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { readSettings } from "../../../plugins/tierkeep_openclaw/settings.js";
import { Worker } from "../../../plugins/tierkeep_openclaw/worker.js";

const DOUBLE = path.join(path.dirname(fileURLToPath(import.meta.url)), "double.mjs");
export const SOON = { first: 5, last: 40 };

/** A log that remembers. */
export function logOf() {
  const said = { debug: [], info: [], warn: [], error: [] };
  const log = Object.fromEntries(Object.entries(said).map(([level, lines]) => [level, (line) => lines.push(line)]));
  return { ...log, said };
}

/** A worker over the double, what it was asked, and its log; ended with the test. */
export function workerOf(test, { manner = "", backoff = SOON, command = process.execPath } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), "tierkeep-units-"));
  const journal = path.join(folder, "journal");
  const log = logOf();
  const worker = new Worker({ command, args: [DOUBLE, journal, manner], cwd: folder }, log, backoff);
  test.after(async () => {
    await worker.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 }); // the double may be at its last words
  });
  const lines = () => (existsSync(journal) ? readFileSync(journal, "utf8").trim().split("\n") : []);
  return {
    worker,
    log,
    asked: () => lines().filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)),
    starts: () => lines().filter((line) => line.startsWith("started")).map((line) => Number(line.split(" ")[1])),
  };
}

/** Settings as an installation has them. */
export function settingsOf(given = {}, config = {}) {
  return readSettings({ deadlineMs: 5_000, ...given }, config, "/state");
}

/** Whether a process is there. */
export function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Wait until something holds. */
export async function until(holds, mostMs = 10_000) {
  const end = performance.now() + mostMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error("it did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
