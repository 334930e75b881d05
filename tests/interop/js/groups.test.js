// Priority groups, lifetimes and schedules: what the client asks of servers that are new enough.

import assert from "node:assert/strict";
import { test } from "node:test";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";

import { PATIENCE, collect, eventually, inTime, startStore } from "./harness.js";

async function started(t) {
  const server = await startStore(t);
  const client = await server.connect();
  const options = { timeout: PATIENCE };
  return {
    client,
    js: jetstream(client, options),
    jsm: await jetstreamManager(client, options),
  };
}

/** A stream Q of so many messages, and a consumer c of it with a group g. */
async function grouped({ js, jsm }, policy, count) {
  await jsm.streams.add({ name: "Q", subjects: ["q.>"] });
  for (let number = 1; number <= count; number++) {
    await js.publish("q.a", String(number));
  }
  await jsm.consumers.add("Q", {
    durable_name: "c",
    ack_policy: "explicit",
    priority_groups: ["g"],
    priority_policy: policy,
  });
  return js.consumers.get("Q", "c");
}

async function taken(consumer, options) {
  const messages = await inTime(collect(await consumer.fetch(options)), "a fetch");
  for (const message of messages) message.ack();
  return messages.map((message) => message.string());
}

test("who asks for overflow waits until there is enough", async (t) => {
  const at = await started(t);
  const consumer = await grouped(at, "overflow", 2);
  const overflow = { group: "g", max_messages: 2, expires: 1000 };
  assert.deepEqual(await taken(consumer, { ...overflow, min_pending: 3 }), []);
  assert.deepEqual(await taken(consumer, { ...overflow, min_pending: 2 }), ["1"]);
  assert.deepEqual(await taken(consumer, { ...overflow, max_messages: 1 }), ["2"]);
});

test("one client is pinned, until it is unpinned", async (t) => {
  const at = await started(t);
  const consumer = await grouped(at, "pinned_client", 0);
  const other = await at.js.consumers.get("Q", "c");
  const got = { first: [], second: [] };
  const consume = (from, into) =>
    from.consume({
      group: "g",
      max_messages: 10,
      callback: (message) => {
        into.push(message.string());
        message.ack();
      },
    });
  const first = await consume(consumer, got.first);
  await at.js.publish("q.a", "1");
  await eventually(() => got.first.length === 1, "the first");
  const second = await consume(other, got.second);
  await at.js.publish("q.a", "2");
  await eventually(() => got.first.length === 2, "the first again");
  const [group] = (await at.jsm.consumers.info("Q", "c")).priority_groups;
  assert.equal(group.group, "g");
  assert.ok(group.pinned_client_id);
  await first.close();
  await at.jsm.consumers.unpin("Q", "c", "g");
  await at.js.publish("q.a", "3");
  await eventually(() => got.second.length === 1, "the second");
  assert.deepEqual([got.first, got.second], [["1", "2"], ["3"]]);
  await second.close();
});

test("the lower number is served first", async (t) => {
  const at = await started(t);
  const consumer = await grouped(at, "prioritized", 0);
  const waiting = async () => (await at.jsm.consumers.info("Q", "c")).num_waiting;
  const request = { group: "g", max_messages: 1, expires: PATIENCE };
  const low = taken(consumer, { ...request, priority: 5 });
  await eventually(async () => (await waiting()) === 1, "the low one");
  const high = taken(await at.js.consumers.get("Q", "c"), { ...request, priority: 1 });
  await eventually(async () => (await waiting()) === 2, "the high one");
  await at.js.publish("q.a", "1");
  assert.deepEqual(await high, ["1"]);
  await at.js.publish("q.a", "2");
  assert.deepEqual(await low, ["2"]);
});

test("a message lives as long as it says, and is published when it says", async (t) => {
  const { js, jsm } = await started(t);
  const config = { allow_msg_ttl: true, allow_msg_schedules: true };
  await jsm.streams.add({ name: "T", subjects: ["t.>"], ...config });
  await js.publish("t.a", "short", { ttl: "1s" });
  await js.publish("t.a", "long", { ttl: "1h" });
  const at = new Date(Date.now() + 500);
  const schedule = { specification: at, target: "t.b" };
  await js.publish("t.schedule", "later", { schedule });
  const last = (subject) => jsm.streams.getMessage("T", { last_by_subj: subject });
  await eventually(async () => (await last("t.b")) !== null, "what is due");
  const message = await last("t.b");
  assert.equal(message.string(), "later");
  assert.ok(message.time >= at);
  assert.equal(await last("t.schedule"), null);
  await eventually(async () => (await jsm.streams.info("T")).state.messages === 2, "the end");
  assert.equal((await last("t.a")).string(), "long");
});

test("a key that has ended leaves a marker", async (t) => {
  const { js } = await started(t);
  const kv = await new Kvm(js).create("K", { markerTTL: 60_000 });
  assert.equal((await kv.status()).markerTTL, 60_000);
  const seen = [];
  const watch = await kv.watch({ key: "a" });
  const watching = (async () => {
    for await (const entry of watch) {
      seen.push(entry.operation);
      if (seen.length === 2) break;
    }
  })();
  await kv.create("a", "x", "1s");
  assert.equal((await kv.get("a")).string(), "x");
  await inTime(watching, "the marker");
  assert.equal(seen[0], "PUT");
  assert.notEqual(seen[1], "PUT");
});
