"""What a client is told about its connection, by callbacks and by what it asks for."""

import asyncio
import json
import signal

import pytest
from nats.errors import BadTimeoutError, FlushTimeoutError, SlowConsumerError

from harness import POLL, Watch, eventually, greets, next_data, numbers, settle, take


async def test_a_client_that_closes_hears_of_it(server):
    watch = Watch()
    client = await server.connect(**watch.options())
    await settle(client)
    assert watch.events == []
    await client.close()
    assert watch.events == ["disconnected", "closed"]
    assert watch.errors == []


async def test_a_lame_duck_warns_and_still_serves(server):
    watch = Watch()
    client = await server.connect(**watch.options())
    news = await client.subscribe("news")
    await settle(client)

    server.signal(signal.SIGUSR2)
    await watch.until("lame_duck_mode")

    await client.publish("news", b"still here")
    assert await next_data(news) == b"still here"
    assert watch.events == ["lame_duck_mode"]
    assert watch.errors == []
    async with asyncio.timeout(20):
        while await greets(server.port):
            await asyncio.sleep(POLL)


async def test_slow_consumers_are_reported_and_stay_connected(server):
    watch = Watch()
    slow = await server.connect(**watch.options())
    sender = await server.connect()
    flood = await slow.subscribe("flood", pending_msgs_limit=10)
    trickle = await slow.subscribe("trickle")
    await settle(slow)

    for data in numbers(30):
        await sender.publish("flood", data)
    await sender.publish("trickle", b"drop")
    assert await next_data(trickle) == b"drop"

    assert [type(error) for error in watch.errors] == [SlowConsumerError] * 20
    assert {error.subject for error in watch.errors} == {"flood"}
    assert await take(flood, 10) == numbers(10)
    await sender.publish("flood", b"on time")
    assert await next_data(flood) == b"on time"
    assert watch.events == []


async def test_an_error_in_a_callback_is_reported_and_harms_nothing(server):
    watch = Watch()
    client = await server.connect(**watch.options())
    seen = []

    async def fails_once(message):
        if not seen:
            seen.append("failed")
            raise ValueError(message.data)
        seen.append(message.data)

    await client.subscribe("news", cb=fails_once)
    await client.publish("news", b"one")
    await client.publish("news", b"two")
    await eventually(lambda: len(seen) == 2, "both messages")
    assert seen == ["failed", b"two"]
    assert [error.args for error in watch.errors] == [(b"one",)]


async def test_flush_and_round_trip_time(server):
    client = await server.connect()
    await client.flush(timeout=10)
    assert 0 < await client.rtt(timeout=10) < 10
    with pytest.raises(BadTimeoutError):
        await client.flush(timeout=0)

    # Nothing answers in a stopped process, yet the connection is there when it goes on.
    await server.pause()
    with pytest.raises(FlushTimeoutError):
        await client.flush(timeout=0.1)
    server.resume()
    assert client.is_connected


async def test_an_idle_connection_is_kept_up_by_pings(server):
    watch = Watch()
    client = await server.connect(**watch.options(), ping_interval=0.25, max_outstanding_pings=2)
    # Three pings unanswered would end the connection. The client counts the answers, though it
    # keeps the count to itself.
    await eventually(lambda: client._pongs_received >= 5, "five answers")
    assert client.is_connected
    assert watch.events == []
    assert watch.errors == []


async def test_the_server_introduces_itself(server):
    client, other = await server.connect(), await server.connect()
    assert client.max_payload == 1024 * 1024
    assert client.client_ip == "127.0.0.1"
    assert client.client_id > 0
    assert other.client_id != client.client_id
    assert client.connected_url.port == server.port
    assert client.discovered_servers == []
    version = client.connected_server_version
    assert (version.major, version.minor, version.patch) >= (0, 0, 0)

    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    operation, _, document = (await reader.readline()).partition(b" ")
    writer.close()
    assert operation == b"INFO"
    info = json.loads(document)
    assert info["port"] == server.port
    assert info["host"] == "127.0.0.1"
    assert info["proto"] == 1
    assert info["headers"] is True
    assert info["max_payload"] == 1024 * 1024
    assert info["client_id"] not in (client.client_id, other.client_id)
    assert info["server_id"] and info["server_name"] and info["version"]
    assert "nonce" not in info
    for absent in ("auth_required", "tls_required", "jetstream", "ldm"):
        assert not info.get(absent)


async def test_the_statistics_count_messages_and_bytes(server):
    client = await server.connect()
    subscription = await client.subscribe("numbers")
    for _ in range(100):
        await client.publish("numbers", b"0123456789")
    assert await take(subscription, 100) == [b"0123456789"] * 100
    assert client.stats == {
        "in_msgs": 100,
        "out_msgs": 100,
        "in_bytes": 1000,
        "out_bytes": 1000,
        "reconnects": 0,
        "errors_received": 0,
    }
    assert subscription.delivered == 100
