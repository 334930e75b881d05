"""Push consumers: the server sends, to one subscriber, to a group, in order, at its reader's pace."""

import asyncio
import json
import time

from nats.js.api import ConsumerConfig

from harness import (
    PATIENCE,
    eventually,
    fill,
    next_message,
    numbers,
    payloads,
    refused,
    sequences,
    settle,
    wait_for,
)


async def news(js, count=0, **options):
    await js.add_stream(name="NEWS", subjects=["news.*"], **options)
    await fill(js, "news.a", count)


async def take(subscription, count):
    return [await next_message(subscription) for _ in range(count)]


async def test_a_subscriber_gets_what_was_and_what_comes(js):
    await news(js, 3)
    subscription = await js.subscribe("news.*")
    await fill(js, "news.b", 2, start=3)
    got = await take(subscription, 5)
    assert payloads(got) == numbers(5)
    assert sequences(got) == [1, 2, 3, 4, 5]
    assert got[4].subject == "news.b"
    for message in got:
        await message.ack_sync(timeout=PATIENCE)
    info = await subscription.consumer_info()
    assert (info.num_ack_pending, info.push_bound) == (0, True)


async def test_callbacks_acknowledge_by_themselves(js):
    await news(js, 10)
    got = []

    async def on_message(message):
        got.append(message.data)

    subscription = await js.subscribe("news.*", durable="reader", cb=on_message)
    await eventually(lambda: len(got) == 10, lambda: got)
    assert got == numbers(10)
    await wait_for(
        subscription.consumer_info, lambda info: info.ack_floor.stream_seq == 10, "all done"
    )


async def test_a_durable_goes_on_where_it_was(js):
    await news(js, 4)
    first = await js.subscribe("news.*", durable="reader")
    for message in await take(first, 4):
        await message.ack_sync(timeout=PATIENCE)
    await first.unsubscribe()
    await fill(js, "news.a", 2, start=4)
    await wait_for(
        lambda: js.consumer_info("NEWS", "reader"), lambda info: not info.push_bound, "unbound"
    )
    second = await js.subscribe("news.*", durable="reader")
    assert payloads(await take(second, 2)) == [b"4", b"5"]


async def test_nothing_is_sent_to_nobody(js):
    await news(js, 3)
    await js.add_consumer("NEWS", durable_name="reader", deliver_subject="here")
    info = await js.consumer_info("NEWS", "reader")
    assert (info.num_pending, info.num_ack_pending) == (3, 0)
    assert not info.push_bound
    subscription = await js._nc.subscribe("here")
    assert payloads(await take(subscription, 3)) == numbers(3)


async def test_an_unacknowledged_message_comes_again(js):
    await news(js, 1)
    config = ConsumerConfig(ack_wait=0.2)
    subscription = await js.subscribe("news.*", config=config)
    assert [message.metadata.num_delivered for message in await take(subscription, 3)] == [1, 2, 3]


async def test_a_group_shares_the_messages(store_server, js):
    await news(js)
    members = [await store_server.jetstream() for _ in range(3)]
    subscriptions = [await member.subscribe("news.*", queue="group") for member in members]
    for member in members:
        await settle(member._nc)
    await fill(js, "news.a", 300)

    info = lambda: js.consumer_info("NEWS", "group")
    await wait_for(info, lambda info: info.delivered.stream_seq == 300, "all sent")
    for member in members:
        await settle(member._nc)
    shares = [
        sequences(await take(subscription, subscription.pending_msgs))
        for subscription in subscriptions
    ]
    assert sorted(sum(shares, [])) == list(range(1, 301))
    assert all(shares), "each has its share"


async def test_a_plain_subscriber_does_not_start_a_group(js):
    await news(js, 1)
    await js.add_consumer(
        "NEWS", durable_name="group", deliver_subject="here", deliver_group="group"
    )
    await js._nc.subscribe("here")
    await settle(js._nc)
    assert (await js.consumer_info("NEWS", "group")).num_pending == 1
    member = await js._nc.subscribe("here", queue="group")
    assert (await next_message(member)).data == b"0"


async def test_heartbeats_fill_the_silence(js):
    await news(js, 2)
    await js.add_consumer(
        "NEWS", durable_name="reader", deliver_subject="here", idle_heartbeat=0.1
    )
    subscription = await js._nc.subscribe("here")
    await take(subscription, 2)
    for _ in range(2):
        beat = await next_message(subscription)
        assert (beat.subject, beat.data) == ("here", b"")
        assert beat.headers["Status"] == "100"
        assert beat.headers["Description"] == "Idle Heartbeat"
        assert beat.headers["Nats-Last-Consumer"] == "2"
        assert beat.headers["Nats-Last-Stream"] == "2"


async def test_flow_control_lets_a_slow_reader_keep_up(js):
    await news(js)
    await asyncio.gather(
        *[await js.publish_async("news.a", bytes(100_000)) for _ in range(100)]
    )
    await js.add_consumer(
        "NEWS",
        durable_name="reader",
        deliver_subject="here",
        ack_policy="none",
        flow_control=True,
        idle_heartbeat=0.2,
    )
    subscription = await js._nc.subscribe("here")
    asked = got = 0
    stalled = False
    while got < 100:
        message = await next_message(subscription)
        if not message.headers:
            got += 1
        elif message.headers["Description"] == "FlowControl Request":
            assert message.reply.startswith("$JS.FC.NEWS.reader.")
            asked += 1
            if not stalled:
                # Until it is answered, no more than the window comes.
                beat = await next_message(subscription)
                while not beat.headers or "Nats-Consumer-Stalled" not in beat.headers:
                    got += not beat.headers
                    beat = await next_message(subscription)
                assert got < 100
                stalled = True
            await js._nc.publish(message.reply)
    assert asked > 0


async def test_a_rate_limit_paces_the_delivery(js):
    # As much as the largest message may come at once.
    await news(js, max_msg_size=2000)
    for _ in range(5):
        await js.publish("news.a", bytes(1000))
    # The other three kilobytes at eighty kilobits a second.
    config = ConsumerConfig(rate_limit_bps=80_000, ack_policy="none")
    started = time.monotonic()
    subscription = await js.subscribe("news.*", config=config)
    await take(subscription, 5)
    assert 0.2 < time.monotonic() - started < PATIENCE


async def test_an_ordered_consumer_reads_all_in_order(js):
    await news(js, 2000)
    subscription = await js.subscribe("news.*", ordered_consumer=True)
    assert payloads(await take(subscription, 2000)) == numbers(2000)
    config = (await subscription.consumer_info()).config
    assert (config.ack_policy, config.max_deliver, config.mem_storage) == ("none", 1, True)


async def test_an_ordered_consumer_recovers_from_its_deletion(js):
    await news(js, 3)
    subscription = await js.subscribe("news.*", ordered_consumer=True, idle_heartbeat=0.2)
    assert payloads(await take(subscription, 3)) == numbers(3)
    first = await subscription.consumer_info()
    await js.delete_consumer("NEWS", first.name)
    await wait_for(
        lambda: js.consumers_info("NEWS"),
        lambda infos: infos and infos[0].name != first.name,
        "another consumer",
    )


async def test_a_consumer_without_a_subscriber_goes_away(js):
    await news(js, 1)
    subscription = await js.subscribe("news.*", inactive_threshold=0.3)
    await take(subscription, 1)
    assert len(await js.consumers_info("NEWS")) == 1
    await subscription.unsubscribe()
    await wait_for(lambda: js.consumers_info("NEWS"), lambda infos: not infos, "no consumer")


async def test_no_more_is_out_than_may_be(js):
    await news(js, 5)
    config = ConsumerConfig(max_ack_pending=2)
    subscription = await js.subscribe("news.*", config=config)
    got = await take(subscription, 2)
    info = await subscription.consumer_info()
    assert (info.num_ack_pending, info.num_pending) == (2, 3)
    await got[0].ack()
    assert sequences(await take(subscription, 1)) == [3]


async def test_an_impossible_push_consumer_is_refused(js):
    await news(js)
    for err_code, options in (
        (10079, {"deliver_subject": "here.*"}),
        (10081, {"deliver_subject": "news.a"}),
        (10080, {"deliver_subject": "here", "max_waiting": 5}),
        (10108, {"deliver_subject": "here", "flow_control": True}),
        (10083, {"deliver_subject": "here", "idle_heartbeat": 0.01}),
        (10088, {"idle_heartbeat": 1}),
        (10089, {"flow_control": True}),
        (10086, {"rate_limit_bps": 1000}),
        (10116, {"max_deliver": 1, "backoff": [1, 2]}),
        (10095, {"sample_freq": "often"}),
    ):
        with refused(err_code):
            await js.add_consumer("NEWS", durable_name="bad", **options)


async def test_a_bound_consumer_keeps_its_subscriber(js):
    await news(js)
    await js.add_consumer("NEWS", durable_name="reader", deliver_subject="here")
    await js._nc.subscribe("here")
    await settle(js._nc)
    with refused(10013):
        await js.add_consumer("NEWS", durable_name="reader", deliver_subject="there")


async def test_acknowledgements_are_sampled(js):
    await news(js, 1)
    metrics = await js._nc.subscribe("$JS.EVENT.METRIC.CONSUMER.ACK.NEWS.reader")
    config = ConsumerConfig(sample_freq="100")
    subscription = await js.subscribe("news.*", durable="reader", config=config)
    (message,) = await take(subscription, 1)
    await message.ack_sync(timeout=PATIENCE)
    body = json.loads((await next_message(metrics)).data)
    assert body["type"] == "io.nats.jetstream.metric.v1.consumer_ack"
    assert (body["stream_seq"], body["consumer_seq"], body["deliveries"]) == (1, 1, 1)
    assert body["ack_time"] > 0
