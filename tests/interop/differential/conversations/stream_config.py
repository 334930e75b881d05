"""Each field of a stream's configuration, right, wrong and combined."""

from registry import conversation, each
from vocabulary import MS, SECOND

# What is added to a memory stream of `@.>`; None takes away.
CONFIGS = [
    ("plain", {}),
    ("file", {"storage": "file"}),
    ("desc", {"description": "hello"}),
    ("desc4096", {"description": "d" * 4096}),
    ("desc4097", {"description": "d" * 4097}),
    ("subj_two", {"subjects": ["@.a", "@.b"]}),
    ("subj_dup", {"subjects": ["@.a", "@.a"]}),
    ("subj_overlap", {"subjects": ["@.*", "@.a"]}),
    ("subj_overlap2", {"subjects": ["@.*.b", "@.a.*"]}),
    ("subj_empty", {"subjects": [""]}),
    ("subj_emptytok", {"subjects": ["@..a"]}),
    ("subj_space", {"subjects": ["@.a b"]}),
    ("subj_lead", {"subjects": [".@"]}),
    ("subj_trail", {"subjects": ["@."]}),
    ("subj_gtmid", {"subjects": ["@.>.a"]}),
    ("subj_partstar", {"subjects": ["@.a*"]}),
    ("subj_partgt", {"subjects": ["@.a>b"]}),
    ("subj_js", {"subjects": ["$JS.>"]}),
    ("subj_jsapi", {"subjects": ["$JS.API.>"]}),
    ("subj_jsapi1", {"subjects": ["$JS.API.@.x"]}),
    ("subj_jsack", {"subjects": ["$JS.ACK.@.x.>"]}),
    ("subj_jsc", {"subjects": ["$JSC.>"]}),
    ("subj_nrg", {"subjects": ["$NRG.>"]}),
    ("subj_sys", {"subjects": ["$SYS.>"]}),
    ("subj_sysreq", {"subjects": ["$SYS.REQ.@"]}),
    ("subj_sysacc", {"subjects": ["$SYS.ACCOUNT.@.>"]}),
    ("subj_event1", {"subjects": ["$JS.EVENT.ADVISORY.X@.>"]}),
    ("subj_inbox", {"subjects": ["_INBOX.@.cap"]}),
    ("subj_kv", {"subjects": ["$KV.@.>"]}),
    ("subj_obj", {"subjects": ["$O.@.C.>", "$O.@.M.>"]}),
    ("subj_srv", {"subjects": ["$SRV.@.>"]}),
    ("ret_interest", {"retention": "interest"}),
    ("ret_wq", {"retention": "workqueue"}),
    ("maxcons", {"max_consumers": 3}),
    ("maxcons0", {"max_consumers": 0}),
    ("maxcons_neg", {"max_consumers": -5}),
    ("maxmsgs", {"max_msgs": 10}),
    ("maxmsgs0", {"max_msgs": 0}),
    ("maxmsgs_neg", {"max_msgs": -7}),
    ("maxbytes", {"max_bytes": 1000}),
    ("maxbytes0", {"max_bytes": 0}),
    ("maxbytes_neg", {"max_bytes": -9}),
    ("maxper", {"max_msgs_per_subject": 2}),
    ("maxper0", {"max_msgs_per_subject": 0}),
    ("maxper_neg", {"max_msgs_per_subject": -2}),
    ("maxage", {"max_age": 60 * SECOND}),
    ("maxage_100ms", {"max_age": 100 * MS}),
    ("maxage_99ms", {"max_age": 99 * MS}),
    ("maxage_neg", {"max_age": -1}),
    ("maxage_1ns", {"max_age": 1}),
    ("maxage_1h", {"max_age": 3600 * SECOND}),
    ("msgsize", {"max_msg_size": 100}),
    ("msgsize0", {"max_msg_size": 0}),
    ("msgsize_neg", {"max_msg_size": -4}),
    ("msgsize_big", {"max_msg_size": 2147483647}),
    ("msgsize_over", {"max_msg_size": 2147483648}),
    ("discnew", {"discard": "new"}),
    ("discper", {"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 1}),
    ("discper_old", {"discard_new_per_subject": True, "max_msgs_per_subject": 1}),
    ("discper_nomax", {"discard": "new", "discard_new_per_subject": True}),
    ("repl0", {"num_replicas": 0}),
    ("repl3", {"num_replicas": 3}),
    ("repl5", {"num_replicas": 5}),
    ("repl6", {"num_replicas": 6}),
    ("repl_neg", {"num_replicas": -1}),
    ("noack", {"no_ack": True}),
    ("dup", {"duplicate_window": 10 * SECOND}),
    ("dup_100ms", {"duplicate_window": 100 * MS}),
    ("dup_99ms", {"duplicate_window": 99 * MS}),
    ("dup_neg", {"duplicate_window": -1}),
    ("dup_over_age", {"duplicate_window": 20 * SECOND, "max_age": 10 * SECOND}),
    ("dup_eq_age", {"duplicate_window": 10 * SECOND, "max_age": 10 * SECOND}),
    ("dup_default_age", {"max_age": 30 * SECOND}),
    ("dup_default_longage", {"max_age": 300 * SECOND}),
    ("dup_long", {"duplicate_window": 3600 * SECOND}),
    ("place_cluster", {"placement": {"cluster": "X"}}),
    ("place_tags", {"placement": {"tags": ["a", "b"]}}),
    ("place_pref", {"placement": {"preferred": "n1"}}),
    ("place_empty", {"placement": {}}),
    ("comp_s2", {"storage": "file", "compression": "s2"}),
    ("comp_s2_mem", {"compression": "s2"}),
    ("comp_none", {"compression": "none"}),
    ("comp_upper", {"compression": "S2"}),
    ("firstseq", {"first_seq": 100}),
    ("firstseq1", {"first_seq": 1}),
    ("firstseq_max", {"first_seq": 18446744073709551615}),
    ("firstseq_neg", {"first_seq": -1}),
    ("direct", {"allow_direct": True}),
    ("mirrordirect", {"mirror_direct": True}),
    ("sealed", {"sealed": True}),
    ("denydel", {"deny_delete": True}),
    ("denypurge", {"deny_purge": True}),
    ("rollup", {"allow_rollup_hdrs": True}),
    ("rollup_denypurge", {"allow_rollup_hdrs": True, "deny_purge": True}),
    ("climits", {"consumer_limits": {"inactive_threshold": 5 * SECOND, "max_ack_pending": 10}}),
    ("climits_empty", {"consumer_limits": {}}),
    ("climits_neg", {"consumer_limits": {"inactive_threshold": -5, "max_ack_pending": -2}}),
    ("climits_negmap", {"consumer_limits": {"max_ack_pending": -1}}),
    ("meta", {"metadata": {"owner": "x", "z": "1"}}),
    ("meta_nats", {"metadata": {"_nats.req.level": "9", "a": "b"}}),
    ("meta_reserved", {"metadata": {"_nats.foo": "9", "a": "b"}}),
    ("meta_big", {"metadata": {"k": "v" * 131071}}),
    ("meta_toobig", {"metadata": {"k": "v" * 131072}}),
    ("meta_type", {"metadata": {"k": 5}}),
    ("persist_default", {"persist_mode": "default"}),
    ("persist_async", {"storage": "file", "persist_mode": "async"}),
    ("persist_async_mem", {"persist_mode": "async"}),
    ("ped_ok", {"pedantic": True}),
    ("ped_maxage_dup", {"pedantic": True, "max_age": 10 * SECOND}),
    ("ped_maxmsgs0", {"pedantic": True, "max_msgs": 0}),
    ("ped_neg", {"pedantic": True, "max_msgs": -7}),
    ("ped_false", {"pedantic": False}),
    ("template", {"template_owner": "x"}),
    (
        "kv",
        {
            "name": "@",
            "subjects": ["$KV.@.>"],
            "max_msgs_per_subject": 5,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "max_age": 3600 * SECOND,
            "duplicate_window": 120 * SECOND,
            "max_msg_size": 1024,
            "num_replicas": 1,
        },
    ),
    (
        "wq_discnew_per",
        {
            "retention": "workqueue",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "discard_new_per_subject": True,
        },
    ),
    (
        "all",
        {
            "description": "x",
            "retention": "interest",
            "max_consumers": 4,
            "max_msgs": 100,
            "max_bytes": 10000,
            "max_age": 3600 * SECOND,
            "max_msgs_per_subject": 10,
            "max_msg_size": 500,
            "discard": "new",
            "num_replicas": 1,
            "duplicate_window": 60 * SECOND,
            "allow_direct": True,
            "deny_delete": True,
            "allow_rollup_hdrs": True,
            "consumer_limits": {"max_ack_pending": 5},
            "metadata": {"a": "1"},
            "first_seq": 7,
        },
    ),
]


@each(
    "stream_config",
    CONFIGS,
    # These subjects would take messages of other conversations.
    own_server=[
        "subj_js",
        "subj_jsapi",
        "subj_jsc",
        "subj_nrg",
        "subj_sys",
        "subj_event1",
        "subj_sysreq",
    ],
)
def made_with(talk, config):
    talk.create_stream(whole=True, **config)
    talk.api("STREAM.INFO.@")


@conversation(own_server=True)
def stream_config_subj_all_gt(talk):
    talk.create_stream(whole=True, subjects=[">"])
    talk.create_stream("@2", whole=True, subjects=[">"], no_ack=True)
    talk.create_stream("@3", whole=True, subjects=["*"])
    talk.api("STREAM.NAMES")


@conversation(own_server=True)
def stream_config_subj_star_first(talk):
    talk.create_stream(whole=True, subjects=["*.>"])
    talk.create_stream("@2", whole=True, subjects=["*"])
    talk.create_stream("@3", whole=True, subjects=["*.a"], no_ack=True)


@conversation(own_server=True)
def stream_config_subj_reserved_noack(talk):
    for i, s in enumerate(
        [
            "$JS.>",
            "$JS.API.>",
            "$JS.ACK.x",
            "$JSC.>",
            "$NRG.>",
            "$SYS.>",
            "$SYS.ACCOUNT.>",
            "$JS.EVENT.>",
            "$JS.EVENT.ADVISORY.>",
            "$JS.*.x",
            "*.API.x",
            "$SYS.REQ.x",
            "$*.x",
            "$JS",
            "$JS.EVENT",
            "$JS.FC.>",
        ]
    ):
        talk.create_stream("@%02d" % i, subjects=[s])
        talk.api("STREAM.DELETE.@%02d" % i)
        talk.create_stream("@%02d" % i, subjects=[s], no_ack=True)
        talk.api("STREAM.DELETE.@%02d" % i)


@conversation
def stream_config_overlap_other(talk):
    talk.create_stream(subjects=["@.a.*", "@.b"])
    for i, s in enumerate(
        ["@.a.x", "@.a.*", "@.>", "@.b", "@.a", "@.c", "@.*", "@.*.x", "@.a.x.y"]
    ):
        talk.create_stream("@%d" % i, subjects=[s])
        talk.api("STREAM.DELETE.@%d" % i)
    talk.create_stream("@9", subjects=["@.ok", "@.b"])
    talk.api("STREAM.INFO.@9")


@conversation
def stream_config_overlap_update(talk):
    talk.create_stream(subjects=["@.a"])
    talk.create_stream("@2", subjects=["@.b"])
    talk.update_stream(subjects=["@.a", "@.b"])
    talk.update_stream(subjects=["@.*"])
    talk.update_stream(subjects=["@.a", "@.a"])
    talk.update_stream(subjects=["@.c"])
    talk.publish("@.a")
    talk.publish("@.c")
    talk.create_stream("@3", subjects=["@.a"])
    talk.publish("@.a")
