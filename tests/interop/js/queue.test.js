// Queue groups, and members that leave them.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  PATIENCE,
  eventually,
  foundNobody,
  inTime,
  numbers,
  startServer,
  take,
  takeTexts,
} from "./harness.js";

// So many that a member left out by chance is out of the question: (2/3)^600.
const JOBS = 600;

const inOrder = (texts) => [...texts].sort((one, other) => one - other);

/** Adds a member that puts what it gets into the share that is given back. */
async function join(client, queue, subject = "jobs") {
  const share = [];
  client.subscribe(subject, {
    queue,
    callback: (_, message) => share.push(message.string()),
  });
  await client.flush();
  return share;
}

async function allDone(shares, count) {
  await eventually(() => shares.flat().length >= count, `${count} jobs`);
  assert.deepEqual(inOrder(shares.flat()), numbers(count));
}

test("each message goes to one member and every member gets some", async (t) => {
  const server = await startServer(t);
  const publisher = await server.connect();
  const shares = [];
  for (const _ of numbers(3)) {
    shares.push(await join(await server.connect(), "w"));
  }

  for (const text of numbers(JOBS)) {
    publisher.publish("jobs", text);
  }

  await allDone(shares, JOBS);
  for (const share of shares) {
    assert.ok(share.length > 0, "a member got nothing");
    // One publisher, so every member sees its share in the order of publishing.
    assert.deepEqual(share, inOrder(share));
  }
});

test("every group and every plain subscription gets all", async (t) => {
  const server = await startServer(t);
  const [publisher, client] = [await server.connect(), await server.connect()];
  const one = [await join(client, "one"), await join(client, "one", "*")];
  const other = [await join(client, "other"), await join(client, "other")];
  const plain = client.subscribe("jobs");
  await client.flush();

  for (const text of numbers(100)) {
    publisher.publish("jobs", text);
  }

  await allDone(one, 100);
  await allDone(other, 100);
  assert.deepEqual(await takeTexts(plain, 100), numbers(100));
});

test("a drained member leaves nothing undone", async (t) => {
  const server = await startServer(t);
  const [publisher, staying, leaving] = [
    await server.connect(),
    await server.connect(),
    await server.connect(),
  ];
  const stays = await join(staying, "w");
  const member = leaving.subscribe("jobs", { queue: "w" });
  await leaving.flush();
  const leaves = (async () => {
    const share = [];
    for await (const message of member) {
      share.push(message.string());
    }
    return share;
  })();

  // Drains in the middle of the stream, with jobs on their way.
  let draining;
  for (const [index, text] of numbers(1000).entries()) {
    publisher.publish("jobs", text);
    if (index === 500) {
      await publisher.flush();
      draining = member.drain();
    }
  }
  await inTime(draining, "the drain");
  const left = await inTime(leaves, "the end of the subscription");
  assert.ok(left.length > 0);

  await allDone([stays, left], 1000);
});

test("a drained client delivers both ways and closes", async (t) => {
  const server = await startServer(t);
  const [client, other] = [await server.connect(), await server.connect()];
  const atOther = other.subscribe("out");
  await other.flush();
  const seen = [];
  client.subscribe("in", {
    callback: (_, message) => {
      seen.push(message.string());
      client.publish("out", message.data);
    },
  });
  for (const text of numbers(100)) {
    client.publish("in", text);
  }

  await inTime(client.drain(), "the drain");

  assert.deepEqual(seen, numbers(100));
  assert.deepEqual(await takeTexts(atOther, 100), numbers(100));
  assert.equal(await client.closed(), undefined);
  assert.throws(() => client.publish("out"), { name: "ClosedConnectionError" });
});

test("a drained subscription leaves the rest alone", async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const [drained, other] = [client.subscribe("work"), client.subscribe("other")];
  for (const text of numbers(100)) {
    client.publish("work", text);
  }
  const draining = drained.drain();
  const got = [];
  for await (const message of drained) {
    got.push(message.string());
  }
  assert.deepEqual(got, numbers(100));
  await inTime(draining, "the drain");
  await assert.rejects(client.request("work", "", { timeout: PATIENCE }), foundNobody);
  client.publish("other", "still here");
  const [message] = await take(other, 1);
  assert.equal(message.string(), "still here");
});
