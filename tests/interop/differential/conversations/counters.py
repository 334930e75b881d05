"""Counters: messages that add to what their subject holds."""

from registry import conversation, each, numbered
from vocabulary import (
    EXPECTED_ID,
    EXPECTED_LAST,
    EXPECTED_OF_SUBJECT,
    EXPECTED_STREAM,
    MSG_ID,
    ROLLUP,
)

INCR = "Nats-Incr"
VALUES = [
    "1",
    "+1",
    "-1",
    "0",
    "-0",
    "007",
    "+-1",
    "1.5",
    "1e3",
    "0x10",
    "1_000",
    " 1",
    "1 ",
    "",
    "x",
    "+",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "123456789012345678901234567890123456789012345678901234567890",
]


def counting(talk, **config):
    talk.create_stream(allow_msg_counter=True, allow_direct=True, **config)


@each("counter_value", numbered(VALUES))
def value(talk, amount):
    counting(talk)
    talk.publish("@.a", "", {INCR: "5"})
    talk.publish("@.a", "", {INCR: amount})
    talk.publish("@.a", "", {INCR: "-3"})
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.a"})
    talk.publish("@.b", "", {INCR: amount})
    talk.request("$JS.API.DIRECT.GET.@.@.b")


# What is said beside a value.
HEADERS = [
    ("none", None, ""),
    ("body", [(INCR, "1")], "x"),
    ("body_only", None, "x"),
    ("other_header", [("A", "b")], ""),
    ("user_header", [(INCR, "1"), ("A", "b")], ""),
    ("rollup", [(INCR, "1"), (ROLLUP, "sub")], ""),
    ("expected_last", [(INCR, "1"), (EXPECTED_LAST, "1")], ""),
    ("expected_of_subject", [(INCR, "1"), (EXPECTED_OF_SUBJECT, "1")], ""),
    ("expected_id", [(INCR, "1"), (EXPECTED_ID, "i")], ""),
    ("expected_stream", [(INCR, "1"), (EXPECTED_STREAM, "@")], ""),
    ("expected_other_stream", [(INCR, "1"), (EXPECTED_STREAM, "no")], ""),
    ("message_id", [(INCR, "1"), (MSG_ID, "i")], ""),
    ("ttl", [(INCR, "1"), ("Nats-TTL", "5")], ""),
    ("schedule", [(INCR, "1"), ("Nats-Schedule", "@@daily")], ""),
    ("twice", [(INCR, "1"), (INCR, "2")], ""),
    ("case", [("nats-incr", "1")], ""),
    ("sources", [(INCR, "1"), ("Nats-Counter-Sources", "{}")], ""),
    ("marker", [(INCR, "1"), ("Nats-Marker-Reason", "Purge")], ""),
]


@each("counter_header", HEADERS)
def header(talk, headers, body):
    counting(talk, allow_rollup_hdrs=True)
    talk.publish("@.a", "", {INCR: "5"})
    talk.publish("@.a", body, headers)
    talk.publish("@.a", body, headers)
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.a"})


@conversation
def counter_disabled(talk):
    talk.create_stream()
    for amount in ("1", "x", ""):
        talk.publish("@.a", "", {INCR: amount})
    talk.update_stream(whole=False, allow_msg_counter=True)
    talk.stream_info()


@conversation
def counter_update(talk):
    """It cannot be taken away"""
    counting(talk)
    talk.publish("@.a", "", {INCR: "1"})
    talk.update_stream(allow_direct=True)
    talk.update_stream(allow_direct=True, allow_msg_counter=True, discard="new")
    talk.update_stream(allow_direct=True, allow_msg_counter=True, allow_msg_ttl=True)
    talk.update_stream(allow_direct=True, allow_msg_counter=True, description="x")


@conversation
def counter_after_removal(talk):
    """It begins again where nothing is left"""
    counting(talk)
    talk.publish("@.a", "", {INCR: "5"})
    talk.publish("@.a", "", {INCR: "5"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.publish("@.a", "", {INCR: "1"})
    talk.api("STREAM.PURGE.@", {"filter": "@.a"})
    talk.publish("@.a", "", {INCR: "1"})
    talk.stream_info()


@conversation
def counter_limited(talk):
    """Only the last of each subject is kept"""
    counting(talk, max_msgs_per_subject=1)
    for _ in range(3):
        talk.publish("@.a", "", {INCR: "2"})
    talk.publish("@.b", "", {INCR: "-2"})
    talk.stream_info({"subjects_filter": ">"})
    talk.request("$JS.API.DIRECT.GET.@", {"multi_last": ["@.*"]}, count=3)
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", "2", 2)


@conversation
def counter_plain_subscriber(talk):
    """A subscription sees what was published, not what was stored"""
    counting(talk)
    sub = talk.connect().subscribe("@.a")
    talk.publish("@.a", "", {INCR: "2"})
    sub.take(1)


@conversation
def counter_republish(talk):
    counting(talk, republish={"src": ">", "dest": "out.@.>"})
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "", {INCR: "2"})
    talk.publish("@.a", "", {INCR: "2"})
    sub.take(2)


@conversation(own_server=True)
def counter_across_restart(talk):
    counting(talk, storage="file")
    talk.publish("@.a", "", {INCR: "2"})
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.publish("@.a", "", {INCR: "2"})
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.a"})


CONFIGS = [
    ("plain", {}),
    ("discard_new", {"discard": "new"}),
    ("workqueue", {"retention": "workqueue"}),
    ("interest", {"retention": "interest"}),
    ("ttl", {"allow_msg_ttl": True}),
    ("marker", {"subject_delete_marker_ttl": 10**9}),
    ("schedules", {"allow_msg_schedules": True}),
    ("atomic", {"allow_atomic": True}),
    ("batched", {"allow_batched": True}),
    ("max_age", {"max_age": 60 * 10**9}),
    ("mirror", {"mirror": {"name": "@none"}, "subjects": None}),
    ("sources", {"sources": [{"name": "@none"}]}),
    ("pedantic", {"pedantic": True}),
    ("type", {"allow_msg_counter": "yes"}),
]


@each("counter_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(whole=True, **{"allow_msg_counter": True, **config})
    talk.publish("@.a", "", {INCR: "2"})
