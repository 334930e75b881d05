"""Requests for messages: their bodies, statuses, waiting and turns."""

import time

from registry import conversation, each
from vocabulary import MS, SECOND

# Bodies of MSG.NEXT, and how many answers to wait for while there are four messages.
BODIES = [
    ("empty", "", 1),
    ("one", "1", 1),
    ("three", "3", 3),
    ("zero", "0", 1),
    ("neg", "-1", 1),
    ("ten", "10", 4),
    ("text", "abc", 1),
    ("float", "1.5", 1),
    ("space", " 2 ", 1),
    ("obj", "{}", 1),
    ("b2", '{"batch":2}', 2),
    ("b0", '{"batch":0}', 1),
    ("bneg", '{"batch":-2}', 1),
    ("bstr", '{"batch":"2"}', 1),
    ("trunc", '{"batch":2', 1),
    ("arr", "[]", 1),
    ("null", "null", 1),
    ("unknown", '{"batch":2,"bogus":1}', 2),
    ("nw", '{"no_wait":true}', 1),
    ("nw2", '{"batch":2,"no_wait":true}', 2),
    ("nw10", '{"batch":10,"no_wait":true}', 5),
    ("nw4", '{"batch":4,"no_wait":true}', 4),
    ("nw10exp", '{"batch":10,"no_wait":true,"expires":300000000}', 5),
    ("exp", '{"batch":10,"expires":200000000}', 5),
    ("exp1", '{"expires":200000000}', 1),
    ("expneg", '{"batch":1,"expires":-5}', 1),
    ("exp1ns", '{"batch":10,"expires":1}', 1),
    ("hb_noexp", '{"batch":1,"idle_heartbeat":100000000}', 1),
    ("hb_big", '{"batch":1,"expires":300000000,"idle_heartbeat":200000000}', 1),
    ("hb_eq", '{"batch":5,"expires":400000000,"idle_heartbeat":200000000}', 6),
    ("hb_neg", '{"batch":1,"expires":300000000,"idle_heartbeat":-1}', 1),
    ("mb", '{"batch":10,"max_bytes":10,"expires":200000000}', 1),
    ("mb0", '{"batch":2,"max_bytes":0}', 2),
    ("mbneg", '{"batch":2,"max_bytes":-1,"expires":200000000}', 2),
    ("mb_one", '{"batch":10,"max_bytes":60,"expires":200000000}', 2),
    ("mb_two", '{"batch":10,"max_bytes":120,"expires":200000000}', 3),
    ("mb_full", '{"batch":2,"max_bytes":10000,"expires":200000000}', 3),
    ("mb_nw", '{"batch":10,"max_bytes":10000,"no_wait":true}', 5),
    ("mb_only", '{"max_bytes":10000}', 2),
    ("mb_only_exp", '{"max_bytes":10000,"expires":200000000}', 2),
    ("group", '{"batch":1,"group":"g"}', 1),
    ("minp", '{"batch":1,"min_pending":100,"expires":200000000}', 1),
    ("minap", '{"batch":1,"min_ack_pending":100,"expires":200000000}', 1),
    ("id", '{"batch":1,"id":"abc"}', 1),
    ("prio", '{"batch":1,"priority":3}', 1),
    ("prio11", '{"batch":1,"priority":11}', 1),
    ("nwfalse", '{"batch":2,"no_wait":false}', 2),
    ("big", '{"batch":100000,"no_wait":true}', 5),
    ("huge", "99999999999999999999", 1),
    ("case", '{"BATCH":2}', 2),
    ("plus", "+2", 1),
    ("expstr", '{"expires":"1s"}', 1),
]


@each("next", BODIES)
def next_messages(talk, body, count):
    talk.create_stream()
    for i in range(4):
        talk.client.publish("@.a", "m%d" % i, recorded=False)
    talk.create_consumer()
    sub = talk.pull("c", body, settle=0)
    sub.take(count, timeout=0.6, extra=0.1)
    talk.consumer_info()


@each("next_idle", BODIES)
def next_idle(talk, body, _count):
    """the same with nothing pending: immediate status, or waiting"""
    talk.create_stream()
    talk.create_consumer()
    sub = talk.pull("c", body, settle=0)
    talk.sleep(0.08)
    talk.consumer_info()
    sub.quiet(0.5)
    talk.publish("@.a", "late")
    sub.take(0, extra=0.15)
    talk.consumer_info()


@conversation
def next_push_consumer(talk):
    talk.create_stream()
    talk.create_consumer(deliver_subject="_INBOX.@.p")
    for b in ("", "1", '{"batch":1,"no_wait":true}', "x", '{"batch":1,"expires":100000000}'):
        talk.fetch("c", b, 1)


@conversation
def next_no_reply(talk):
    """MSG.NEXT without a reply subject"""
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    talk.client.publish("$JS.API.CONSUMER.MSG.NEXT.@.c", "1")
    talk.sleep(0.05)
    talk.consumer_info()


@conversation
def next_reply_without_interest(talk):
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    talk.client.publish("$JS.API.CONSUMER.MSG.NEXT.@.c", "1", reply="_INBOX.@.nobody")
    talk.sleep(0.05)
    talk.consumer_info()
    talk.client.publish(
        "$JS.API.CONSUMER.MSG.NEXT.@.c", '{"batch":1,"expires":5000000000}', reply="_INBOX.@.nobody"
    )
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch()
    talk.consumer_info()


@conversation
def next_caps(talk):
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer(max_batch=2, max_expires=2 * SECOND, max_bytes=500)
    for b, k in (
        ("3", 1),
        ('{"batch":3}', 1),
        ('{"batch":2,"expires":3000000000}', 1),
        ('{"batch":1,"max_bytes":501}', 1),
        ('{"batch":3,"expires":3000000000}', 1),
        ("2", 2),
        ('{"batch":1,"expires":2000000000,"max_bytes":500}', 2),
        ('{"batch":1}', 1),
    ):
        talk.fetch("c", b, k, timeout=0.4)
    talk.consumer_info()


@conversation
def next_caps_odd_durations(talk):
    talk.create_stream()
    for i, d in enumerate((1500 * MS, 100 * MS, 90 * SECOND, 3600 * SECOND, 1234567)):
        talk.create_consumer("c%d" % i, max_expires=d)
        talk.fetch("c%d" % i, '{"batch":1,"expires":7200000000000}', 1)
        talk.fetch("c%d" % i, '{"batch":1}', 1, timeout=0.15)


@conversation
def next_max_waiting(talk):
    talk.create_stream()
    talk.create_consumer(max_waiting=2)
    a = talk.pull("c", "1")
    b = talk.pull("c", "1")
    talk.consumer_info()
    d = talk.pull("c", "1")
    d.take(1)
    e = talk.pull("c", '{"batch":1,"no_wait":true}')
    e.take(1)
    f = talk.pull("c", '{"batch":1,"expires":600000000,"idle_heartbeat":200000000}')
    f.take(0, extra=0.3)
    talk.consumer_info()
    talk.fill(1)
    a.take(1)
    talk.fill(1)
    b.take(1)
    talk.fill(1)
    d.quiet()
    talk.consumer_info()


@conversation
def next_max_waiting_dead(talk):
    """requests whose inbox went away make room"""
    talk.create_stream()
    talk.create_consumer(max_waiting=1)
    other = talk.connect()
    talk.pull("c", '{"batch":1,"expires":20000000000}', connection=other)
    other.close()
    talk.sleep(0.15)
    talk.consumer_info()
    b = talk.pull("c", "1")
    b.quiet()
    talk.consumer_info()
    talk.fill(1)
    b.take(1, timeout=0.5)


@conversation
def next_unsub_drops(talk):
    talk.create_stream()
    talk.create_consumer()
    a = talk.pull("c", "5")
    b = talk.pull("c", "1")
    a.unsubscribe()
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fill(1)
    b.take(1)
    talk.fill(1)
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch()
    talk.consumer_info()


@conversation
def next_round_robin(talk):
    """several waiting requests take turns"""
    talk.create_stream()
    talk.create_consumer()
    subs = [talk.pull("c", "3") for _ in range(3)]
    for _ in range(7):
        talk.fill(1)
        talk.sleep(0.03)
    talk.sleep(0.1)
    for s in subs:
        s.take(0, extra=0.02)
    talk.consumer_info()


@conversation
def next_fifo_backlog(talk):
    """two batch requests with a backlog"""
    talk.create_stream()
    talk.create_consumer()
    a = talk.pull("c", "2")
    b = talk.pull("c", "2")
    for i in range(4):
        talk.publish("@.a", "m%d" % i)
        talk.sleep(0.03)
    a.take(2)
    b.take(2)
    talk.consumer_info()


@conversation
def next_expire_partial(talk):
    """408 with what was left, in messages and bytes"""
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    talk.fetch("c", '{"batch":5,"expires":300000000}', 3)
    talk.fetch("c", '{"batch":5,"expires":300000000,"max_bytes":4000}', 1)
    talk.fill(1)
    talk.fetch("c", '{"batch":5,"expires":300000000,"max_bytes":4000}', 2)
    talk.consumer_info()


@conversation
def next_maxbytes_accounting(talk):
    """exact boundary of max_bytes: subject+reply+headers+body"""
    talk.create_stream(subjects=["@.a"])
    for i in range(6):
        talk.client.publish("@.a", "x" * 50, {"A": "b"} if i % 2 else None, recorded=False)
    talk.create_consumer()
    for mb in (
        20,
        60,
        100,
        105,
        110,
        115,
        118,
        119,
        120,
        121,
        122,
        123,
        124,
        125,
        126,
        130,
        140,
        150,
        200,
    ):
        got = talk.fetch(
            "c", '{"batch":1,"max_bytes":%d,"expires":150000000}' % mb, 1, timeout=0.5, extra=0.03
        )
        if got and got[0].reply:
            talk.ack(got, "-NAK")


@conversation
def next_maxbytes_multi(talk):
    talk.create_stream(subjects=["@.a"])
    talk.fill(5, "@.a", "y" * 30)
    talk.create_consumer("c", ack_policy="none")
    talk.fetch("c", '{"batch":5,"max_bytes":250,"expires":150000000}', 6, timeout=0.4)
    talk.fetch("c", '{"batch":5,"max_bytes":200,"no_wait":true}', 6, timeout=0.4)


@conversation(slow=True)
def next_heartbeats(talk):
    talk.create_stream()
    talk.create_consumer()
    sub = talk.pull("c", '{"batch":10,"expires":1100000000,"idle_heartbeat":200000000}')
    sub.take(2)
    for _ in range(2):
        talk.fill(1)
        sub.take(1)
    sub.take(1)
    talk.client.until(lambda: any(message.status == 408 for message in sub.messages), 2)
    q, sub.messages = sub.messages, []
    r = []
    for message in q:
        if talk.normalised(message) not in r:
            r.append(talk.normalised(message))
    talk.step("the rest, each kind once", r)


@conversation
def next_heartbeat_numbers(talk):
    """Nats-Last-Consumer / Nats-Last-Stream in heartbeats"""
    talk.create_stream()
    talk.fill(3, "@.b")
    talk.fill(2)
    talk.create_consumer(filter_subject="@.a")
    sub = talk.pull("c", '{"batch":5,"expires":3000000000,"idle_heartbeat":300000000}')
    sub.take(3)
    talk.consumer_info()
    sub.unsubscribe()


@conversation
def next_nowait_pending_requests(talk):
    """no_wait while another request waits"""
    talk.create_stream()
    talk.create_consumer()
    a = talk.pull("c", '{"batch":5,"expires":2000000000}')
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1)
    talk.fetch("c", '{"batch":1,"no_wait":true,"expires":200000000}', 1)
    talk.fill(1)
    a.take(1)
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1)
    a.unsubscribe()


@conversation
def next_nowait_unavailable(talk):
    """max_ack_pending reached: no_wait and expires"""
    talk.create_stream()
    talk.fill(5)
    talk.create_consumer(max_ack_pending=2)
    messages = talk.fetch("c", '{"batch":5,"no_wait":true}', 2, timeout=0.5, extra=0.1)
    talk.fetch("c", '{"batch":2,"no_wait":true}', 1, timeout=0.3)
    talk.fetch("c", '{"batch":2,"expires":200000000}', 1, timeout=0.5)
    talk.consumer_info()
    talk.ack(messages[:1])
    talk.fetch("c", '{"batch":2,"no_wait":true}', 1, timeout=0.3, extra=0.1)
    talk.consumer_info()


@conversation
def next_map_waiting_release(talk):
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer(max_ack_pending=1)
    sub = talk.pull("c", "4")
    for i in range(4):
        message = sub.take(1)
        talk.consumer_info()
        talk.ack(message)
    talk.consumer_info()


@conversation
def next_delete_consumer_waiting(talk):
    talk.create_stream()
    talk.create_consumer()
    a = talk.pull("c", "1")
    b = talk.pull("c", '{"batch":4,"expires":5000000000,"max_bytes":1000}')
    d = talk.pull("c", '{"batch":4,"expires":5000000000,"idle_heartbeat":2000000000}')
    talk.api("CONSUMER.DELETE.@.c")
    for s in (a, b, d):
        s.take(1)
    talk.fetch()


@conversation
def next_delete_stream_waiting(talk):
    talk.create_stream()
    talk.create_consumer()
    talk.create_consumer("d")
    a = talk.pull("c", "1")
    b = talk.pull("d", '{"batch":4,"expires":5000000000}')
    talk.api("STREAM.DELETE.@")
    for s in (a, b):
        s.take(1)
    talk.fetch()


@conversation
def next_purge_waiting(talk):
    """purging does not end a waiting request"""
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    a = talk.pull("c", "5")
    a.take(2)
    talk.api("STREAM.PURGE.@")
    talk.fill(1)
    a.take(1)
    talk.consumer_info()


@conversation
def next_filtered(talk):
    talk.create_stream()
    for s in "abcabc":
        talk.client.publish("@." + s, s, recorded=False)
    talk.create_consumer("f", filter_subject="@.b")
    talk.create_consumer("m", filter_subjects=["@.c", "@.a"])
    talk.fetch("f", "5", 2, extra=0.05)
    talk.fetch("m", '{"batch":9,"no_wait":true}', 5)
    talk.consumer_info("f")
    talk.consumer_info("m")
    talk.publish("@.b")
    talk.consumer_info("f")
    talk.consumer_info("m")


@conversation
def next_headers_only(talk):
    talk.create_stream()
    talk.publish("@.a", "hello", {"A": "b"})
    talk.publish("@.a", "hello")
    talk.publish("@.a", "")
    talk.create_consumer(headers_only=True)
    talk.fetch("c", "3", 3)
    talk.fetch("c", '{"batch":3,"max_bytes":100,"expires":100000000}', 1)


@conversation
def next_publish_after(talk):
    """waiting request gets messages as they are stored, with pending counts"""
    talk.create_stream()
    talk.create_consumer()
    sub = talk.pull("c", "10")
    for i in range(3):
        talk.publish("@.a", "%d" % i)
        sub.take(1)
    talk.consumer_info()


@conversation
def next_pending_token(talk):
    """the pending number in ack subjects with filters"""
    talk.create_stream()
    for s in "abababab":
        talk.client.publish("@." + s, s, recorded=False)
    talk.create_consumer("f", filter_subject="@.a", ack_policy="none")
    talk.fetch("f", "4", 4)
    talk.create_consumer(
        "l", filter_subject="@.>", deliver_policy="last_per_subject", ack_policy="none"
    )
    talk.fetch("l", "2", 2)


@conversation
def next_many(talk):
    talk.create_stream()
    talk.fill(300)
    talk.create_consumer("c", ack_policy="none")
    sub = talk.pull("c", "300")
    sub.wait(300, 4)
    talk.step(
        "300",
        [
            [message.reply.split(".")[-1] for message in sub.messages[:3]],
            [talk.shown(message.reply) for message in sub.messages[-2:]],
        ],
    )
    sub.messages = []
    talk.consumer_info()


@conversation
def next_original_replay(talk):
    """replay original keeps the gaps"""
    talk.create_stream()
    talk.publish("@.a", "1")
    talk.sleep(0.4)
    talk.publish("@.a", "2")
    talk.create_consumer(replay_policy="original")
    sub = talk.pull("c", "2", settle=0)
    t = time.time()
    sub.wait(2)
    gap = sub.messages[-1].at - t if len(sub.messages) == 2 else -1
    talk.step("gap", ["about 0.4" if 0.25 < gap < 0.8 else gap])
    sub.take(2)
