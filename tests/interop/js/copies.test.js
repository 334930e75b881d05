// Mirrors and sources, subject transforms, republishing, counters and batches.

import assert from "node:assert/strict";
import { test } from "node:test";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";

import { PATIENCE, eventually, startStore } from "./harness.js";

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

function block(fields) {
  const made = headers();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
}

async function ask(client, subject, fields) {
  const answer = await client.request(subject, "", { timeout: PATIENCE, headers: block(fields) });
  return answer.data.length ? answer.json() : null;
}

test("a mirror and a source follow their origin", async (t) => {
  const { js, jsm } = await started(t);
  await jsm.streams.add({ name: "O", subjects: ["o.>"] });
  await jsm.streams.add({ name: "M", mirror: { name: "O" } });
  await jsm.streams.add({ name: "S", sources: [{ name: "O", filter_subject: "o.a" }] });
  for (let number = 0; number < 6; number++) {
    await js.publish(number % 2 ? "o.a" : "o.b", String(number));
  }
  await eventually(async () => (await jsm.streams.info("M")).state.messages === 6);
  await eventually(async () => (await jsm.streams.info("S")).state.messages === 3);
  assert.equal((await jsm.streams.info("M")).mirror.lag, 0);
  const copy = await jsm.streams.getMessage("S", { seq: 2 });
  assert.equal(copy.string(), "3");
  assert.equal(copy.header.get("Nats-Stream-Source"), "O 4 o.a > o.a");
});

test("subjects change, and what is stored is published again", async (t) => {
  const { client, js, jsm } = await started(t);
  await jsm.streams.add({
    name: "R",
    subjects: ["r.*"],
    subject_transform: { src: "r.*", dest: "n.{{left(1,2)}}" },
    republish: { src: "n.>", dest: "again.>" },
  });
  const heard = client.subscribe("again.>", { max: 1 });
  await js.publish("r.abc", "x");
  for await (const message of heard) {
    assert.equal(message.subject, "again.ab");
    assert.equal(message.headers.get("Nats-Stream"), "R");
  }
});

test("counters count, also in batches", async (t) => {
  const { client, jsm } = await started(t);
  await jsm.streams.add({
    name: "C",
    subjects: ["c.>"],
    allow_msg_counter: true,
    allow_atomic: true,
  });
  assert.equal((await ask(client, "c.a", { "Nats-Incr": "5" })).val, "5");
  assert.equal((await ask(client, "c.a", { "Nats-Incr": "-7" })).val, "-2");
  const fields = { "Nats-Incr": "1", "Nats-Batch-Id": "b" };
  assert.equal(await ask(client, "c.a", { ...fields, "Nats-Batch-Sequence": "1" }), null);
  const last = { ...fields, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1" };
  const answer = await ask(client, "c.a", last);
  assert.deepEqual([answer.seq, answer.batch, answer.count], [4, "b", 2]);
  assert.equal((await jsm.streams.getMessage("C", { seq: 4 })).json().val, "0");
});
