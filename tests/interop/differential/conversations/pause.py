"""Consumers that are paused and resumed."""

import time

from registry import conversation
from vocabulary import MS


def after_resume(talk, s, n):
    """nats-server wakes a waiting request by the next one only, so there is a second"""
    talk.sleep(0.05)
    t = talk.pull("c", "1")
    talk.client.until(lambda: len(s.messages) + len(t.messages) >= n, talk.patience(2))
    got = [
        (message.subject, message.data.decode())
        for message in s.messages + t.messages
        if message.reply
    ]
    talk.step("after resume", [sorted("%s %s" % (talk.shown(a), b) for a, b in got)])
    s.messages, t.messages = [], []
    t.unsubscribe()
    s.unsubscribe()


@conversation
def pause_pull(talk):
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.@.>")
    talk.create_consumer()
    talk.fill(2)
    t = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": t})
    advisories.take(1)
    talk.consumer_info()
    sub = talk.pull("c", "2")
    sub.quiet(0.2)
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1, timeout=0.3)
    talk.fetch("c", '{"batch":1,"expires":200000000}', 1, timeout=0.5)
    talk.consumer_info()
    talk.api("CONSUMER.INFO.@.c")
    talk.api("CONSUMER.PAUSE.@.c", "")
    advisories.take(1)
    after_resume(talk, sub, 2)
    talk.sleep(0.05)
    talk.consumer_info()


@conversation
def pause_forms(talk):
    talk.create_stream()
    talk.create_consumer()
    for b in (
        "{}",
        '{"pause_until":"2020-01-01T00:00:00Z"}',
        '{"pause_until":"0001-01-01T00:00:00Z"}',
        '{"pause_until":"x"}',
        '{"pause_until":""}',
        '{"bogus":1}',
        "x",
        '{"pause_until":null}',
        '{"pause_until":"2099-01-01T00:00:00Z"}',
        '{"pause_until":"2099-01-01T00:00:00Z"}',
        '{"pause_until":"2098-01-01T00:00:00+02:00"}',
        "",
    ):
        talk.api("CONSUMER.PAUSE.@.c", b)
        talk.consumer_info()


@conversation
def pause_expires(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    t = time.time() + 0.6
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ("%.3fZ" % (t % 1))[1:]
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": ts})
    sub = talk.pull("c", "1")
    sub.quiet(0.1)
    sub.take(1)
    talk.consumer_info()


@conversation
def pause_push(talk):
    """heartbeats go on while paused, data does not"""
    talk.create_stream()
    sub = talk.subscribe("_INBOX.@.p")
    talk.create_consumer(deliver_subject="_INBOX.@.p", idle_heartbeat=200 * MS)
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": "2099-01-01T00:00:00Z"})
    talk.fill(1)
    sub.messages = []
    talk.client.until(lambda: len(sub.messages) >= 2, 1.5)
    talk.step(
        "kinds while paused",
        [
            sorted(
                set(
                    talk.normalised(message)["headers"][0] if message.status else "data"
                    for message in sub.messages
                )
            )
        ],
    )
    talk.consumer_info()
    talk.api("CONSUMER.PAUSE.@.c", "{}")
    talk.fill(1)
    talk.client.until(lambda: sum(1 for message in sub.messages if message.reply) >= 2, 1.5)
    talk.step(
        "data after resume", [[message.data.decode() for message in sub.messages if message.reply]]
    )
    sub.unsubscribe()
    sub.messages = []


@conversation
def pause_redelivery(talk):
    """pending messages are not redelivered while paused"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(ack_wait=200 * MS)
    sub = talk.pull("c", "5", settle=0)
    message = sub.take(1)
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": "2099-01-01T00:00:00Z"})
    sub.quiet(0.5)
    talk.consumer_info()
    talk.ack(message)
    talk.consumer_info()
    talk.api("CONSUMER.PAUSE.@.c", "{}")
    sub.quiet(0.3)
    talk.consumer_info()


@conversation
def pause_at_create(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(pause_until="2099-01-01T00:00:00Z", whole=True)
    sub = talk.pull("c", "1")
    sub.quiet()
    talk.api("CONSUMER.PAUSE.@.c", "{}")
    after_resume(talk, sub, 1)
