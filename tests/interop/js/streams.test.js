// Streams, publishing into them, and the consumers that read them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers, nanos } from "@nats-io/transport-node";

import { Events, PATIENCE, collect, eventually, inTime, numbers, startStore } from "./harness.js";

/** A server with a store, and what a client does with streams. */
async function started(t) {
  const server = await startStore(t);
  return { server, ...(await contexts(server)) };
}

async function contexts(server) {
  const client = await server.connect();
  const options = { timeout: PATIENCE };
  return {
    client,
    js: jetstream(client, options),
    jsm: await jetstreamManager(client, options),
  };
}

async function orders({ js, jsm }, count = 0, config = {}) {
  await jsm.streams.add({ name: "ORDERS", subjects: ["orders.*"], ...config });
  await fill(js, "orders.a", numbers(count));
}

function fill(js, subject, texts) {
  return Promise.all(texts.map((text) => js.publish(subject, text)));
}

/** Refused by the server, with one of its codes. */
function code(expected) {
  return (error) => [error, error.cause].some((each) => each?.code === expected);
}

/** A durable consumer on ORDERS. */
async function consumer({ js, jsm }, config = {}) {
  const given = { durable_name: "reader", ack_policy: "explicit", ...config };
  const info = await jsm.consumers.add("ORDERS", given);
  return js.consumers.get("ORDERS", info.name);
}

async function fetch(reader, count) {
  const got = [];
  while (got.length < count) {
    const batch = await reader.fetch({ max_messages: count - got.length, expires: 5000 });
    got.push(...(await collect(batch)));
  }
  return got;
}

const texts = (messages) => messages.map((message) => message.string());
const sequences = (messages) => messages.map((message) => message.seq);

test("a stream shows its configuration, changes and goes", async (t) => {
  const at = await started(t);
  const { js, jsm } = at;
  await orders(at, 5);
  const { config, state } = await jsm.streams.info("ORDERS");
  assert.deepEqual(config.subjects, ["orders.*"]);
  assert.deepEqual(
    [config.retention, config.storage, config.discard, config.max_msgs, config.num_replicas],
    ["limits", "file", "old", -1, 1],
  );
  assert.equal(config.duplicate_window, nanos(120_000));
  assert.deepEqual([state.messages, state.first_seq, state.last_seq], [5, 1, 5]);

  const updated = await jsm.streams.update("ORDERS", { max_msgs: 3, description: "capped" });
  assert.equal(updated.config.description, "capped");
  assert.equal((await jsm.streams.info("ORDERS")).state.first_seq, 3);
  await assert.rejects(jsm.streams.add({ name: "ORDERS", subjects: ["x"] }), code(10058));
  await assert.rejects(jsm.streams.add({ name: "OTHER", subjects: ["orders.a"] }), code(10065));
  assert.equal(await jsm.streams.find("orders.a"), "ORDERS");
  assert.deepEqual(await jsm.streams.names().next(), ["ORDERS"]);
  assert.equal((await jsm.streams.list().next()).length, 1);
  assert.ok(await jsm.streams.delete("ORDERS"));
  await assert.rejects(jsm.streams.info("ORDERS"), /stream not found/);
  await assert.rejects(js.publish("orders.a", ""), /not enabled|no responders/i);
});

test("messages are read, deleted and purged", async (t) => {
  const at = await started(t);
  const { js, jsm } = at;
  await orders(at, 6);
  const h = headers();
  h.set("Colour", "red");
  await js.publish("orders.b", "body", { headers: h });

  const message = await jsm.streams.getMessage("ORDERS", { seq: 7 });
  assert.deepEqual([message.subject, message.string()], ["orders.b", "body"]);
  assert.equal(message.header.get("Colour"), "red");
  const last = await jsm.streams.getMessage("ORDERS", { last_by_subj: "orders.a" });
  assert.equal(last.seq, 6);
  assert.equal(await jsm.streams.getMessage("ORDERS", { seq: 8 }), null);

  assert.ok(await jsm.streams.deleteMessage("ORDERS", 3));
  const info = await jsm.streams.info("ORDERS", { deleted_details: true, subjects_filter: ">" });
  assert.deepEqual(info.state.deleted, [3]);
  assert.deepEqual(info.state.subjects, { "orders.a": 5, "orders.b": 1 });
  assert.equal((await jsm.streams.purge("ORDERS", { seq: 3 })).purged, 2);
  assert.equal((await jsm.streams.purge("ORDERS", { filter: "orders.a", keep: 1 })).purged, 2);
  assert.equal((await jsm.streams.purge("ORDERS")).purged, 2);
  assert.equal((await js.publish("orders.a", "")).seq, 8);
});

test("messages are read directly", async (t) => {
  const at = await started(t);
  await orders(at, 3, { allow_direct: true });
  const { direct } = at.jsm;
  const first = await direct.getMessage("ORDERS", { seq: 1 });
  assert.deepEqual([first.subject, first.seq, first.string()], ["orders.a", 1, "0"]);
  assert.equal((await direct.getMessage("ORDERS", { last_by_subj: "orders.a" })).seq, 3);
  assert.equal((await direct.getMessage("ORDERS", { seq: 2, next_by_subj: "orders.a" })).seq, 2);
  assert.equal(await direct.getMessage("ORDERS", { seq: 4 }), null);
});

test("messages are read directly many at a time", async (t) => {
  const at = await started(t);
  await orders(at, 10, { allow_direct: true });
  const batch = await at.jsm.direct.getBatch("ORDERS", { seq: 3, batch: 4 });
  assert.deepEqual(sequences(await collect(batch)), [3, 4, 5, 6]);
  await at.js.publish("orders.b", "");
  const last = { multi_last: ["orders.*"] };
  const each = await at.jsm.direct.getLastMessagesFor("ORDERS", last);
  assert.deepEqual(sequences(await collect(each)), [10, 11]);
});

test("a publish is acknowledged, checked and known again", async (t) => {
  const at = await started(t);
  const { js } = at;
  await orders(at);
  const first = await js.publish("orders.a", "", { msgID: "a" });
  assert.deepEqual([first.stream, first.seq, first.duplicate], ["ORDERS", 1, false]);
  const again = await js.publish("orders.a", "", { msgID: "a" });
  assert.deepEqual([again.seq, again.duplicate], [1, true]);
  await js.publish("orders.b", "", { expect: { lastSequence: 1, streamName: "ORDERS" } });
  await js.publish("orders.a", "", { expect: { lastSubjectSequence: 1 } });
  for (const [expect, refusal] of [
    [{ streamName: "OTHER" }, 10060],
    [{ lastSequence: 1 }, 10071],
    [{ lastSubjectSequence: 1 }, 10071],
    [{ lastMsgID: "b" }, 10070],
  ]) {
    await assert.rejects(js.publish("orders.a", "", { expect }), code(refusal));
  }
});

test("thousands on their way are all acknowledged in order", async (t) => {
  const at = await started(t);
  await orders(at);
  const acks = await fill(at.js, "orders.a", numbers(5000));
  assert.deepEqual(acks.map((ack) => ack.seq), numbers(5001).slice(1).map(Number));
});

test("a full stream makes room or refuses", async (t) => {
  const at = await started(t);
  const { js, jsm } = at;
  await orders(at, 25, { max_msgs: 10 });
  assert.equal((await jsm.streams.info("ORDERS")).state.first_seq, 16);
  await jsm.streams.add({ name: "FULL", subjects: ["full"], max_msgs: 1, discard: "new" });
  await js.publish("full", "");
  await assert.rejects(js.publish("full", ""), code(10077));
  await jsm.streams.add({ name: "BRIEF", subjects: ["brief"], max_age: nanos(300) });
  await js.publish("brief", "");
  const empty = async () => (await jsm.streams.info("BRIEF")).state.messages === 0;
  await eventually(empty, "an expired message");
});

test("a batch comes in order and is acknowledged", async (t) => {
  const at = await started(t);
  await orders(at, 10);
  const reader = await consumer(at);
  const got = await fetch(reader, 10);
  assert.deepEqual(texts(got), numbers(10));
  assert.deepEqual(got.map((message) => message.info.pending), numbers(10).map(Number).reverse());
  for (const message of got) {
    assert.ok(await message.ackAck({ timeout: PATIENCE }));
  }
  const info = await reader.info();
  assert.deepEqual([info.num_ack_pending, info.num_pending], [0, 0]);
  assert.equal(info.ack_floor.stream_seq, 10);
  assert.equal(await reader.next({ expires: 1000 }), null);
});

test("consuming goes on over many requests", async (t) => {
  const at = await started(t);
  await orders(at, 1000);
  const reader = await consumer(at);
  const messages = await reader.consume({ max_messages: 50 });
  const got = [];
  const reading = (async () => {
    for await (const message of messages) {
      message.ack();
      got.push(message.string());
      if (got.length === 1100) {
        break;
      }
    }
  })();
  await eventually(() => got.length === 1000, () => `all of ${got.length}`);
  await fill(at.js, "orders.a", numbers(1100).slice(1000));
  await inTime(reading, "the rest");
  assert.deepEqual(got, numbers(1100));
});

test("consuming by bytes keeps within them", async (t) => {
  const at = await started(t);
  await orders(at);
  await fill(at.js, "orders.a", Array.from({ length: 50 }, () => "x".repeat(1000)));
  const reader = await consumer(at);
  const messages = await reader.consume({ max_bytes: 5000 });
  let got = 0;
  const reading = (async () => {
    for await (const message of messages) {
      message.ack();
      if (++got === 50) {
        break;
      }
    }
  })();
  await inTime(reading, "fifty messages");
});

test("consuming ends with its consumer when asked to", async (t) => {
  const at = await started(t);
  await orders(at);
  const reader = await consumer(at);
  const messages = await reader.consume({ abort_on_missing_resource: true, expires: 2000 });
  const reading = collect(messages).catch((error) => error);
  await eventually(async () => (await reader.info()).num_waiting === 1, "a request waits");
  await reader.delete();
  assert.match(String(await inTime(reading, "an end")), /consumer (deleted|not found)/i);
});

test("workers on one consumer share the messages", async (t) => {
  const at = await started(t);
  await orders(at, 1000);
  await consumer(at);
  const done = [];
  const workers = numbers(4).map(async () => {
    const { js } = await contexts(at.server);
    const reader = await js.consumers.get("ORDERS", "reader");
    const messages = await reader.consume({ max_messages: 20 });
    for await (const message of messages) {
      await message.ackAck({ timeout: PATIENCE });
      done.push(message.seq);
    }
  });
  await eventually(() => done.length >= 1000, () => `all of ${done.length}`);
  assert.equal(new Set(done).size, 1000);
  assert.equal(done.length, 1000);
  await Promise.all(at.server.clients.map((client) => client.close()));
  await inTime(Promise.all(workers), "an end of work");
});

test("what is not acknowledged comes again", async (t) => {
  const at = await started(t);
  await orders(at, 4);
  const reader = await consumer(at);
  const [late, refused, dropped, done] = await fetch(reader, 4);
  late.nak(400);
  refused.nak();
  dropped.term("no good");
  await done.ackAck({ timeout: PATIENCE });
  const again = await fetch(reader, 2);
  assert.deepEqual(sequences(again), [2, 1]);
  assert.ok(again.every((message) => message.redelivered && message.info.deliveryCount === 2));
  await Promise.all(again.map((message) => message.ackAck({ timeout: PATIENCE })));
  assert.equal((await reader.info()).num_ack_pending, 0);
});

test("a message is given up after its last delivery", async (t) => {
  const at = await started(t);
  await orders(at, 1);
  const advisories = at.client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>");
  const reader = await consumer(at, { ack_wait: nanos(200), max_deliver: 2 });
  await fetch(reader, 1);
  await fetch(reader, 1);
  const waiting = fetch(reader, 1);
  const [advisory] = await collect(advisories, 1);
  const { stream, stream_seq, deliveries } = advisory.json();
  assert.deepEqual([stream, stream_seq, deliveries], ["ORDERS", 1, 2]);
  await at.js.publish("orders.a", "next");
  assert.deepEqual(texts(await waiting), ["next"]);
});

test("a consumer may start anywhere and filter", async (t) => {
  const at = await started(t);
  const { js, jsm } = at;
  await orders(at);
  for (const number of numbers(9)) {
    await js.publish(`orders.${"abc"[number % 3]}`, number);
  }
  const { timestamp } = await jsm.streams.getMessage("ORDERS", { seq: 3 });
  const cases = [
    [{ deliver_policy: "last" }, [9]],
    [{ deliver_policy: "by_start_sequence", opt_start_seq: 8 }, [8, 9]],
    [{ deliver_policy: "by_start_time", opt_start_time: timestamp }, [3, 4, 5, 6, 7, 8, 9]],
    [{ deliver_policy: "last_per_subject", filter_subject: "orders.*" }, [7, 8, 9]],
    [{ filter_subject: "orders.b" }, [2, 5, 8]],
    [{ filter_subjects: ["orders.a", "orders.c"] }, [1, 3, 4, 6, 7, 9]],
  ];
  for (const [index, [config, expected]] of cases.entries()) {
    const reader = await consumer(at, { durable_name: `reader-${index}`, ...config });
    assert.equal((await reader.info()).num_pending, expected.length);
    assert.deepEqual(sequences(await fetch(reader, expected.length)), expected);
  }
  assert.equal((await jsm.consumers.list("ORDERS").next()).length, cases.length);
  const updated = await jsm.consumers.update("ORDERS", "reader-0", { max_ack_pending: 7 });
  assert.equal(updated.config.max_ack_pending, 7);
  assert.ok(await jsm.consumers.delete("ORDERS", "reader-0"));
  await assert.rejects(jsm.consumers.info("ORDERS", "reader-0"), /consumer not found/);
});

test("an ordered consumer reads all, over the loss of its consumer", async (t) => {
  const at = await started(t);
  await orders(at, 500);
  const reader = await at.js.consumers.get("ORDERS");
  const messages = await reader.consume({ idle_heartbeat: 500, expires: 1000 });
  const got = [];
  (async () => {
    for await (const message of messages) {
      got.push(message.string());
    }
  })();
  await eventually(() => got.length === 500, () => `all of ${got.length}`);
  const [{ name }] = await at.jsm.consumers.list("ORDERS").next();
  await at.jsm.consumers.delete("ORDERS", name);
  await fill(at.js, "orders.a", numbers(510).slice(500));
  await eventually(() => got.length === 510, () => `all of ${got.length}`);
  assert.deepEqual(got, numbers(510));
});

test("a push consumer sends, with heartbeats and flow control", async (t) => {
  const at = await started(t);
  await orders(at, 300);
  await at.jsm.consumers.add("ORDERS", {
    durable_name: "push",
    deliver_subject: "here",
    ack_policy: "explicit",
    flow_control: true,
    idle_heartbeat: nanos(500),
  });
  const reader = await at.js.consumers.getPushConsumer("ORDERS", "push");
  const messages = await reader.consume();
  const got = await collect(messages, 300);
  assert.deepEqual(texts(got), numbers(300));
  await got.at(-1).ackAck({ timeout: PATIENCE });
  assert.equal((await reader.info()).num_ack_pending, 299);
});

test("a work queue forgets what was acknowledged, and interest what all have", async (t) => {
  const at = await started(t);
  await orders(at, 5, { retention: "workqueue" });
  const reader = await consumer(at);
  for (const message of await fetch(reader, 5)) {
    await message.ackAck({ timeout: PATIENCE });
  }
  assert.equal((await at.jsm.streams.info("ORDERS")).state.messages, 0);
  await at.jsm.streams.add({ name: "NEWS", subjects: ["news"], retention: "interest" });
  assert.equal((await at.js.publish("news", "lost")).seq, 1);
  assert.equal((await at.jsm.streams.info("NEWS")).state.messages, 0);
});

test("the account tells what is in use", async (t) => {
  const at = await started(t);
  await orders(at, 5);
  await consumer(at);
  const account = await at.jsm.getAccountInfo();
  assert.deepEqual([account.streams, account.consumers], [1, 1]);
  assert.ok(account.storage > 0);
});

for (const how of ["SIGTERM", "SIGKILL"]) {
  test(`streams and their readers go on after ${how}`, async (t) => {
    const at = await started(t);
    const events = new Events(at.client);
    await orders(at, 100);
    const h = { msgID: "a" };
    await at.js.publish("orders.b", "once", h);
    const ordered = await at.js.consumers.get("ORDERS");
    const messages = await ordered.consume({ idle_heartbeat: 500, expires: 1000 });
    const seen = new Set();
    (async () => {
      for await (const message of messages) {
        seen.add(message.seq);
      }
    })();
    await eventually(() => seen.size === 101, () => `all of ${seen.size}`);

    at.server.signal(how);
    await events.until("disconnect");
    await inTime(at.server.ended, "the end");
    await at.server.startAgain();
    await events.until("reconnect");

    assert.ok((await at.js.publish("orders.b", "once", h)).duplicate);
    assert.equal((await at.jsm.streams.getMessage("ORDERS", { seq: 100 })).string(), "99");
    await fill(at.js, "orders.a", numbers(10));
    await eventually(() => seen.size === 111, () => `all of ${seen.size}`);
  });
}
