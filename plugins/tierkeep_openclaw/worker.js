/**
 * The Python process behind the plugin: one JSON request a line, one JSON reply a line. It is started when it is first needed, started
 * again when it dies, each time after a longer pause, and ends with this process: its input is a pipe, and the end of that is its end.
 */

import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { performance } from "node:perf_hooks";

/** Milliseconds before a worker that died is started again: doubled each time, up to the end. */
const BACKOFF_MS = { first: 250, last: 30_000 };
/** Milliseconds after which a worker counts as healthy, and its next death as the first. */
const HEALTHY_MS = 30_000;
/** Deaths in a row that are each said loudly; of those after them, one in so many. */
const LOUD = 3;
const RARELY = 20;
/** Requests in a row without any reply, after which a worker counts as hung and is ended. */
const HUNG_AFTER = 3;
/** Requests that may wait at once; more than a gateway's turns ever make. */
const MOST_PENDING = 256;
/** Characters of one reply; a worker that says more in one line is broken. */
const MOST_LINE = 16_000_000;
/** Characters of one line of the log. */
const MOST_LOGGED = 2_000;

/** Why a request has no reply. `code` is "down", "timeout", "busy", "stopped", or the name of an error of tierkeep's. */
export class WorkerError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "WorkerError";
    this.code = code;
  }
}

/**
 * @typedef {object} Log
 * @property {(message: string) => void} info
 * @property {(message: string) => void} warn
 * @property {(message: string) => void} error
 *
 * @typedef {object} Command
 * @property {string} command Interpreter.
 * @property {string[]} args
 * @property {string} cwd Folder to start in.
 * @property {NodeJS.ProcessEnv} [env]
 */

/** A worker process and the requests to it. */
export class Worker {
  #command;
  #log;
  #backoff;
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  /** @type {Record<string, any> | undefined} What the worker said of itself; it is ready then. */
  #hello;
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void, timer: NodeJS.Timeout}>} */
  #pending = new Map();
  #changed = new EventEmitter().setMaxListeners(0);
  #number = 0;
  #deaths = 0;
  #unanswered = 0;
  #startedAt = 0;
  #restartAt = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #restart;
  #stopped = false;
  #lastWords = "";

  /**
   * @param {Command} command How to start it.
   * @param {Log} log Where what it complains about goes.
   * @param {{first: number, last: number}} [backoff] Milliseconds between a death and the next start.
   */
  constructor(command, log, backoff = BACKOFF_MS) {
    this.#command = command;
    this.#log = log;
    this.#backoff = backoff;
  }

  /** The process id of the worker; undefined while there is none. */
  get pid() {
    return this.#child?.pid;
  }

  /** Whether it was stopped: it answers nothing any more, and is not started again. */
  get stopped() {
    return this.#stopped;
  }

  /** Start the worker, unless it runs, is about to be started again, or was stopped. */
  start() {
    if (this.#stopped || this.#child || this.#restart) return;
    const { command, args, cwd, env } = this.#command;
    this.#startedAt = performance.now();
    const child = spawn(command, args, { cwd, env: env ?? process.env, stdio: ["pipe", "pipe", "pipe"], windowsHide: true });
    this.#child = child;
    this.#unanswered = 0;
    child.once("error", (error) => this.#died(child, error.message)); // there is no such interpreter
    child.once("close", (code, signal) => this.#died(child, signal ?? `exit code ${code}`));
    child.stdin.on("error", () => {}); // a pipe that broke: its process is gone, which "close" says
    eachLine(child.stdout, (line) => this.#heard(line), () => child.kill("SIGKILL"));
    eachLine(child.stderr, (line) => this.#complained(line));
    // An idle worker must not keep a command of the host's alive.
    for (const part of /** @type {any[]} */ ([child, child.stdin, child.stdout, child.stderr])) part.unref?.();
  }

  /**
   * Ask the worker, and start it when it does not run.
   *
   * @param {string} method
   * @param {object} params
   * @param {number} deadlineMs Milliseconds until this gives up, starting included.
   * @returns {Promise<any>} What the worker replied.
   * @throws {WorkerError}
   */
  async request(method, params, deadlineMs) {
    const until = performance.now() + deadlineMs;
    await this.#ready(until);
    return await this.#ask(method, params, until);
  }

  /**
   * Do the same, and once more when the worker dies meanwhile. For requests that may be made twice.
   *
   * @param {string} method
   * @param {object} params
   * @param {number} deadlineMs
   */
  async requestAgain(method, params, deadlineMs) {
    const until = performance.now() + deadlineMs;
    try {
      return await this.request(method, params, deadlineMs);
    } catch (error) {
      if (!(error instanceof WorkerError) || error.code !== "down" || performance.now() >= until) throw error;
      return await this.request(method, params, until - performance.now());
    }
  }

  /**
   * End the worker: what was asked for is done first, and nothing is left running.
   *
   * @param {number} [graceMs] Milliseconds that it may take; it is killed after that.
   */
  async stop(graceMs = 3_000) {
    this.#stopped = true;
    clearTimeout(this.#restart);
    this.#restart = undefined;
    const child = this.#child;
    if (child) {
      const gone = new Promise((resolve) => child.once("close", resolve));
      const killer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      child.ref();
      child.stdin?.end();
      await gone;
      clearTimeout(killer);
    }
    this.#changed.emit("change");
  }

  /** @param {number} until */
  async #ready(until) {
    while (!this.#hello) {
      if (this.#stopped) throw new WorkerError("stopped", "the memory's worker was stopped");
      if (!this.#child && this.#restart && this.#restartAt >= until) {
        throw new WorkerError("down", `the memory's worker is down: ${this.#lastWords || "it ended"}`);
      }
      this.start();
      const left = until - performance.now();
      if (left <= 0) throw new WorkerError("timeout", "the memory's worker is still starting");
      await this.#change(left);
    }
  }

  /** @param {number} mostMs */
  #change(mostMs) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#changed.off("change", done);
        resolve(undefined);
      };
      const timer = setTimeout(done, mostMs);
      this.#changed.on("change", done);
    });
  }

  /**
   * @param {string} method
   * @param {object} params
   * @param {number} until
   */
  #ask(method, params, until) {
    if (this.#pending.size >= MOST_PENDING) throw new WorkerError("busy", `${MOST_PENDING} requests wait for the memory's worker already`);
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#late(id, method), Math.max(until - performance.now(), 0));
      this.#pending.set(id, { resolve, reject, timer });
      this.#child?.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  /**
   * @param {number} id
   * @param {string} method
   */
  #late(id, method) {
    this.#settle(id)?.reject(new WorkerError("timeout", `the memory's worker did not answer ${method} in time`));
    this.#unanswered += 1;
    if (this.#unanswered >= HUNG_AFTER && this.#child) {
      this.#log.error(`the worker has not answered ${HUNG_AFTER} requests in a row: it is ended and started again`);
      const child = this.#child;
      child.kill("SIGKILL");
      this.#died(child, "it hung");
    }
  }

  /** @param {number} id */
  #settle(id) {
    const waiting = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  /** @param {string} line */
  #heard(line) {
    let reply;
    try {
      reply = JSON.parse(line);
    } catch {
      this.#log.warn(`the worker said something that is no reply: ${line.slice(0, MOST_LOGGED)}`);
      return;
    }
    this.#unanswered = 0;
    if (reply?.hello) {
      this.#hello = reply.hello;
      this.#lastWords = "";
      this.#log.info(`memory ready: tierkeep ${reply.hello.version}, ${reply.hello.store} (process ${reply.hello.pid})`);
      this.#changed.emit("change");
      return;
    }
    const waiting = this.#settle(reply?.id);
    if (reply?.error) waiting?.reject(new WorkerError(reply.error.code, reply.error.message));
    else waiting?.resolve(reply?.result);
  }

  /** @param {string} line */
  #complained(line) {
    this.#lastWords = line.slice(0, MOST_LOGGED);
    if (this.#hello) this.#log.warn(`worker: ${this.#lastWords}`); // before that, the last words say why it does not start
  }

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {string} how
   */
  #died(child, how) {
    if (this.#child !== child) return; // told before
    const wasReady = this.#hello !== undefined;
    this.#child = this.#hello = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(new WorkerError("down", `the memory's worker ended: ${how}`));
    if (!this.#stopped) this.#again(how, wasReady && performance.now() - this.#startedAt > HEALTHY_MS);
    this.#changed.emit("change");
  }

  /**
   * @param {string} how
   * @param {boolean} wasHealthy
   */
  #again(how, wasHealthy) {
    this.#deaths = wasHealthy ? 1 : this.#deaths + 1;
    const pause = Math.min(this.#backoff.first * 2 ** (this.#deaths - 1), this.#backoff.last);
    const why = this.#lastWords ? `${how}: ${this.#lastWords}` : how;
    const text = `the worker ended (${why}); it is started again in ${pause / 1000} s. ${advice(this.#command.command, why)}`.trim();
    if (this.#deaths <= LOUD || this.#deaths % RARELY === 0) this.#log.error(text);
    this.#restartAt = performance.now() + pause;
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.start();
    }, pause);
    this.#restart.unref();
  }
}

/**
 * Return what to do about a worker that does not start, or "" when its last words tell nothing.
 *
 * @param {string} python
 * @param {string} lastWords
 */
export function advice(python, lastWords) {
  if (/No module named .?(tierkeep|pydantic|numpy)/.test(lastWords)) {
    return `tierkeep is not installed for ${python}. Run: ${python} -m pip install tierkeep`;
  }
  if (/ENOENT/.test(lastWords)) return `There is no ${python}. Run: openclaw tierkeep setup --python /path/to/python3`;
  return "";
}

/**
 * Call a function with each line of a stream.
 *
 * @param {import("node:stream").Readable} stream
 * @param {(line: string) => void} take
 * @param {() => void} [tooLong] Called when a line has no end.
 */
function eachLine(stream, take, tooLong = () => {}) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) take(line);
    if (rest.length > MOST_LINE) {
      rest = "";
      tooLong();
    }
  });
}
