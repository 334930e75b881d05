"""What may be changed of a consumer, and what of that is refused."""

from conversation import consumer_config, only_error
from registry import conversation, each
from vocabulary import MS, PUSH, SECOND

# The fields before and after.
UPDATES = [
    ("same", {}, {}),
    ("desc", {}, {"description": "x"}),
    ("dp", {}, {"deliver_policy": "new"}),
    (
        "startseq",
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 2},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 3},
    ),
    (
        "starttime",
        {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"},
        {"deliver_policy": "by_start_time", "opt_start_time": "2021-01-01T00:00:00Z"},
    ),
    ("ackpol", {}, {"ack_policy": "all"}),
    ("wait", {}, {"ack_wait": 3 * SECOND}),
    ("maxdel", {}, {"max_deliver": 7}),
    (
        "maxdel_back",
        {"backoff": [SECOND, SECOND, SECOND], "max_deliver": 5},
        {"backoff": [SECOND, SECOND, SECOND], "max_deliver": 2},
    ),
    ("backoff", {}, {"backoff": [SECOND, 2 * SECOND]}),
    ("backoff_drop", {"backoff": [SECOND, 2 * SECOND]}, {}),
    ("filter", {}, {"filter_subject": "@.a"}),
    ("filter_drop", {"filter_subject": "@.a"}, {}),
    ("filter_multi", {"filter_subject": "@.a"}, {"filter_subjects": ["@.a", "@.b"]}),
    ("filter_foreign", {"filter_subject": "@.a"}, {"filter_subject": "zz"}),
    ("replay", {}, {"replay_policy": "original"}),
    ("rate", PUSH, dict(PUSH, rate_limit_bps=5000)),
    ("sample", {}, {"sample_freq": "10"}),
    ("sample_bad", {}, {"sample_freq": "zz"}),
    ("maxwait", {"max_waiting": 5}, {"max_waiting": 6}),
    ("map", {}, {"max_ack_pending": 4}),
    ("hdrs", {}, {"headers_only": True}),
    ("mb", {}, {"max_batch": 3, "max_expires": SECOND, "max_bytes": 77}),
    ("push_to_pull", PUSH, {}),
    ("pull_to_push", {}, PUSH),
    ("push_subj", PUSH, {"deliver_subject": "_INBOX.@.p2"}),
    ("group", PUSH, dict(PUSH, deliver_group="g")),
    ("group_change", dict(PUSH, deliver_group="g"), dict(PUSH, deliver_group="h")),
    ("fc", PUSH, dict(PUSH, flow_control=True, idle_heartbeat=SECOND)),
    ("hb", dict(PUSH, idle_heartbeat=SECOND), dict(PUSH, idle_heartbeat=2 * SECOND)),
    ("inact", {}, {"inactive_threshold": 50 * SECOND}),
    ("repl", {}, {"num_replicas": 3}),
    ("mem", {}, {"mem_storage": True}),
    ("meta", {"metadata": {"a": "1"}}, {"metadata": {"b": "2"}}),
    ("meta_drop", {"metadata": {"a": "1"}}, {}),
    ("pause", {}, {"pause_until": "2099-01-01T00:00:00Z"}),
    ("dur_to_eph", {}, {"durable_name": None, "name": "c"}),
    ("eph_to_dur", {"durable_name": None, "name": "c"}, {"durable_name": "c"}),
    ("invalid", {}, {"ack_wait": -1}),
    ("two", {}, {"deliver_policy": "new", "ack_policy": "none"}),
]


@each("consumer_update", UPDATES)
def consumer_update(talk, before, after):
    talk.create_stream()
    for s in "abac":
        talk.client.publish("@." + s, "m", recorded=False)
    talk.api(
        "CONSUMER.CREATE.@.c",
        {"stream_name": "@", "config": consumer_config(before)},
        view=only_error,
    )
    talk.api(
        "CONSUMER.CREATE.@.c",
        {"stream_name": "@", "config": consumer_config(after), "action": "create"},
        view=only_error,
    )
    talk.api(
        "CONSUMER.CREATE.@.c",
        {"stream_name": "@", "config": consumer_config(after), "action": "update"},
    )
    talk.api("CONSUMER.INFO.@.c")
    talk.api(
        "CONSUMER.CREATE.@.c",
        {"stream_name": "@", "config": consumer_config(before)},
        view=only_error,
    )
    if consumer_config(after).get("durable_name"):
        talk.api(
            "CONSUMER.DURABLE.CREATE.@.c",
            {"stream_name": "@", "config": consumer_config(after)},
            view=only_error,
        )


@conversation
def consumer_update_bound_push(talk):
    """changing the deliver subject of a bound push consumer"""
    talk.create_stream()
    sub = talk.subscribe("_INBOX.@.push")
    talk.create_consumer(**PUSH)
    talk.sleep(0.05)
    talk.consumer_info()
    talk.create_consumer(deliver_subject="_INBOX.@.p2")
    talk.create_consumer(deliver_subject="_INBOX.@.p2", action="update")
    talk.create_consumer(deliver_subject="_INBOX.@.p2", action="create")
    talk.create_consumer(description="x", **PUSH)
    sub.unsubscribe()
    talk.sleep(0.1)
    talk.consumer_info()
    talk.create_consumer(deliver_subject="_INBOX.@.p2")
    s2 = talk.subscribe("_INBOX.@.p2")
    talk.client.publish("@.a", "x")
    s2.take(1)


@conversation
def consumer_update_filter_while_consuming(talk):
    """changing the filter: positions and pending"""
    talk.create_stream()
    for s in "abababab":
        talk.client.publish("@." + s, s, recorded=False)
    talk.create_consumer(filter_subject="@.a")
    talk.fetch("c", "2", 2)
    talk.create_consumer(filter_subject="@.b")
    talk.consumer_info()
    talk.fetch("c", "2", 2)
    talk.create_consumer(filter_subjects=["@.a", "@.b"])
    talk.fetch("c", "4", 4, timeout=0.3)
    talk.consumer_info()


@conversation
def consumer_update_maxack_release(talk):
    """raising max_ack_pending releases a waiting pull"""
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer(max_ack_pending=1)
    sub = talk.pull("c", "3")
    sub.take(1)
    sub.quiet()
    talk.consumer_info()
    talk.create_consumer(max_ack_pending=3)
    sub.take(2)
    talk.consumer_info()


@conversation
def consumer_update_ackwait_applies(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(ack_wait=30 * SECOND)
    talk.fetch()
    talk.create_consumer(ack_wait=200 * MS)
    sub = talk.pull("c", "1")
    sub.take(1, timeout=1.5)


@conversation
def consumer_update_max_deliver_raise(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(max_deliver=1, ack_wait=150 * MS)
    sub = talk.pull("c", "5")
    sub.take(1)
    talk.sleep(0.5)
    talk.consumer_info()
    talk.create_consumer(max_deliver=3, ack_wait=150 * MS)
    talk.sleep(0.4)
    sub.quiet()
    talk.consumer_info()


@conversation
def consumer_action_sequence(talk):
    talk.create_stream()
    talk.create_consumer(action="update")
    talk.create_consumer(action="create")
    talk.create_consumer(action="create")
    talk.create_consumer(action="create", description="x")
    talk.create_consumer(action="update", description="x")
    talk.create_consumer(action="")
    talk.create_consumer(action="bogus")
    talk.api("CONSUMER.INFO.@.c", view=lambda r: r.get("json", {}).get("config"))


@conversation
def consumer_action_missing_stream(talk):
    talk.create_consumer(action="update")
    talk.create_consumer(action="create")


@conversation
def consumer_pedantic(talk):
    talk.create_stream()
    for cfg in (
        {"durable_name": "c", "ack_policy": "explicit"},
        {
            "durable_name": "d",
            "ack_policy": "explicit",
            "backoff": [SECOND],
            "ack_wait": 5 * SECOND,
        },
        {"durable_name": "e", "max_deliver": -5},
        {"durable_name": "f", "max_deliver": 0, "ack_wait": 0},
        {"durable_name": "g", "max_waiting": -1},
        {"durable_name": "h", "inactive_threshold": -1},
        {"durable_name": "i", "backoff": [SECOND], "ack_wait": SECOND},
    ):
        talk.api(
            "CONSUMER.CREATE.@." + cfg["durable_name"],
            {"stream_name": "@", "config": cfg, "pedantic": True},
        )
