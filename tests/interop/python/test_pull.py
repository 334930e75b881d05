"""Pull consumers: asking for messages, and saying what became of them."""

import asyncio
import json
import time

import pytest
from nats.errors import NoRespondersError

from harness import (
    PATIENCE,
    fill,
    next_message,
    numbers,
    payloads,
    sequences,
    settle,
    wait_for,
)


async def jobs(js, count=0, **options):
    await js.add_stream(name="JOBS", subjects=["jobs.*"], **options)
    await fill(js, "jobs.a", count)


async def worker(js, name="worker", subject="", **options):
    await js.add_consumer("JOBS", durable_name=name, **options)
    return await js.pull_subscribe_bind(stream="JOBS", consumer=name)


async def take(worker, count):
    """Fetches until as many have come."""
    got = []
    while len(got) < count:
        got += await worker.fetch(count - len(got), timeout=PATIENCE)
    return got


async def ask(js, request, name="worker"):
    """A request for messages as it is on the wire, and the inbox for the answers."""
    inbox = js._nc.new_inbox()
    subscription = await js._nc.subscribe(inbox)
    body = json.dumps(request).encode() if request is not None else b""
    await js._nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.JOBS.{name}", body, reply=inbox)
    return subscription


def status(message):
    return message.headers["Status"], message.headers.get("Description")


async def test_a_batch_comes_in_order(js):
    await jobs(js, 10)
    reader = await worker(js)
    got = await reader.fetch(10, timeout=PATIENCE)
    assert payloads(got) == numbers(10)
    for number, message in enumerate(got):
        metadata = message.metadata
        assert message.subject == "jobs.a"
        assert (metadata.stream, metadata.consumer) == ("JOBS", "worker")
        assert (metadata.sequence.stream, metadata.sequence.consumer) == (number + 1, number + 1)
        assert (metadata.num_delivered, metadata.num_pending) == (1, 9 - number)
        assert abs(metadata.timestamp.timestamp() - time.time()) < PATIENCE


async def test_a_fetch_takes_what_there_is(js):
    await jobs(js, 3)
    reader = await worker(js)
    assert payloads(await reader.fetch(10, timeout=PATIENCE)) == numbers(3)


async def test_a_fetch_waits_for_the_first_message(js):
    await jobs(js)
    reader = await worker(js)
    fetch = asyncio.create_task(reader.fetch(5, timeout=PATIENCE))
    await wait_for(reader.consumer_info, lambda info: info.num_waiting == 1, "a request waits")
    await js.publish("jobs.a", b"late")
    assert payloads(await fetch)[:1] == [b"late"]


async def test_a_fetch_of_nothing_ends_in_time(js):
    await jobs(js)
    reader = await worker(js)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.3)
    with pytest.raises(TimeoutError):
        await reader.fetch(5, timeout=0.3, heartbeat=0.1)
    assert time.monotonic() - started < PATIENCE
    await wait_for(reader.consumer_info, lambda info: info.num_waiting == 0, "no request left")


async def test_a_request_without_waiting_is_answered_at_once(js):
    await jobs(js, 2)
    await worker(js)
    answers = await ask(js, {"batch": 5, "no_wait": True})
    got = [await next_message(answers) for _ in range(3)]
    assert payloads(got[:2]) == numbers(2)
    assert got[0].subject == "jobs.a"
    assert got[2].subject == answers.subject, "a status comes to the inbox itself"
    assert status(got[2]) == ("404", "No Messages")


async def test_a_request_that_expires_tells_what_was_left(js):
    await jobs(js, 2)
    await worker(js)
    answers = await ask(js, {"batch": 5, "expires": 200_000_000})
    got = [await next_message(answers) for _ in range(3)]
    assert payloads(got[:2]) == numbers(2)
    assert status(got[2]) == ("408", "Request Timeout")
    assert got[2].headers["Nats-Pending-Messages"] == "3"
    assert got[2].headers["Nats-Pending-Bytes"] == "0"


async def test_heartbeats_come_while_a_request_waits(js):
    await jobs(js)
    await worker(js)
    request = {"batch": 1, "expires": 20_000_000_000, "idle_heartbeat": 100_000_000}
    answers = await ask(js, request)
    for _ in range(3):
        assert status(await next_message(answers)) == ("100", "Idle Heartbeat")
    await js.publish("jobs.a", b"work")
    message = await next_message(answers)
    while message.headers:
        message = await next_message(answers)
    assert message.data == b"work"


async def test_a_heartbeat_must_fit_into_the_request(js):
    await jobs(js)
    await worker(js)
    answers = await ask(js, {"batch": 1, "expires": 100_000_000, "idle_heartbeat": 90_000_000})
    code, text = status(await next_message(answers))
    assert (code, text) == ("400", "Bad Request - heartbeat value too large")


async def test_a_request_may_limit_its_bytes(js):
    await jobs(js)
    for _ in range(5):
        await js.publish("jobs.a", bytes(1000))
    await worker(js)
    answers = await ask(js, {"batch": 5, "max_bytes": 2500, "expires": 20_000_000_000})
    got = [await next_message(answers) for _ in range(3)]
    assert [len(message.data) for message in got] == [1000, 1000, 0]
    assert status(got[2]) == ("409", "Message Size Exceeds MaxBytes")
    assert got[2].headers["Nats-Pending-Messages"] == "3"


async def test_a_bare_number_asks_for_as_many(js):
    await jobs(js, 5)
    await worker(js)
    answers = await ask(js, 3)
    assert payloads([await next_message(answers) for _ in range(3)]) == numbers(3)
    one = await ask(js, None)
    assert (await next_message(one)).data == b"3"
    await settle(js._nc)
    assert answers.pending_msgs + one.pending_msgs == 0


async def test_requests_are_served_in_turn(js):
    await jobs(js)
    await worker(js)
    inboxes = [await ask(js, {"batch": 10, "expires": 20_000_000_000}) for _ in range(3)]
    await wait_for(
        lambda: js.consumer_info("JOBS", "worker"), lambda info: info.num_waiting == 3, "three"
    )
    await fill(js, "jobs.a", 9)
    for number, inbox in enumerate(inboxes):
        got = payloads([await next_message(inbox) for _ in range(3)])
        assert got == [b"%d" % (number + 3 * turn) for turn in range(3)]


async def test_too_many_requests_are_refused(js):
    await jobs(js)
    await worker(js, max_waiting=2)
    for _ in range(2):
        await ask(js, {"batch": 1, "expires": 20_000_000_000})
    await wait_for(
        lambda: js.consumer_info("JOBS", "worker"), lambda info: info.num_waiting == 2, "two"
    )
    third = await ask(js, {"batch": 1, "expires": 20_000_000_000})
    assert status(await next_message(third)) == ("409", "Exceeded MaxWaiting")


async def test_requests_beyond_the_caps_of_a_consumer_are_refused(js):
    await jobs(js)
    config = {
        "durable_name": "worker",
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "max_batch": 5,
        "max_expires": 2_000_000_000,
        "max_bytes": 1000,
    }
    request = json.dumps({"stream_name": "JOBS", "config": config}).encode()
    await js._nc.request("$JS.API.CONSUMER.CREATE.JOBS.worker", request, timeout=PATIENCE)
    for asked, text in (
        ({"batch": 6}, "Exceeded MaxRequestBatch of 5"),
        ({"batch": 1, "expires": 3_000_000_000}, "Exceeded MaxRequestExpires of 2s"),
        ({"batch": 1, "max_bytes": 2000}, "Exceeded MaxRequestMaxBytes of 1000"),
    ):
        assert status(await next_message(await ask(js, asked))) == ("409", text)


async def test_asking_a_missing_consumer_finds_nobody(js):
    await jobs(js)
    answers = await ask(js, {"batch": 1}, name="nobody")
    assert (await next_message(answers)).headers["Status"] == "503"
    with pytest.raises(NoRespondersError):
        await js._nc.request("$JS.API.CONSUMER.MSG.NEXT.NONE.nobody", b"", timeout=PATIENCE)


async def test_a_waiting_request_is_told_when_its_consumer_goes(js):
    await jobs(js)
    for delete in (
        lambda: js.delete_consumer("JOBS", "worker"),
        lambda: js.delete_stream("JOBS"),
    ):
        await worker(js)
        answers = await ask(js, {"batch": 1, "expires": 20_000_000_000})
        await wait_for(
            lambda: js.consumer_info("JOBS", "worker"), lambda info: info.num_waiting == 1, "one"
        )
        await delete()
        assert status(await next_message(answers)) == ("409", "Consumer Deleted")


async def test_a_request_whose_asker_has_gone_costs_nothing(store_server, js):
    await jobs(js)
    reader = await worker(js)
    other = await store_server.jetstream()
    await ask(other, {"batch": 10, "expires": 20_000_000_000})
    await wait_for(reader.consumer_info, lambda info: info.num_waiting == 1, "one")
    await other._nc.close()
    await fill(js, "jobs.a", 10)
    got = await take(reader, 10)
    assert payloads(got) == numbers(10)
    assert {message.metadata.num_delivered for message in got} == {1}


async def test_workers_on_one_consumer_share_the_messages(store_server, js):
    await jobs(js, 1000)
    await worker(js)

    async def work():
        context = await store_server.jetstream()
        reader = await context.pull_subscribe_bind(stream="JOBS", consumer="worker")
        done = []
        while True:
            try:
                batch = await reader.fetch(20, timeout=1)
            except TimeoutError:
                return done
            for message in batch:
                await message.ack_sync(timeout=PATIENCE)
            done += sequences(batch)

    shares = await asyncio.gather(*(work() for _ in range(4)))
    assert sorted(seq for share in shares for seq in share) == list(range(1, 1001))
    info = await js.consumer_info("JOBS", "worker")
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 0, 1000)


async def test_an_acknowledged_message_is_done(js):
    await jobs(js, 3)
    reader = await worker(js, ack_wait=0.3)
    for message in await take(reader, 3):
        await message.ack()
    info = await wait_for(reader.consumer_info, lambda info: info.num_ack_pending == 0, "all done")
    assert (info.delivered.stream_seq, info.delivered.consumer_seq) == (3, 3)
    assert (info.ack_floor.stream_seq, info.ack_floor.consumer_seq) == (3, 3)
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.5)


async def test_the_floor_waits_for_the_first_unacknowledged(js):
    await jobs(js, 5)
    reader = await worker(js)
    got = await take(reader, 5)
    for message in (got[0], got[1], got[3]):
        await message.ack_sync(timeout=PATIENCE)
    info = await reader.consumer_info()
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (2, 2)
    await got[2].ack_sync(timeout=PATIENCE)
    info = await reader.consumer_info()
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (4, 1)


async def test_an_unacknowledged_message_comes_again(js):
    await jobs(js, 2)
    reader = await worker(js, ack_wait=0.2)
    first = await take(reader, 2)
    await first[1].ack_sync(timeout=PATIENCE)
    (again,) = await take(reader, 1)
    assert again.data == b"0"
    assert again.metadata.num_delivered == 2
    assert again.metadata.sequence.stream == 1
    assert again.metadata.sequence.consumer == 3, "each delivery counts"
    info = await reader.consumer_info()
    assert (info.num_redelivered, info.num_ack_pending) == (1, 1)
    await again.ack_sync(timeout=PATIENCE)
    assert (await reader.consumer_info()).num_redelivered == 0


async def test_a_late_acknowledgement_still_counts(js):
    await jobs(js, 1)
    reader = await worker(js, ack_wait=0.2)
    (first,) = await take(reader, 1)
    (second,) = await take(reader, 1)
    assert second.metadata.num_delivered == 2
    await first.ack_sync(timeout=PATIENCE)
    assert (await reader.consumer_info()).num_ack_pending == 0


async def test_a_refused_message_comes_again_at_once(js):
    await jobs(js, 1)
    reader = await worker(js)
    (message,) = await take(reader, 1)
    await message.nak()
    (again,) = await take(reader, 1)
    assert (again.data, again.metadata.num_delivered) == (b"0", 2)


async def test_a_refused_message_may_come_later(js):
    await jobs(js, 2)
    reader = await worker(js)
    first, second = await take(reader, 2)
    started = time.monotonic()
    await first.nak(delay=0.4)
    await second.nak()
    got = await take(reader, 2)
    assert sequences(got) == [2, 1]
    assert time.monotonic() - started > 0.3


async def test_work_in_progress_holds_off_the_redelivery(js):
    await jobs(js, 1)
    reader = await worker(js, ack_wait=0.5)
    (message,) = await take(reader, 1)
    started = time.monotonic()
    answers = await ask(js, {"batch": 1, "expires": 20_000_000_000})
    while time.monotonic() - started < 1.2:
        await message.in_progress()
        await asyncio.sleep(0.1)
    await settle(js._nc)
    assert answers.pending_msgs == 0
    assert (await next_message(answers)).metadata.num_delivered == 2


async def test_a_terminated_message_never_comes_again(js):
    await jobs(js, 2)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
    reader = await worker(js, ack_wait=0.2)
    first, second = await take(reader, 2)
    await first.term()
    body = json.loads((await next_message(advisories)).data)
    assert (body["stream"], body["consumer"], body["stream_seq"]) == ("JOBS", "worker", 1)
    assert body["type"] == "io.nats.jetstream.advisory.v1.terminated"
    again = await take(reader, 1)
    assert sequences(again) == [2]
    await again[0].ack_sync(timeout=PATIENCE)
    assert (await reader.consumer_info()).num_ack_pending == 0


async def test_every_kind_of_answer_can_be_confirmed(js):
    await jobs(js, 1)
    reader = await worker(js)
    client = js._nc
    (message,) = await take(reader, 1)
    for body in (b"+WPI", b"-NAK", b"+ACK", b"+ACK", b"+TERM"):
        reply = await client.request(message.reply, body, timeout=PATIENCE)
        assert (reply.data, reply.headers) == (b"", None)
    info = await reader.consumer_info()
    assert info.num_ack_pending == 0


async def test_an_answer_may_ask_for_the_next_message(js):
    await jobs(js, 3)
    reader = await worker(js)
    client = js._nc
    (message,) = await take(reader, 1)
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish(message.reply, b"+NXT", reply=inbox)
    assert (await next_message(answers)).data == b"1"
    assert (await reader.consumer_info()).ack_floor.stream_seq == 1


async def test_one_acknowledgement_may_cover_all_before(js):
    await jobs(js, 5)
    reader = await worker(js, ack_policy="all")
    got = await take(reader, 5)
    await got[3].ack_sync(timeout=PATIENCE)
    info = await reader.consumer_info()
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (4, 1)


async def test_without_acknowledgements_delivered_is_done(js):
    await jobs(js, 5)
    reader = await worker(js, ack_policy="none")
    assert payloads(await take(reader, 5)) == numbers(5)
    info = await reader.consumer_info()
    assert (info.num_ack_pending, info.num_pending, info.delivered.stream_seq) == (0, 0, 5)
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.2)


async def test_backoff_spaces_the_redeliveries(js):
    await jobs(js, 1)
    reader = await worker(js, backoff=[0.1, 0.4], max_deliver=3)
    info = await reader.consumer_info()
    assert info.config.ack_wait == 0.1, "the first wait is the acknowledgement's"
    times = []
    for count in (1, 2, 3):
        (message,) = await take(reader, 1)
        assert message.metadata.num_delivered == count
        times.append(time.monotonic())
    assert times[1] - times[0] > 0.05
    assert times[2] - times[1] > 0.3


async def test_a_message_is_given_up_after_its_last_delivery(js):
    await jobs(js, 1)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>")
    reader = await worker(js, ack_wait=0.2, max_deliver=2)
    await take(reader, 1)
    await take(reader, 1)
    fetch = asyncio.create_task(reader.fetch(1, timeout=PATIENCE))
    message = await next_message(advisories)
    assert message.subject == "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.worker"
    body = json.loads(message.data)
    assert body["type"] == "io.nats.jetstream.advisory.v1.max_deliver"
    assert (body["stream"], body["consumer"]) == ("JOBS", "worker")
    assert (body["stream_seq"], body["deliveries"]) == (1, 2)
    await js.publish("jobs.a", b"next")
    (following,) = await fetch
    assert following.data == b"next"
    assert (await js.get_msg("JOBS", 1)).data == b"0", "it stays in the stream"


async def test_no_more_is_out_than_may_be(js):
    await jobs(js, 10)
    reader = await worker(js, max_ack_pending=3)
    got = await reader.fetch(10, timeout=0.5)
    assert sequences(got) == [1, 2, 3]
    info = await reader.consumer_info()
    assert (info.num_ack_pending, info.num_pending) == (3, 7)
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.2)
    await got[1].ack_sync(timeout=PATIENCE)
    assert sequences(await reader.fetch(1, timeout=PATIENCE)) == [4]


async def test_a_deleted_message_is_not_delivered(js):
    await jobs(js, 5)
    reader = await worker(js)
    for seq in (1, 3, 5):
        await js.delete_msg("JOBS", seq)
    got = await take(reader, 2)
    assert sequences(got) == [2, 4]
    info = await reader.consumer_info()
    assert (info.num_pending, info.num_ack_pending) == (0, 2)


async def test_a_purge_leaves_nothing_to_deliver(js):
    await jobs(js, 5)
    reader = await worker(js)
    await js.purge_stream("JOBS")
    assert (await reader.consumer_info()).num_pending == 0
    await js.publish("jobs.a", b"fresh")
    assert sequences(await take(reader, 1)) == [6]


async def test_a_subscription_by_subject_makes_its_consumer(js):
    await jobs(js, 3)
    reader = await js.pull_subscribe("jobs.a", durable="mine")
    assert payloads(await reader.fetch(3, timeout=PATIENCE)) == numbers(3)
    config = (await reader.consumer_info()).config
    assert (config.durable_name, config.filter_subject) == ("mine", "jobs.a")
    ephemeral = await js.pull_subscribe("jobs.a")
    info = await ephemeral.consumer_info()
    assert info.config.durable_name is None
    assert info.config.inactive_threshold == 5


async def test_pulling_from_a_push_consumer_is_refused(js):
    await jobs(js)
    await js.add_consumer("JOBS", durable_name="worker", deliver_subject="push.here")
    reply = await ask(js, {"batch": 1})
    assert status(await next_message(reply)) == ("409", "Consumer is push based")
