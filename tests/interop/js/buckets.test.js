// Buckets of keys and values, and object stores.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";

import { Events, PATIENCE, collect, eventually, inTime, numbers, startStore } from "./harness.js";

async function started(t) {
  const server = await startStore(t);
  const client = await server.connect();
  const js = jetstream(client, { timeout: PATIENCE });
  return { server, client, kvm: new Kvm(js), objm: new Objm(js) };
}

const told = (entry) => [entry.key, entry.string(), entry.operation];

/** Bytes that repeat at no power of two. */
function blob(size) {
  const pattern = Uint8Array.from({ length: 251 }, (_, index) => index);
  return new Uint8Array(Buffer.alloc(size, pattern));
}

test("values are put, got, updated and deleted", async (t) => {
  const { kvm } = await started(t);
  const kv = await kvm.create("CONFIG", { history: 5 });
  assert.equal(await kv.put("colour", "red"), 1);
  assert.equal(await kv.update("colour", "green", 1), 2);
  await assert.rejects(kv.update("colour", "blue", 1), /wrong last sequence/);
  await assert.rejects(kv.create("colour", "blue"), /wrong last sequence/);
  assert.equal((await kv.get("colour")).string(), "green");
  assert.equal((await kv.get("colour", { revision: 1 })).string(), "red");
  assert.equal(await kv.get("size"), null);
  await kv.delete("colour");
  assert.equal((await kv.get("colour")).operation, "DEL");
  assert.equal(await kv.create("colour", "blue"), 4);
  const history = await collect(await kv.history({ key: "colour" }));
  assert.deepEqual(history.map((entry) => entry.revision), [1, 2, 3, 4]);
  await kv.purge("colour");
  const after = await collect(await kv.history({ key: "colour" }));
  assert.deepEqual(after.map((entry) => entry.operation), ["PURGE"]);
});

test("keys, buckets and their status are listed", async (t) => {
  const { kvm } = await started(t);
  const kv = await kvm.create("CONFIG", { history: 3, ttl: 60_000 });
  for (const key of ["a", "b", "c.d"]) {
    await kv.put(key, "v");
  }
  await kv.delete("b");
  assert.deepEqual((await collect(await kv.keys())).sort(), ["a", "c.d"]);
  const status = await kv.status();
  assert.deepEqual([status.bucket, status.values, status.history], ["CONFIG", 4, 3]);
  assert.equal(status.ttl, 60_000);
  await kvm.create("OTHER");
  const listed = await collect(kvm.list());
  assert.deepEqual(listed.map((each) => each.bucket).sort(), ["CONFIG", "OTHER"]);
  assert.equal((await (await kvm.open("CONFIG")).get("a")).string(), "v");
  assert.ok(await kv.destroy());
});

test("watchers see what they ask for", async (t) => {
  const { kvm } = await started(t);
  const kv = await kvm.create("CONFIG", { history: 5 });
  await kv.put("a", "1");
  await kv.put("b", "2");
  await kv.put("a", "3");
  const all = await kv.watch();
  const past = await kv.watch({ include: "history" });
  const later = await kv.watch({ include: "updates", key: "a" });
  const alive = await kv.watch({ ignoreDeletes: true, include: "updates" });
  await kv.delete("b");
  await kv.put("a", "4");
  const expected = [["b", "2", "PUT"], ["a", "3", "PUT"], ["b", "", "DEL"], ["a", "4", "PUT"]];
  assert.deepEqual((await collect(all, 4)).map(told), expected);
  assert.deepEqual((await collect(past, 5)).map(told), [["a", "1", "PUT"], ...expected]);
  assert.deepEqual((await collect(later, 1)).map(told), [["a", "4", "PUT"]]);
  assert.deepEqual((await collect(alive, 1)).map(told), [["a", "4", "PUT"]]);
});

test("a bucket and its watcher go on after the server was killed", async (t) => {
  const { server, client, kvm } = await started(t);
  const events = new Events(client);
  const kv = await kvm.create("CONFIG");
  await kv.put("a", "before");
  const seen = [];
  const watcher = await kv.watch();
  (async () => {
    for await (const entry of watcher) {
      seen.push(entry.key);
    }
  })();
  await eventually(() => seen.includes("a"), "the value");
  server.signal("SIGKILL");
  await events.until("disconnect");
  await server.startAgain();
  await events.until("reconnect");
  assert.equal((await kv.get("a")).string(), "before");
  await kv.put("b", "after");
  await eventually(() => seen.includes("b"), "the change");
});

test("objects are put, got, listed, linked and deleted", async (t) => {
  const { objm } = await started(t);
  const store = await objm.create("FILES");
  const data = blob(300_000);
  const info = await store.putBlob({ name: "photo", description: "a view" }, data);
  assert.deepEqual([info.size, info.chunks], [300_000, 3]);
  assert.ok(Buffer.from(await store.getBlob("photo")).equals(data));
  await store.putBlob({ name: "small", options: { max_chunk_size: 1000 } }, blob(10_001));
  assert.equal((await store.info("small")).chunks, 11);
  await store.link("favourite", info);
  assert.ok(Buffer.from(await store.getBlob("favourite")).equals(data));
  await store.delete("small");
  assert.equal(await store.getBlob("small"), null);
  const names = (await store.list()).map((each) => each.name);
  assert.deepEqual(names.sort(), ["favourite", "photo"]);
  await store.seal();
  assert.ok((await store.status()).sealed);
  await assert.rejects(store.putBlob({ name: "late" }, blob(10)));
  assert.ok(await store.destroy());
});

test("a watcher sees objects come and go", async (t) => {
  const { objm } = await started(t);
  const store = await objm.create("FILES");
  await store.putBlob({ name: "old" }, blob(10));
  const watcher = await store.watch();
  await store.putBlob({ name: "new" }, blob(10));
  await store.delete("old");
  const seen = [];
  (async () => {
    for await (const each of watcher) {
      seen.push([each.name, Boolean(each.deleted)].join());
    }
  })();
  await eventually(() => seen.includes("old,true"), () => `the end in ${seen.join(" ")}`);
  assert.deepEqual(seen.slice(-2), ["new,false", "old,true"]);
});

test("a large object comes back whole", async (t) => {
  const { objm } = await started(t);
  const store = await objm.create("FILES");
  const data = blob(64 * 1024 * 1024);
  const info = await store.putBlob({ name: "large" }, data, { timeout: PATIENCE });
  const digest = createHash("sha256").update(data).digest("base64url");
  assert.equal(info.digest.replace(/=+$/, ""), `SHA-256=${digest}`);
  const got = await inTime(store.getBlob("large"), "the object");
  assert.ok(Buffer.from(got).equals(data));
});

test("hundreds of keys are listed", async (t) => {
  const { kvm } = await started(t);
  const kv = await kvm.create("CONFIG");
  await Promise.all(numbers(500).map((key) => kv.put(`key.${key}`, "v")));
  assert.equal((await collect(await kv.keys())).length, 500);
});
