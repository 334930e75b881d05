"""A server that goes away and comes back on the same port."""

import asyncio
import time

import pytest
from nats.errors import (
    ConnectionReconnectingError,
    NoServersError,
    OutboundBufferLimitError,
    UnexpectedEOF,
)

from harness import Watch, next_data, numbers, settle, take

# The default waits seconds before it dials again.
IMPATIENT = {"reconnect_time_wait": 0.02, "max_reconnect_attempts": -1}


async def connect(server, **options):
    watch = Watch()
    client = await server.connect(**IMPATIENT | watch.options() | options)
    return client, watch


async def test_subscriptions_come_back_after_a_restart(server):
    client, watch = await connect(server)
    plain = await client.subscribe("plain")
    wild = await client.subscribe("*")
    member = await client.subscribe("plain", queue="w")
    gone = await client.subscribe("plain")
    await gone.unsubscribe()
    await client.publish("plain", b"before")
    for subscription in (plain, wild, member):
        assert await next_data(subscription) == b"before"

    await server.stop()
    await watch.until("disconnected")
    assert client.is_reconnecting
    assert not client.is_connected
    await server.start_again()
    await watch.until("reconnected")
    assert client.is_connected
    assert client.stats["reconnects"] == 1
    await settle(client)

    other = await server.connect()
    await other.publish("plain", b"after")
    for subscription in (plain, wild, member):
        assert await next_data(subscription) == b"after"
    await settle(client)
    assert [sub.pending_msgs for sub in (plain, wild, member, gone)] == [0, 0, 0, 0]
    assert watch.events == ["disconnected", "reconnected"]
    assert isinstance(watch.errors[0], UnexpectedEOF), "the end of the connection came first"


async def test_a_killed_server_is_noticed_and_its_successor_found(server):
    client, watch = await connect(server)
    news = await client.subscribe("news")
    for count in (1, 2, 3):
        server.kill()
        await watch.until("disconnected", count)
        await server.start_again()
        await watch.until("reconnected", count)
        await client.publish("news", b"round %d" % count)
        assert await next_data(news) == b"round %d" % count


async def test_messages_published_meanwhile_are_sent_afterwards(server):
    client, watch = await connect(server)
    news = await client.subscribe("news")
    await settle(client)

    await server.stop()
    await watch.until("disconnected")
    for data in numbers(100):
        await client.publish("news", data)
    assert client.pending_data_size > 0
    await server.start_again()

    assert await take(news, 100) == numbers(100)
    await settle(client)
    assert client.pending_data_size == 0


async def test_subscriptions_made_meanwhile_count_afterwards(server):
    client, watch = await connect(server)
    await server.stop()
    await watch.until("disconnected")
    news = await client.subscribe("news")
    await server.start_again()
    await watch.until("reconnected")
    await settle(client)

    other = await server.connect()
    await other.publish("news", b"hello")
    assert await next_data(news) == b"hello"


async def test_the_pending_buffer_has_a_limit(server):
    client, watch = await connect(server, pending_size=1000)
    unbuffered, unbuffered_watch = await connect(server, pending_size=0)
    news = await client.subscribe("news")
    await settle(client)

    await server.stop()
    await watch.until("disconnected")
    await unbuffered_watch.until("disconnected")
    with pytest.raises(OutboundBufferLimitError):
        await unbuffered.publish("news", b"")
    await client.publish("news", bytes(800))
    with pytest.raises(OutboundBufferLimitError):
        await client.publish("news", bytes(800))
    with pytest.raises(ConnectionReconnectingError):
        await client.drain()
    await server.start_again()

    assert await next_data(news) == bytes(800)
    await settle(client)
    assert news.pending_msgs == 0


async def test_requests_work_after_a_restart(server):
    asking, asking_watch = await connect(server)
    answering, answering_watch = await connect(server)

    async def on_request(message):
        await message.respond(message.data.upper())

    await answering.subscribe("shout", cb=on_request)
    await settle(answering)
    assert (await asking.request("shout", b"before", timeout=10)).data == b"BEFORE"

    await server.stop()
    await asking_watch.until("disconnected")
    await answering_watch.until("disconnected")
    await server.start_again()
    await asking_watch.until("reconnected")
    await answering_watch.until("reconnected")
    await settle(answering)
    assert (await asking.request("shout", b"after", timeout=10)).data == b"AFTER"


async def test_the_rest_of_a_limited_subscription_survives_a_restart(server):
    client, watch = await connect(server)
    three = await client.subscribe("limited")
    await three.unsubscribe(limit=3)
    await client.publish("limited", b"one")
    assert await next_data(three) == b"one"

    await server.stop()
    await watch.until("disconnected")
    await server.start_again()
    await watch.until("reconnected")
    for data in (b"two", b"three", b"four"):
        await client.publish("limited", data)

    assert await take(three, 2) == [b"two", b"three"]
    await settle(client)
    assert three.pending_msgs == 0


async def test_a_client_gives_up_after_its_last_attempt(server):
    client, watch = await connect(server, max_reconnect_attempts=3)
    await server.stop()

    await watch.until("closed")

    assert client.is_closed
    assert isinstance(client.last_error, NoServersError)
    assert watch.events == ["disconnected", "disconnected", "closed"]
    refusals = [error for error in watch.errors if isinstance(error, ConnectionRefusedError)]
    # The attempts, and the one that finds that they are used up.
    assert len(refusals) == 4


async def test_a_client_that_must_not_reconnect_closes(server):
    client, watch = await connect(server, allow_reconnect=False)
    await server.stop()
    await watch.until("closed")
    assert client.is_closed
    assert watch.events == ["disconnected", "closed"]


async def test_a_server_that_is_not_there_is_an_error(server):
    await server.stop()
    attempts = Watch()
    with pytest.raises(NoServersError):
        await server.connect(
            **attempts.options(), max_reconnect_attempts=2, reconnect_time_wait=0.01
        )
    assert {type(error) for error in attempts.errors} == {ConnectionRefusedError}

    # One that waits is served as soon as there is a server.
    waiting = asyncio.create_task(connect(server))
    await server.start_again()
    client, _ = await waiting
    await settle(client)


async def test_a_forced_reconnect_keeps_the_subscriptions(server):
    client, watch = await connect(server)
    news = await client.subscribe("news")
    await settle(client)
    first_id = client.client_id

    await client.force_reconnect()
    await watch.until("reconnected")

    assert client.client_id != first_id
    await client.publish("news", b"again")
    assert await next_data(news) == b"again"


async def test_a_server_that_hangs_is_left(server):
    client, watch = await connect(
        server, ping_interval=0.2, max_outstanding_pings=2, connect_timeout=0.5
    )
    news = await client.subscribe("news")
    await settle(client)

    started = time.monotonic()
    await server.pause()
    await watch.until("disconnected")
    # The third ping is the one too many.
    assert time.monotonic() - started >= 0.3
    server.resume()
    await watch.until("reconnected")
    await client.publish("news", b"back")
    assert await next_data(news) == b"back"
