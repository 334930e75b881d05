// Publish and subscribe: what arrives, where, and in which order.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  PATIENCE,
  foundNobody,
  numbers,
  startServer,
  take,
  takeTexts,
} from "./harness.js";

test("a message arrives as it was sent", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const orders = receiver.subscribe("orders.new");
  await receiver.flush();

  sender.publish("orders.new", "two teapots", { reply: "answers.here" });

  const [message] = await take(orders, 1);
  assert.equal(message.subject, "orders.new");
  assert.equal(message.reply, "answers.here");
  assert.equal(message.string(), "two teapots");
  assert.equal(message.headers, undefined);
});

test("payloads are opaque", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const subscription = client.subscribe("bytes");
  const payloads = [
    new Uint8Array(),
    new TextEncoder().encode("\r\nPUB bytes 3\r\nbad\r\n-ERR 'no'\r\n"),
    Uint8Array.from({ length: 256 }, (_, index) => index),
    new Uint8Array(4096),
  ];
  for (const payload of payloads) {
    client.publish("bytes", payload);
  }
  const got = await take(subscription, payloads.length);
  assert.deepEqual(got.map((message) => new Uint8Array(message.data)), payloads);
});

test("payloads up to the limit pass, and no more", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const limit = 1024 * 1024;
  assert.equal(sender.info.max_payload, limit);
  const blobs = receiver.subscribe("blobs");
  await receiver.flush();

  // A pattern that repeats at no power of two.
  const blob = (seed) => Uint8Array.from({ length: limit }, (_, index) => (index + seed) % 251);
  for (let seed = 0; seed < 8; seed++) {
    sender.publish("blobs", blob(seed));
  }
  assert.throws(() => sender.publish("blobs", new Uint8Array(limit + 1)), /max_payload/);

  for (const [seed, message] of (await take(blobs, 8)).entries()) {
    assert.ok(Buffer.from(message.data).equals(blob(seed)), `payload ${seed} came changed`);
  }
  await sender.flush();
  await receiver.flush();
  assert.equal(blobs.getPending(), 0);
});

test("wildcards match whole tokens", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const published = ["a", "a.b", "a.b.c", "a.x.c", "b.b", "ab", "A.b", "a.b.c.d", "grüße.an"];
  const expected = {
    "a": ["a"],
    "a.*": ["a.b"],
    "a.>": ["a.b", "a.b.c", "a.x.c", "a.b.c.d"],
    "*.b": ["a.b", "b.b", "A.b"],
    "*.*.c": ["a.b.c", "a.x.c"],
    "a.*.>": ["a.b.c", "a.x.c", "a.b.c.d"],
    "c.>": [],
    ">": published,
  };
  const subscriptions = Object.keys(expected).map((pattern) => receiver.subscribe(pattern));
  await receiver.flush();

  for (const subject of published) {
    sender.publish(subject);
  }
  await sender.flush();
  await receiver.flush();

  for (const subscription of subscriptions) {
    const subjects = expected[subscription.getSubject()];
    const got = await take(subscription, subjects.length);
    assert.deepEqual(got.map((message) => message.subject), subjects);
    assert.equal(subscription.getPending(), 0);
  }
});

test("a limited subscription ends on both sides", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const three = receiver.subscribe("limited", { max: 3 });
  await receiver.flush();

  for (const text of numbers(5)) {
    sender.publish("limited", text);
  }

  const got = [];
  for await (const message of three) {
    got.push(message.string());
  }
  assert.deepEqual(got, numbers(3));
  await assert.rejects(sender.request("limited", "", { timeout: PATIENCE }), foundNobody);
});

test("unsubscribing ends one subscription only", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const [leaves, stays] = [client.subscribe("news"), client.subscribe("news")];
  leaves.unsubscribe();
  client.publish("news", "hello");
  assert.deepEqual(await takeTexts(stays, 1), ["hello"]);
  assert.equal(leaves.getReceived(), 0);
  stays.unsubscribe();
  await assert.rejects(client.request("news", "", { timeout: PATIENCE }), foundNobody);
});

test("a client without echo hears only others", async (t) => {
  const server = await startServer(t);
  const [deaf, other] = [await server.connect({ noEcho: true }), await server.connect()];
  const [atDeaf, atOther] = [deaf.subscribe("talk"), other.subscribe("talk")];
  await deaf.flush();
  await other.flush();

  deaf.publish("talk", "own");
  await deaf.flush();
  other.publish("talk", "other");

  assert.deepEqual(await takeTexts(atDeaf, 1), ["other"]);
  assert.deepEqual(await takeTexts(atOther, 2), ["own", "other"]);
  await deaf.flush();
  assert.equal(atDeaf.getPending(), 0);
});

test("interleaved publishers each keep their order", async (t) => {
  const server = await startServer(t);
  const receiver = await server.connect();
  const subscription = receiver.subscribe("order.*");
  await receiver.flush();

  const publish = async (name) => {
    const client = await server.connect();
    for (const text of numbers(500)) {
      client.publish(`order.${name}`, text);
      // Lets the others in between, so that the streams truly mix.
      if (text.endsWith("7")) {
        await client.flush();
      }
    }
  };
  await Promise.all(numbers(5).map(publish));

  const got = {};
  for (const message of await take(subscription, 5 * 500)) {
    (got[message.subject] ??= []).push(message.string());
  }
  assert.deepEqual(
    got,
    Object.fromEntries(numbers(5).map((name) => [`order.${name}`, numbers(500)])),
  );
});

test("thousands of subscriptions each get their message", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const count = 10_000;
  const subscriptions = numbers(count).map((name) => receiver.subscribe(`sensor.${name}.state`));
  await receiver.flush();

  for (const name of numbers(count)) {
    sender.publish(`sensor.${name}.state`, name);
  }
  await sender.flush();

  for (const [name, subscription] of subscriptions.entries()) {
    assert.deepEqual(await takeTexts(subscription, 1), [String(name)]);
  }
  await receiver.flush();
  assert.ok(subscriptions.every((subscription) => subscription.getReceived() === 1));
});
