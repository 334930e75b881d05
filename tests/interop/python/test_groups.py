"""Priority groups as they are on the wire, pauses and resets, with the client's own means."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import ConsumerConfig
from nats.js.errors import ConsumerInvalidResetError

from harness import PATIENCE, fill, next_message, sequences

GROUP = {"priority_groups": ["g"]}


async def jobs(js, count=0):
    await js.add_stream(name="JOBS", subjects=["jobs.*"])
    await fill(js, "jobs.a", count)


async def grouped(js, policy, **options):
    """A consumer with a group, of which the client knows nothing."""
    config = {"durable_name": "worker", "ack_policy": "explicit", "priority_policy": policy}
    body = {"stream_name": "JOBS", "config": config | GROUP | options}
    answer = await js._nc.request(
        "$JS.API.CONSUMER.CREATE.JOBS.worker", json.dumps(body).encode(), timeout=PATIENCE
    )
    made = json.loads(answer.data)
    assert made["priority_groups"][0]["group"] == "g", made


async def ask(js, **request):
    inbox = js._nc.new_inbox()
    subscription = await js._nc.subscribe(inbox)
    body = json.dumps({"group": "g", "batch": 1, "expires": 15_000_000_000} | request)
    await js._nc.publish("$JS.API.CONSUMER.MSG.NEXT.JOBS.worker", body.encode(), reply=inbox)
    await js._nc.flush(PATIENCE)
    return subscription


async def test_a_pin_is_held_and_taken_away(js):
    await jobs(js)
    await grouped(js, "pinned_client")
    one, two = await ask(js), await ask(js)
    await js.publish("jobs.a", b"1")
    first = await next_message(one)
    pin = first.headers["Nats-Pin-Id"]
    assert first.data == b"1"
    refused = await next_message(await ask(js, id="another"))
    assert refused.headers["Status"] == "423"
    again = await ask(js, id=pin)
    await js.publish("jobs.a", b"2")
    second = await next_message(again)
    assert (second.data, second.headers["Nats-Pin-Id"]) == (b"2", pin)
    answer = await js._nc.request("$JS.API.CONSUMER.UNPIN.JOBS.worker", b'{"group":"g"}')
    assert "error" not in json.loads(answer.data)
    await js.publish("jobs.a", b"3")
    third = await next_message(two)
    assert third.data == b"3"
    assert third.headers["Nats-Pin-Id"] != pin


async def test_an_overflow_and_priorities_are_kept_to(js):
    await jobs(js, 2)
    await grouped(js, "overflow")
    spare = await ask(js, min_pending=3)
    with pytest.raises(asyncio.TimeoutError):
        await spare.next_msg(timeout=0.2)
    await js.publish("jobs.a", b"2")
    assert (await next_message(spare)).data == b"0"
    await grouped(js, "prioritized")
    late = await ask(js, priority=5)
    assert (await next_message(late)).data == b"1"


async def test_a_pause_ends_when_it_is_resumed(js):
    await jobs(js, 1)
    await js.add_consumer("JOBS", durable_name="worker")
    until = datetime.now(UTC) + timedelta(minutes=10)
    paused = await js.pause_consumer("JOBS", "worker", until.isoformat().replace("+00:00", "Z"))
    assert paused.paused
    assert (await js.consumer_info("JOBS", "worker")).paused
    worker = await js.pull_subscribe_bind(stream="JOBS", consumer="worker")
    with pytest.raises(asyncio.TimeoutError):
        await worker.fetch(1, timeout=0.2)
    assert not (await js.resume_consumer("JOBS", "worker")).paused
    assert sequences(await worker.fetch(1, timeout=PATIENCE)) == [1]


async def test_a_consumer_starts_over(js):
    await jobs(js, 5)
    await js.add_consumer("JOBS", durable_name="worker")
    worker = await js.pull_subscribe_bind(stream="JOBS", consumer="worker")
    got = await worker.fetch(5, timeout=PATIENCE)
    await got[0].ack_sync()
    reset = await js.reset_consumer("JOBS", "worker")
    assert (reset.reset_seq, reset.info.num_pending) == (2, 4)
    assert sequences(await worker.fetch(4, timeout=PATIENCE)) == [2, 3, 4, 5]
    assert (await js.reset_consumer("JOBS", "worker", seq=4)).reset_seq == 4
    assert sequences(await worker.fetch(2, timeout=PATIENCE)) == [4, 5]
    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": 3}
    config = ConsumerConfig(durable_name="bound", **start)
    await js.add_consumer("JOBS", config)
    with pytest.raises(ConsumerInvalidResetError):
        await js.reset_consumer("JOBS", "bound", seq=2)
