// Requests and headers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createInbox, headers } from "@nats-io/transport-node";

import { foundNobody, numbers, startServer, take, timedOut } from "./harness.js";

/** Answers every request on a subject with its payload in upper case. */
async function startShouting(client, subject, options = {}) {
  client.subscribe(subject, {
    ...options,
    callback: (_, message) => message.respond(message.string().toUpperCase()),
  });
  await client.flush();
}

for (const noMux of [false, true]) {
  const style = noMux ? "with its own subscription" : "through the shared inbox";

  test(`a request ${style} gets its reply`, async (t) => {
    const server = await startServer(t);
    const [asking, answering] = [await server.connect(), await server.connect()];
    await startShouting(answering, "shout");
    for (const word of ["hello", "again"]) {
      const reply = await asking.request("shout", word, { timeout: 10_000, noMux });
      assert.equal(reply.string(), word.toUpperCase());
    }
  });

  test(`a request ${style} finds nobody`, async (t) => {
    const server = await startServer(t);
    const client = await server.connect();
    const asked = Date.now();
    const request = client.request("nobody", "", { timeout: 20_000, noMux });
    await assert.rejects(request, foundNobody);
    assert.ok(Date.now() - asked < 10_000);
  });

  test(`a request ${style} times out`, async (t) => {
    const server = await startServer(t);
    const client = await server.connect();
    client.subscribe("silence");
    const request = client.request("silence", "", { timeout: 100, noMux });
    await assert.rejects(request, timedOut);
  });
}

test("a request may gather many replies", async (t) => {
  const server = await startServer(t);
  const asking = await server.connect();
  for (const _ of numbers(3)) {
    await startShouting(await server.connect(), "shout");
  }
  const options = { strategy: "count", maxMessages: 3, maxWait: 10_000 };
  const replies = [];
  for await (const reply of await asking.requestMany("shout", "all", options)) {
    replies.push(reply.string());
  }
  assert.deepEqual(replies, ["ALL", "ALL", "ALL"]);
});

test("a thousand requests at once each get their own reply", async (t) => {
  const server = await startServer(t);
  const [asking, answering] = [await server.connect(), await server.connect()];
  await startShouting(answering, "shout.*");
  const words = numbers(1000).map((number) => `word${number}`);
  const replies = await Promise.all(
    words.map((word) => asking.request(`shout.${word}`, word, { timeout: 20_000 })),
  );
  assert.deepEqual(
    replies.map((reply) => reply.string()),
    words.map((word) => word.toUpperCase()),
  );
});

test("headers arrive with all their values", async (t) => {
  const server = await startServer(t);
  const [sender, receiver] = [await server.connect(), await server.connect()];
  const letters = receiver.subscribe("letters");
  await receiver.flush();

  const sent = headers();
  sent.set("Single", "one");
  // Names differ by case alone, and a server must not fold them.
  sent.set("single", "lower");
  sent.append("Multi", "first");
  sent.append("Multi", "second");
  sent.set("Sprache", "grüße ☕");
  sender.publish("letters", "hello", { headers: sent, reply: "answers" });
  sender.publish("letters", "", { headers: sent });

  const [full, empty] = await take(letters, 2);
  assert.equal(full.string(), "hello");
  assert.equal(full.reply, "answers");
  assert.equal(empty.data.length, 0);
  for (const message of [full, empty]) {
    assert.deepEqual(message.headers.values("Multi"), ["first", "second"]);
    assert.deepEqual(message.headers.values("Single"), ["one"]);
    assert.deepEqual(message.headers.values("single"), ["lower"]);
    assert.deepEqual(message.headers.values("Sprache"), ["grüße ☕"]);
    assert.equal(message.headers.hasError, false);
    assert.deepEqual([...message.headers.keys()].sort(), [
      "Multi",
      "Single",
      "Sprache",
      "single",
    ]);
  }
});

test("a status from a service reaches the client", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const statuses = client.subscribe("status");
  client.publish("status", "", { headers: headers(404, "No Messages") });
  const [message] = await take(statuses, 1);
  assert.equal(message.headers.code, 404);
  assert.equal(message.headers.description, "No Messages");
});

test("the no responders message is a bare status", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const inbox = createInbox();
  const replies = client.subscribe(inbox);
  client.publish("nobody", "anyone?", { reply: inbox });
  const [message] = await take(replies, 1);
  assert.equal(message.subject, inbox);
  assert.equal(message.headers.code, 503);
  assert.equal(message.data.length, 0);
});
