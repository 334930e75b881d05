"""Publish and subscribe: what arrives, where, and in which order."""

import asyncio

import pytest

from harness import next_data, next_message, numbers, settle, take


async def test_a_message_arrives_as_it_was_sent(server):
    sender, receiver = await server.connect(), await server.connect()
    orders = await receiver.subscribe("orders.new")
    await settle(receiver)

    await sender.publish("orders.new", b"two teapots", reply="answers.here")

    message = await next_message(orders)
    assert message.subject == "orders.new"
    assert message.reply == "answers.here"
    assert message.data == b"two teapots"
    assert message.headers is None


async def test_payloads_are_opaque(server):
    sender, receiver = await server.connect(), await server.connect()
    subscription = await receiver.subscribe("bytes")
    await settle(receiver)

    payloads = [
        b"",
        b"\r\n",
        b"\r\nPUB bytes 3\r\nbad\r\n-ERR 'no'\r\n",
        bytes(range(256)),
        bytes(4096),
    ]
    for payload in payloads:
        await sender.publish("bytes", payload)

    assert await take(subscription, len(payloads)) == payloads
    await settle(receiver)
    assert subscription.pending_msgs == 0


WILDCARDS = {
    "a": ["a"],
    "a.b": ["a.b"],
    "a.*": ["a.b"],
    "a.>": ["a.b", "a.b.c", "a.x.c", "a.b.c.d"],
    "*.b": ["a.b", "b.b", "A.b"],
    "*.*.c": ["a.b.c", "a.x.c"],
    "a.*.>": ["a.b.c", "a.x.c", "a.b.c.d"],
    "*.b.>": ["a.b.c", "a.b.c.d"],
    "c.>": [],
    ">": ["a", "a.b", "a.b.c", "a.x.c", "b.b", "ab", "A.b", "a.b.c.d", "grüße.an.alle"],
}


@pytest.mark.parametrize("pattern", WILDCARDS)
async def test_wildcards_match_whole_tokens(server, pattern):
    sender, receiver = await server.connect(), await server.connect()
    subscription = await receiver.subscribe(pattern)
    await settle(receiver)

    for subject in WILDCARDS[">"]:
        await sender.publish(subject)
    await settle(sender)

    got = [(await next_message(subscription)).subject for _ in WILDCARDS[pattern]]
    assert got == WILDCARDS[pattern]
    await settle(receiver)
    assert subscription.pending_msgs == 0


async def test_every_subscription_gets_its_own_copy(server):
    one, other = await server.connect(), await server.connect()
    copies = [
        await one.subscribe("news"),
        await one.subscribe("news"),
        await one.subscribe("*"),
        await other.subscribe("news"),
    ]
    await settle(one)
    await settle(other)

    # The publisher is a subscriber too, and hears itself.
    await one.publish("news", b"extra")

    for copy in copies:
        assert await next_data(copy) == b"extra"
    await settle(one)
    await settle(other)
    assert [copy.pending_msgs for copy in copies] == [0, 0, 0, 0]


async def test_callbacks_and_iterators_get_messages(server):
    client = await server.connect()
    seen = []
    done = asyncio.Event()

    async def on_message(message):
        seen.append(message.data)
        if len(seen) == 10:
            done.set()

    await client.subscribe("news", cb=on_message)
    subscription = await client.subscribe("news")
    for data in numbers(10):
        await client.publish("news", data)

    iterated = []
    async for message in subscription.messages:
        iterated.append(message.data)
        if len(iterated) == 10:
            break
    await asyncio.wait_for(done.wait(), 10)
    assert seen == iterated == numbers(10)


async def test_a_client_without_echo_hears_only_others(server):
    deaf, other = await server.connect(no_echo=True), await server.connect()
    at_deaf, at_other = await deaf.subscribe("talk"), await other.subscribe("talk")
    await settle(deaf)
    await settle(other)

    await deaf.publish("talk", b"own")
    await settle(deaf)
    await other.publish("talk", b"other")

    assert await next_data(at_deaf) == b"other"
    assert await take(at_other, 2) == [b"own", b"other"]
    await settle(deaf)
    assert at_deaf.pending_msgs == 0


async def test_interleaved_publishers_each_keep_their_order(server):
    receiver = await server.connect()
    subscription = await receiver.subscribe("order.*")
    await settle(receiver)
    publishers = [await server.connect() for _ in range(5)]

    async def publish(name, client):
        for number in range(500):
            await client.publish(f"order.{name}", str(number).encode())
            # Lets the others in between, so that the streams truly mix.
            if number % 7 == 0:
                await client.flush()

    await asyncio.gather(*(publish(*named) for named in enumerate(publishers)))

    got = {}
    for _ in range(5 * 500):
        message = await next_message(subscription)
        got.setdefault(message.subject, []).append(message.data)
    assert got == {f"order.{name}": numbers(500) for name in range(5)}
