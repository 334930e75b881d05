// Starts the server under test, and waits for things with a deadline.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { connect, errors } from "@nats-io/transport-node";

// How long anything may take before the test gives up. Never waited out in a run that passes.
export const PATIENCE = 20_000;
const POLL = 5;

function binary() {
  if (process.env.MIDGE_BIN) {
    return process.env.MIDGE_BIN;
  }
  const here = path.dirname(fileURLToPath(import.meta.url));
  const built = ["release", "debug"].map((profile) =>
    path.join(here, "../../../target", profile, "midge")
  );
  const found = built.find((candidate) => existsSync(candidate));
  if (!found) {
    throw new Error("build midge, or name a server in MIDGE_BIN");
  }
  return found;
}

/** Whether the server under test is the original. */
export function isReference() {
  return path.basename(binary()).includes("nats-server");
}

/** Fails with a message when the promise takes longer than anything may. */
export function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until the condition, which may be asynchronous, holds. */
export async function eventually(condition, what) {
  const deadline = Date.now() + PATIENCE;
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new Error(`not in time: ${typeof what === "function" ? what() : what}`);
    }
    await delay(POLL);
  }
}

async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

/** Whether a server on the port accepts and says who it is. */
export function greets(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const answer = (greeted) => {
      resolve(greeted);
      socket.destroy();
    };
    socket.setTimeout(2000, () => answer(false));
    socket.on("data", (chunk) => answer(chunk.toString().startsWith("INFO ")));
    socket.on("error", () => answer(false));
    socket.on("close", () => answer(false));
  });
}

class Server {
  constructor(flags) {
    this.flags = flags;
    this.clients = [];
  }

  /** Starts on a free port, which another process may take before the server does. */
  async start() {
    const refusals = [];
    while (refusals.length < 5) {
      this.port = await freePort();
      const refusal = await this.#launch();
      if (!refusal) {
        return;
      }
      refusals.push(refusal);
    }
    throw new Error(`the server did not start: ${refusals}`);
  }

  /** Starts a stopped server again, on the same port and with the same flags. */
  async startAgain() {
    // A client that keeps dialing can hold the port for an instant.
    await eventually(async () => !(await this.#launch()), "the restart");
  }

  async #launch() {
    const [hostFlag, portFlag] = isReference() ? ["-a", "-p"] : ["--host", "--port"];
    const address = [hostFlag, "127.0.0.1", portFlag, String(this.port)];
    const output = process.env.MIDGE_SERVER_OUTPUT ? "inherit" : "ignore";
    // Where no test asks for streams, servers must not share the store of that directory.
    const plain = isReference() || this.flags.includes("--store") ? [] : ["--no-store"];
    const child = spawn(binary(), [...address, ...this.flags, ...plain], { stdio: ["ignore", output, output] });
    this.child = child;
    this.ended = once(child, "exit");
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    let greeted = false;
    await eventually(async () => {
      greeted = await greets(this.port);
      // Looked at after the greeting, which may have come from another process on the port.
      return greeted || hasEnded();
    }, "INFO");
    return hasEnded() ? `the server ended: ${child.exitCode ?? child.signalCode}` : undefined;
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Asks the server to end and waits until it has. */
  async stop() {
    this.signal("SIGTERM");
    await inTime(this.ended, "an end on SIGTERM");
  }

  get url() {
    return `127.0.0.1:${this.port}`;
  }

  /** Connects, dialing again at once after a loss: the default waits seconds. */
  async connect(options = {}) {
    const client = await connect({
      servers: this.url,
      reconnectTimeWait: 10,
      reconnectJitter: 0,
      maxReconnectAttempts: -1,
      ...options,
    });
    this.clients.push(client);
    return client;
  }

  async close() {
    try {
      const closing = this.clients.map((client) => client.close());
      await inTime(Promise.all(closing), "closed clients");
    } finally {
      this.child?.kill("SIGKILL");
      await this.ended;
    }
  }
}

/** A server for one test, ended with it. */
export async function startServer(test, ...flags) {
  const server = new Server(flags);
  test.after(() => server.close());
  await server.start();
  return server;
}

/** A server that keeps streams, in a directory of its own. */
export async function startStore(test) {
  const directory = await mkdtemp(path.join(os.tmpdir(), "midge-interop-"));
  const flags = isReference()
    ? ["-js", "-sd", directory]
    : ["--store", path.join(directory, "midge.redb")];
  const server = new Server(flags);
  test.after(async () => {
    await server.close();
    await rm(directory, { recursive: true });
  });
  await server.start();
  return server;
}

/** Records the status events of a client. */
export class Events {
  constructor(client) {
    this.seen = [];
    this.#record(client.status());
  }

  async #record(statuses) {
    for await (const status of statuses) {
      // The client reports an update with every INFO, though it may bring no other server.
      if (status.type !== "update" || status.added.length > 0 || status.deleted.length > 0) {
        this.seen.push(status);
      }
    }
  }

  types() {
    return this.seen.map((status) => status.type);
  }

  async until(type, count = 1) {
    const arrived = () => this.types().filter((seen) => seen === type).length >= count;
    await eventually(arrived, `${count} ${type}`);
  }
}

// A subscription allows for one iterator, so a test that takes twice goes on with the first.
const iterators = new WeakMap();

/** The next messages of a subscription. */
export async function take(subscription, count) {
  if (!iterators.has(subscription)) {
    iterators.set(subscription, subscription[Symbol.asyncIterator]());
  }
  const iterator = iterators.get(subscription);
  const messages = [];
  const taking = (async () => {
    while (messages.length < count) {
      const { value, done } = await iterator.next();
      if (done) {
        throw new Error(`the subscription ended after ${messages.length} of ${count}`);
      }
      messages.push(value);
    }
  })();
  await inTime(taking, `${count} messages`);
  return messages;
}

/** What an iterator has, until it ends or as many have come. */
export async function collect(iterator, count = Infinity) {
  const items = [];
  const collecting = (async () => {
    for await (const item of iterator) {
      items.push(item);
      if (items.length === count) {
        break;
      }
    }
  })();
  await inTime(collecting, `an end, or ${count}`);
  return items;
}

/** The payloads of the next messages, as text. */
export async function takeTexts(subscription, count) {
  return (await take(subscription, count)).map((message) => message.string());
}

/** Whether a request failed because nobody listens, however the client wraps that. */
export function foundNobody(error) {
  return [error, error.cause].some((each) => each instanceof errors.NoRespondersError);
}

/** Whether a request failed because nobody answered in time. */
export function timedOut(error) {
  return [error, error.cause].some((each) => each instanceof errors.TimeoutError);
}

/** Distinct payloads, in their order. */
export function numbers(count) {
  return Array.from({ length: count }, (_, index) => String(index));
}
