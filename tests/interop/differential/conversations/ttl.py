"""Messages with a time to live of their own, and the markers that are left for their subjects."""

from conversation import stream_state, without_pending
from registry import conversation, each, numbered
from vocabulary import EXPECTED_OF_SUBJECT, MS, MSG_ID, ROLLUP, SECOND

TTL = "Nats-TTL"

# What a publish may ask for, and what it may not.
VALUES = [
    "",
    "0",
    "1",
    "5",
    "60",
    "3600",
    "-1",
    "1.5",
    "+5",
    "05",
    " 5",
    "5 ",
    "1s",
    "2s",
    "999ms",
    "1000ms",
    "500ms",
    "1.5s",
    "1m30s",
    "1h",
    "2h45m10s",
    "1d",
    "-5s",
    "0s",
    "never",
    "Never",
    "NEVER",
    "none",
    "x",
    "s",
    "1000000000000",
    "9223372036",
    "99999999999999999999",
    "9223372036854775807",
]


@each("ttl_value", numbered(VALUES))
def value(talk, ttl):
    talk.create_stream(allow_msg_ttl=True, allow_direct=True)
    talk.publish("@.a", "x", {TTL: ttl})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.stream_info()


@each("ttl_of_marking_stream", numbered(VALUES))
def value_of_marking_stream(talk, ttl):
    """Shorter ones are made as long as the marker's"""
    talk.create_stream(allow_msg_ttl=True, subject_delete_marker_ttl=10 * SECOND)
    talk.publish("@.a", "x", {TTL: ttl})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})


@conversation
def ttl_disabled(talk):
    talk.create_stream()
    for ttl in ("5", "0", "never", "x", "", "-1"):
        talk.publish("@.a", "x", {TTL: ttl})
    talk.update_stream(whole=False, allow_msg_ttl=True)
    talk.publish("@.a", "x", {TTL: "5"})
    talk.update_stream(whole=False)
    talk.update_stream(whole=False, allow_msg_ttl=True, description="x")
    talk.stream_info()


@conversation
def ttl_order_of_checks(talk):
    talk.create_stream(allow_msg_ttl=True, max_msg_size=100)
    talk.publish("@.a", "x", {MSG_ID: "i"})
    talk.publish("@.a", "x", [(TTL, "x"), (EXPECTED_OF_SUBJECT, "9")])
    talk.publish("@.a", "x", [(TTL, "5"), (EXPECTED_OF_SUBJECT, "9")])
    talk.publish("@.a", "x", [(TTL, "x"), (MSG_ID, "i")])
    talk.publish("@.a", "x", [(TTL, "x"), (ROLLUP, "x")])
    talk.publish("@.a", "x", [(TTL, "5"), (ROLLUP, "sub")])
    talk.publish("@.a", "x", [(TTL, "x"), ("Nats-Expected-Stream", "no")])
    talk.publish("@.a", "x" * 200, [(TTL, "x")])
    talk.publish("@.a", "x", [("nats-ttl", "5")])
    talk.publish("@.a", "x", [(TTL, "5"), (TTL, "x")])
    talk.stream_info()


def expires(talk, **config):
    """One of four messages lives for a second"""
    talk.create_stream(allow_msg_ttl=True, **config)
    talk.publish("@.a", "1")
    talk.publish("@.a", "2", {TTL: "1"})
    talk.publish("@.b", "3", {TTL: "60"})
    talk.publish("@.b", "4", {TTL: "1s"})
    talk.create_consumer()
    talk.stream_info({"subjects_filter": ">"})
    talk.sleep(2.2)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.api("STREAM.MSG.GET.@", {"seq": 2})
    talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 3)


@conversation(slow=True)
def ttl_expires_memory(talk):
    expires(talk)


@conversation(slow=True)
def ttl_expires_file(talk):
    expires(talk, storage="file")


@conversation(slow=True)
def ttl_first_expires(talk):
    """The first message goes, and then the last"""
    talk.create_stream(allow_msg_ttl=True)
    talk.publish("@.a", "1", {TTL: "1"})
    talk.publish("@.a", "2")
    talk.publish("@.a", "3", {TTL: "1"})
    talk.sleep(2.2)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.publish("@.a", "4")
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


@conversation(slow=True)
def ttl_all_expire(talk):
    talk.create_stream(allow_msg_ttl=True, storage="file")
    talk.publish("@.a", "1", {TTL: "1"})
    talk.publish("@.b", "2", {TTL: "1"})
    talk.sleep(2.2)
    talk.stream_info()
    talk.publish("@.c", "3", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "4", {EXPECTED_OF_SUBJECT: "0"})
    talk.stream_info()


@conversation(slow=True)
def ttl_with_max_age(talk):
    """Shorter than the age, longer than the age, and never"""
    talk.create_stream(allow_msg_ttl=True, max_age=1500 * MS, duplicate_window=500 * MS)
    talk.publish("@.short", "1", {TTL: "1"})
    talk.publish("@.long", "2", {TTL: "60"})
    talk.publish("@.never", "3", {TTL: "never"})
    talk.publish("@.age", "4")
    talk.sleep(3.2)
    talk.stream_info({"subjects_filter": ">"})


@conversation(slow=True, own_server=True)
def ttl_across_restart(talk):
    """What ran out while it was down is gone, the rest goes when its time is over"""
    talk.create_stream(allow_msg_ttl=True, storage="file")
    talk.publish("@.a", "1", {TTL: "1"})
    talk.publish("@.b", "2", {TTL: "4"})
    talk.publish("@.c", "3", {TTL: "never"})
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.sleep(1.2)
    talk.server.start()
    talk.sleep(1.0)
    talk.stream_info({"subjects_filter": ">"})
    talk.sleep(3.0)
    talk.stream_info({"subjects_filter": ">"})


@conversation(slow=True)
def ttl_marker_by_age(talk):
    """The last message of a subject goes by its age: a marker is left"""
    talk.create_stream(
        max_age=SECOND,
        duplicate_window=500 * MS,
        subject_delete_marker_ttl=60 * SECOND,
        allow_direct=True,
    )
    talk.publish("@.a", "1")
    talk.publish("@.a", "2")
    talk.publish("@.b", "3")
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", "3", 3)
    inbox = talk.pull("c", "5")
    inbox.take(2, timeout=4, view=without_pending, sort=True)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.request("$JS.API.DIRECT.GET.@", {"multi_last": ["@.a", "@.b"]}, count=3)


@conversation(slow=True)
def ttl_marker_by_ttl(talk):
    talk.create_stream(allow_msg_ttl=True, subject_delete_marker_ttl=SECOND)
    talk.publish("@.a", "1", {TTL: "1"})
    talk.create_consumer(ack_policy="none")
    talk.fetch()
    inbox = talk.pull("c", "5")
    inbox.take(1, timeout=4)
    talk.stream_info({"subjects_filter": ">"})
    talk.sleep(2.5)
    talk.stream_info({"subjects_filter": ">"})
    inbox.quiet(0.1)


@conversation(slow=True)
def ttl_no_marker_while_others(talk):
    """An older message of the subject stays: no marker"""
    talk.create_stream(allow_msg_ttl=True, subject_delete_marker_ttl=SECOND)
    talk.publish("@.a", "1")
    talk.publish("@.a", "2", {TTL: "1"})
    talk.sleep(2.5)
    talk.stream_info({"subjects_filter": ">"})


@conversation
def ttl_no_marker_for_removal(talk):
    """Who removes a message by the API, or by a limit, leaves no marker"""
    talk.create_stream(allow_msg_ttl=True, subject_delete_marker_ttl=SECOND, max_msgs=2)
    talk.publish("@.a", "1")
    talk.publish("@.b", "2")
    talk.publish("@.c", "3")
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.stream_info({"subjects_filter": ">"})
    talk.api("STREAM.PURGE.@", {"filter": "@.c"})
    talk.stream_info({"subjects_filter": ">"})
    talk.api("STREAM.PURGE.@")
    talk.stream_info({"subjects_filter": ">"})


@conversation(slow=True)
def ttl_kv_purge(talk):
    """A purge of a key that forgets itself"""
    talk.create_stream(
        subjects=["$KV.@.>"],
        max_msgs_per_subject=5,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        discard="new",
    )
    key = "$KV.@.key"
    talk.publish(key, "1")
    talk.publish(key, "2")
    talk.publish(key, "", [("KV-Operation", "PURGE"), (ROLLUP, "sub"), (TTL, "1")])
    talk.stream_info({"subjects_filter": ">"})
    talk.publish(key, "3", {EXPECTED_OF_SUBJECT: "2"})
    talk.sleep(2.2)
    talk.stream_info({"subjects_filter": ">"})
    talk.publish(key, "3", {EXPECTED_OF_SUBJECT: "0"})


@conversation(slow=True)
def ttl_pending_message(talk):
    """A message that waits for its ack runs out"""
    talk.create_stream(allow_msg_ttl=True, retention="workqueue")
    talk.publish("@.a", "1", {TTL: "1"})
    talk.publish("@.a", "2")
    talk.create_consumer()
    message = talk.fetch()
    talk.consumer_info()
    talk.sleep(2.2)
    talk.stream_info()
    talk.consumer_info()
    talk.ack(message)
    talk.fetch()
    talk.consumer_info()


# What a stream says to fields of the feature, alone and with others.
CONFIGS = [
    ("ttl", {"allow_msg_ttl": True}),
    ("marker", {"subject_delete_marker_ttl": SECOND}),
    ("marker_with_ttl", {"subject_delete_marker_ttl": SECOND, "allow_msg_ttl": True}),
    ("marker_999ms", {"subject_delete_marker_ttl": 999 * MS}),
    ("marker_negative", {"subject_delete_marker_ttl": -1}),
    ("marker_1ns", {"subject_delete_marker_ttl": 1}),
    ("marker_uneven", {"subject_delete_marker_ttl": 1500 * MS}),
    ("marker_deny_purge", {"subject_delete_marker_ttl": SECOND, "deny_purge": True}),
    ("marker_no_rollup", {"subject_delete_marker_ttl": SECOND, "allow_rollup_hdrs": False}),
    ("marker_pedantic", {"subject_delete_marker_ttl": SECOND, "pedantic": True}),
    (
        "marker_pedantic_all",
        {
            "subject_delete_marker_ttl": SECOND,
            "allow_msg_ttl": True,
            "allow_rollup_hdrs": True,
            "pedantic": True,
        },
    ),
    ("marker_max_age", {"subject_delete_marker_ttl": 60 * SECOND, "max_age": SECOND}),
    ("marker_workqueue", {"subject_delete_marker_ttl": SECOND, "retention": "workqueue"}),
    ("ttl_counter", {"allow_msg_ttl": True, "allow_msg_counter": True}),
    ("ttl_sealed", {"allow_msg_ttl": True, "sealed": True}),
    ("ttl_type", {"allow_msg_ttl": 1}),
    ("marker_type", {"subject_delete_marker_ttl": "1s"}),
]


@each("ttl_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(whole=True, **config)
    talk.update_stream(whole=False)
    talk.update_stream(**config)
    talk.api("STREAM.INFO.@", view=stream_state)
