// Batches that are stored as they come, and object stores that are filled by them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { startFastIngest } from "@nats-io/jetstream/internal";
import { Objm } from "@nats-io/obj";

import { PATIENCE, collect, startStore } from "./harness.js";

async function started(t) {
  const server = await startStore(t);
  const client = await server.connect();
  const js = jetstream(client, { timeout: PATIENCE });
  const jsm = await jetstreamManager(client, { timeout: PATIENCE });
  const make = (name, more) => jsm.streams.add({ name, subjects: [`${name}.>`], ...more });
  return { server, client, js, jsm, make };
}

const begin = (client, subject, options) =>
  startFastIngest(client, subject, "1", { timeout: PATIENCE, ...options }, PATIENCE);

test("a batch is stored as far as it is acknowledged", async (t) => {
  const { client, jsm, make } = await started(t);
  await make("F", { allow_batched: true });
  const batch = await begin(client, "F.a", { allowGaps: false, ackInterval: 5 });
  for (let number = 2; number < 1000; number++) {
    await batch.add("F.a", `${number}`);
  }
  assert.ok((await batch.ping()).ackSeq >= 990);
  const ack = await batch.last("F.b", "1000");
  assert.deepEqual([ack.seq, ack.count, ack.batch], [1000, 1000, batch.batch]);
  assert.equal((await jsm.streams.getMessage("F", { seq: 999 })).string(), "999");
  const second = await begin(client, "F.a", { allowGaps: true, ackInterval: 5 });
  await second.add("F.a", "2");
  const end = await second.end();
  assert.deepEqual([end.seq, end.count], [1002, 2]);
});

test("many batches at a time share a stream", async (t) => {
  const { client, jsm, make } = await started(t);
  await make("F", { allow_batched: true });
  const fill = async (name) => {
    const batch = await begin(client, `F.${name}`, { allowGaps: false, ackInterval: 100 });
    for (let number = 2; number < 200; number++) {
      await batch.add(`F.${name}`, `${number}`);
    }
    return batch.last(`F.${name}`, "200");
  };
  const acks = await Promise.all(["a", "b", "c", "d"].map(fill));
  assert.deepEqual(acks.map((ack) => ack.count), [200, 200, 200, 200]);
  assert.equal((await jsm.streams.info("F")).state.messages, 800);
});

test("a gap is told, and the batch ends or goes on", async (t) => {
  const { client, make } = await started(t);
  await make("F", { allow_batched: true });
  const patient = await begin(client, "F.a", { allowGaps: true, ackInterval: 5 });
  const gaps = patient.gaps();
  patient.seq += 3;
  await patient.add("F.a", "5");
  assert.equal((await patient.last("F.a", "6")).count, 6);
  assert.deepEqual(await collect(gaps), [{ lastSeq: 2, seq: 5 }]);
  const strict = await begin(client, "F.a", { allowGaps: false, ackInterval: 5 });
  strict.seq += 1;
  await strict.add("F.a", "3");
  assert.equal((await strict.done()).count, 1);
});

test("a stream that does not take batches says so", async (t) => {
  const { client, make } = await started(t);
  await make("P");
  await assert.rejects(begin(client, "P.a", { allowGaps: false }), /batch publish is disabled/);
});

test("objects are stored in batches", async (t) => {
  const { js } = await started(t);
  const objm = new Objm(js);
  const store = await objm.create("FAST", { allowBatched: true });
  const whole = new Uint8Array(3_000_001).map((_, place) => place % 251);
  const read = async (name) => Buffer.from(await store.getBlob(name));
  for (const size of [0, 1, 200_000, 3_000_001]) {
    const blob = whole.slice(0, size);
    const info = await store.putBlob({ name: "o", options: { max_chunk_size: 10_000 } }, blob);
    assert.equal(info.size, size);
    assert.equal(info.chunks, Math.ceil(size / 10_000));
    assert.ok(Buffer.from(blob).equals(await read("o")));
  }
  await Promise.all(
    ["p", "q", "r"].map((name) => store.putBlob({ name }, whole)),
  );
  for (const name of ["p", "q", "r"]) {
    assert.ok(Buffer.from(whole).equals(await read(name)));
  }
  await assert.rejects(
    store.putBlob({ name: "p" }, whole.slice(0, 300_000), { previousRevision: 1 }),
  );
  assert.ok(Buffer.from(whole).equals(await read("p")), "it is as it was");
});
