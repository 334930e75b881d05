"""Messages that cannot be processed: kept with their story, also when the server goes away."""

import asyncio
import base64
import json
import time

import pytest
from nats.errors import NoRespondersError
from nats.js.api import ConsumerConfig, RetentionPolicy
from nats.js.errors import APIError, NotFoundError

from harness import (
    PATIENCE,
    Watch,
    fill,
    letters,
    midge,
    next_message,
    numbers,
    only_midge,
    payloads,
    settle,
    stream_names,
    wait_for,
)

pytestmark = only_midge()

ENDS = pytest.mark.parametrize("how", ["stop", "kill"])

# What a worker may see while the server is away.
AWAY = (TimeoutError, NoRespondersError, APIError)


async def jobs(js, **options):
    """A work queue `JOBS` on jobs.> with the consumer `crew`."""
    await js.add_stream(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE)
    return await consumer(js, "JOBS", "crew", **options)


async def consumer(js, stream, name, **options):
    await js.add_consumer(stream, durable_name=name, **options)
    return await js.pull_subscribe_bind(stream=stream, consumer=name)


async def worker(server, **options):
    """Another one of the crew, on a client of its own."""
    js = await server.jetstream(**options)
    return await js.pull_subscribe_bind(stream="JOBS", consumer="crew")


async def fetch(reader):
    [message] = await reader.fetch(1, timeout=PATIENCE)
    return message


async def refuse(reader):
    message = await fetch(reader)
    await message.nak()
    return message


async def terminate(js, message, reason):
    """The client has no word for a reason. Answered once it is safe."""
    await js._nc.request(message.reply, f"+TERM {reason}".encode(), timeout=PATIENCE)


async def nothing_comes(reader):
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.2)


async def is_idle(js, stream, name):
    info = await js.consumer_info(stream, name)
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_a_poison_message_is_kept_with_its_story(store_server, js):
    await jobs(js, max_deliver=3)
    names = ["anne", "bert", "carl"]
    workers = [await worker(store_server, name=name) for name in names]
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
    assert "DLQ" not in await stream_names(js)
    await js.publish("jobs.a", b"poison", headers={"Colour": "red", "Nats-Msg-Id": "7"})
    for number, reader in enumerate(workers, 1):
        message = await refuse(reader)
        assert message.metadata.num_delivered == number
    await letters(js, 1)

    # It is out of the way, and all the rest goes on.
    assert (await js.stream_info("JOBS")).state.messages == 0
    assert await is_idle(js, "JOBS", "crew")
    await js.publish("jobs.a", b"good")
    good = await fetch(workers[0])
    assert good.data == b"good"
    await good.ack_sync(timeout=PATIENCE)
    body = None
    while body is None or "max_deliver" not in body["type"]:
        advisory = await next_message(advisories)
        body = json.loads(advisory.data)
    assert advisory.subject == "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.crew"
    assert (body["stream"], body["consumer"]) == ("JOBS", "crew")
    assert (body["stream_seq"], body["deliveries"]) == (1, 3)

    # What keeps it is a stream like any other.
    assert sorted(await stream_names(js)) == ["DLQ", "JOBS"]
    assert await js.find_stream_name_by_subject("$DLQ.JOBS.crew.jobs.a") == "DLQ"
    info = await js.stream_info("DLQ", subjects_filter=">")
    assert (info.config.subjects, info.state.messages) == (["$DLQ.>"], 1)
    assert info.state.subjects == {"$DLQ.JOBS.crew.jobs.a": 1}
    undertaker = await js.pull_subscribe("$DLQ.JOBS.>", durable="undertaker")
    letter = await fetch(undertaker)
    assert (letter.subject, letter.data) == ("$DLQ.JOBS.crew.jobs.a", b"poison")
    wanted = {
        "Colour": "red",
        "Nats-Msg-Id": "7",
        "Midge-Stream": "JOBS",
        "Midge-Consumer": "crew",
        "Midge-Sequence": "1",
        "Midge-Subject": "jobs.a",
        "Midge-Deliveries": "3",
        "Midge-Reason": "max_deliver",
    }
    assert wanted.items() <= letter.headers.items()
    assert json.loads(letter.headers["Midge-Attempt"])["client"] in names
    await letter.ack_sync(timeout=PATIENCE)
    assert await is_idle(js, "DLQ", "undertaker")

    shown = await midge(js, "DLQ.SHOW", seq=1)
    assert base64.b64decode(shown["data"]) == b"poison"
    assert b"Colour: red\r\n" in base64.b64decode(shown["hdrs"])
    told = [(attempt["n"], attempt["client"], attempt["ended"]) for attempt in shown["attempts"]]
    assert told == [(number, name, "nak") for number, name in enumerate(names, 1)]


async def test_the_poison_is_sorted_out_by_workers_side_by_side(store_server, js):
    await jobs(js, max_deliver=3)
    await fill(js, "jobs.a", 200)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.crew")
    refused, done = [], []

    async def work():
        reader = await worker(store_server)
        while not await is_idle(js, "JOBS", "crew"):
            try:
                got = await reader.fetch(5, timeout=0.2)
            except TimeoutError:
                continue
            for message in got:
                if int(message.data) % 10 == 0:
                    refused.append(message.data)
                    await message.nak()
                else:
                    done.append(message.data)
                    await message.ack_sync(timeout=PATIENCE)

    async with asyncio.timeout(2 * PATIENCE):
        await asyncio.gather(*[work() for _ in range(4)])
    poison = [number for number in numbers(200) if int(number) % 10 == 0]
    assert sorted(refused) == sorted(3 * poison)
    assert sorted(done) == sorted(set(numbers(200)) - set(poison))
    found = await letters(js, 20)
    assert {letter["source_seq"] for letter in found} == {int(number) + 1 for number in poison}
    assert {(letter["deliveries"], letter["reason"]) for letter in found} == {(3, "max_deliver")}
    assert (await js.stream_info("JOBS")).state.messages == 0
    told = [json.loads((await next_message(advisories)).data)["stream_seq"] for _ in range(20)]
    assert sorted(told) == sorted(letter["source_seq"] for letter in found)


async def test_a_delayed_refusal_of_the_last_delivery_is_not_waited_for(js):
    reader = await jobs(js, max_deliver=2)
    await js.publish("jobs.a", b"")
    await (await fetch(reader)).nak(delay=0.1)
    await (await fetch(reader)).nak(delay=3600)
    [letter] = await letters(js, 1)
    assert letter["deliveries"] == 2


async def test_silence_and_a_worker_that_went_away_are_told_apart(store_server, js):
    reader = await jobs(js, max_deliver=2, ack_wait=0.3)
    await js.publish("jobs.a", b"")
    gone = await worker(store_server, name="gone")
    await fetch(gone)
    await gone._nc.close()
    await fetch(reader)
    await letters(js, 1)
    attempts = (await midge(js, "DLQ.SHOW", seq=1))["attempts"]
    assert [attempt["ended"] for attempt in attempts] == ["disconnect", "timeout"]
    assert attempts[0]["client"] == "gone"
    assert all(attempt["after_ms"] >= 300 for attempt in attempts)


async def test_what_is_terminated_is_kept_with_the_reason(js):
    reader = await jobs(js, max_deliver=5)
    await fill(js, "jobs.a", 2)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
    await (await fetch(reader)).term()
    await terminate(js, await fetch(reader), "no such customer")
    found = await letters(js, 2)
    told = [(letter["reason"], letter["deliveries"]) for letter in found]
    assert told == [("terminated", 1), ("terminated: no such customer", 1)]
    assert (await js.stream_info("JOBS")).state.messages == 0
    bodies = [json.loads((await next_message(advisories)).data) for _ in range(2)]
    assert [body.get("reason", "") for body in bodies] == ["", "no such customer"]


async def test_dead_letters_can_be_turned_off(js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    off = {"midge.dead_letter": "off"}
    reader = await consumer(js, "NEWS", "reader", max_deliver=2, ack_wait=0.2, metadata=off)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.NEWS.reader")
    await fill(js, "news.a", 2)
    await terminate(js, await fetch(reader), "")
    for _ in range(2):
        assert (await fetch(reader)).data == b"1"
    types = [json.loads((await next_message(advisories)).data)["type"] for _ in range(2)]
    assert [name.rpartition(".")[2] for name in types] == ["terminated", "max_deliver"]
    await nothing_comes(reader)
    assert await stream_names(js) == ["NEWS"]
    assert (await midge(js, "DLQ.LIST"))["total"] == 0


async def test_without_a_limit_nothing_dies_unless_asked_for(js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    endless = await consumer(js, "NEWS", "endless")
    asked = {"midge.dead_letter_on": "term"}
    strict = await consumer(js, "NEWS", "strict", metadata=asked)
    await js.publish("news.a", b"")
    await terminate(js, await fetch(endless), "enough")
    assert await stream_names(js) == ["NEWS"]
    await terminate(js, await fetch(strict), "enough")
    [letter] = await letters(js, 1)
    assert letter["consumer"] == "strict"


async def test_an_option_with_a_typing_mistake_is_refused(js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    for key, value in [("midge.dead_leter", "off"), ("midge.dead_letter", "a.*")]:
        with pytest.raises(APIError) as caught:
            await js.add_consumer("NEWS", durable_name="x", metadata={key: value})
        assert caught.value.err_code == 10012
        assert key in caught.value.description


async def test_a_push_consumer_may_have_a_stream_of_its_own_for_the_dead(js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    await js.add_stream(name="BAD", subjects=["bad.>"])
    config = ConsumerConfig(max_deliver=2, metadata={"midge.dead_letter": "bad.news"})
    subscription = await js.subscribe("news.*", durable="reader", config=config, manual_ack=True)
    await js.publish("news.a", b"poison")
    await js.publish("news.b", b"good")
    seen = []
    while len(seen) < 3:
        message = await next_message(subscription)
        seen.append(message.data)
        if message.data == b"poison":
            await message.nak()
        else:
            await message.ack_sync(timeout=PATIENCE)
    assert sorted(seen) == [b"good", b"poison", b"poison"]
    [letter] = await letters(js, 1, dlq="BAD")
    assert (letter["consumer"], letter["subject"]) == ("reader", "news.a")
    kept = await js.get_msg("BAD", 1)
    assert (kept.subject, kept.data) == ("bad.news", b"poison")
    assert kept.headers["Midge-Subject"] == "news.a"
    assert "DLQ" not in await stream_names(js)
    assert await is_idle(js, "NEWS", "reader")


async def test_what_a_group_leaves_unanswered_dies(store_server, js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    config = ConsumerConfig(max_deliver=2, ack_wait=0.2)
    members = [await store_server.jetstream() for _ in range(2)]
    seen = []

    async def ignore(message):
        seen.append(message.data)

    for member in members:
        await member.subscribe("news.*", queue="group", config=config, cb=ignore, manual_ack=True)
        await settle(member._nc)
    await fill(js, "news.a", 10)
    found = await letters(js, 10)
    assert sorted(letter["source_seq"] for letter in found) == list(range(1, 11))
    assert sorted(seen) == sorted(2 * numbers(10))
    assert await is_idle(js, "NEWS", "group")


async def test_an_ack_for_all_settles_what_did_not_die(js):
    await js.add_stream(name="NEWS", subjects=["news.*"])
    reader = await consumer(js, "NEWS", "reader", ack_policy="all", max_deliver=2)
    await fill(js, "news.a", 4)
    got = [await fetch(reader) for _ in range(3)]
    await got[1].nak()
    again = await refuse(reader)
    assert (again.metadata.sequence.stream, again.metadata.num_delivered) == (2, 2)
    [letter] = await letters(js, 1)
    assert letter["source_seq"] == 2
    info = await js.consumer_info("NEWS", "reader")
    assert (info.num_ack_pending, info.ack_floor.stream_seq) == (2, 0)
    await got[2].ack_sync(timeout=PATIENCE)
    info = await js.consumer_info("NEWS", "reader")
    assert (info.num_ack_pending, info.ack_floor.stream_seq) == (0, 3)
    # What is terminated is dead alone: an end is not an ack for all before it.
    await fill(js, "news.a", 1, start=4)
    [fourth, fifth] = [await fetch(reader) for _ in range(2)]
    await terminate(js, fifth, "bad")
    assert [letter["source_seq"] for letter in await letters(js, 2)] == [2, 5]
    await fourth.ack_sync(timeout=PATIENCE)
    assert await is_idle(js, "NEWS", "reader")


class Restarts:
    """A server with one client that lives through its restarts."""

    def __init__(self, server, watch, js):
        self.server, self.watch, self.js = server, watch, js
        self.count = 0

    async def __call__(self, how):
        if how == "kill":
            self.server.kill()
        else:
            await self.server.stop()
        self.count += 1
        await self.watch.until("disconnected", self.count)
        await self.server.start_again()
        await self.watch.until("reconnected", self.count)


@pytest.fixture
async def restart(store_server):
    watch = Watch()
    return Restarts(store_server, watch, await store_server.jetstream(**watch.options()))


@ENDS
async def test_deliveries_are_counted_on_after_a_restart(restart, how):
    js = restart.js
    # What was refused and not sent again before the end waits for its time after it.
    reader = await jobs(js, max_deliver=3, ack_wait=0.5)
    await js.publish("jobs.a", b"poison")
    for number in range(1, 4):
        message = await fetch(reader)
        assert message.metadata.num_delivered == number
        reason = json.dumps({"reason": f"reason {number}"})
        await js._nc.request(message.reply, f"-NAK {reason}".encode(), timeout=PATIENCE)
        await reader.unsubscribe()
        await restart(how)
        reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
    [letter] = await letters(js, 1)
    assert letter["deliveries"] == 3
    shown = await midge(js, "DLQ.SHOW", seq=letter["seq"])
    told = [(attempt["n"], attempt["reason"]) for attempt in shown["attempts"]]
    assert told == [(1, "reason 1"), (2, "reason 2"), (3, "reason 3")]
    assert (await js.stream_info("JOBS")).state.messages == 0
    await nothing_comes(reader)


@ENDS
async def test_a_message_is_in_its_queue_or_among_the_dead(restart, how):
    js = restart.js
    # Each kill may cost one delivery, and what is good must not die of that.
    await jobs(js, max_deliver=5, ack_wait=1)
    count = 300
    await fill(js, "jobs.a", count)
    bad = {number + 1 for number in range(count) if number % 3 == 0}
    is_over = asyncio.Event()

    async def work():
        js = await restart.server.jetstream(**Watch().options())
        while not is_over.is_set():
            reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
            try:
                for job in await reader.fetch(5, timeout=0.3):
                    if job.metadata.sequence.stream in bad:
                        await job.nak()
                    else:
                        await job.ack_sync(timeout=1)
            except AWAY:
                pass
            finally:
                await reader.unsubscribe()

    async def total():
        try:
            return (await midge(js, "DLQ.LIST", limit=1))["total"]
        except AWAY:
            return 0

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for enough in (20, 60):
        await wait_for(total, lambda dead: dead >= enough, "some are dead")
        await restart(how)
        for letter in await letters(js):
            with pytest.raises(NotFoundError):
                await js.get_msg("JOBS", letter["source_seq"])
    await wait_for(lambda: is_idle(js, "JOBS", "crew"), bool, "all done or dead")
    is_over.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*workers)
    found = await letters(js)
    assert sorted(letter["source_seq"] for letter in found) == sorted(bad), "each once"
    assert {letter["deliveries"] for letter in found} == {5}
    assert (await js.stream_info("JOBS")).state.messages == 0


@ENDS
async def test_what_was_refused_the_last_time_dies_once_though_the_server_goes(restart, how):
    """Nothing confirms a plain refusal: the message is dead, or it comes again."""
    js = restart.js
    reader = await jobs(js, max_deliver=1, ack_wait=1)
    await fill(js, "jobs.a", 50)
    for message in await reader.fetch(50, timeout=PATIENCE):
        await message.nak()
    await js._nc.flush()
    await reader.unsubscribe()
    await restart(how)
    reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
    async with asyncio.timeout(PATIENCE):
        while not await is_idle(js, "JOBS", "crew"):
            try:
                for message in await reader.fetch(50, timeout=0.2):
                    await message.nak()
            except TimeoutError:
                pass
    found = await letters(js, 50)
    assert sorted(letter["source_seq"] for letter in found) == list(range(1, 51))
    assert {letter["deliveries"] for letter in found} == {1}
    assert (await js.stream_info("JOBS")).state.messages == 0


async def test_an_outage_does_not_empty_a_queue_into_the_dead(js):
    options = {"midge.dead_letter_breaker": "3/1m"}
    reader = await jobs(js, max_deliver=1, metadata=options)
    await fill(js, "jobs.a", 10)
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.JOBS.crew")
    events = await js._nc.subscribe("$MIDGE.EVENT.BREAKER.>")
    await settle(js._nc)
    for _ in range(4):
        await refuse(reader)
    event = await next_message(events)
    assert event.subject == "$MIDGE.EVENT.BREAKER.JOBS.crew"
    assert json.loads(event.data)["deaths"] == 3
    assert json.loads((await next_message(advisories)).data)["paused"]
    info = await js.consumer_info("JOBS", "crew")
    assert (info.paused, info.num_pending) == (True, 6)
    await nothing_comes(reader)
    await letters(js, 4)

    assert not (await js.resume_consumer("JOBS", "crew")).paused
    for _ in range(6):
        await (await fetch(reader)).ack_sync(timeout=PATIENCE)
    assert await is_idle(js, "JOBS", "crew")
    assert not (await js.consumer_info("JOBS", "crew")).paused


async def test_a_breaker_may_end_its_pause_by_itself(js):
    reader = await jobs(js, max_deliver=1, metadata={"midge.dead_letter_breaker": "1/1m/500ms"})
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.JOBS.crew")
    await fill(js, "jobs.a", 3)
    await refuse(reader)
    second = await fetch(reader)
    refused = time.monotonic()
    await second.nak()
    assert json.loads((await next_message(advisories)).data)["paused"]
    await (await fetch(reader)).ack_sync(timeout=PATIENCE)
    assert time.monotonic() - refused >= 0.5
    assert not (await js.consumer_info("JOBS", "crew")).paused


async def test_what_a_stream_drops_can_be_kept(js):
    keep = {"midge.overflow": "dead_letter"}
    await js.add_stream(name="LOG", subjects=["log.*"], max_msgs=3, metadata=keep)
    await js.add_stream(name="PLAIN", subjects=["plain.*"], max_msgs=3)
    for subject in ("log.a", "plain.a"):
        await fill(js, subject, 10)
    found = await letters(js, 7)
    told = [(letter["stream"], letter["source_seq"], letter["reason"]) for letter in found]
    assert told == [("LOG", seq, "discarded") for seq in range(1, 8)]
    kept = [await js.get_msg("DLQ", seq) for seq in range(1, 8)]
    assert payloads(kept) == numbers(7)
    for name in ("LOG", "PLAIN"):
        state = (await js.stream_info(name)).state
        assert (state.messages, state.first_seq) == (3, 8)


async def test_a_job_nobody_did_in_time_can_be_kept(js):
    keep = {"midge.overflow": "dead_letter"}
    await js.add_stream(
        name="JOBS", subjects=["jobs.>"], retention="workqueue", max_age=0.5, metadata=keep
    )
    reader = await consumer(js, "JOBS", "crew")
    await fill(js, "jobs.a", 2)
    await (await fetch(reader)).ack_sync(timeout=PATIENCE)
    [letter] = await letters(js, 1)
    assert (letter["source_seq"], letter["reason"]) == (2, "expired")
    assert (await js.stream_info("JOBS")).state.messages == 0


async def test_buckets_leave_no_letters(js):
    values = await js.create_key_value(bucket="config", history=1, ttl=1)
    for number in range(5):
        await values.put("colour", str(number).encode())
    await values.delete("colour")
    await values.put("size", b"7")
    await values.purge("size")
    objects = await js.create_object_store("files")
    await objects.put("report", bytes(300_000))
    await objects.put("report", bytes(200_000))
    await objects.delete("report")
    watcher = await values.watchall()
    await watcher.stop()

    async def is_gone():
        return (await js.stream_info("KV_config")).state.messages

    await wait_for(is_gone, lambda count: count == 0, "aged away")
    assert sorted(await stream_names(js)) == ["KV_config", "OBJ_files"]


async def test_why_tells_the_story_of_a_message(js):
    reader = await jobs(js, max_deliver=2, ack_wait=60)
    await js.publish("jobs.a", b"poison")
    await js.publish("jobs.b", b"good")

    async def why(seq, **more):
        return await midge(js, "WHY", stream="JOBS", seq=seq, **more)

    told = await why(2, consumer="crew")
    assert (told["state"], told["subject"], told["size"]) == ("stored", "jobs.b", 4)
    assert [consumer["state"] for consumer in told["consumers"]] == ["pending"]
    await refuse(reader)
    again = await fetch(reader)
    [told] = (await why(1))["consumers"]
    assert (told["name"], told["state"], told["deliveries"]) == ("crew", "delivered", 2)
    assert 0 < told["due_ms"] <= 60_000
    assert [attempt["ended"] for attempt in told["attempts"]] == ["nak"]
    await again.nak()
    await letters(js, 1)
    told = await why(1)
    assert (told["state"], told["consumers"][0]["state"]) == ("removed", "dead")
    [letter] = told["dead_letters"]
    assert (letter["seq"], letter["reason"], letter["deliveries"]) == (1, "max_deliver", 2)
    assert (await why(9))["state"] == "never"
    text = await js._nc.request(
        "$MIDGE.API.WHY", b'{"stream":"JOBS","seq":1,"text":true}', timeout=PATIENCE
    )
    assert b"max_deliver after 2 deliveries to crew" in text.data
