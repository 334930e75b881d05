"""Consumers that are set back, or forward, to a sequence."""

from registry import conversation, each, numbered
from vocabulary import PUSH, PUSHED, SECOND

BODIES = [
    "",
    "{}",
    '{"seq":0}',
    '{"seq":1}',
    '{"seq":2}',
    '{"seq":3}',
    '{"seq":5}',
    '{"seq":6}',
    '{"seq":99}',
    '{"seq":-1}',
    '{"seq":"1"}',
    '{"seq":1.5}',
    '{"bogus":1}',
    "x",
    "[]",
    "null",
    "5",
]


def set_back(talk, body, **config):
    talk.create_stream()
    talk.fill(5)
    talk.create_consumer(ack_wait=60 * SECOND, **config)
    messages = talk.fetch("c", "3", 3)
    talk.ack(messages)
    talk.consumer_info()
    talk.api("CONSUMER.RESET.@.c", body)
    talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 6, timeout=0.4)
    talk.consumer_info()
    talk.ack(messages[1:])
    talk.consumer_info()


@each("reset", numbered(BODIES))
def reset(talk, body):
    set_back(talk, body)


STARTS = [
    ("new", {"deliver_policy": "new"}),
    ("last", {"deliver_policy": "last"}),
    ("last_per_subject", {"deliver_policy": "last_per_subject", "filter_subject": "@.*"}),
    ("sequence", {"deliver_policy": "by_start_sequence", "opt_start_seq": 3}),
    ("time", {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
    ("filter", {"filter_subject": "@.a"}),
    ("ack_all", {"ack_policy": "all"}),
    ("ack_none", {"ack_policy": "none", "ack_wait": None}),
    ("max_deliver", {"max_deliver": 1}),
]
SEQUENCES = [("back", {"seq": 2}), ("on", {"seq": 5}), ("nowhere", "")]


@each(
    "reset_of",
    [(f"{start}_{to}", config, body) for start, config in STARTS for to, body in SEQUENCES],
)
def reset_of(talk, config, body):
    talk.create_stream()
    for subject in "abcab":
        talk.client.publish("@." + subject, subject, recorded=False)
    talk.create_consumer(**{"ack_wait": 60 * SECOND, **config})
    talk.fetch("c", '{"batch":2,"no_wait":true}', 2, timeout=0.4)
    talk.api("CONSUMER.RESET.@.c", body)
    talk.consumer_info()
    talk.fill(1, "@.a")
    talk.fetch("c", '{"batch":9,"no_wait":true}', 7, timeout=0.4)
    talk.consumer_info()


@conversation
def reset_missing(talk):
    talk.expect_silence("$JS.API.CONSUMER.RESET.@.c", "")
    talk.create_stream()
    talk.expect_silence("$JS.API.CONSUMER.RESET.@.c", "")
    talk.expect_silence("$JS.API.CONSUMER.RESET.@", "")
    talk.expect_silence("$JS.API.CONSUMER.RESET.@.c.d", "")


@conversation
def reset_push(talk):
    talk.create_stream()
    talk.fill(3)
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(ack_wait=60 * SECOND, **PUSH)
    sub.take(3)
    talk.api("CONSUMER.RESET.@.c", {"seq": 2})
    sub.take(2, timeout=1)
    talk.consumer_info()


@conversation
def reset_while_waiting(talk):
    """A request that waits gets what there is after it"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer(ack_wait=60 * SECOND)
    inbox = talk.pull("c", "9")
    inbox.take(3)
    talk.api("CONSUMER.RESET.@.c", {"seq": 2})
    inbox.take(0, extra=0.3)
    talk.fill(1)
    inbox.take(0, extra=0.2)
    talk.consumer_info()


@conversation
def reset_redelivered(talk):
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer(ack_wait=60 * SECOND)
    message = talk.fetch()
    talk.ack(message, "-NAK")
    message = talk.fetch()
    talk.ack(message, "-NAK")
    talk.consumer_info()
    talk.api("CONSUMER.RESET.@.c", "")
    talk.consumer_info()
    talk.fetch("c", "2", 2)
    talk.consumer_info()


@conversation
def reset_workqueue(talk):
    talk.create_stream(retention="workqueue")
    talk.fill(4)
    talk.create_consumer(ack_wait=60 * SECOND)
    messages = talk.fetch("c", "3", 3)
    talk.ack(messages)
    for body in ("", '{"seq":1}', '{"seq":3}'):
        talk.api("CONSUMER.RESET.@.c", body)
        talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 4, timeout=0.4)
    talk.stream_info()


@conversation
def reset_advisory(talk):
    talk.create_stream()
    talk.create_consumer()
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.>", only="@")
    talk.api("CONSUMER.RESET.@.c", "")
    sub.messages = [m for m in sub.messages if not m.subject.endswith(".API")]
    sub.take(0, extra=0.15)


@conversation(own_server=True)
def reset_across_restart(talk):
    talk.create_stream(storage="file")
    talk.fill(5)
    talk.create_consumer(ack_wait=60 * SECOND)
    talk.fetch("c", "3", 3)
    talk.api("CONSUMER.RESET.@.c", {"seq": 2})
    talk.sleep(0.3)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 5, timeout=0.4)
