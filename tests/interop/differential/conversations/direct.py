"""Messages by DIRECT.GET: by sequence, by subject, in batches."""

from registry import conversation, each


@conversation
def direct_not_allowed(talk):
    talk.create_stream()
    talk.fill(1)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.update_stream(whole=False, allow_direct=True)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})
    talk.update_stream(whole=False, allow_direct=False)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})


@conversation
def direct_subject_form(talk):
    talk.create_stream(allow_direct=True)
    talk.publish("@.a", "1")
    talk.publish("@.a", "2", {"H": "x"})
    talk.publish("@.b.c", "")
    for s in ("@.a", "@.b.c", "@.b", "@.zz", "@.*", "@.>", ">", "@", "a..b"):
        talk.request("$JS.API.DIRECT.GET.@." + s, timeout=0.4)
    for b in (
        "{}",
        '{"no_hdr":true}',
        '{"seq":1}',
        "x",
        '{"last_by_subj":"@.b.c"}',
        '{"batch":2}',
        '{"next_by_subj":"@.a"}',
        " ",
        '{"bogus":1}',
        "null",
    ):
        talk.request("$JS.API.DIRECT.GET.@.@.a", b)


@conversation
def direct_no_reply(talk):
    talk.create_stream(allow_direct=True)
    talk.fill(1)
    talk.client.publish("$JS.API.DIRECT.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})


@conversation
def direct_no_hdr(talk):
    talk.create_stream(allow_direct=True)
    talk.publish("@.a", "body", {"H": "x"})
    talk.publish("@.a", "plain")
    for b in (
        {"seq": 1, "no_hdr": True},
        {"seq": 2, "no_hdr": True},
        {"last_by_subj": "@.a", "no_hdr": True},
        {"seq": 9, "no_hdr": True},
        {"no_hdr": True},
    ):
        talk.request("$JS.API.DIRECT.GET.@", b)
        talk.api("STREAM.MSG.GET.@", b)
    talk.request(
        "$JS.API.DIRECT.GET.@", {"seq": 1, "batch": 5, "no_hdr": True}, count=3, timeout=0.5
    )
    talk.request(
        "$JS.API.DIRECT.GET.@", {"multi_last": ["@.a"], "no_hdr": True}, count=2, timeout=0.5
    )


BATCHES = [
    ("b1", {"seq": 1, "batch": 1}, 2),
    ("b3", {"seq": 1, "batch": 3}, 4),
    ("b100", {"seq": 1, "batch": 100}, 9),
    ("from6", {"seq": 6, "batch": 3}, 4),
    ("past", {"seq": 50, "batch": 3}, 1),
    ("seq0", {"seq": 0, "batch": 3}, 1),
    ("noseq", {"batch": 3}, 1),
    ("neg", {"seq": 1, "batch": -1}, 1),
    ("zero", {"seq": 1, "batch": 0}, 1),
    ("next", {"seq": 1, "batch": 3, "next_by_subj": "@.b"}, 4),
    ("nextwild", {"seq": 1, "batch": 20, "next_by_subj": "@.*"}, 9),
    ("nextnoseq", {"batch": 2, "next_by_subj": "@.b"}, 3),
    ("nextnone", {"seq": 1, "batch": 2, "next_by_subj": "@.zz"}, 1),
    ("last", {"last_by_subj": "@.a", "batch": 2}, 1),
    ("bytes", {"seq": 1, "batch": 10, "max_bytes": 10}, 9),
    ("bytes2", {"seq": 1, "batch": 10, "max_bytes": 100}, 9),
    ("bytesonly", {"seq": 1, "max_bytes": 10}, 1),
    ("bytesneg", {"seq": 1, "batch": 10, "max_bytes": -1}, 2),
    ("stime", {"start_time": "2020-01-01T00:00:00Z", "batch": 2}, 3),
    ("stimeseq", {"start_time": "2020-01-01T00:00:00Z", "seq": 3, "batch": 2}, 1),
    ("stimefut", {"start_time": "2099-01-01T00:00:00Z", "batch": 2}, 1),
    ("upto", {"seq": 1, "batch": 5, "up_to_seq": 3}, 1),
    ("b1mid", {"seq": 4, "batch": 1}, 2),
    ("ml1", {"multi_last": ["@.a"]}, 2),
    ("ml2", {"multi_last": ["@.c", "@.a", "@.b"]}, 4),
    ("mlwild", {"multi_last": ["@.*"]}, 4),
    ("mlgt", {"multi_last": [">"]}, 4),
    ("mlnone", {"multi_last": ["@.zz"]}, 1),
    ("mlpart", {"multi_last": ["@.zz", "@.a"]}, 2),
    ("mldup", {"multi_last": ["@.a", "@.*", "@.a"]}, 4),
    ("mlempty", {"multi_last": []}, 1),
    ("mlbad", {"multi_last": ["@..a"]}, 1),
    ("mlemptystr", {"multi_last": [""]}, 1),
    ("mlupto", {"multi_last": ["@.*"], "up_to_seq": 4}, 4),
    ("mlupto1", {"multi_last": ["@.*"], "up_to_seq": 1}, 2),
    ("mluptofar", {"multi_last": ["@.*"], "up_to_seq": 400}, 4),
    ("mltime", {"multi_last": ["@.*"], "up_to_time": "2099-01-01T00:00:00Z"}, 4),
    ("mltimepast", {"multi_last": ["@.*"], "up_to_time": "2020-01-01T00:00:00Z"}, 1),
    ("mlboth", {"multi_last": ["@.*"], "up_to_seq": 4, "up_to_time": "2099-01-01T00:00:00Z"}, 1),
    ("mlbatch", {"multi_last": ["@.*"], "batch": 2}, 3),
    ("mlbatchseq", {"multi_last": ["@.*"], "batch": 2, "seq": 5}, 3),
    ("mlseq", {"multi_last": ["@.*"], "seq": 6}, 3),
    ("mlbytes", {"multi_last": ["@.*"], "max_bytes": 5}, 4),
    ("mlbytesneg", {"multi_last": ["@.*"], "max_bytes": -1}, 2),
    ("mllast", {"multi_last": ["@.*"], "last_by_subj": "@.a"}, 1),
    ("mlnext", {"multi_last": ["@.*"], "next_by_subj": "@.a"}, 1),
    ("mlstart", {"multi_last": ["@.*"], "start_time": "2020-01-01T00:00:00Z"}, 4),
    ("mlseqonly", {"multi_last": ["@.a"], "seq": 99}, 1),
]


@each("direct_batch", BATCHES)
def direct_batch(talk, body, count):
    talk.create_stream(allow_direct=True)
    for i, s in enumerate(("a", "b", "a", "c", "b", "a", "b", "a")):  # 1..8
        talk.client.publish(
            "@." + s, "m%d" % (i + 1), {"K": "v"} if i == 2 else None, recorded=False
        )
    talk.api("STREAM.MSG.DELETE.@", {"seq": 5})
    talk.request("$JS.API.DIRECT.GET.@", body, count=count, timeout=0.35, extra=0.05)


@conversation
def direct_batch_empty_stream(talk):
    talk.create_stream(allow_direct=True)
    for b in (
        {"seq": 1},
        {"seq": 1, "batch": 2},
        {"multi_last": [">"]},
        {"last_by_subj": "@.a"},
        {"next_by_subj": "@.a"},
        {"start_time": "2020-01-01T00:00:00Z"},
        {"start_time": "2020-01-01T00:00:00Z", "batch": 2},
    ):
        talk.request("$JS.API.DIRECT.GET.@", b)
        talk.api("STREAM.MSG.GET.@", b)
    talk.request("$JS.API.DIRECT.GET.@.@.a")


@conversation
def direct_batch_413(talk):
    talk.create_stream(allow_direct=True)
    talk.fill(1025, "@.s%d", "x")
    talk.request("$JS.API.DIRECT.GET.@", {"multi_last": [">"]})
    talk.request("$JS.API.DIRECT.GET.@", {"multi_last": ["@.*"], "batch": 2}, timeout=0.5)
    talk.request(
        "$JS.API.DIRECT.GET.@",
        {"multi_last": ["@.*"], "up_to_seq": 1024},
        count=1025,
        view=lambda r: (
            r
            if "headers" not in r or "204" in r["headers"][0] or "413" in r["headers"][0]
            else "msg"
        ),
    )


@conversation
def direct_batch_large_max_bytes(talk):
    """default max_bytes does not stop small batches; sizes around the limit"""
    talk.create_stream(allow_direct=True)
    for i in range(4):
        talk.client.publish("@.a", "x" * 100, recorded=False)
    for mb in (1, 99, 100, 101, 150, 200, 250, 300, 1000):
        inbox = talk.client.inbox()
        talk.client.send(
            "$JS.API.DIRECT.GET.@", {"seq": 1, "batch": 4, "max_bytes": mb}, reply=inbox.subject
        )
        talk.client.until(
            lambda: any(message.status for message in inbox.messages), talk.patience(2)
        )
        talk.step(
            "batch 4 max_bytes %d" % mb, [talk.normalised(message) for message in inbox.messages]
        )
        inbox.messages = []


@conversation
def direct_headers_absent_conn(talk):
    """direct get on a connection without headers"""
    talk.create_stream(allow_direct=True)
    talk.publish("@.a", "body", {"H": "x"})
    other = talk.connect(headers=False, no_responders=False)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1}, connection=other)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 9}, connection=other)
    talk.request("$JS.API.DIRECT.GET.@.@.a", "", connection=other)


@conversation
def direct_subject_literal_overrides(talk):
    """the subject form with a key that looks like a wildcard message subject"""
    talk.create_stream(allow_direct=True)
    talk.client.publish("@.*", "star", recorded=True)
    talk.client.publish("@.a", "a")
    talk.stream_info({"subjects_filter": ">"})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@.@.*")
    talk.request("$JS.API.DIRECT.GET.@", {"last_by_subj": "@.*"})


@conversation
def direct_after_purge(talk):
    talk.create_stream(allow_direct=True)
    talk.fill(3)
    talk.api("STREAM.PURGE.@")
    talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1, "batch": 3})
    talk.publish("@.a")
    talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1, "batch": 3}, count=2)
