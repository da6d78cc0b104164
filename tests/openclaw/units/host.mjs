/** A host that starts a worker and then ends: by itself, because nothing is left to do, or by a signal that nobody can catch. */

import { workerOf } from "./helpers.mjs";

const { worker } = workerOf({ after: () => {} });
await worker.request("echo", {}, 10_000);
process.stdout.write(`${worker.pid}\n`);
if (process.argv[2] === "SIGKILL") setTimeout(() => process.kill(process.pid, "SIGKILL"), 50);
