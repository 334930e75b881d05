"""What may be changed of a stream, and what of that is refused."""

from conversation import stream_state
from registry import conversation, each
from vocabulary import MS, SECOND

# The fields before and after, and what comes then.
UPDATES = [
    ("same", {}, {}),
    ("storage", {}, {"storage": "file"}),
    ("storage_file", {"storage": "file"}, {"storage": "memory"}),
    ("storage_omit", {}, {"storage": None}),
    ("name", {}, {"name": "@x"}),
    ("noname", {}, {"name": None}),
    ("ret_lim_int", {}, {"retention": "interest"}),
    ("ret_int_lim", {"retention": "interest"}, {"retention": "limits"}),
    ("ret_lim_wq", {}, {"retention": "workqueue"}),
    ("ret_wq_lim", {"retention": "workqueue"}, {"retention": "limits"}),
    ("ret_wq_int", {"retention": "workqueue"}, {"retention": "interest"}),
    ("ret_int_wq", {"retention": "interest"}, {"retention": "workqueue"}),
    ("maxcons", {}, {"max_consumers": 5}),
    ("maxcons_less", {"max_consumers": 5}, {"max_consumers": 2}),
    ("maxcons_unl", {"max_consumers": 5}, {}),
    ("maxmsgs", {}, {"max_msgs": 2}),
    ("maxbytes", {}, {"max_bytes": 80}),
    ("maxage", {}, {"max_age": 60 * SECOND}),
    (
        "maxage_below_dup",
        {"duplicate_window": 100 * SECOND},
        {"max_age": 60 * SECOND, "duplicate_window": 100 * SECOND},
    ),
    ("maxage_bad", {}, {"max_age": 50}),
    ("maxper", {}, {"max_msgs_per_subject": 1}),
    ("msgsize", {}, {"max_msg_size": 1}),
    ("discard", {}, {"discard": "new"}),
    ("discardold", {"discard": "new"}, {"discard": "old"}),
    (
        "discper",
        {"max_msgs_per_subject": 5},
        {"discard": "new", "max_msgs_per_subject": 5, "discard_new_per_subject": True},
    ),
    ("discper_bad", {}, {"discard_new_per_subject": True}),
    ("repl3", {}, {"num_replicas": 3}),
    ("repl_neg", {}, {"num_replicas": -1}),
    ("noack", {}, {"no_ack": True}),
    ("noack_off", {"no_ack": True}, {}),
    ("dup", {}, {"duplicate_window": 5 * SECOND}),
    ("dup_bad", {}, {"duplicate_window": 5}),
    ("placement", {}, {"placement": {"cluster": "x"}}),
    ("comp", {"storage": "file"}, {"storage": "file", "compression": "s2"}),
    (
        "comp_off",
        {"storage": "file", "compression": "s2"},
        {"storage": "file", "compression": "none"},
    ),
    ("firstseq", {}, {"first_seq": 50}),
    ("firstseq_from", {"first_seq": 10}, {"first_seq": 50}),
    ("firstseq_drop", {"first_seq": 10}, {}),
    ("direct", {}, {"allow_direct": True}),
    ("direct_off", {"allow_direct": True}, {}),
    ("mirrordirect", {}, {"mirror_direct": True}),
    ("sealed", {}, {"sealed": True}),
    ("sealed_undo", {}, {"sealed": True, "_then": {}}),
    (
        "sealed_same",
        {},
        {
            "sealed": True,
            "_then": {"sealed": True, "discard": "new", "deny_delete": True, "deny_purge": True},
        },
    ),
    (
        "sealed_desc",
        {"max_age": 60 * SECOND, "allow_rollup_hdrs": True},
        {
            "sealed": True,
            "allow_rollup_hdrs": True,
            "max_age": 60 * SECOND,
            "_then": {"sealed": True, "description": "x"},
        },
    ),
    ("denydel", {}, {"deny_delete": True}),
    ("denydel_off", {"deny_delete": True}, {}),
    ("denypurge", {}, {"deny_purge": True}),
    ("denypurge_off", {"deny_purge": True}, {}),
    (
        "denypurge_rollup",
        {"allow_rollup_hdrs": True},
        {"allow_rollup_hdrs": True, "deny_purge": True},
    ),
    ("rollup", {}, {"allow_rollup_hdrs": True}),
    ("rollup_off", {"allow_rollup_hdrs": True}, {}),
    ("climits", {}, {"consumer_limits": {"max_ack_pending": 7, "inactive_threshold": SECOND}}),
    ("meta", {"metadata": {"a": "1"}}, {"metadata": {"b": "2"}}),
    ("meta_drop", {"metadata": {"a": "1"}}, {}),
    ("persist", {"storage": "file"}, {"storage": "file", "persist_mode": "async"}),
    ("desc", {}, {"description": "new"}),
    ("desc_long", {}, {"description": "d" * 5000}),
    ("subjects", {}, {"subjects": ["@.a", "@.b.*"]}),
    ("subjects_none", {}, {"subjects": None}),
    ("subjects_empty", {}, {"subjects": []}),
    ("subjects_bad", {}, {"subjects": ["@.."]}),
    ("mirror_add", {}, {"mirror": {"name": "zz"}}),
    ("pedantic", {}, {"pedantic": True}),
    ("two_bad", {}, {"storage": "file", "retention": "workqueue", "deny_delete": False}),
]


@each("stream_update", UPDATES)
def stream_update(talk, before, after):
    after = dict(after)
    then = after.pop("_then", None)
    talk.create_stream(**before)
    talk.fill(3, "@.a", "m%d") if not before.get("no_ack") else None
    body = {"name": "@", "subjects": ["@.>"], "storage": "memory"}
    body.update(after)
    body = {k: v for k, v in body.items() if v is not None}
    talk.api("STREAM.UPDATE.@", body)
    if then is not None:
        talk.update_stream(**then)
    talk.api("STREAM.INFO.@", view=stream_state)


@conversation
def stream_update_trim_order(talk):
    """lowering limits trims at once"""
    talk.create_stream()
    talk.fill(3, "@.a")
    talk.fill(3, "@.b")
    talk.fill(3, "@.c")
    talk.update_stream(whole=False, max_msgs_per_subject=2)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.update_stream(whole=False, max_msgs_per_subject=1, max_msgs=2)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.update_stream(whole=False, max_bytes=20)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


@conversation
def stream_update_discard_new_full(talk):
    talk.create_stream(max_msgs=5)
    talk.fill(5)
    talk.update_stream(whole=False, max_msgs=3, discard="new")
    talk.stream_info()
    talk.publish("@.a")
    talk.update_stream(whole=False, max_msgs=2, discard="new")
    talk.stream_info()


@conversation(slow=True)
def stream_update_age_now(talk):
    talk.create_stream()
    talk.fill(2)
    talk.sleep(1.2)
    talk.fill(1)
    talk.update_stream(whole=False, max_age=1000 * MS, duplicate_window=200 * MS)
    talk.sleep(0.15)
    talk.stream_info()
    talk.sleep(1.8)
    talk.stream_info()


@conversation
def stream_update_retention_interest_existing(talk):
    """limits to interest with a consumer that acked some"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    message = talk.fetch()
    talk.ack(message)
    talk.update_stream(whole=False, retention="interest")
    talk.sleep(0.1)
    talk.stream_info()
    message = talk.fetch()
    talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def stream_update_retention_interest_nocons(talk):
    talk.create_stream()
    talk.fill(3)
    talk.update_stream(whole=False, retention="interest")
    talk.sleep(0.1)
    talk.stream_info()


@conversation
def stream_update_climits_vs_consumers(talk):
    talk.create_stream()
    talk.create_consumer(max_ack_pending=100, inactive_threshold=100 * SECOND)
    talk.update_stream(consumer_limits={"max_ack_pending": 10, "inactive_threshold": SECOND})
    talk.update_stream(consumer_limits={"max_ack_pending": 10})
    talk.update_stream(consumer_limits={"inactive_threshold": SECOND})
    talk.update_stream(consumer_limits={"max_ack_pending": 100, "inactive_threshold": 100 * SECOND})
    talk.api("CONSUMER.INFO.@.c")


@conversation
def stream_update_sealed_ops(talk):
    talk.create_stream()
    talk.fill(3)
    talk.update_stream(whole=False, sealed=True)
    talk.publish("@.a")
    talk.api("STREAM.PURGE.@")
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.create_consumer()
    talk.fetch()
    talk.api("STREAM.DELETE.@")


@conversation
def stream_update_deny_ops(talk):
    talk.create_stream(deny_delete=True, deny_purge=True)
    talk.fill(3)
    talk.api("STREAM.PURGE.@")
    talk.api("STREAM.PURGE.@", {"filter": "@.a"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1, "no_erase": True})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 99})
    talk.stream_info()
    talk.api("STREAM.DELETE.@")


@conversation
def stream_update_nonexistent(talk):
    """What is wrong with the configuration is told first"""
    talk.update_stream()
    talk.update_stream(max_age=5)
    talk.update_stream(discard_new_per_subject=True)
    talk.update_stream(pedantic=True, max_age=60 * SECOND, duplicate_window=120 * SECOND)
    talk.update_stream(sealed=True)
    talk.update_stream(num_replicas=3)


@conversation
def stream_update_first_seq_unwritten(talk):
    talk.create_stream()
    talk.update_stream(first_seq=50)
    talk.stream_info()
    talk.create_stream("@2", first_seq=50)
    talk.update_stream("@2", first_seq=60)
    talk.stream_info(name="@2")


@conversation
def stream_update_subject_removed_keeps_messages(talk):
    talk.create_stream(subjects=["@.a", "@.b"])
    talk.fill(2, "@.a")
    talk.fill(2, "@.b")
    talk.create_consumer("f", filter_subject="@.b")
    talk.update_stream(whole=False, subjects=["@.a"])
    talk.stream_info({"subjects_filter": ">"})
    talk.fetch("f", "2", 2)
    talk.publish("@.b")
    talk.consumer_info("f")


@conversation
def stream_max_consumers(talk):
    talk.create_stream(max_consumers=2)
    talk.create_consumer("a")
    talk.create_consumer("b")
    talk.create_consumer("c")
    talk.create_ephemeral()
    talk.create_consumer("a")
    talk.api("CONSUMER.DELETE.@.a")
    talk.create_ephemeral(inactive_threshold=5 * SECOND)
    talk.create_consumer("d")
    talk.update_stream(whole=False, max_consumers=1)
    talk.update_stream(whole=False, max_consumers=3)
    talk.create_consumer("d")
    talk.api("STREAM.INFO.@", view=lambda r: r.get("json", {}).get("state"))


@conversation
def stream_consumer_limits_defaults(talk):
    talk.create_stream(consumer_limits={"max_ack_pending": 10, "inactive_threshold": 7 * SECOND})
    talk.create_consumer("a", whole=True)
    talk.create_consumer("b", whole=True, max_ack_pending=11)
    talk.create_consumer("b2", whole=True, max_ack_pending=-1)
    talk.create_consumer("d", whole=True, inactive_threshold=8 * SECOND)
    talk.create_consumer("e", whole=True, inactive_threshold=6 * SECOND, max_ack_pending=9)
    talk.create_consumer("f", whole=True, ack_policy="none")
    talk.create_ephemeral(whole=True)


@conversation
def stream_pedantic_vs_limits(talk):
    talk.create_stream(consumer_limits={"max_ack_pending": 10, "inactive_threshold": 7 * SECOND})
    talk.api(
        "CONSUMER.CREATE.@.a",
        {
            "stream_name": "@",
            "pedantic": True,
            "config": {"durable_name": "a", "ack_policy": "explicit"},
        },
    )
    talk.api(
        "CONSUMER.CREATE.@.a",
        {
            "stream_name": "@",
            "pedantic": True,
            "config": {"durable_name": "a", "ack_policy": "explicit", "inactive_threshold": SECOND},
        },
    )
    talk.api(
        "CONSUMER.CREATE.@.a",
        {
            "stream_name": "@",
            "pedantic": True,
            "config": {
                "durable_name": "a",
                "ack_policy": "explicit",
                "inactive_threshold": SECOND,
                "max_ack_pending": 3,
            },
        },
    )
