"""Subjects of the API that nobody knows, bodies that should be empty, what is missing."""

from conversation import stream_state
from registry import conversation, each

UNKNOWN = [
    "STREAM.INFO.@.x",
    "STREAM.INFO",
    "STREAM.CREATE",
    "STREAM.CREATE.@.b",
    "STREAM.BOGUS.@",
    "BOGUS",
    "STREAM.NAMES.x",
    "STREAM.LIST.x",
    "STREAM.DELETE",
    "STREAM.DELETE.@.x",
    "STREAM.PURGE.@.x",
    "STREAM.MSG.GET.@.x",
    "STREAM.MSG.DELETE.@.x",
    "STREAM.MSG.GET",
    "CONSUMER.NAMES.@.x",
    "CONSUMER.NAMES",
    "CONSUMER.LIST.@.x",
    "CONSUMER.INFO.@",
    "CONSUMER.INFO.@.c.x",
    "CONSUMER.DELETE.@",
    "CONSUMER.DELETE.@.c.x",
    "CONSUMER.CREATE",
    "CONSUMER.DURABLE.CREATE.@",
    "CONSUMER.DURABLE.CREATE.@.c.x",
    "CONSUMER.PAUSE.@",
    "CONSUMER.PAUSE.@.c.x",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
    "ACCOUNT.PURGE.x",
    "ACCOUNT.STREAM.MOVE.x.y",
    "STREAM.TEMPLATE.NAMES",
    "STREAM.TEMPLATE.CREATE.x",
    "stream.info.@",
    "STREAM.INFO.@.>",
]


def tag(subject):
    for character, spelled in ((".@", ""), (".", "_"), (">", "all")):
        subject = subject.replace(character, spelled)
    return subject


@each("api_unknown", [(tag(subject), subject) for subject in UNKNOWN])
def api_unknown(talk, subject):
    talk.create_stream()
    talk.expect_silence("$JS.API." + subject)
    talk.expect_silence("$JS.API." + subject, "{}")
    talk.expect_silence("$JS.API." + subject, "x")


@conversation
def api_cluster_only(talk):
    talk.create_stream()
    talk.create_consumer()
    for s in (
        "STREAM.LEADER.STEPDOWN.@",
        "CONSUMER.LEADER.STEPDOWN.@.c",
        "STREAM.PEER.REMOVE.@",
        "STREAM.LEADER.STEPDOWN.@none",
        "CONSUMER.LEADER.STEPDOWN.@.none",
    ):
        talk.api(s)
        talk.api(s, '{"peer":"x"}')


@conversation
def api_wildcards_in_subject(talk):
    talk.create_stream()
    talk.create_consumer()
    talk.api("STREAM.INFO.*", timeout=0.3)
    talk.api("STREAM.CREATE.*", {"name": "*"}, timeout=0.3)
    talk.api("CONSUMER.INFO.@.*", timeout=0.3)


# Requests whose body is empty, or may be.
BODILESS = [
    "STREAM.DELETE.@",
    "CONSUMER.INFO.@.c",
    "CONSUMER.DELETE.@.c",
    "STREAM.INFO.@",
    "STREAM.PURGE.@",
    "CONSUMER.NAMES.@",
    "CONSUMER.LIST.@",
    "STREAM.MSG.DELETE.@",
    "STREAM.MSG.GET.@",
    "CONSUMER.PAUSE.@.c",
]


@each("body", [(tag(subject), subject) for subject in BODILESS])
def body(talk, subject):
    for body in (
        "",
        "{}",
        '{"a":1}',
        "x",
        " ",
        "[]",
        "null",
        "{ }",
        "0",
        '{"offset":0}',
        '{"offset":"x"}',
    ):
        talk.create_stream()
        talk.create_consumer()
        talk.api(subject, body)


@conversation
def api_missing_stream(talk):
    for s in (
        "STREAM.INFO.@",
        "STREAM.DELETE.@",
        "STREAM.PURGE.@",
        "CONSUMER.NAMES.@",
        "CONSUMER.LIST.@",
        "CONSUMER.INFO.@.c",
        "CONSUMER.DELETE.@.c",
        "CONSUMER.PAUSE.@.c",
    ):
        talk.api(s)
    talk.api("STREAM.UPDATE.@", {"name": "@"})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.api("STREAM.MSG.GET.@", "")
    talk.api("STREAM.MSG.GET.@", "x")
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.api("STREAM.MSG.DELETE.@", "")
    talk.api("CONSUMER.CREATE.@.c", {"stream_name": "@", "config": {"durable_name": "c"}})
    talk.api("CONSUMER.CREATE.@", {"stream_name": "@", "config": {}})
    talk.api("CONSUMER.DURABLE.CREATE.@.c", {"stream_name": "@", "config": {"durable_name": "c"}})
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c")
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1})
    talk.request("$JS.API.DIRECT.GET.@.a")
    talk.request("$JS.ACK.@.c.1.1.1.1700000000000000000.0", "+ACK")


@conversation
def api_missing_consumer(talk):
    talk.create_stream()
    for s in (
        "CONSUMER.INFO.@.c",
        "CONSUMER.DELETE.@.c",
        "CONSUMER.PAUSE.@.c",
        "CONSUMER.NAMES.@",
        "CONSUMER.LIST.@",
    ):
        talk.api(s)
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c")
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c", '{"batch":1,"expires":100000000}')
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c.d", timeout=0.3)
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@", timeout=0.3)
    talk.request("$JS.ACK.@.c.1.1.1.1700000000000000000.0", "+ACK")
    talk.request("$JS.FC.@.c.abc", "")


@conversation
def api_paging_bodies(talk):
    talk.create_stream()
    talk.create_consumer("a")
    talk.create_consumer("b", deliver_subject="_INBOX.@.push", description="d")
    for b in (
        "",
        "{}",
        '{"offset":1}',
        '{"offset":2}',
        '{"offset":9}',
        '{"offset":-1}',
        '{"bogus":1}',
        '{"limit":1}',
        "x",
        '{"subject":"x"}',
    ):
        talk.api("CONSUMER.NAMES.@", b)
    talk.api("CONSUMER.LIST.@")
    talk.api(
        "CONSUMER.LIST.@",
        '{"offset":1}',
        view=lambda r: {k: v for k, v in r.get("json", {}).items() if k != "consumers"},
    )
    talk.api("STREAM.INFO.@", '{"offset":3}')
    talk.api("STREAM.INFO.@", '{"bogus":3}')
    talk.api("STREAM.INFO.@", '{"deleted_details":"x"}')
    talk.api("STREAM.INFO.@", '{"subjects_filter":"a..b"}')
    talk.api("STREAM.INFO.@", '{"subjects_filter":""}')


@conversation
def api_delete_twice(talk):
    talk.create_stream()
    talk.create_consumer()
    talk.api("CONSUMER.DELETE.@.c")
    talk.api("CONSUMER.DELETE.@.c")
    talk.api("STREAM.DELETE.@")
    talk.api("STREAM.DELETE.@")
    talk.publish("@.a")


@conversation
def api_request_by_plain_subscriber(talk):
    """a plain subscription on an API subject sees the request; the API still answers"""
    other = talk.connect()
    sub = other.subscribe("$JS.API.STREAM.CREATE.@")
    talk.create_stream()
    sub.take(1)


@conversation
def api_publish_to_api_response(talk):
    """replies go to literal reply subjects, also if those are captured by a stream"""
    talk.create_stream()
    talk.client.publish("$JS.API.STREAM.INFO.@", "", reply="@.resp")
    talk.sleep(0.1)
    talk.api("STREAM.INFO.@", view=lambda r: r.get("json", {}).get("state", {}).get("messages"))
    talk.api(
        "STREAM.MSG.GET.@",
        {"seq": 1},
        view=lambda r: "present" if "message" in r.get("json", {}) else r,
    )


@conversation
def api_noecho_headers_off(talk):
    """a connection without headers gets JSON replies and bodies of statuses"""
    other = talk.connect(headers=False, no_responders=False)
    talk.create_stream(whole=False)
    talk.create_consumer()
    talk.request("$JS.API.STREAM.INFO.@", connection=other, view=stream_state)
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c", '{"no_wait":true}', connection=other)
    talk.request(
        "$JS.API.CONSUMER.MSG.NEXT.@.none", '{"no_wait":true}', connection=other, timeout=0.2
    )
    talk.publish("@.a", "body", {"A": "b"})
    talk.request("$JS.API.CONSUMER.MSG.NEXT.@.c", "", connection=other)
