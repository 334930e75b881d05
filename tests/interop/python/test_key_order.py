"""Messages of one key one after the other over any number of workers, and the urgent ones first."""

import asyncio
import random
from collections import Counter

import pytest
from nats.errors import NoRespondersError
from nats.js.api import RetentionPolicy
from nats.js.errors import APIError

from harness import (
    PATIENCE,
    Watch,
    fill,
    letters,
    midge,
    only_midge,
    payloads,
    wait_for,
)

pytestmark = only_midge()

ENDS = pytest.mark.parametrize("how", ["stop", "kill"])

KEYS = 12
JOBS = 240

# What a worker may see while the server is away.
AWAY = (TimeoutError, NoRespondersError, APIError)


async def ordered(js, by, *, name="crew", more=(), **options):
    """A consumer of `JOBS` that keeps the order of its keys."""
    metadata = {"midge.order_key": by, **dict(more)}
    await js.add_consumer("JOBS", durable_name=name, metadata=metadata, **options)
    return await js.pull_subscribe_bind(stream="JOBS", consumer=name)


async def jobs(js, retention=RetentionPolicy.LIMITS):
    await js.add_stream(name="JOBS", subjects=["jobs.>"], retention=retention)


async def fetch(reader):
    [message] = await reader.fetch(1, timeout=PATIENCE)
    return message


async def done(message):
    await message.ack_sync(timeout=PATIENCE)


async def nothing_comes(reader):
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.2)


class Crew:
    """Workers that fail now and then, and what they did."""

    def __init__(self, seed, key=lambda job: job.subject):
        self.random = random.Random(seed)
        self.key = key
        # By key, in the order of the work.
        self.done = {}
        self.in_hand = Counter()
        self.overlaps = []
        self.naked = 0
        self.is_over = False

    async def work(self, server, *, leaves_with=None):
        """Works until all is done, or until it goes away with some jobs in its hands."""
        js = await server.jetstream(**Watch().options())
        while not self.is_over:
            reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
            try:
                got = await reader.fetch(self.random.randint(1, 6), timeout=0.2)
            except AWAY:
                continue
            finally:
                await reader.unsubscribe()
            for job in got:
                self.take(job)
            if leaves_with is not None and len(got) >= leaves_with:
                await js._nc.close()
                for job in got:
                    self.in_hand[self.key(job)] -= 1
                return
            self.random.shuffle(got)
            for job in got:
                await self.handle(job)
        await js._nc.close()

    def take(self, job):
        self.in_hand[self.key(job)] += 1
        if self.in_hand[self.key(job)] > 1:
            self.overlaps.append((self.key(job), job.data))

    async def handle(self, job):
        await asyncio.sleep(self.random.random() * 0.005)
        self.in_hand[self.key(job)] -= 1
        if self.random.random() < 0.2:
            self.naked += 1
            delay = self.random.choice([None, 0.02])
            await job.nak(delay=delay)
            return
        self.done.setdefault(self.key(job), []).append(int(job.data))
        try:
            await job.ack_sync(timeout=1)
        except AWAY:
            # It was kept or was not, and in that case the job comes again.
            pass

    def check(self, count, exactly=True):
        assert self.naked > 0
        for key, numbers in self.done.items():
            if not exactly:
                numbers = list(dict.fromkeys(numbers))
            assert numbers == sorted(numbers), f"{key} is out of order"
            assert len(numbers) == len(set(numbers)), f"{key} was done twice"
        assert {number for numbers in self.done.values() for number in numbers} == set(range(count))


async def publish(js, count, subject):
    for number in range(count):
        await js.publish_async(subject(number), str(number).encode())
    await asyncio.wait_for(js.publish_async_completed(), PATIENCE)


async def is_idle(js):
    try:
        info = await js.consumer_info("JOBS", "crew", timeout=1)
    except AWAY:
        return False
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def finish(js, crew, workers):
    async with asyncio.timeout(2 * PATIENCE):
        while not await is_idle(js):
            for worker in workers:
                if worker.done():
                    worker.result()
            await asyncio.sleep(0.01)
        crew.is_over = True
        await asyncio.gather(*workers)


SUBJECTS = {
    "subject": lambda number: f"jobs.{number % KEYS}",
    # Of the same key under different subjects.
    "token:2": lambda number: f"jobs.{number % KEYS}.{number}",
}


@pytest.mark.parametrize("retention", [RetentionPolicy.LIMITS, RetentionPolicy.WORK_QUEUE])
@pytest.mark.parametrize("by", SUBJECTS)
async def test_workers_that_fail_and_go_away_keep_the_order_of_every_key(
    store_server, js, by, retention
):
    await jobs(js, retention)
    await ordered(js, by, ack_wait=2)
    await publish(js, JOBS, SUBJECTS[by])
    crew = Crew(1, key=lambda job: job.subject.split(".")[1])
    leaver = asyncio.create_task(crew.work(store_server, leaves_with=3))
    workers = [asyncio.create_task(crew.work(store_server)) for _ in range(3)]
    await finish(js, crew, [leaver, *workers])
    assert crew.overlaps == [], "two of a key were out at a time"
    crew.check(JOBS)
    assert len(crew.done) == KEYS
    info = await js.consumer_info("JOBS", "crew")
    assert (info.ack_floor.stream_seq, info.num_redelivered) == (JOBS, 0)
    kept = 0 if retention == RetentionPolicy.WORK_QUEUE else JOBS
    assert (await js.stream_info("JOBS")).state.messages == kept


@ENDS
async def test_order_holds_though_the_server_goes_away(store_server, how):
    js = await store_server.jetstream(**Watch().options())
    await jobs(js, RetentionPolicy.WORK_QUEUE)
    await ordered(js, "subject", ack_wait=1)
    await publish(js, JOBS, SUBJECTS["subject"])
    crew = Crew(2)
    workers = [asyncio.create_task(crew.work(store_server)) for _ in range(4)]
    for share in (1, 2):

        async def count():
            return sum(len(numbers) for numbers in crew.done.values())

        await wait_for(count, lambda count: count >= share * JOBS // 4, "a part is done")
        if how == "kill":
            store_server.kill()
        else:
            await store_server.stop()
        await store_server.start_again()
    await finish(js, crew, workers)
    crew.check(JOBS, exactly=False)


async def test_a_failing_message_holds_back_its_own_key_only(js):
    await jobs(js)
    reader = await ordered(js, "subject")
    for subject, body in [("a", b"a1"), ("a", b"a2"), ("b", b"b1"), ("b", b"b2")]:
        await js.publish(f"jobs.{subject}", body)
    a1, b1 = [await fetch(reader) for _ in range(2)]
    assert payloads([a1, b1]) == [b"a1", b"b1"]
    await nothing_comes(reader)
    await a1.nak(delay=0.4)
    await done(b1)
    b2 = await fetch(reader)
    assert b2.data == b"b2"
    await done(b2)
    again = await fetch(reader)
    assert (again.data, again.metadata.num_delivered) == (b"a1", 2)
    await done(again)
    assert (await fetch(reader)).data == b"a2"


async def test_a_key_may_be_a_header(js):
    await jobs(js)
    reader = await ordered(js, "header:Order")
    for order, body in [("7", b"1"), ("8", b"2"), ("7", b"3"), ("8", b"4")]:
        await js.publish("jobs.a", body, headers={"Order": order})
    await fill(js, "jobs.a", 2, start=5)
    got = [await fetch(reader) for _ in range(3)]
    assert payloads(got) == [b"1", b"2", b"5"], "those without it are of one key"
    await nothing_comes(reader)
    await done(got[1])
    assert (await fetch(reader)).data == b"4"


async def test_a_push_consumer_keeps_the_order_of_keys_too(js):
    await jobs(js)
    await js.add_consumer(
        "JOBS",
        durable_name="pushed",
        deliver_subject="here",
        metadata={"midge.order_key": "subject"},
    )
    subscription = await js._nc.subscribe("here")
    for subject in "aab":
        await js.publish(f"jobs.{subject}", subject.encode())
    first, second = [await subscription.next_msg(timeout=PATIENCE) for _ in range(2)]
    assert payloads([first, second]) == [b"a", b"b"]
    with pytest.raises(TimeoutError):
        await subscription.next_msg(timeout=0.2)
    await first.nak()
    again = await subscription.next_msg(timeout=PATIENCE)
    assert (again.metadata.sequence.stream, again.metadata.num_delivered) == (1, 2)
    await done(again)
    assert (await subscription.next_msg(timeout=PATIENCE)).metadata.sequence.stream == 2


PARKS = {"midge.park_key": "true"}


async def parked(js):
    """Two keys of three messages each, the first of which is dead."""
    await jobs(js)
    reader = await ordered(js, "subject", more=PARKS, max_deliver=1)
    for body in (b"1", b"2", b"3"):
        await js.publish("jobs.a", b"a" + body)
        await js.publish("jobs.b", b"b" + body)
    first = await fetch(reader)
    assert first.data == b"a1"
    await first.nak()
    await letters(js, 1)
    for body in (b"b1", b"b2", b"b3"):
        message = await fetch(reader)
        assert message.data == body
        await done(message)
    await nothing_comes(reader)
    assert (await js.consumer_info("JOBS", "crew")).num_pending == 2
    return reader


async def rest_of(reader, *wanted):
    for body in wanted:
        message = await fetch(reader)
        assert message.data == body
        await done(message)
    await nothing_comes(reader)


async def test_a_key_waits_until_its_dead_message_is_sent_back_and_done(js):
    reader = await parked(js)
    assert (await midge(js, "DLQ.REDRIVE"))["to_consumer"] == 1
    back = await fetch(reader)
    assert back.data == b"a1"
    await nothing_comes(reader)
    await done(back)
    await rest_of(reader, b"a2", b"a3")
    assert await is_idle(js)


async def test_a_key_waits_on_when_its_message_dies_again(js):
    reader = await parked(js)
    await midge(js, "DLQ.REDRIVE")
    await (await fetch(reader)).nak()
    [letter] = await letters(js, 1)
    assert letter["redrives"] == 1
    await nothing_comes(reader)
    await midge(js, "DLQ.REDRIVE")
    await rest_of(reader, b"a1", b"a2", b"a3")


async def test_a_key_goes_on_when_its_dead_message_is_dropped(js):
    reader = await parked(js)
    assert (await midge(js, "DLQ.DROP", source_seq=1))["dropped"] == 1
    await rest_of(reader, b"a2", b"a3")


async def test_a_key_goes_on_when_it_is_told_to(js):
    reader = await parked(js)
    told = await midge(js, "DLQ.UNPARK", stream="JOBS", consumer="crew", source_seq=1)
    assert told["unparked"] == 1
    await rest_of(reader, b"a2", b"a3")
    assert len(await letters(js)) == 1


@ENDS
async def test_a_parked_key_stays_so_over_a_restart(store_server, how):
    watch = Watch()
    js = await store_server.jetstream(**watch.options())
    reader = await parked(js)
    await reader.unsubscribe()
    if how == "kill":
        store_server.kill()
    else:
        await store_server.stop()
    await watch.until("disconnected")
    await store_server.start_again()
    await watch.until("reconnected")
    reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
    await nothing_comes(reader)
    await js.publish("jobs.b", b"b4")
    await rest_of(reader, b"b4")
    await midge(js, "DLQ.REDRIVE")
    await rest_of(reader, b"a1", b"a2", b"a3")


async def test_the_urgent_come_first(js):
    await jobs(js)
    await js.add_consumer(
        "JOBS", durable_name="crew", metadata={"midge.priority": "header:Level"}
    )
    levels = ["1", "9", None, "1", "5", "9", "much"]
    for number, level in enumerate(levels):
        headers = {"Level": level} if level else None
        await js.publish("jobs.a", str(number).encode(), headers=headers)
    reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
    got = [await fetch(reader) for _ in range(6)]
    assert payloads(got) == [b"1", b"5", b"4", b"0", b"3", b"2"]
    # What comes later is more urgent than what has waited.
    await js.publish("jobs.a", b"late", headers={"Level": "7"})
    assert [(await fetch(reader)).data for _ in range(2)] == [b"late", b"6"]
    for message in got:
        await done(message)
    info = await js.consumer_info("JOBS", "crew")
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 2, 6)


async def test_the_urgent_do_not_overtake_their_own_key(js):
    await jobs(js)
    reader = await ordered(js, "subject", more={"midge.priority": "header:Level"})
    for subject, level in [("a", "1"), ("a", "9"), ("b", "5")]:
        await js.publish(f"jobs.{subject}", level.encode(), headers={"Level": level})
    for body in (b"5", b"1", b"9"):
        message = await fetch(reader)
        assert message.data == body
        await done(message)
