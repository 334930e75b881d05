"""Servers that are stopped or killed and come back: what was stored is still there."""

import asyncio
from datetime import UTC, datetime

import pytest
from nats.js.api import ConsumerConfig, Header, RetentionPolicy
from nats.js.errors import APIError, KeyNotFoundError, NoStreamResponseError

from harness import (
    PATIENCE,
    Watch,
    eventually,
    fill,
    needs_all_kept,
    next_message,
    payloads,
    refused,
    sequences,
    wait_for,
)

ENDS = pytest.mark.parametrize("how", ["stop", "kill"])


class Restarts:
    """A server with one client that lives through its restarts."""

    def __init__(self, server, watch, js):
        self.server = server
        self.watch = watch
        self.js = js
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


@pytest.fixture
def js(restart):
    return restart.js


async def orders(js, count=0, **options):
    await js.add_stream(name="ORDERS", subjects=["orders.*"], **options)
    await fill(js, "orders.a", count)


@ENDS
async def test_streams_come_back_as_they_were(js, restart, how):
    await orders(js, 100, max_msgs=50, description="kept", allow_direct=True, metadata={"a": "b"})
    await js.publish("orders.b", b"body", headers={"Colour": "red"})
    before = await js.stream_info("ORDERS", subjects_filter=">")
    await restart(how)
    after = await js.stream_info("ORDERS", subjects_filter=">")
    assert after.config == before.config
    assert after.created == before.created
    assert after.state == before.state
    message = await js.get_msg("ORDERS", 101)
    assert (message.data, message.headers) == (b"body", {"Colour": "red"})
    assert (await js.get_msg("ORDERS", 99, direct=True)).data == b"98"
    assert (await js.publish("orders.a", b"")).seq == 102


@ENDS
async def test_what_was_acknowledged_is_there(js, restart, how):
    await orders(js)
    acked = {}

    async def publish():
        number = 0
        while len(acked) < 600:
            try:
                ack = await js.publish("orders.a", b"%d" % number, timeout=1)
                acked[ack.seq] = b"%d" % number
            # Neither kept nor refused for certain.
            except (TimeoutError, APIError, NoStreamResponseError):
                pass
            number += 1

    publisher = asyncio.create_task(publish())
    for count in (200, 400):
        await eventually(lambda: len(acked) >= count, "half way")
        await restart(how)
    async with asyncio.timeout(PATIENCE):
        await publisher
    subscription = await js.pull_subscribe("orders.a", config=ConsumerConfig(ack_policy="none"))
    last = (await js.stream_info("ORDERS")).state.last_seq
    kept = {}
    while last not in kept:
        for message in await subscription.fetch(500, timeout=PATIENCE):
            kept[message.metadata.sequence.stream] = message.data
    assert acked.items() <= kept.items()


async def test_storage_in_memory_is_forgotten(js, restart):
    await js.add_stream(name="MEMORY", subjects=["memory"], storage="memory")
    await fill(js, "memory", 3)
    await restart("stop")
    try:
        state = (await js.stream_info("MEMORY")).state
        assert state.messages == 0
    except APIError as error:
        assert error.err_code == 10059


@ENDS
async def test_a_duplicate_is_known_across_a_restart(js, restart, how):
    await orders(js)
    await js.publish("orders.a", b"", headers={Header.MSG_ID: "a"})
    await restart(how)
    again = await js.publish("orders.a", b"", headers={Header.MSG_ID: "a"})
    assert (again.seq, again.duplicate) == (1, True)
    with refused(10071):
        await js.publish("orders.a", b"", headers={"Nats-Expected-Last-Sequence": "0"})
    with refused(10070):
        await js.publish("orders.a", b"", headers={"Nats-Expected-Last-Msg-Id": "b"})
    await js.publish("orders.a", b"", headers={"Nats-Expected-Last-Msg-Id": "a"})


@ENDS
async def test_a_consumer_comes_back_as_it_was(js, restart, how):
    needs_all_kept(how)
    await orders(js, 10)
    await js.add_consumer("ORDERS", durable_name="reader", description="kept", ack_wait=60)
    reader = await js.pull_subscribe_bind(stream="ORDERS", consumer="reader")
    got = await reader.fetch(6, timeout=PATIENCE)
    for number in (0, 1, 3):
        await got[number].ack_sync(timeout=PATIENCE)
    before = await reader.consumer_info()
    await restart(how)
    after = await reader.consumer_info()
    assert after.config == before.config
    assert after.created == before.created
    assert (after.delivered.stream_seq, after.delivered.consumer_seq) == (6, 6)
    assert (after.ack_floor.stream_seq, after.ack_floor.consumer_seq) == (2, 2)
    assert (after.num_ack_pending, after.num_pending) == (3, 4)
    assert sequences(await reader.fetch(4, timeout=PATIENCE)) == [7, 8, 9, 10]
    await got[2].ack_sync(timeout=PATIENCE)
    assert (await reader.consumer_info()).ack_floor.stream_seq == 4


@ENDS
async def test_an_unacknowledged_message_comes_again_after_a_restart(js, restart, how):
    needs_all_kept(how)
    await orders(js, 3)
    await js.add_consumer("ORDERS", durable_name="reader", ack_wait=1)
    reader = await js.pull_subscribe_bind(stream="ORDERS", consumer="reader")
    got = await reader.fetch(3, timeout=PATIENCE)
    await got[1].ack_sync(timeout=PATIENCE)
    await restart(how)
    again = []
    while len(again) < 2:
        again += await reader.fetch(2, timeout=PATIENCE)
    assert sequences(again) == [1, 3]
    assert {message.metadata.num_delivered for message in again} == {2}


@ENDS
async def test_a_confirmed_job_stays_done(js, restart, how):
    needs_all_kept(how)
    await orders(js, 20, retention=RetentionPolicy.WORK_QUEUE)
    await js.add_consumer("ORDERS", durable_name="worker", ack_wait=0.5)
    worker = await js.pull_subscribe_bind(stream="ORDERS", consumer="worker")
    for job in await worker.fetch(12, timeout=PATIENCE):
        await job.ack_sync(timeout=PATIENCE)
    await restart(how)
    left = await worker.fetch(20, timeout=PATIENCE)
    assert sequences(left) == list(range(13, 21))
    assert (await js.stream_info("ORDERS")).state.messages == 8


async def test_a_reader_starts_anywhere_after_a_restart(js, restart):
    await orders(js, 5)
    await asyncio.sleep(0.01)
    middle = datetime.now(UTC)
    await fill(js, "orders.a", 5, start=5)
    await restart("kill")

    async def first(**options):
        info = await js.add_consumer("ORDERS", ack_policy="none", **options)
        reader = await js.pull_subscribe_bind(stream="ORDERS", consumer=info.name)
        return sequences(await reader.fetch(1, timeout=PATIENCE)), info.num_pending

    assert await first(deliver_policy="by_start_sequence", opt_start_seq=4) == ([4], 7)
    assert await first(
        deliver_policy="by_start_time", opt_start_time=middle.isoformat()
    ) == ([6], 5)
    assert await first(deliver_policy="last") == ([10], 1)
    assert await first(deliver_policy="all") == ([1], 10)


@ENDS
async def test_a_push_consumer_goes_on(js, restart, how):
    needs_all_kept(how)
    await orders(js, 3)
    await js.add_consumer("ORDERS", durable_name="reader", deliver_subject="here")
    subscription = await js._nc.subscribe("here")
    for _ in range(3):
        await (await next_message(subscription)).ack_sync(timeout=PATIENCE)
    await restart(how)
    await fill(js, "orders.a", 2, start=3)
    got = [await next_message(subscription) for _ in range(2)]
    assert payloads(got) == [b"3", b"4"]


async def test_an_ordered_consumer_misses_nothing(js, restart):
    await orders(js, 300)
    subscription = await js.subscribe("orders.a", ordered_consumer=True, idle_heartbeat=0.2)
    got = [await next_message(subscription) for _ in range(100)]
    await restart("kill")
    await fill(js, "orders.a", 100, start=300)
    # The client starts over, and may repeat what it has told.
    seen = set(sequences(got))
    while len(seen) < 400:
        seen.update(sequences([await next_message(subscription)]))
    assert seen == set(range(1, 401))


async def test_a_waiting_fetch_is_told_that_the_server_goes(js, restart):
    await orders(js)
    await js.add_consumer("ORDERS", durable_name="reader")
    inbox = js._nc.new_inbox()
    answers = await js._nc.subscribe(inbox)
    request = b'{"batch":1,"expires":20000000000}'
    await js._nc.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.reader", request, reply=inbox)
    await wait_for(
        lambda: js.consumer_info("ORDERS", "reader"), lambda info: info.num_waiting == 1, "one"
    )
    await restart.server.stop()
    assert (await next_message(answers)).headers["Description"] == "Server Shutdown"


@ENDS
async def test_buckets_come_back_as_they_were(js, restart, how):
    kv = await js.create_key_value(bucket="CONFIG", history=3)
    for number in range(5):
        await kv.put("key", b"%d" % number)
    await kv.put("gone", b"")
    await kv.delete("gone")
    await restart(how)
    assert (await kv.get("key")).revision == 5
    assert [entry.value for entry in await kv.history("key")] == [b"2", b"3", b"4"]
    with pytest.raises(KeyNotFoundError):
        await kv.get("gone")
    assert await kv.create("gone", b"again") == 8
    assert await kv.update("key", b"5", last=5) == 9


async def test_old_messages_expire_across_a_restart(js, restart):
    await orders(js, 5, max_age=1, duplicate_window=1)
    await restart("kill")
    await wait_for(
        lambda: js.stream_info("ORDERS"), lambda info: info.state.messages == 0, "no message"
    )
    assert (await js.publish("orders.a", b"")).seq == 6


@ENDS
async def test_purged_and_deleted_stay_so(js, restart, how):
    needs_all_kept(how)
    await orders(js, 10)
    await js.purge_stream("ORDERS", seq=4)
    await js.delete_msg("ORDERS", 6)
    await js.add_stream(name="GONE")
    await js.delete_stream("GONE")
    await js.add_consumer("ORDERS", durable_name="gone")
    await js.delete_consumer("ORDERS", "gone")
    await restart(how)
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (6, 4, 10)
    with refused(10037):
        await js.get_msg("ORDERS", 6)
    with refused(10059):
        await js.stream_info("GONE")
    with refused(10014):
        await js.consumer_info("ORDERS", "gone")


async def test_an_empty_stream_goes_on_counting(js, restart):
    await orders(js, 10)
    await js.purge_stream("ORDERS")
    await restart("kill")
    assert (await js.publish("orders.a", b"")).seq == 11
