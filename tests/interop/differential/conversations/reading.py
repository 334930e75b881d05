"""Messages by MSG.GET, and their deletion."""

import datetime

from registry import conversation, each, numbered

DELETIONS = [
    ("ok", '{"seq":2}'),
    ("noerase", '{"seq":2,"no_erase":true}'),
    ("zero", '{"seq":0}'),
    ("far", '{"seq":99}'),
    ("empty", ""),
    ("obj", "{}"),
    ("garbage", "x"),
    ("neg", '{"seq":-1}'),
    ("str", '{"seq":"2"}'),
    ("unknown", '{"seq":2,"bogus":1}'),
    ("eraseonly", '{"no_erase":true}'),
]


@each("message_delete", DELETIONS)
def message_delete(talk, body):
    talk.create_stream()
    talk.fill(3)
    talk.api("STREAM.MSG.DELETE.@", body)
    talk.api("STREAM.MSG.DELETE.@", body)
    talk.stream_info({"deleted_details": True})


@conversation
def message_delete_before_first(talk):
    talk.create_stream()
    talk.fill(3)
    talk.api("STREAM.PURGE.@", {"seq": 3})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})


REQUESTS = [
    "",
    "{}",
    "x",
    "null",
    "[]",
    '{"seq":0}',
    '{"seq":1}',
    '{"seq":2}',
    '{"seq":4}',
    '{"seq":7}',
    '{"seq":8}',
    '{"seq":99}',
    '{"seq":-1}',
    '{"seq":"1"}',
    '{"last_by_subj":"@.a"}',
    '{"last_by_subj":"@.zz"}',
    '{"last_by_subj":"@.*"}',
    '{"last_by_subj":">"}',
    '{"last_by_subj":""}',
    '{"last_by_subj":"@..a"}',
    '{"last_by_subj":"other"}',
    '{"seq":1,"last_by_subj":"@.a"}',
    '{"next_by_subj":"@.a"}',
    '{"next_by_subj":"@.b"}',
    '{"seq":1,"next_by_subj":"@.b"}',
    '{"seq":3,"next_by_subj":"@.a"}',
    '{"seq":6,"next_by_subj":"@.a"}',
    '{"seq":2,"next_by_subj":"@.*"}',
    '{"seq":2,"next_by_subj":">"}',
    '{"seq":99,"next_by_subj":"@.a"}',
    '{"next_by_subj":"@.zz"}',
    '{"next_by_subj":"@.a","last_by_subj":"@.a"}',
    '{"start_time":"2020-01-01T00:00:00Z"}',
    '{"start_time":"2099-01-01T00:00:00Z"}',
    '{"start_time":"bad"}',
    '{"start_time":"2020-01-01T00:00:00Z","seq":2}',
    '{"start_time":"2020-01-01T00:00:00Z","next_by_subj":"@.b"}',
    '{"start_time":"2020-01-01T00:00:00Z","last_by_subj":"@.b"}',
    '{"batch":2}',
    '{"seq":1,"batch":2}',
    '{"seq":1,"max_bytes":2}',
    '{"multi_last":["@.a"]}',
    '{"seq":1,"up_to_seq":5}',
    '{"multi_last":["@.a"],"up_to_seq":5}',
    '{"seq":2,"no_hdr":true}',
    '{"seq":2,"bogus":true}',
    '{"seq":1.5}',
    '{"seq":1e0}',
]


@each("get", numbered(REQUESTS))
def get(talk, body):
    talk.create_stream(allow_direct=True)
    talk.publish("@.a", "one")  # 1
    talk.publish("@.a", "two", {"K": "v", "L": "w"})  # 2
    talk.publish("@.b", "")  # 3
    talk.publish("@.b", "four")  # 4 deleted
    talk.publish("@.a", b"\x00\xff bin")  # 5
    talk.publish("@.c", "", {"K": "v"})  # 6
    talk.publish("@.b", "seven")  # 7
    talk.api("STREAM.MSG.DELETE.@", {"seq": 4})
    talk.api("STREAM.MSG.GET.@", body)
    talk.request("$JS.API.DIRECT.GET.@", body)


@conversation
def get_wild_order(talk):
    """next_by_subj / last_by_subj with several wildcard forms"""
    talk.create_stream(allow_direct=True)
    for s in ("x.1", "y.1", "x.2", "y.2", "z"):
        talk.client.publish("@." + s, s, recorded=False)
    for b in (
        {"last_by_subj": "@.x.*"},
        {"last_by_subj": "@.*.1"},
        {"last_by_subj": "@.>"},
        {"last_by_subj": "@.*"},
        {"next_by_subj": "@.*.2"},
        {"next_by_subj": "@.y.>", "seq": 3},
        {"next_by_subj": "@.*", "seq": 1},
        {"next_by_subj": "@.x.*", "seq": 4},
    ):
        talk.api("STREAM.MSG.GET.@", b)
        talk.request("$JS.API.DIRECT.GET.@", b)


@conversation
def get_header_raw(talk):
    """header block is stored verbatim"""
    talk.create_stream(allow_direct=True)
    for h in (
        b"NATS/1.0\r\nA:b\r\nA:  c\r\nEmpty:\r\n\r\n",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0 200 hello\r\nX: y\r\n\r\n",
        b"garbage",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\n",
    ):
        talk.publish("@.a", "x", h)
        talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.a"})
        talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.stream_info()


@conversation
def get_start_time(talk):
    talk.create_stream(allow_direct=True)
    talk.fill(2)
    talk.sleep(0.05)
    t = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    talk.sleep(0.05)
    talk.fill(2, "@.b")
    talk.api("STREAM.MSG.GET.@", {"start_time": t})
    talk.request("$JS.API.DIRECT.GET.@", {"start_time": t})
    talk.request("$JS.API.DIRECT.GET.@", {"start_time": t, "batch": 5}, count=3)
    talk.request("$JS.API.DIRECT.GET.@", {"start_time": t, "next_by_subj": "@.a"})
    talk.create_consumer("t", deliver_policy="by_start_time", opt_start_time=t)
    talk.fetch("t")
