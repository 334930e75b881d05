"""Push consumers: interest, groups, redelivery, what ends them."""

import time

from registry import conversation
from vocabulary import MS, PUSHED, SECOND


@conversation
def push_basic(talk):
    talk.create_stream()
    talk.publish("@.a", "1", {"A": "b"})
    talk.publish("@.b", "2")
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    sub.take(2)
    talk.api("CONSUMER.INFO.@.c")
    talk.publish("@.a", "3")
    message = sub.take(1)
    talk.ack(message)
    talk.consumer_info()


@conversation
def push_activates_on_interest(talk):
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.consumer_info()
    talk.sleep(0.1)
    sub = talk.subscribe(PUSHED)
    sub.take(2)
    talk.consumer_info()
    sub.unsubscribe()
    talk.sleep(0.1)
    talk.consumer_info()
    talk.fill(2)
    talk.sleep(0.05)
    talk.consumer_info()
    s2 = talk.subscribe(PUSHED)
    s2.take(2)
    talk.consumer_info()


@conversation
def push_two_subscribers(talk):
    talk.create_stream()
    a = talk.subscribe(PUSHED)
    other = talk.connect()
    b = other.subscribe(PUSHED)
    w = other.subscribe("_INBOX.@.*")
    talk.create_consumer(deliver_subject=PUSHED)
    talk.trickle(2)
    a.take(2)
    b.take(2)
    w.take(2)
    talk.consumer_info()


@conversation
def push_wild_interest(talk):
    talk.create_stream()
    w = talk.subscribe("_INBOX.@.>")
    talk.create_consumer(deliver_subject=PUSHED)
    talk.sleep(0.05)
    w.messages = []
    talk.fill(1)
    talk.sleep(0.1)
    talk.step(
        "by wildcard",
        [talk.normalised(message) for message in w.messages if message.subject.endswith(".a")],
    )
    w.messages = []


@conversation
def push_queue_only_no_group(talk):
    """queue-only subscriber on a consumer without group"""
    talk.create_stream()
    talk.fill(1)
    q = talk.subscribe(PUSHED, queue="g")
    talk.create_consumer(deliver_subject=PUSHED)
    talk.sleep(0.1)
    talk.consumer_info()
    q.quiet()
    sub = talk.subscribe(PUSHED)
    sub.take(1)
    q.quiet()
    talk.consumer_info()


@conversation
def push_group(talk):
    talk.create_stream()
    talk.fill(2)
    plain = talk.subscribe(PUSHED)
    other = talk.subscribe(PUSHED, queue="h")
    talk.create_consumer(deliver_subject=PUSHED, deliver_group="g")
    talk.sleep(0.1)
    talk.consumer_info()
    plain.quiet()
    other.quiet(0.02)
    g = talk.subscribe(PUSHED, queue="g")
    g.take(2)
    plain.quiet(0.05)
    other.quiet(0.02)
    talk.consumer_info()
    g.unsubscribe()
    talk.sleep(0.1)
    talk.consumer_info()


@conversation
def push_group_members(talk):
    """all messages spread over the group's members"""
    talk.create_stream()
    other = talk.connect()
    a, b = other.subscribe(PUSHED, queue="g"), other.subscribe(PUSHED, queue="g")
    talk.create_consumer(deliver_subject=PUSHED, deliver_group="g", ack_policy="none")
    talk.fill(40)
    other.until(lambda: len(a.messages) + len(b.messages) >= 40, 2)
    talk.step(
        "spread",
        [
            len(a.messages) + len(b.messages),
            bool(a.messages) and bool(b.messages),
            sorted(int(message.reply.split(".")[6]) for message in a.messages + b.messages)
            == list(range(1, 41)),
        ],
    )
    a.messages, b.messages = [], []


@conversation
def push_create_while_bound_other(talk):
    """two push consumers with one deliver subject"""
    talk.create_stream()
    talk.fill(1)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer("c1", deliver_subject=PUSHED)
    sub.take(1)
    talk.create_consumer("c2", deliver_subject=PUSHED)
    sub.take(1)


@conversation
def push_recreate_identical_bound(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, action="create")
    talk.create_ephemeral(deliver_subject=PUSHED)
    sub.messages = []


@conversation
def push_redelivery(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_wait=250 * MS, max_deliver=2)
    talk.trickle(2)
    sub.take(4)
    talk.sleep(0.4)
    sub.quiet(0.02)
    talk.consumer_info()


@conversation
def push_nak(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.fill(1)
    message = sub.take(1)
    talk.ack(message, "-NAK")
    message = sub.take(1)
    talk.ack(message, "+TERM")
    talk.consumer_info()


@conversation
def push_max_ack_pending(talk):
    talk.create_stream()
    talk.fill(5)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, max_ack_pending=2)
    messages = sub.take(2, extra=0.1)
    talk.consumer_info()
    talk.ack(messages[:1])
    sub.take(1, extra=0.05)
    talk.ack(messages[1:], "-NAK")
    sub.take(1, extra=0.05)
    talk.consumer_info()


@conversation
def push_ack_none(talk):
    talk.create_stream()
    talk.fill(3)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_policy="none")
    sub.take(3)
    talk.consumer_info()


@conversation
def push_ack_all(talk):
    talk.create_stream()
    talk.fill(3)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_policy="all")
    messages = sub.take(3)
    talk.ack(messages[1:2])
    talk.consumer_info()


@conversation
def push_unsub_pending(talk):
    """unacked messages when interest goes and comes back"""
    talk.create_stream()
    talk.fill(2)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_wait=300 * MS)
    sub.take(2)
    sub.unsubscribe()
    talk.sleep(0.6)
    talk.consumer_info()
    sub = talk.subscribe(PUSHED)
    sub.take(2)
    talk.consumer_info()


@conversation
def push_conn_closed(talk):
    talk.create_stream()
    other = talk.connect()
    other.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.sleep(0.05)
    talk.consumer_info()
    other.close()
    talk.sleep(0.15)
    talk.consumer_info()


@conversation
def push_deliver_captured(talk):
    """deliver subject captured by another stream"""
    talk.create_stream()
    talk.create_stream("@2", subjects=["@deliv"])
    talk.create_consumer(deliver_subject="@deliv")
    talk.fill(2)
    talk.sleep(0.2)
    talk.stream_info(name="@2")
    talk.consumer_info()
    talk.api("STREAM.MSG.GET.@2", {"seq": 1})


@conversation
def push_headers_only(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, headers_only=True)
    talk.publish("@.a", "hello", {"A": "b"})
    talk.publish("@.a", "hello")
    talk.publish("@.a", "x", {"Nats-Msg-Size": "77"})
    sub.take(3)


@conversation
def push_filters(talk):
    talk.create_stream()
    for x in "abcabc":
        talk.client.publish("@." + x, x, recorded=False)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, filter_subjects=["@.a", "@.c"])
    sub.take(4, extra=0.05)
    talk.consumer_info()


@conversation
def push_ordered(talk):
    """legacy ordered consumer"""
    talk.create_stream()
    talk.fill(3)
    sub = talk.subscribe(PUSHED)
    name = talk.create_ephemeral(
        deliver_subject=PUSHED,
        ack_policy="none",
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=5 * SECOND,
        mem_storage=True,
        num_replicas=1,
        ack_wait=22 * 3600 * SECOND,
        inactive_threshold=300 * SECOND,
        deliver_policy="by_start_sequence",
        opt_start_seq=2,
        whole=True,
    )
    sub.take(2)
    talk.fill(1)
    sub.take(1)
    talk.api("CONSUMER.DELETE.@." + name)


@conversation
def push_kv_watch(talk):
    """watch: history, then new values; num_pending at create and in replies"""
    talk.create_stream(subjects=["$KV.@.>"], max_msgs_per_subject=5)
    for i, k in enumerate("abca"):
        talk.client.publish("$KV.@." + k, "v%d" % i, recorded=False)
    sub = talk.subscribe(PUSHED)
    talk.create_ephemeral(
        deliver_subject=PUSHED,
        ack_policy="none",
        max_deliver=1,
        deliver_policy="last_per_subject",
        filter_subject="$KV.@.>",
        mem_storage=True,
        num_replicas=1,
    )
    sub.take(3)
    talk.publish("$KV.@.b", "new")
    sub.take(1)
    talk.create_ephemeral(
        deliver_subject=PUSHED + "2",
        ack_policy="none",
        deliver_policy="last_per_subject",
        filter_subject="$KV.@.none",
        idle_heartbeat=5 * SECOND,
    )


@conversation
def push_pending_counts(talk):
    """num_pending in the create response against a bound consumer"""
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer("u", deliver_subject=PUSHED + "x")
    talk.create_consumer("new", deliver_subject=PUSHED + "y", deliver_policy="new")
    talk.create_consumer("last", deliver_subject=PUSHED + "y", deliver_policy="last")
    talk.consumer_info("u")
    talk.consumer_info("new")
    talk.consumer_info("last")


@conversation
def push_rate_limit(talk):
    """rate limit 8 Mbit/s, 2 MB: the first 1 MiB (burst) at once, then paced"""
    talk.create_stream()
    talk.fill(20, "@.a", "x" * 100000)
    sub = talk.subscribe(PUSHED)
    t = time.time()
    talk.create_consumer(deliver_subject=PUSHED, rate_limit_bps=8000000, ack_policy="none")
    sub.wait(9, 1)
    d1 = time.time() - t
    sub.wait(20, 4)
    d = time.time() - t
    talk.step("time for 20", ["plausible" if 0.5 < d < 2 else d, "first quick" if d1 < 0.4 else d1])
    sub.messages = []


@conversation
def push_replay_original(talk):
    talk.create_stream()
    talk.publish("@.a", "1")
    talk.sleep(0.3)
    talk.publish("@.a", "2")
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, replay_policy="original")
    sub.wait(2)
    g = sub.messages[1].at - sub.messages[0].at if len(sub.messages) > 1 else -1
    talk.step("gap", ["ok" if 0.15 < g < 0.7 else g])
    sub.take(2)


@conversation
def push_stream_delete(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, idle_heartbeat=200 * MS)
    talk.sleep(0.05)
    talk.api("STREAM.DELETE.@")
    talk.sleep(0.05)
    sub.messages = []
    sub.quiet(0.5)


@conversation
def push_purge(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.trickle(2)
    sub.take(2)
    talk.api("STREAM.PURGE.@")
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fill(1)
    sub.take(1)
    talk.consumer_info()


@conversation
def push_no_echo(talk):
    """the subscriber is the publisher with echo off"""
    talk.create_stream()
    other = talk.connect(echo=False)
    sub = other.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    other.publish("@.a", "x")
    sub.take(1)


@conversation
def push_max_deliver_advisory(talk):
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.@.>")
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, max_deliver=1, ack_wait=200 * MS)
    talk.trickle(2)
    sub.take(2)
    advisories.take(2, sort=True)
    talk.consumer_info()


@conversation
def push_sealed_stream(talk):
    talk.create_stream()
    talk.fill(2)
    talk.update_stream(whole=False, sealed=True)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    messages = sub.take(2)
    talk.ack(messages)


@conversation
def push_wq(talk):
    talk.create_stream(retention="workqueue")
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED)
    talk.trickle(2)
    messages = sub.take(2)
    for message in messages:
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def push_interest_ack_none(talk):
    """interest stream, push consumer with ack none removes on delivery"""
    talk.create_stream(retention="interest")
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_policy="none")
    talk.trickle(3)
    sub.take(3)
    talk.sleep(0.1)
    talk.stream_info()


@conversation
def push_update_deliver_subject_unbound(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(deliver_subject=PUSHED)
    sub = talk.subscribe(PUSHED + "2")
    talk.create_consumer(deliver_subject=PUSHED + "2")
    sub.take(1)


@conversation
def push_gap_ordered(talk):
    """consumer sequence stays gapless over deleted messages"""
    talk.create_stream()
    talk.fill(5)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 3})
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, ack_policy="none")
    sub.take(3)
    talk.consumer_info()
