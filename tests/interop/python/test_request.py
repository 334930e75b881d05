"""Requests: replies, nobody there, too late, and a thousand at once."""

import asyncio
import time

import nats.errors
import pytest
from nats.errors import NoRespondersError

from harness import next_data, next_message, settle

both_styles = pytest.mark.parametrize("old_style", [False, True])


async def start_shouting(client, subject="shout"):
    """Answers every request on a subject with its payload in upper case."""

    async def on_request(message):
        await message.respond(message.data.upper())

    await client.subscribe(subject, cb=on_request)
    await settle(client)


@both_styles
async def test_a_request_gets_its_reply(server, old_style):
    asking, answering = await server.connect(), await server.connect()
    await start_shouting(answering)

    for word in (b"hello", b"again"):
        reply = await asking.request("shout", word, timeout=10, old_style=old_style)
        assert reply.data == word.upper()
        assert reply.headers is None
        assert reply.subject.startswith("_INBOX.")


@both_styles
async def test_nobody_there_is_told_at_once(server, old_style):
    client = await server.connect()
    asked = time.monotonic()
    with pytest.raises(NoRespondersError):
        await client.request("nobody", b"anyone?", timeout=20, old_style=old_style)
    assert time.monotonic() - asked < 10


async def test_the_no_responders_message_is_a_bare_status(server):
    client = await server.connect()
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)

    await client.publish("nobody", b"anyone?", reply=inbox)

    message = await next_message(replies)
    assert message.subject == inbox
    assert message.data == b""
    assert message.headers["Status"] == "503"
    await settle(client)
    assert replies.pending_msgs == 0


async def test_a_client_without_echo_is_no_responder_to_itself(server):
    client = await server.connect(no_echo=True)
    await start_shouting(client)
    with pytest.raises(NoRespondersError):
        await client.request("shout", b"hello", timeout=10)


@both_styles
async def test_a_request_times_out_when_nobody_answers(server, old_style):
    asking, silent = await server.connect(), await server.connect()
    requests = await silent.subscribe("silence")
    await settle(silent)

    asked = time.monotonic()
    with pytest.raises(nats.errors.TimeoutError):
        await asking.request("silence", timeout=0.2, old_style=old_style)
    assert 0.2 <= time.monotonic() - asked < 10

    # The reply that comes too late must not become the answer of the next request.
    late = (await next_message(requests)).reply
    await silent.publish(late, b"late")
    await settle(silent)
    await start_shouting(silent)
    reply = await asking.request("shout", b"in time", timeout=10, old_style=old_style)
    assert reply.data == b"IN TIME"


async def test_the_inbox_prefix_is_the_clients_choice(server):
    answering = await server.connect()
    await start_shouting(answering)
    asking = await server.connect(inbox_prefix="_MY.BOX")

    reply = await asking.request("shout", b"hello", timeout=10)

    assert reply.data == b"HELLO"
    assert reply.subject.startswith("_MY.BOX.")


async def test_many_may_answer_one_inbox(server):
    asking = await server.connect()
    answering = [await server.connect() for _ in range(3)]
    for client in answering:
        await start_shouting(client)
    inbox = asking.new_inbox()
    replies = await asking.subscribe(inbox)
    await settle(asking)

    await asking.publish("shout", b"roll call", reply=inbox)

    for _ in answering:
        assert await next_data(replies) == b"ROLL CALL"
    for client in [*answering, asking]:
        await settle(client)
    assert replies.pending_msgs == 0


async def test_a_thousand_requests_at_once_each_get_their_own_reply(server):
    asking, answering = await server.connect(), await server.connect()
    await start_shouting(answering, "shout.*")

    words = [f"word{number}" for number in range(1000)]
    replies = await asyncio.gather(
        *(asking.request(f"shout.{word}", word.encode(), timeout=20) for word in words)
    )
    assert [reply.data.decode() for reply in replies] == [word.upper() for word in words]
