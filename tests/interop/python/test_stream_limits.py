"""What makes room in a stream, what is refused instead, and who decides that a message is done."""

import asyncio

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy

from harness import PATIENCE, fill, numbers, payloads, refused, wait_for


async def state_of(js, name):
    return (await js.stream_info(name)).state


async def empty(js, name):
    return await wait_for(lambda: state_of(js, name), lambda state: state.messages == 0, "no message")


async def test_the_oldest_messages_make_room_for_new_ones(js):
    await js.add_stream(name="CAPPED", subjects=["capped"], max_msgs=10)
    acks = await fill(js, "capped", 25)
    assert [ack.seq for ack in acks] == list(range(1, 26))
    state = await state_of(js, "CAPPED")
    assert (state.messages, state.first_seq, state.last_seq) == (10, 16, 25)


async def test_bytes_are_limited_too(js):
    await js.add_stream(name="CAPPED", subjects=["capped"], max_bytes=10_000)
    for _ in range(20):
        await js.publish("capped", bytes(1000))
    state = await state_of(js, "CAPPED")
    assert state.bytes <= 10_000
    assert state.messages == 9
    assert state.last_seq == 20


async def test_a_full_stream_may_refuse_new_messages(js):
    await js.add_stream(name="FULL", subjects=["full"], max_msgs=3, discard=DiscardPolicy.NEW)
    await fill(js, "full", 3)
    with refused(10077, "maximum messages exceeded"):
        await js.publish("full", b"")
    await js.delete_msg("FULL", 2)
    assert (await js.publish("full", b"")).seq == 4

    await js.add_stream(name="FAT", subjects=["fat"], max_bytes=2000, discard=DiscardPolicy.NEW)
    await js.publish("fat", bytes(1500))
    with refused(10077, "maximum bytes exceeded"):
        await js.publish("fat", bytes(1000))
    assert (await js.publish("fat", bytes(100))).seq == 2


async def test_each_subject_has_its_own_limit(js):
    await js.add_stream(name="LAST", subjects=["last.*"], max_msgs_per_subject=2)
    for number in range(10):
        await js.publish(f"last.{number % 2}", str(number).encode())
    info = await js.stream_info("LAST", subjects_filter=">")
    assert info.state.subjects == {"last.0": 2, "last.1": 2}
    assert (info.state.first_seq, info.state.last_seq) == (7, 10)


async def test_a_full_subject_may_refuse_new_messages(js):
    await js.add_stream(
        name="ONCE",
        subjects=["once.*"],
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        discard_new_per_subject=True,
    )
    await js.publish("once.a", b"")
    with refused(10077, "maximum messages per subject exceeded"):
        await js.publish("once.a", b"")
    assert (await js.publish("once.b", b"")).seq == 2
    await js.purge_stream("ONCE", subject="once.a")
    assert (await js.publish("once.a", b"")).seq == 3


async def test_without_that_a_full_subject_makes_room(js):
    await js.add_stream(
        name="LAST", subjects=["last.*"], max_msgs_per_subject=1, discard=DiscardPolicy.NEW
    )
    await js.publish("last.a", b"old")
    await js.publish("last.a", b"new")
    assert (await js.get_last_msg("LAST", "last.a")).data == b"new"
    assert (await state_of(js, "LAST")).messages == 1


async def test_large_messages_may_be_refused(js):
    await js.add_stream(name="SMALL", subjects=["small"], max_msg_size=100)
    await js.publish("small", bytes(100))
    with refused(10054, "message size exceeds maximum allowed"):
        await js.publish("small", bytes(101))
    with refused(10054):
        await js.publish("small", bytes(90), headers={"Name": "long value"})
    assert (await state_of(js, "SMALL")).messages == 1


async def test_old_messages_expire(js):
    await js.add_stream(name="BRIEF", subjects=["brief"], max_age=0.3)
    await fill(js, "brief", 5)
    assert (await state_of(js, "BRIEF")).messages == 5
    state = await empty(js, "BRIEF")
    assert (state.first_seq, state.last_seq) == (6, 5)


async def test_an_update_may_bring_an_age_and_take_it_away(js):
    await js.add_stream(name="BRIEF", subjects=["brief"])
    await fill(js, "brief", 5)
    await js.update_stream(name="BRIEF", subjects=["brief"], max_age=0.2, duplicate_window=0.2)
    await empty(js, "BRIEF")
    await js.update_stream(name="BRIEF", subjects=["brief"])
    await fill(js, "brief", 5)
    assert (await state_of(js, "BRIEF")).messages == 5


async def test_a_work_queue_forgets_what_was_acknowledged(js):
    await js.add_stream(name="JOBS", subjects=["jobs"], retention=RetentionPolicy.WORK_QUEUE)
    await fill(js, "jobs", 5)
    assert (await state_of(js, "JOBS")).messages == 5, "jobs wait for a worker"
    worker = await js.pull_subscribe("jobs", durable="worker")
    jobs = await worker.fetch(5, timeout=PATIENCE)
    for job in jobs[1:]:
        await job.ack_sync(timeout=PATIENCE)
    assert (await state_of(js, "JOBS")).messages == 1
    await jobs[0].ack_sync(timeout=PATIENCE)
    assert (await state_of(js, "JOBS")).messages == 0


async def test_a_work_queue_gives_each_subject_to_one_consumer(js):
    await js.add_stream(name="JOBS", subjects=["jobs.*"], retention=RetentionPolicy.WORK_QUEUE)
    await js.add_consumer("JOBS", durable_name="a", filter_subject="jobs.a")
    await js.add_consumer("JOBS", durable_name="b", filter_subject="jobs.b")
    with refused(10100, "filtered consumer not unique on workqueue stream"):
        await js.add_consumer("JOBS", durable_name="c", filter_subject="jobs.a")
    with refused(10099, "multiple non-filtered consumers not allowed on workqueue stream"):
        await js.add_consumer("JOBS", durable_name="all")
    with refused(10101):
        await js.add_consumer(
            "JOBS", durable_name="c", filter_subject="jobs.c", deliver_policy="new"
        )
    with refused(10084):
        await js.add_consumer(
            "JOBS", durable_name="c", filter_subject="jobs.c", ack_policy="none"
        )
    with refused(10098):
        await js.add_consumer("JOBS", durable_name="c", filter_subject="jobs.c", ack_policy="all")
    await js.delete_consumer("JOBS", "a")
    await js.add_consumer("JOBS", durable_name="c", filter_subject="jobs.a")


async def test_interest_keeps_a_message_until_all_have_acknowledged_it(js):
    await js.add_stream(name="NEWS", subjects=["news.*"], retention=RetentionPolicy.INTEREST)
    ack = await js.publish("news.lost", b"nobody cares")
    state = await state_of(js, "NEWS")
    assert (ack.seq, state.messages, state.last_seq) == (1, 0, 1)

    one = await js.pull_subscribe("news.*", durable="one")
    two = await js.pull_subscribe("news.a", durable="two")
    await js.publish("news.a", b"both")
    await js.publish("news.b", b"only one")
    await js.publish("news.a", b"both")
    for message in await one.fetch(3, timeout=PATIENCE):
        await message.ack_sync(timeout=PATIENCE)
    assert (await state_of(js, "NEWS")).messages == 2, "the second reader has not had them"
    (message,) = await two.fetch(1, timeout=PATIENCE)
    await message.ack_sync(timeout=PATIENCE)
    assert (await state_of(js, "NEWS")).messages == 1
    await js.delete_consumer("NEWS", "two")
    await empty(js, "NEWS")


async def test_interest_without_acknowledgements_ends_with_the_delivery(js):
    await js.add_stream(name="NEWS", subjects=["news"], retention=RetentionPolicy.INTEREST)
    subscription = await js.subscribe("news", config=None, durable="reader", manual_ack=True)
    await fill(js, "news", 3)
    got = [await subscription.next_msg(timeout=PATIENCE) for _ in range(3)]
    assert payloads(got) == numbers(3)
    assert (await state_of(js, "NEWS")).messages == 3
    for message in got:
        await message.ack()
    await empty(js, "NEWS")


async def test_a_terminated_job_is_forgotten_too(js):
    await js.add_stream(name="JOBS", subjects=["jobs"], retention=RetentionPolicy.WORK_QUEUE)
    worker = await js.pull_subscribe("jobs", durable="worker")
    await js.publish("jobs", b"poison")
    (job,) = await worker.fetch(1, timeout=PATIENCE)
    await job.term()
    await empty(js, "JOBS")


async def test_limits_count_for_work_queues_as_well(js):
    await js.add_stream(
        name="JOBS", subjects=["jobs"], retention=RetentionPolicy.WORK_QUEUE, max_msgs=3
    )
    await fill(js, "jobs", 5)
    worker = await js.pull_subscribe("jobs", durable="worker")
    assert payloads(await worker.fetch(3, timeout=PATIENCE)) == [b"2", b"3", b"4"]


async def test_the_number_of_consumers_is_limited(js):
    await js.add_stream(name="FEW", subjects=["few"], max_consumers=2)
    await js.add_consumer("FEW", durable_name="one")
    await js.add_consumer("FEW", durable_name="two")
    with refused(10026, "maximum consumers limit reached"):
        await js.add_consumer("FEW", durable_name="three")
    await js.delete_consumer("FEW", "one")
    await js.add_consumer("FEW", durable_name="three")


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_a_thousand_subjects_keep_their_last_value(js, storage):
    await js.add_stream(
        name="LAST", subjects=["last.*"], max_msgs_per_subject=1, storage=storage
    )
    for round_ in range(3):
        await asyncio.gather(
            *(await publish_all(js, [(f"last.{n}", b"%d" % round_) for n in range(1000)]))
        )
    state = await state_of(js, "LAST")
    assert (state.messages, state.last_seq) == (1000, 3000)
    assert (await js.get_last_msg("LAST", "last.500")).data == b"2"


async def publish_all(js, messages):
    return [await js.publish_async(subject, data) for subject, data in messages]
