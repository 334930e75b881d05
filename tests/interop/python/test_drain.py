"""Drains: nothing new, but all that is under way."""

import asyncio

import pytest
from nats.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    ConnectionDrainingError,
    NoRespondersError,
)

from harness import Watch, eventually, next_data, numbers, settle, take


async def test_a_drained_subscription_handles_what_has_come(server):
    client = await server.connect()
    seen = []

    async def slow(message):
        await asyncio.sleep(0.001)
        seen.append(message.data)

    drained = await client.subscribe("work", cb=slow)
    other = await client.subscribe("other")
    for data in numbers(100):
        await client.publish("work", data)
    await settle(client)

    await drained.drain()

    assert seen == numbers(100)
    with pytest.raises(BadSubscriptionError):
        await drained.drain()
    with pytest.raises(NoRespondersError):
        await client.request("work", timeout=10)
    # The connection and its other subscriptions go on.
    await client.publish("other", b"still here")
    assert await next_data(other) == b"still here"


async def test_a_drained_queue_member_leaves_nothing_undone(server):
    publisher, staying, leaving = [await server.connect() for _ in range(3)]
    stays, leaves = [], []

    def into(share):
        async def on_job(message):
            share.append(message.data)

        return on_job

    await staying.subscribe("jobs", queue="w", cb=into(stays))
    member = await leaving.subscribe("jobs", queue="w", cb=into(leaves))
    await settle(staying)
    await settle(leaving)

    jobs = numbers(1000)
    for data in jobs[:500]:
        await publisher.publish("jobs", data)
    # The server has shared these out, and some are still on their way to the leaving member.
    await settle(publisher)
    await member.drain()
    left_with = len(leaves)
    await settle(leaving)
    for data in jobs[500:]:
        await publisher.publish("jobs", data)

    await eventually(lambda: len(stays) + len(leaves) >= 1000, "all jobs")
    assert sorted(stays + leaves, key=int) == jobs
    assert len(leaves) == left_with
    assert leaves


async def test_a_drained_client_delivers_both_ways_and_closes(server):
    watch = Watch()
    client = await server.connect(**watch.options())
    other = await server.connect()
    at_other = await other.subscribe("out")
    await settle(other)
    seen = []

    async def forward(message):
        # Publishing is still allowed while the subscriptions drain.
        await asyncio.sleep(0.001)
        seen.append(message.data)
        await client.publish("out", message.data)

    await client.subscribe("in", cb=forward)
    for data in numbers(100):
        await client.publish("in", data)
    await settle(client)
    draining = asyncio.create_task(client.drain())
    await eventually(lambda: client.is_draining, "the drain")
    with pytest.raises(ConnectionDrainingError):
        await client.subscribe("more")
    await draining

    assert seen == numbers(100)
    assert await take(at_other, 100) == numbers(100)
    assert client.is_closed
    assert watch.events == ["disconnected", "closed"]
    assert watch.errors == []
    with pytest.raises(ConnectionClosedError):
        await client.publish("out", b"too late")


async def test_the_server_forgets_a_closed_connection(server):
    asking, leaving = await server.connect(), await server.connect()
    await leaving.subscribe("service")
    await settle(leaving)

    await leaving.close()

    async def is_nobody_there():
        try:
            await asking.request("service", timeout=0.05)
        except NoRespondersError:
            return True
        except TimeoutError:
            # Not seen to be closed yet.
            return False
        raise AssertionError("an answer out of nowhere")

    async with asyncio.timeout(20):
        while not await is_nobody_there():
            pass
