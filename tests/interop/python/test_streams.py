"""Streams: making, changing, listing, reading and emptying them."""

import asyncio
import json

import pytest
from nats.errors import NoRespondersError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from harness import PATIENCE, fill, refused, settle


async def test_a_new_stream_shows_its_configuration_with_defaults(js):
    info = await js.add_stream(name="ORDERS", subjects=["orders.>"])
    config = info.config
    assert config.name == "ORDERS"
    assert config.subjects == ["orders.>"]
    assert config.retention == RetentionPolicy.LIMITS
    assert config.storage == StorageType.FILE
    assert config.discard == DiscardPolicy.OLD
    assert (config.max_msgs, config.max_bytes, config.max_msg_size) == (-1, -1, -1)
    assert (config.max_consumers, config.max_msgs_per_subject) == (-1, -1)
    assert (config.max_age, config.duplicate_window, config.num_replicas) == (0, 120, 1)
    assert info.did_create
    state = info.state
    assert (state.messages, state.bytes, state.first_seq, state.last_seq) == (0, 0, 0, 0)
    assert state.consumer_count == 0


async def test_a_stream_without_subjects_listens_to_its_name(js):
    info = await js.add_stream(name="LOG")
    assert info.config.subjects == ["LOG"]
    assert (await js.publish("LOG", b"one")).seq == 1


async def test_a_configuration_comes_back_as_it_was_given(js):
    wanted = {
        "name": "FULL",
        "subjects": ["a.*", "b.>"],
        "description": "everything at once",
        "retention": RetentionPolicy.LIMITS,
        "storage": StorageType.MEMORY,
        "discard": DiscardPolicy.NEW,
        "discard_new_per_subject": True,
        "max_msgs": 1000,
        "max_bytes": 1_000_000,
        "max_msgs_per_subject": 10,
        "max_msg_size": 1000,
        "max_consumers": 5,
        "max_age": 3600,
        "duplicate_window": 60,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "first_seq": 42,
    }
    await js.add_stream(**wanted, metadata={"owner": "tests"})
    config = (await js.stream_info("FULL")).config
    assert {name: getattr(config, name) for name in wanted} == wanted
    assert config.metadata["owner"] == "tests"


async def test_creating_the_same_stream_again_changes_nothing(js):
    config = StreamConfig(name="ORDERS", subjects=["orders.>"])
    await js.add_stream(config)
    await js.publish("orders.new", b"one")
    again = await js.add_stream(config)
    assert again.state.messages == 1
    with refused(10058, "stream name already in use with a different configuration"):
        await js.add_stream(config, max_msgs=5)


async def test_overlapping_subjects_are_refused(js):
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    with refused(10065, "subjects overlap with an existing stream"):
        await js.add_stream(name="OTHER", subjects=["orders.*.x"])
    await js.add_stream(name="OTHER", subjects=["bills.*"])
    with refused(10065):
        await js.update_stream(name="OTHER", subjects=["bills.*", "orders.old"])
    with refused(10052):
        await js.add_stream(name="SELF", subjects=["x.*", "x.y"])


@pytest.mark.parametrize(
    "options",
    [
        {"max_msgs_per_subject": 0, "discard_new_per_subject": True},
        {"duplicate_window": 7200, "max_age": 3600},
        {"max_age": 0.01},
        {"subjects": ["a..b"]},
        {"subjects": ["$JS.API.>"]},
        {"subjects": ["*.new"]},
        {"deny_purge": True, "allow_rollup_hdrs": True},
    ],
)
async def test_an_impossible_configuration_is_refused(js, options):
    with refused(10052):
        await js.add_stream(**{"name": "BAD", "subjects": ["bad"]} | options)
    with refused(10059, "stream not found"):
        await js.stream_info("BAD")


async def test_one_server_keeps_one_replica(js):
    with refused(10074):
        await js.add_stream(name="THREE", num_replicas=3)


async def test_an_update_changes_what_may_change(js):
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    await fill(js, "orders.new", 5)
    updated = await js.update_stream(
        name="ORDERS", subjects=["orders.>", "bills.>"], max_msgs=3, description="capped"
    )
    assert updated.config.subjects == ["orders.>", "bills.>"]
    assert updated.config.description == "capped"
    info = await js.stream_info("ORDERS")
    assert (info.state.messages, info.state.first_seq) == (3, 3), "the new limit counts at once"
    assert (await js.publish("bills.new", b"")).seq == 6

    with refused(10052, "stream configuration update can not change storage type"):
        await js.update_stream(name="ORDERS", subjects=["orders.>"], storage=StorageType.MEMORY)
    with refused(10052):
        await js.update_stream(
            name="ORDERS", subjects=["orders.>"], retention=RetentionPolicy.WORK_QUEUE
        )
    with refused(10059):
        await js.update_stream(name="NONE", subjects=["none"])


async def test_streams_are_listed_and_found_by_subject(js):
    for name in ("ONE", "TWO", "THREE"):
        await js.add_stream(name=name, subjects=[f"{name.lower()}.>"])
    assert sorted(info.config.name for info in await js.streams_info()) == ["ONE", "THREE", "TWO"]
    assert len(await js.streams_info(offset=2)) == 1
    assert [info.config.name for info in await js.streams_info_iterator()] != []
    assert await js.find_stream_name_by_subject("two.x") == "TWO"
    assert await js.find_stream_name_by_subject("three.>") == "THREE"
    with pytest.raises(NotFoundError):
        await js.find_stream_name_by_subject("four.x")


async def test_hundreds_of_streams_are_listed_page_by_page(js):
    count = 300
    await asyncio.gather(
        *(
            js.add_stream(name=f"S{number:03}", subjects=[f"s.{number}"], storage="memory")
            for number in range(count)
        )
    )
    first = await js.streams_info()
    assert len(first) == 256
    rest = await js.streams_info(offset=256)
    names = {info.config.name for info in first + rest}
    assert names == {f"S{number:03}" for number in range(count)}


async def test_a_deleted_stream_is_gone_with_its_messages(js):
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    await fill(js, "orders.new", 3)
    assert await js.delete_stream("ORDERS")
    for gone in (js.stream_info("ORDERS"), js.delete_stream("ORDERS"), js.purge_stream("ORDERS")):
        with refused(10059, "stream not found"):
            await gone
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    assert (await js.publish("orders.new", b"")).seq == 1


async def test_the_state_counts_messages_bytes_and_subjects(js):
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    for number in range(6):
        await js.publish(f"orders.{number % 3}", b"12345")
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (6, 1, 6)
    assert state.bytes >= 6 * (len("orders.0") + 5)
    filtered = await js.stream_info("ORDERS", subjects_filter="orders.>")
    assert filtered.state.subjects == {f"orders.{number}": 2 for number in range(3)}
    one = await js.stream_info("ORDERS", subjects_filter="orders.1")
    assert one.state.subjects == {"orders.1": 2}


async def test_deleted_sequences_are_told_when_asked(js):
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await fill(js, "orders", 6)
    for sequence in (2, 3, 5):
        assert await js.delete_msg("ORDERS", sequence)
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (3, 1, 6)
    assert not state.deleted
    # This client has no option for the details.
    reply = await js._nc.request(
        "$JS.API.STREAM.INFO.ORDERS", b'{"deleted_details":true}', timeout=PATIENCE
    )
    state = json.loads(reply.data)["state"]
    assert (state["num_deleted"], state["deleted"]) == (3, [2, 3, 5])


async def test_deleting_the_first_message_moves_the_start(js):
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await fill(js, "orders", 4)
    await js.delete_msg("ORDERS", 2)
    await js.delete_msg("ORDERS", 1)
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (2, 3, 4)
    await js.delete_msg("ORDERS", 4)
    assert (await js.stream_info("ORDERS")).state.last_seq == 4
    assert (await js.publish("orders", b"")).seq == 5, "a sequence is never used again"


async def test_a_message_can_be_read_by_its_sequence(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    await js.publish("orders.a", b"first", headers={"Colour": "red", "Size": "7"})
    await js.publish("orders.b", b"")
    message = await js.get_msg("ORDERS", 1)
    assert (message.subject, message.seq, message.data) == ("orders.a", 1, b"first")
    assert message.headers == {"Colour": "red", "Size": "7"}
    assert message.time.tzinfo is not None
    empty = await js.get_msg("ORDERS", 2)
    assert (empty.data, empty.headers) == (None, None)
    with refused(10037, "no message found"):
        await js.get_msg("ORDERS", 3)
    with refused(10059):
        await js.get_msg("NONE", 1)


async def test_a_message_can_be_read_by_its_subject(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    for number in range(6):
        await js.publish(f"orders.{'ab'[number % 2]}", str(number).encode())
    assert (await js.get_last_msg("ORDERS", "orders.a")).data == b"4"
    assert (await js.get_last_msg("ORDERS", "orders.*")).seq == 6
    after = await js.get_msg("ORDERS", seq=2, subject="orders.a", next=True)
    assert (after.seq, after.data) == (3, b"2")
    with refused(10037):
        await js.get_last_msg("ORDERS", "orders.c")
    with refused(10037):
        await js.get_msg("ORDERS", seq=6, subject="orders.a", next=True)


async def test_a_message_can_be_read_directly(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"], allow_direct=True)
    await js.publish("orders.a", b"first", headers={"Colour": "red"})
    await js.publish("orders.b", b"second")
    await js.publish("orders.a", b"third")
    first = await js.get_msg("ORDERS", 1, direct=True)
    assert (first.subject, first.seq, first.data) == ("orders.a", 1, b"first")
    assert first.headers["Colour"] == "red"
    assert first.headers["Nats-Stream"] == "ORDERS"
    assert first.time == (await js.get_msg("ORDERS", 1)).time
    assert (await js.get_last_msg("ORDERS", "orders.a", direct=True)).data == b"third"
    after = await js.get_msg("ORDERS", seq=2, subject="orders.a", direct=True, next=True)
    assert after.seq == 3
    with pytest.raises(NotFoundError):
        await js.get_msg("ORDERS", 4, direct=True)
    with pytest.raises(NotFoundError):
        await js.get_last_msg("ORDERS", "orders.c", direct=True)


async def test_direct_reads_need_permission(js):
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await js.publish("orders", b"")
    with pytest.raises(NoRespondersError):
        await js.get_msg("ORDERS", 1, direct=True)
    await js.update_stream(name="ORDERS", subjects=["orders"], allow_direct=True)
    assert (await js.get_msg("ORDERS", 1, direct=True)).seq == 1


async def test_a_stream_is_purged(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    await fill(js, "orders.a", 5)
    assert await js.purge_stream("ORDERS")
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.bytes, state.first_seq, state.last_seq) == (0, 0, 6, 5)
    assert (await js.publish("orders.a", b"")).seq == 6


async def test_a_purge_may_be_partial(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    for number in range(10):
        await js.publish(f"orders.{'ab'[number % 2]}", b"")

    async def counts():
        info = await js.stream_info("ORDERS", subjects_filter=">")
        return info.state.subjects, info.state.first_seq

    await js.purge_stream("ORDERS", seq=3)
    assert await counts() == ({"orders.a": 4, "orders.b": 4}, 3)
    await js.purge_stream("ORDERS", subject="orders.a", keep=1)
    assert await counts() == ({"orders.a": 1, "orders.b": 4}, 4)
    await js.purge_stream("ORDERS", subject="orders.b", seq=8)
    assert await counts() == ({"orders.a": 1, "orders.b": 2}, 8)
    await js.purge_stream("ORDERS", keep=2)
    assert await counts() == ({"orders.a": 1, "orders.b": 1}, 9)
    await js.purge_stream("ORDERS", subject="orders.a")
    assert await counts() == ({"orders.b": 1}, 10)
    with refused(10003):
        await js.purge_stream("ORDERS", seq=3, keep=3)


async def test_deletes_and_purges_may_be_denied(js):
    await js.add_stream(name="LEDGER", subjects=["ledger"], deny_delete=True, deny_purge=True)
    await js.publish("ledger", b"entry")
    with pytest.raises(APIError):
        await js.delete_msg("LEDGER", 1)
    with pytest.raises(APIError):
        await js.purge_stream("LEDGER")
    with refused(10052):
        await js.update_stream(name="LEDGER", subjects=["ledger"])
    assert (await js.stream_info("LEDGER")).state.messages == 1


async def test_a_sealed_stream_is_read_only(js):
    await js.add_stream(name="ARCHIVE", subjects=["archive"])
    await js.publish("archive", b"page")
    config = (await js.stream_info("ARCHIVE")).config
    await js.update_stream(config, sealed=True)
    config = (await js.stream_info("ARCHIVE")).config
    assert config.sealed and config.deny_delete and config.deny_purge
    for refused_call in (
        js.publish("archive", b"more"),
        js.delete_msg("ARCHIVE", 1),
        js.purge_stream("ARCHIVE"),
    ):
        with refused(10109):
            await refused_call
    assert (await js.get_msg("ARCHIVE", 1)).data == b"page"
    subscription = await js.pull_subscribe("archive", durable="reader")
    assert (await subscription.fetch(1, timeout=PATIENCE))[0].data == b"page"


async def test_a_stream_may_start_at_any_sequence(js):
    await js.add_stream(name="LATE", subjects=["late"], first_seq=1000)
    assert (await js.publish("late", b"")).seq == 1000
    state = (await js.stream_info("LATE")).state
    assert (state.first_seq, state.last_seq, state.messages) == (1000, 1000, 1)


async def test_a_stream_may_capture_without_acknowledging(js):
    await js.add_stream(name="QUIET", subjects=["quiet"], no_ack=True)
    client = js._nc
    inbox = await client.subscribe("answers")
    await client.publish("quiet", b"hello", reply="answers")
    await settle(client)
    assert inbox.pending_msgs == 0
    assert (await js.get_msg("QUIET", 1)).data == b"hello"


async def test_storage_in_memory_works_alike(js):
    await js.add_stream(name="FAST", subjects=["fast.*"], storage=StorageType.MEMORY)
    await fill(js, "fast.a", 10)
    assert (await js.get_msg("FAST", 7)).data == b"6"
    await js.purge_stream("FAST", keep=3)
    assert (await js.stream_info("FAST")).state.messages == 3
    subscription = await js.pull_subscribe("fast.*", durable="reader")
    got = await subscription.fetch(3, timeout=PATIENCE)
    assert [message.data for message in got] == [b"7", b"8", b"9"]


async def test_the_account_tells_what_is_in_use(js):
    await js.add_stream(name="FILE", subjects=["file"])
    await js.add_stream(name="MEMORY", subjects=["memory"], storage=StorageType.MEMORY)
    await js.publish("file", bytes(1000))
    await js.publish("memory", bytes(2000))
    await js.add_consumer("FILE", durable_name="reader")
    account = await js.account_info()
    assert (account.streams, account.consumers) == (2, 1)
    assert account.storage >= 1000
    assert account.memory >= 2000
    assert account.limits.max_streams == -1
    assert account.api.errors >= 0
    assert account.api.total > 0


async def test_a_server_without_a_store_has_no_streams(server):
    js = (await server.connect()).jetstream(timeout=PATIENCE)
    with pytest.raises(ServiceUnavailableError):
        await js.account_info()
    with pytest.raises(ServiceUnavailableError):
        await js.add_stream(name="ORDERS")


async def test_the_server_says_that_it_has_streams(store_server):
    client = await store_server.connect()
    assert client._server_info["jetstream"] is True


async def test_changes_of_streams_are_announced(js):
    advisories = await js._nc.subscribe("$JS.EVENT.ADVISORY.STREAM.>")
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await js.update_stream(name="ORDERS", subjects=["orders"], max_msgs=5)
    await js.delete_stream("ORDERS")
    for verb, action in (("CREATED", "create"), ("UPDATED", "modify"), ("DELETED", "delete")):
        message = await advisories.next_msg(timeout=PATIENCE)
        assert message.subject == f"$JS.EVENT.ADVISORY.STREAM.{verb}.ORDERS"
        body = json.loads(message.data)
        assert body["type"] == "io.nats.jetstream.advisory.v1.stream_action"
        assert (body["stream"], body["action"]) == ("ORDERS", action)
