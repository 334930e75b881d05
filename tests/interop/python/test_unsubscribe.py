"""The ways to end a subscription. Each is checked on the server too: a request on the subject
must find nobody, since the client alone would hide messages that still come."""

import pytest
from nats.errors import BadSubscriptionError, NoRespondersError

from harness import next_data, settle, take


async def assert_nobody_listens(client, subject):
    with pytest.raises(NoRespondersError):
        await client.request(subject, b"anyone?", timeout=10)


async def test_unsubscribe_ends_one_subscription_only(server):
    client = await server.connect()
    leaves, stays = await client.subscribe("news"), await client.subscribe("news")
    await client.publish("news", b"first")
    assert await next_data(leaves) == b"first"

    await leaves.unsubscribe()
    await client.publish("news", b"second")

    assert await take(stays, 2) == [b"first", b"second"]
    await settle(client)
    assert leaves.pending_msgs == 0
    assert stays.pending_msgs == 0
    with pytest.raises(BadSubscriptionError):
        await leaves.unsubscribe()
    await stays.unsubscribe()
    await assert_nobody_listens(client, "news")


async def test_a_limit_counts_on_both_sides(server):
    sender, receiver = await server.connect(), await server.connect()
    three = await receiver.subscribe("limited")
    await three.unsubscribe(limit=3)
    await settle(receiver)

    for data in (b"1", b"2", b"3", b"4", b"5"):
        await sender.publish("limited", data)

    # The iteration ends by itself after the last message.
    assert [message.data async for message in three.messages] == [b"1", b"2", b"3"]
    # The client sends no UNSUB once the count is full: the server has to count itself.
    await assert_nobody_listens(sender, "limited")


async def test_a_limit_includes_what_came_before(server):
    client = await server.connect()
    four = await client.subscribe("limited")
    await client.publish("limited", b"one")
    await client.publish("limited", b"two")
    assert await take(four, 2) == [b"one", b"two"]

    await four.unsubscribe(limit=4)
    for data in (b"three", b"four", b"five"):
        await client.publish("limited", data)

    assert await take(four, 2) == [b"three", b"four"]
    await settle(client)
    assert four.pending_msgs == 0
    await assert_nobody_listens(client, "limited")


async def test_a_limit_already_reached_is_immediate(server):
    client = await server.connect()
    two = await client.subscribe("limited")
    await client.publish("limited", b"one")
    await client.publish("limited", b"two")
    assert await take(two, 2) == [b"one", b"two"]

    await two.unsubscribe(limit=2)
    await assert_nobody_listens(client, "limited")
