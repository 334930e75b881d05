// The connection itself: who is there, who may, and what happens when it breaks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "@nats-io/transport-node";

import {
  PATIENCE,
  Events,
  eventually,
  greets,
  numbers,
  startServer,
  takeTexts,
} from "./harness.js";

test("the server introduces itself", async (t) => {
  const server = await startServer(t);
  const [client, other] = [await server.connect(), await server.connect()];
  const { info } = client;
  assert.equal(info.port, server.port);
  assert.equal(info.host, "127.0.0.1");
  assert.equal(info.client_ip, "127.0.0.1");
  assert.equal(info.proto, 1);
  assert.equal(info.headers, true);
  assert.ok(info.server_id && info.server_name);
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  for (const absent of ["auth_required", "tls_required", "jetstream", "ldm", "nonce"]) {
    assert.ok(!info[absent], absent);
  }
  assert.equal(other.info.server_id, info.server_id);
  assert.notEqual(other.info.client_id, info.client_id);
});

test("verbose and pedantic clients with any name are served", async (t) => {
  const server = await startServer(t);
  const name = 'with "quotes", \\ and ünïcode ☕';
  const client = await server.connect({ verbose: true, pedantic: true, name });
  const events = new Events(client);
  const subscription = client.subscribe("news");
  for (const text of numbers(100)) {
    client.publish("news", text);
  }
  assert.deepEqual(await takeTexts(subscription, 100), numbers(100));
  await client.flush();
  assert.deepEqual(events.types(), []);
});

test("messages and bytes are counted", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const subscription = client.subscribe("numbers");
  for (const _ of numbers(100)) {
    client.publish("numbers", "0123456789");
  }
  await takeTexts(subscription, 100);
  assert.deepEqual(client.stats(), {
    inBytes: 1000,
    outBytes: 1000,
    inMsgs: 100,
    outMsgs: 100,
  });
  assert.ok((await client.rtt()) >= 0);
});

test("user and password, or a token, are checked", async (t) => {
  const byPassword = await startServer(t, "--user", "alice", "--pass", "s3cr3t \"ü\"");
  const byToken = await startServer(t, "--auth", "s3cr3t \"ü\"");
  const right = { user: "alice", pass: "s3cr3t \"ü\"" };
  const cases = [
    [byPassword, right, [{}, { ...right, pass: "wrong" }, { ...right, user: "bob" }]],
    [byToken, { token: "s3cr3t \"ü\"" }, [{}, { token: "wrong" }]],
  ];
  for (const [server, accepted, refused] of cases) {
    for (const options of refused) {
      await assert.rejects(
        connect({ servers: server.url, reconnect: false, ...options }),
        { name: "AuthorizationError" },
        JSON.stringify(options),
      );
    }
    const client = await server.connect(accepted);
    assert.equal(client.info.auth_required, true);
    const inside = client.subscribe("inside");
    client.publish("inside", "hello");
    assert.deepEqual(await takeTexts(inside, 1), ["hello"]);
  }
});

test("subscriptions come back after a restart", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const events = new Events(client);
  const plain = client.subscribe("plain");
  const wild = client.subscribe("*");
  const member = client.subscribe("plain", { queue: "w" });
  const firstServer = client.info.server_id;
  client.publish("plain", "before");
  for (const subscription of [plain, wild, member]) {
    assert.deepEqual(await takeTexts(subscription, 1), ["before"]);
  }

  await server.stop();
  await events.until("disconnect");
  await server.startAgain();
  await events.until("reconnect");
  await client.flush();
  const other = await server.connect();
  other.publish("plain", "after");

  for (const subscription of [plain, wild, member]) {
    assert.deepEqual(await takeTexts(subscription, 1), ["after"]);
  }
  await client.flush();
  assert.equal(plain.getPending() + wild.getPending() + member.getPending(), 0);
  assert.notEqual(client.info.server_id, firstServer);
  assert.ok(!events.types().includes("error"));
});

test("requests work after a restart", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const events = new Events(client);
  client.subscribe("shout", {
    callback: (_, message) => message.respond(message.string().toUpperCase()),
  });
  assert.equal((await client.request("shout", "before", { timeout: PATIENCE })).string(), "BEFORE");
  server.signal("SIGKILL");
  await events.until("disconnect");
  await server.startAgain();
  await events.until("reconnect");
  assert.equal((await client.request("shout", "after", { timeout: PATIENCE })).string(), "AFTER");
});

test("a client gives up after its last attempt", async (t) => {
  const server = await startServer(t);
  const client = await server.connect({ maxReconnectAttempts: 3 });
  await server.stop();
  const reason = await client.closed();
  assert.equal(reason.name, "ConnectionError");
  assert.ok(client.isClosed());
});

test("a lame duck warns, still serves, and takes no new connections", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const events = new Events(client);
  const news = client.subscribe("news");
  await client.flush();

  server.signal("SIGUSR2");
  await events.until("ldm");

  assert.equal(client.info.ldm, true);
  assert.equal(client.info.max_payload, 1024 * 1024, "the warning is a complete INFO");
  client.publish("news", "still here");
  assert.deepEqual(await takeTexts(news, 1), ["still here"]);
  assert.deepEqual(events.types(), ["ldm"]);
  await eventually(async () => !(await greets(server.port)), "a closed door");
});

test("an idle connection is kept up by pings", async (t) => {
  const server = await startServer(t);
  const client = await server.connect({ pingInterval: 250, maxPingOut: 2 });
  const events = new Events(client);
  // A third ping unanswered would end the connection.
  await events.until("ping", 5);
  assert.deepEqual([...new Set(events.types())], ["ping"]);
});

test("a subscription to an invalid subject is an error, and no end", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const events = new Events(client);
  client.subscribe("a..b");
  await events.until("error");
  assert.match(events.seen[0].error.message, /invalid subject/i);
  await client.flush();
  assert.deepEqual(events.types(), ["error"]);
});
