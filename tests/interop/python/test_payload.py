"""Payloads up to the limit that the server announces, and one byte more."""

import pytest
from nats.errors import MaxPayloadError

from harness import Raw, Watch, next_data, settle

MEBIBYTE = 1024 * 1024


def pattern(length, seed=0):
    """Bytes that differ from message to message and repeat at no power of two."""
    cycle = bytes((index + seed) % 251 for index in range(251))
    return (cycle * (length // 251 + 1))[:length]


async def test_payloads_of_exactly_the_limit_pass_unharmed(server):
    sender, receiver = await server.connect(), await server.connect()
    assert sender.max_payload == MEBIBYTE
    blobs = await receiver.subscribe("blobs")
    await settle(receiver)

    for seed in range(8):
        await sender.publish("blobs", pattern(MEBIBYTE, seed))
    for seed in range(8):
        # Compared outside the assertion, which would print a mebibyte.
        is_same = await next_data(blobs) == pattern(MEBIBYTE, seed)
        assert is_same, f"payload {seed} came changed"


async def test_a_request_and_its_reply_may_fill_the_limit(server):
    asking, answering = await server.connect(), await server.connect()

    async def on_request(message):
        await message.respond(message.data)

    await answering.subscribe("echo", cb=on_request)
    await settle(answering)
    reply = await asking.request("echo", pattern(MEBIBYTE), timeout=20)
    is_same = reply.data == pattern(MEBIBYTE)
    assert is_same, "the reply came changed"


async def test_headers_count_towards_the_limit(server):
    watch = Watch()
    client = await server.connect(**watch.options(), allow_reconnect=False)
    subscriber = await server.connect()
    blobs = await subscriber.subscribe("blobs")
    await settle(subscriber)
    room = MEBIBYTE - len(b"NATS/1.0\r\nKey: value\r\n\r\n")

    await client.publish("blobs", pattern(room), headers={"Key": "value"})
    is_same = await next_data(blobs) == pattern(room)
    assert is_same, "the payload came changed"
    await settle(client)
    assert watch.events == []

    # This client counts the payload alone and lets one byte more pass. The server does not, and
    # closes the connection.
    await client.publish("blobs", pattern(room + 1), headers={"Key": "value"})
    await watch.until("closed")
    await settle(subscriber)
    assert blobs.pending_msgs == 0


async def test_one_byte_more_is_refused_by_the_client(server):
    client = await server.connect()
    blobs = await client.subscribe("blobs")

    with pytest.raises(MaxPayloadError):
        await client.publish("blobs", pattern(MEBIBYTE + 1))
    with pytest.raises(MaxPayloadError):
        await client.request("blobs", pattern(MEBIBYTE + 1))

    await settle(client)
    assert blobs.pending_msgs == 0


async def test_one_byte_more_is_refused_by_the_server(server):
    client = await server.connect()
    blobs = await client.subscribe("blobs")
    await settle(client)
    careless = await Raw.connect(server)

    careless.send(b"PUB blobs %d\r\n" % (MEBIBYTE + 1))

    assert await careless.answer() == b"-ERR 'Maximum Payload Violation'\r\n"
    assert await careless.answer() == b"", "the connection is closed"
    await settle(client)
    assert blobs.pending_msgs == 0
    await careless.close()
