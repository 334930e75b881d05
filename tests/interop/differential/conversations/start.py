"""Where a consumer starts."""

from registry import conversation, each

POSITIONS = [
    ("all", {}),
    ("last", {"deliver_policy": "last"}),
    ("new", {"deliver_policy": "new"}),
    ("seq3", {"deliver_policy": "by_start_sequence", "opt_start_seq": 3}),
    ("seq1", {"deliver_policy": "by_start_sequence", "opt_start_seq": 1}),
    ("seq50", {"deliver_policy": "by_start_sequence", "opt_start_seq": 50}),
    ("time", {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}),
    ("timefut", {"deliver_policy": "by_start_time", "opt_start_time": "2099-01-01T00:00:00Z"}),
    ("lps", {"deliver_policy": "last_per_subject", "filter_subject": "@.>"}),
    ("lps_a", {"deliver_policy": "last_per_subject", "filter_subject": "@.a"}),
    ("lps_none", {"deliver_policy": "last_per_subject", "filter_subject": "@.zz"}),
    (
        "lps_multi",
        {"deliver_policy": "last_per_subject", "filter_subjects": ["@.a", "@.c", "@.zz"]},
    ),
    ("last_a", {"deliver_policy": "last", "filter_subject": "@.a"}),
    ("last_none", {"deliver_policy": "last", "filter_subject": "@.zz"}),
    ("last_multi", {"deliver_policy": "last", "filter_subjects": ["@.a", "@.b"]}),
    ("last_wild", {"deliver_policy": "last", "filter_subject": "@.*"}),
    ("new_a", {"deliver_policy": "new", "filter_subject": "@.a"}),
    ("all_a", {"filter_subject": "@.a"}),
    ("all_multi", {"filter_subjects": ["@.a", "@.c"]}),
    (
        "seq3_a",
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 3, "filter_subject": "@.a"},
    ),
    (
        "seq4_b",
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 4, "filter_subject": "@.b"},
    ),
    ("multi1", {"filter_subjects": ["@.b"]}),
    ("multi_foreign", {"filter_subjects": ["@.zz", "@.b"]}),
    (
        "time_a",
        {
            "deliver_policy": "by_start_time",
            "opt_start_time": "2020-01-01T00:00:00Z",
            "filter_subject": "@.c",
        },
    ),
]


@each("start", POSITIONS)
def start(talk, config):
    talk.create_stream()
    for s in "abacbdab":  # 1..8; 5 deleted
        talk.client.publish("@." + s, s, recorded=False)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 5})
    talk.create_consumer(**config)
    talk.consumer_info()
    talk.fetch("c", '{"batch":20,"no_wait":true}', 8, timeout=0.25)
    talk.consumer_info()
    for s in "abc":
        talk.client.publish("@." + s, s, recorded=False)
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch("c", '{"batch":20,"no_wait":true}', 4, timeout=0.25)
    talk.consumer_info()


@each("start_empty", POSITIONS)
def start_empty(talk, config):
    """the same on an empty stream, then publishing"""
    talk.create_stream()
    talk.create_consumer(**config)
    talk.consumer_info()
    for s in "abc":
        talk.client.publish("@." + s, s, recorded=False)
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch("c", '{"batch":20,"no_wait":true}', 4, timeout=0.2)


@conversation
def start_after_purge(talk):
    talk.create_stream()
    talk.fill(5)
    talk.api("STREAM.PURGE.@")
    for n, d in (
        ("all", {}),
        ("last", {"deliver_policy": "last"}),
        ("new", {"deliver_policy": "new"}),
        ("seq", {"deliver_policy": "by_start_sequence", "opt_start_seq": 2}),
        ("lps", {"deliver_policy": "last_per_subject", "filter_subject": ">"}),
    ):
        talk.create_consumer(n, **d)
    talk.fill(1)
    for n in ("all", "last", "new", "seq", "lps"):
        talk.consumer_info(n)
        talk.fetch(n)


@conversation
def start_mid_first_purged(talk):
    """start sequence before the first message"""
    talk.create_stream()
    talk.fill(6)
    talk.api("STREAM.PURGE.@", {"seq": 4})
    talk.create_consumer("s", deliver_policy="by_start_sequence", opt_start_seq=2)
    talk.create_consumer("a")
    talk.fetch("s")
    talk.fetch("a")
    talk.consumer_info("s")
    talk.consumer_info("a")
