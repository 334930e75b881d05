"""Backups of one stream: what one server has made the other takes, in both directions."""

import json
import sys
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig

from harness import binary, is_reference, store_flags

REFERENCE = Path(sys.prefix) / "bin" / "nats-server"

pytestmark = [
    pytest.mark.skipif(is_reference(), reason="this takes both servers"),
    pytest.mark.skipif(not REFERENCE.exists(), reason="the original is not installed"),
]

CHUNK = 64 * 1024


async def call(nc, subject, body=b""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = json.loads((await nc.request(f"$JS.API.{subject}", body, timeout=10)).data)
    assert "error" not in answer, answer
    return answer


async def fill(nc):
    """A stream of some megabytes with gaps, headers, and consumers that are on their way."""
    js = nc.jetstream()
    await js.add_stream(name="S", subjects=["s.>"], metadata={"team": "blue"})
    for number in range(300):
        body = f"message {number} ".encode() * (number * 9)
        headers = {"Nats-Msg-Id": f"id-{number}", "Shape": "round"} if number % 7 == 0 else None
        await js.publish(f"s.{number % 5}", body, headers=headers)
    for seq in (1, 2, 50, 51, 120, 299):
        await js.delete_msg("S", seq)
    config = ConsumerConfig(ack_policy="explicit", ack_wait=3600, filter_subject="s.*")
    work = await js.pull_subscribe("s.*", "work", config=config)
    messages = await work.fetch(10)
    for place in (0, 1, 4):
        await messages[place].ack_sync()
    await js.add_consumer("S", ConsumerConfig(durable_name="late", deliver_policy="new"))


async def take(nc):
    """The stream as a client makes a backup of it, in a few chunks."""
    inbox = nc.new_inbox()
    parts = await nc.subscribe(inbox)
    asked = {"deliver_subject": inbox, "chunk_size": 100_000, "window_size": 300_000}
    begun = await call(nc, "STREAM.SNAPSHOT.S", asked)
    archive = bytearray()
    while (part := await parts.next_msg(timeout=20)).data:
        archive += part.data
        if part.reply:
            await part.respond(b"")
    assert part.headers is None or "Status" not in part.headers or part.headers["Status"] == "204"
    return begun, bytes(archive)


async def give(nc, begun, archive):
    request = {"config": begun["config"], "state": begun["state"]}
    to = (await call(nc, "STREAM.RESTORE.S", request))["deliver_subject"]
    for at in range(0, len(archive), CHUNK):
        answer = await nc.request(to, archive[at : at + CHUNK], timeout=20)
        assert answer.data == b""
    answer = json.loads((await nc.request(to, b"", timeout=60)).data)
    assert "error" not in answer, answer
    assert answer["type"] == "io.nats.jetstream.api.v1.stream_create_response"


async def told(nc):
    """What can be seen of the stream."""
    js = nc.jetstream()
    info = await call(nc, "STREAM.INFO.S", {"deleted_details": True})
    state = info["state"]
    consumers = {}
    for name in ("late", "work"):
        consumer = await call(nc, f"CONSUMER.INFO.S.{name}")
        positions = [
            (consumer[key]["consumer_seq"], consumer[key]["stream_seq"])
            for key in ("delivered", "ack_floor")
        ]
        counts = [consumer[key] for key in ("num_ack_pending", "num_pending", "num_redelivered")]
        consumers[name] = positions, counts
    messages = {}
    for seq in range(1, state["last_seq"] + 1):
        if seq >= state["first_seq"] and seq not in state.get("deleted", []):
            message = await js.get_msg("S", seq)
            messages[seq] = message.subject, message.data, message.headers, message.time
    return state, consumers, messages


@pytest.mark.parametrize("maker", ["ours", "theirs"])
async def test_what_one_server_has_backed_up_the_other_restores(
    maker, start_server, tmp_path, monkeypatch
):
    ours, theirs = binary(), REFERENCE
    order = (ours, theirs) if maker == "ours" else (theirs, ours)
    clients = []
    for number, server in enumerate(order):
        monkeypatch.setenv("MIDGE_BIN", str(server))
        directory = tmp_path / str(number)
        directory.mkdir()
        clients.append(await (await start_server(*store_flags(directory))).connect())
    source, target = clients
    await fill(source)
    begun, archive = await take(source)
    await give(target, begun, archive)
    assert await told(target) == await told(source)
    if maker == "theirs":
        # What was sent before is known to have been, which nats-server forgets.
        headers = {"Nats-Msg-Id": "id-294"}
        again = await target.jetstream().publish("s.0", b"again", headers=headers)
        assert (again.seq, again.duplicate) == (295, True)
    # And back, to where it was deleted meanwhile.
    before = await told(target)
    begun, archive = await take(target)
    await call(source, "STREAM.DELETE.S")
    await give(source, begun, archive)
    assert await told(source) == before
