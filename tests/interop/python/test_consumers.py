"""Consumers: where they start, what they pick, how they are made, changed, listed and dropped."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy
from nats.js.errors import NotFoundError

from harness import PATIENCE, fill, next_message, payloads, refused, sequences, wait_for


@pytest.fixture
async def log(js):
    """A stream of nine messages on the subjects log.a, log.b and log.c in turn."""
    await js.add_stream(name="LOG", subjects=["log.>"])
    for number in range(9):
        await js.publish(f"log.{'abc'[number % 3]}", str(number).encode())
    return js


async def read(js, count, **options):
    """The sequences that a new consumer delivers first."""
    info = await js.add_consumer("LOG", ack_policy="none", **options)
    reader = await js.pull_subscribe_bind(stream="LOG", consumer=info.name)
    got = []
    while len(got) < count:
        got += await reader.fetch(count - len(got), timeout=PATIENCE)
    assert (await reader.consumer_info()).num_pending == 0
    return sequences(got)


async def test_a_new_consumer_shows_its_configuration_with_defaults(log):
    info = await log.add_consumer("LOG", durable_name="reader")
    config = info.config
    assert (info.name, info.stream_name, config.durable_name) == ("reader", "LOG", "reader")
    assert config.deliver_policy == DeliverPolicy.ALL
    assert config.ack_policy == AckPolicy.EXPLICIT
    assert config.replay_policy == ReplayPolicy.INSTANT
    assert (config.ack_wait, config.max_deliver) == (30, -1)
    assert (config.max_ack_pending, config.max_waiting) == (1000, 512)
    assert (info.num_pending, info.num_ack_pending, info.num_waiting) == (9, 0, 0)
    assert (info.delivered.stream_seq, info.delivered.consumer_seq) == (0, 0)
    assert (info.ack_floor.stream_seq, info.ack_floor.consumer_seq) == (0, 0)


async def test_a_configuration_comes_back_as_it_was_given(log):
    wanted = {
        "name": "reader",
        "durable_name": "reader",
        "description": "reads",
        "ack_wait": 7.5,
        "max_deliver": 5,
        "filter_subject": "log.a",
        "sample_freq": "50",
        "max_waiting": 10,
        "max_ack_pending": 20,
        "headers_only": True,
        "inactive_threshold": 60,
        "mem_storage": True,
    }
    await log.add_consumer("LOG", **wanted, metadata={"team": "blue"})
    config = (await log.consumer_info("LOG", "reader")).config
    assert {name: getattr(config, name) for name in wanted} == wanted
    assert config.metadata["team"] == "blue"


async def test_a_consumer_may_start_anywhere(log):
    third = await log.get_msg("LOG", 3)
    assert await read(log, 9, deliver_policy="all") == list(range(1, 10))
    assert await read(log, 1, deliver_policy="last") == [9]
    assert await read(log, 4, deliver_policy="by_start_sequence", opt_start_seq=6) == [6, 7, 8, 9]
    assert (
        await read(log, 7, deliver_policy="by_start_time", opt_start_time=third.time.isoformat())
        == list(range(3, 10))
    )
    assert await read(
        log, 3, deliver_policy="last_per_subject", filter_subject="log.*"
    ) == [7, 8, 9]
    assert await read(log, 1, deliver_policy="last", filter_subject="log.a") == [7]


async def test_a_consumer_may_start_with_what_comes_next(log):
    info = await log.add_consumer("LOG", durable_name="reader", deliver_policy="new")
    assert (info.num_pending, info.delivered.stream_seq) == (0, 9)
    later = await log.add_consumer(
        "LOG", durable_name="later", deliver_policy="by_start_sequence", opt_start_seq=11
    )
    assert later.num_pending == 0
    await fill(log, "log.a", 3)
    for name, expected in (("reader", [10, 11, 12]), ("later", [11, 12])):
        reader = await log.pull_subscribe_bind(stream="LOG", consumer=name)
        assert sequences(await reader.fetch(5, timeout=PATIENCE)) == expected


async def test_a_consumer_started_in_the_future_waits(log):
    start = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    info = await log.add_consumer(
        "LOG", durable_name="reader", deliver_policy="by_start_time", opt_start_time=start
    )
    assert info.num_pending == 0


async def test_the_start_must_fit_its_policy(log):
    for options in (
        {"deliver_policy": "by_start_sequence"},
        {"deliver_policy": "by_start_time"},
        {"deliver_policy": "all", "opt_start_seq": 5},
        {"deliver_policy": "last_per_subject"},
    ):
        with refused(10094):
            await log.add_consumer("LOG", durable_name="bad", **options)


async def test_a_consumer_may_filter(log):
    assert await read(log, 3, filter_subject="log.b") == [2, 5, 8]
    assert await read(log, 6, filter_subjects=["log.a", "log.c"]) == [1, 3, 4, 6, 7, 9]
    assert await read(log, 9, filter_subject="log.*") == list(range(1, 10))
    assert await read(log, 0, filter_subject="log.x") == []
    assert await read(log, 0, filter_subject="elsewhere") == []
    with refused(10138):
        await log.add_consumer("LOG", durable_name="bad", filter_subjects=["log.a", "log.*"])
    with refused(10136):
        await log.add_consumer(
            "LOG", durable_name="bad", filter_subject="log.a", filter_subjects=["log.b"]
        )


async def test_a_filter_counts_its_own_messages_only(log):
    info = await log.add_consumer("LOG", name="reader", filter_subject="log.b")
    assert info.num_pending == 3
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")
    (message,) = await reader.fetch(1, timeout=PATIENCE)
    assert message.metadata.num_pending == 2
    await log.publish("log.a", b"")
    assert (await reader.consumer_info()).num_pending == 2
    await log.publish("log.b", b"")
    assert (await reader.consumer_info()).num_pending == 3


async def test_headers_may_come_alone(log):
    await log.publish("log.a", b"twelve bytes", headers={"Colour": "red"})
    await log.add_consumer(
        "LOG", durable_name="reader", deliver_policy="last", headers_only=True
    )
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")
    (message,) = await reader.fetch(1, timeout=PATIENCE)
    assert message.data == b""
    assert message.headers == {"Colour": "red", "Nats-Msg-Size": "12"}


async def test_a_replay_may_keep_the_original_pace(js):
    await js.add_stream(name="PACED", subjects=["paced"])
    for number in range(3):
        await js.publish("paced", b"%d" % number)
        # The gaps are what is replayed.
        await asyncio.sleep(0.2)
    await js.add_consumer("PACED", durable_name="reader", replay_policy="original")
    reader = await js.pull_subscribe_bind(stream="PACED", consumer="reader")
    started = asyncio.get_running_loop().time()
    got = [(await reader.fetch(1, timeout=PATIENCE))[0] for _ in range(3)]
    assert payloads(got) == [b"0", b"1", b"2"]
    assert asyncio.get_running_loop().time() - started > 0.3


async def test_creating_the_same_consumer_again_changes_nothing(log):
    config = ConsumerConfig(durable_name="reader", filter_subject="log.a")
    first = await log.add_consumer("LOG", config)
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")
    await (await reader.fetch(1, timeout=PATIENCE))[0].ack_sync(timeout=PATIENCE)
    again = await log.add_consumer("LOG", config)
    assert again.created == first.created
    assert again.ack_floor.stream_seq == 1


async def test_an_update_changes_what_may_change(log):
    await log.add_consumer("LOG", durable_name="reader", max_ack_pending=5)
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")
    assert len(await reader.fetch(9, timeout=0.3)) == 5
    updated = await log.add_consumer(
        "LOG", durable_name="reader", max_ack_pending=7, description="new", ack_wait=60
    )
    assert (updated.config.max_ack_pending, updated.config.description) == (7, "new")
    assert sequences(await reader.fetch(2, timeout=PATIENCE)) == [6, 7]
    for options in (
        {"deliver_policy": "new"},
        {"ack_policy": "none"},
        {"replay_policy": "original"},
        {"max_waiting": 3},
    ):
        with refused(10012):
            await log.add_consumer("LOG", durable_name="reader", **options)


async def test_an_update_may_change_the_filter(log):
    await log.add_consumer("LOG", durable_name="reader", filter_subject="log.a")
    info = await log.add_consumer("LOG", durable_name="reader", filter_subjects=["log.b", "log.c"])
    assert info.config.filter_subjects == ["log.b", "log.c"]
    assert info.num_pending == 6


async def test_create_and_update_may_insist(log):
    async def request(action, name, **config):
        config |= {"name": name, "durable_name": name, "ack_policy": "explicit"}
        body = {"stream_name": "LOG", "config": config, "action": action}
        subject = f"$JS.API.CONSUMER.CREATE.LOG.{name}"
        reply = await log._nc.request(subject, json.dumps(body).encode(), timeout=PATIENCE)
        return json.loads(reply.data).get("error", {}).get("err_code")

    assert await request("update", "reader", deliver_policy="all") == 10149
    assert await request("create", "reader", deliver_policy="all") is None
    assert await request("create", "reader", deliver_policy="all") is None
    assert await request("create", "reader", deliver_policy="all", max_deliver=3) == 10148
    assert await request("update", "reader", deliver_policy="all", max_deliver=3) is None


async def test_consumers_are_listed_page_by_page(log):
    names = {f"reader-{number:03}" for number in range(300)}
    await asyncio.gather(*(log.add_consumer("LOG", durable_name=name) for name in names))
    first = await log.consumers_info("LOG")
    rest = await log.consumers_info("LOG", offset=256)
    assert (len(first), len(rest)) == (256, 44)
    assert {info.name for info in first + rest} == names
    assert (await log.stream_info("LOG")).state.consumer_count == 300


async def test_a_deleted_consumer_is_gone(log):
    await log.add_consumer("LOG", durable_name="reader")
    assert await log.delete_consumer("LOG", "reader")
    with refused(10014, "consumer not found"):
        await log.consumer_info("LOG", "reader")
    with refused(10014):
        await log.delete_consumer("LOG", "reader")
    with refused(10059):
        await log.add_consumer("NONE", durable_name="reader")
    assert await log.consumers_info("LOG") == []


async def test_a_name_must_be_one(log):
    # The client checks most names itself, so these go as they are.
    async def create(subject, config):
        body = json.dumps({"stream_name": "LOG", "config": config}).encode()
        reply = await log._nc.request(f"$JS.API.CONSUMER.{subject}", body, timeout=PATIENCE)
        return json.loads(reply.data)["error"]["err_code"]

    named = {"ack_policy": "explicit", "deliver_policy": "all"}
    assert await create("DURABLE.CREATE.LOG.a", named) == 10018
    assert await create("DURABLE.CREATE.LOG.a", named | {"durable_name": "b"}) == 10017
    assert await create("CREATE.LOG", named | {"durable_name": "b"}) == 10020
    assert await create("CREATE.LOG.a.log.x", named | {"name": "a", "filter_subject": "log.y"}) in (
        10131,
    )


async def test_a_consumer_nobody_uses_goes_away(log):
    advisories = await log._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.DELETED.LOG.*")
    await log.add_consumer("LOG", durable_name="brief", inactive_threshold=0.3)
    await log.add_consumer("LOG", durable_name="lasting")
    body = json.loads((await next_message(advisories)).data)
    assert (body["consumer"], body["action"]) == ("brief", "delete")
    with pytest.raises(NotFoundError):
        await log.consumer_info("LOG", "brief")
    await log.consumer_info("LOG", "lasting")


async def test_a_paused_consumer_delivers_nothing_until_resumed(log):
    await log.add_consumer("LOG", durable_name="reader")
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    paused = await log.pause_consumer("LOG", "reader", until)
    assert paused.paused
    assert (await log.consumer_info("LOG", "reader")).paused
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.3)
    assert not (await log.resume_consumer("LOG", "reader")).paused
    assert sequences(await reader.fetch(1, timeout=PATIENCE)) == [1]


async def test_streams_may_limit_their_consumers(js):
    limits = {"max_ack_pending": 10, "inactive_threshold": 60_000_000_000}
    body = {"name": "LOG", "subjects": ["log.>"], "consumer_limits": limits}
    await js._nc.request("$JS.API.STREAM.CREATE.LOG", json.dumps(body).encode(), timeout=PATIENCE)
    info = await js.add_consumer("LOG", durable_name="reader")
    assert info.config.max_ack_pending == 10
    assert info.config.inactive_threshold == 60
    with refused(10121):
        await js.add_consumer("LOG", durable_name="greedy", max_ack_pending=11)
    with refused(10153):
        await js.add_consumer("LOG", durable_name="lazy", inactive_threshold=61)


async def test_consumers_are_announced(js):
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
    await js.add_stream(name="LOG", subjects=["log.>"])
    await js.add_consumer("LOG", durable_name="reader")
    await js.delete_consumer("LOG", "reader")
    for verb, action in (("CREATED", "create"), ("DELETED", "delete")):
        message = await next_message(advisories)
        assert message.subject == f"$JS.EVENT.ADVISORY.CONSUMER.{verb}.LOG.reader"
        body = json.loads(message.data)
        assert body["type"] == "io.nats.jetstream.advisory.v1.consumer_action"
        assert (body["stream"], body["consumer"], body["action"]) == ("LOG", "reader", action)


async def test_the_counts_of_a_consumer_follow_the_work(log):
    await log.add_consumer("LOG", durable_name="reader")
    reader = await log.pull_subscribe_bind(stream="LOG", consumer="reader")

    async def counts():
        info = await reader.consumer_info()
        return (
            info.num_pending,
            info.num_ack_pending,
            info.delivered.stream_seq,
            info.ack_floor.stream_seq,
        )

    assert await counts() == (9, 0, 0, 0)
    got = await reader.fetch(4, timeout=PATIENCE)
    assert await counts() == (5, 4, 4, 0)
    await got[0].ack_sync(timeout=PATIENCE)
    assert await counts() == (5, 3, 4, 1)
    waiting = asyncio.create_task(reader.fetch(9, timeout=PATIENCE))
    rest = await waiting
    for message in got[1:] + rest:
        await message.ack_sync(timeout=PATIENCE)
    assert await counts() == (0, 0, 9, 9)
    asking = asyncio.create_task(reader.fetch(1, timeout=PATIENCE))
    await wait_for(reader.consumer_info, lambda info: info.num_waiting == 1, "a request waits")
    await log.publish("log.a", b"")
    await asking
