"""Publishing into streams: acknowledgements, expectations, duplicates, roll-ups."""

import asyncio

import pytest
from nats.errors import MaxPayloadError
from nats.js.api import Header
from nats.js.errors import NoStreamResponseError

from harness import PATIENCE, fill, refused, wait_for

LAST = "Nats-Expected-Last-Sequence"
LAST_OF_SUBJECT = "Nats-Expected-Last-Subject-Sequence"
LAST_ID = "Nats-Expected-Last-Msg-Id"


async def orders(js, **options):
    await js.add_stream(name="ORDERS", subjects=["orders.*"], **options)


async def test_each_publish_is_acknowledged_with_its_sequence(js):
    await orders(js)
    for number in range(1, 4):
        ack = await js.publish("orders.new", b"order")
        assert (ack.stream, ack.seq, ack.duplicate) == ("ORDERS", number, None)


async def test_thousands_on_their_way_are_all_acknowledged_in_order(js):
    await orders(js)
    acks = await fill(js, "orders.new", 4000)
    assert [ack.seq for ack in acks] == list(range(1, 4001))
    await asyncio.wait_for(js.publish_async_completed(), PATIENCE)
    assert js.publish_async_pending() == 0
    for number in (1, 2000, 4000):
        assert (await js.get_msg("ORDERS", number)).data == b"%d" % (number - 1)


async def test_a_publish_without_a_stream_fails_at_once(js):
    with pytest.raises(NoStreamResponseError):
        await js.publish("nobody.listens", b"")
    future = await js.publish_async("nobody.listens", b"")
    with pytest.raises(NoStreamResponseError):
        await asyncio.wait_for(future, PATIENCE)


async def test_subscribers_get_what_a_stream_keeps(js):
    await orders(js)
    live = await js._nc.subscribe("orders.*")
    await js.publish("orders.new", b"both")
    message = await live.next_msg(timeout=PATIENCE)
    assert message.data == b"both"
    assert (await js.get_msg("ORDERS", 1)).data == b"both"


async def test_a_plain_publish_is_kept_too(js):
    await orders(js)
    await js._nc.publish("orders.new", b"plain")
    await wait_for(
        lambda: js.stream_info("ORDERS"), lambda info: info.state.messages == 1, "one message"
    )
    assert (await js.get_msg("ORDERS", 1)).data == b"plain"


async def test_messages_of_the_largest_size_are_kept(js):
    await orders(js)
    limit = js._nc.max_payload
    payload = bytes(number % 251 for number in range(limit))
    for _ in range(3):
        await js.publish("orders.large", payload)
    assert (await js.get_msg("ORDERS", 2)).data == payload
    subscription = await js.pull_subscribe("orders.large", durable="reader")
    for message in await subscription.fetch(3, timeout=PATIENCE):
        assert message.data == payload
    with pytest.raises(MaxPayloadError):
        await js.publish("orders.large", payload + b"!")


async def test_headers_are_kept(js):
    await orders(js)
    headers = {"Colour": "red", "Empty": "", "Unicode": "grün", "Nats-Msg-Id": "a"}
    await js.publish("orders.new", b"body", headers=dict(headers))
    subscription = await js.pull_subscribe("orders.new", durable="reader")
    (message,) = await subscription.fetch(1, timeout=PATIENCE)
    assert message.headers == headers
    assert message.data == b"body"


async def test_a_duplicate_is_told_and_not_kept(js):
    await orders(js)
    first = await js.publish("orders.new", b"once", headers={Header.MSG_ID: "a"})
    await js.publish("orders.new", b"other", headers={Header.MSG_ID: "b"})
    again = await js.publish("orders.old", b"again", headers={Header.MSG_ID: "a"})
    assert (first.seq, first.duplicate) == (1, None)
    assert (again.seq, again.duplicate) == (1, True)
    assert (await js.stream_info("ORDERS")).state.messages == 2


async def test_duplicates_are_known_for_their_window_only(js):
    await orders(js, duplicate_window=0.2)
    await js.publish("orders.new", b"", headers={Header.MSG_ID: "a"})
    ack = await wait_for(
        lambda: js.publish("orders.new", b"", headers={Header.MSG_ID: "a"}),
        lambda ack: not ack.duplicate,
        "an id forgotten",
    )
    assert ack.seq == 2


async def test_a_deleted_message_is_still_a_duplicate(js):
    await orders(js)
    await js.publish("orders.new", b"", headers={Header.MSG_ID: "a"})
    await js.delete_msg("ORDERS", 1)
    assert (await js.publish("orders.new", b"", headers={Header.MSG_ID: "a"})).duplicate


async def test_a_publish_may_expect_its_stream(js):
    await orders(js)
    assert (await js.publish("orders.new", b"", stream="ORDERS")).seq == 1
    with refused(10060, "expected stream does not match"):
        await js.publish("orders.new", b"", stream="OTHER")
    assert (await js.stream_info("ORDERS")).state.messages == 1


async def test_a_publish_may_expect_the_last_sequence(js):
    await orders(js)
    assert (await js.publish("orders.a", b"", headers={LAST: "0"})).seq == 1
    assert (await js.publish("orders.b", b"", headers={LAST: "1"})).seq == 2
    with refused(10071, "wrong last sequence: 2"):
        await js.publish("orders.a", b"", headers={LAST: "1"})
    with refused(10071):
        await js.publish("orders.a", b"", headers={LAST: "3"})
    assert (await js.stream_info("ORDERS")).state.messages == 2


async def test_a_publish_may_expect_the_last_sequence_of_its_subject(js):
    await orders(js)
    assert (await js.publish("orders.a", b"", headers={LAST_OF_SUBJECT: "0"})).seq == 1
    assert (await js.publish("orders.b", b"", headers={LAST_OF_SUBJECT: "0"})).seq == 2
    assert (await js.publish("orders.a", b"", headers={LAST_OF_SUBJECT: "1"})).seq == 3
    with refused(10071, "wrong last sequence: 3"):
        await js.publish("orders.a", b"", headers={LAST_OF_SUBJECT: "1"})
    with refused(10071, "wrong last sequence: 2"):
        await js.publish("orders.b", b"", headers={LAST_OF_SUBJECT: "0"})
    with refused(10071, "wrong last sequence: 0"):
        await js.publish("orders.c", b"", headers={LAST_OF_SUBJECT: "1"})


async def test_of_many_with_the_same_expectation_one_wins(js):
    await orders(js)
    # Not `publish_async`, which never tells of a refusal.
    attempts = [js.publish("orders.a", b"", headers={LAST_OF_SUBJECT: "0"}) for _ in range(50)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    won = [result for result in results if not isinstance(result, Exception)]
    assert len(won) == 1
    assert {error.err_code for error in results if isinstance(error, Exception)} == {10071}


async def test_a_publish_may_expect_the_last_id(js):
    await orders(js)
    await js.publish("orders.a", b"", headers={Header.MSG_ID: "a"})
    await js.publish("orders.a", b"", headers={Header.MSG_ID: "b", LAST_ID: "a"})
    with refused(10070, "wrong last msg ID: b"):
        await js.publish("orders.a", b"", headers={LAST_ID: "a"})


async def test_a_failed_publish_leaves_its_id_unused(js):
    await orders(js)
    with refused(10071):
        await js.publish("orders.a", b"", headers={Header.MSG_ID: "a", LAST: "7"})
    ack = await js.publish("orders.a", b"", headers={Header.MSG_ID: "a"})
    assert (ack.seq, ack.duplicate) == (1, None)


async def test_a_roll_up_replaces_its_subject_or_all(js):
    await orders(js, allow_rollup_hdrs=True)
    for number in range(6):
        await js.publish(f"orders.{'ab'[number % 2]}", b"")
    await js.publish("orders.a", b"sum of a", headers={"Nats-Rollup": "sub"})
    info = await js.stream_info("ORDERS", subjects_filter=">")
    assert info.state.subjects == {"orders.a": 1, "orders.b": 3}
    ack = await js.publish("orders.b", b"sum", headers={"Nats-Rollup": "all"})
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (1, ack.seq, ack.seq)
    assert (await js.get_msg("ORDERS", ack.seq)).headers["Nats-Rollup"] == "all"
    with refused(10111):
        await js.publish("orders.a", b"", headers={"Nats-Rollup": "some"})


async def test_roll_ups_need_permission(js):
    await orders(js)
    with refused(10111, "rollup not permitted"):
        await js.publish("orders.a", b"", headers={"Nats-Rollup": "sub"})
    assert (await js.stream_info("ORDERS")).state.messages == 0


async def test_several_publishers_share_one_sequence(store_server, js):
    await orders(js)
    others = [await store_server.jetstream() for _ in range(4)]
    acks = await asyncio.gather(
        *(fill(other, f"orders.{number}", 500) for number, other in enumerate(others))
    )
    for own in acks:
        seqs = [ack.seq for ack in own]
        assert seqs == sorted(seqs), "a publisher's messages keep their order"
    assert sorted(ack.seq for own in acks for ack in own) == list(range(1, 2001))
