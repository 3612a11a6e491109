// Starts fauxqs on this machine only, with the time of its queues in a file, so that a test
// can let hours pass. It ends with the test, whose end of its input closes.
import fs from "node:fs";
import { isBuiltin, register } from "node:module";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

// Node 20 has no SQLite, which fauxqs needs only to keep queues over a restart.
if (!isBuiltin("node:sqlite")) {
  const stub = "data:text/javascript,export class DatabaseSync {}";
  const hook = `export const resolve = (name, context, next) => name === "node:sqlite"
    ? { url: ${JSON.stringify(stub)}, shortCircuit: true } : next(name, context);`;
  register("data:text/javascript," + encodeURIComponent(hook));
}

const dist = path.join(process.env.FAUXQS, "node_modules/fauxqs/dist");
const load = (name) => import(pathToFileURL(path.join(dist, name)));

Date.now = () => Number(fs.readFileSync(process.env.CLOCK_FILE, "ascii"));

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (options, ...rest) {
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest);
};

const { SqsQueue } = await load("sqs/sqsStore.js");
SqsQueue.prototype.waitForMessages = async function (seconds) {
  const until = Date.now() + seconds * 1000;
  while (this.messages.length === 0 && Date.now() < until) {
    await new Promise((done) => setTimeout(done, 5));
    this.processTimers();
  }
};

const { startFauxqs } = await load("app.js");
await startFauxqs({ port: Number(process.env.PORT), logger: false });
process.stdin.on("end", () => process.exit(0)).resume();
