"""Levels of the API: what a request needs, what a configuration needs, what is told of it."""

from conversation import consumer_config, stream_config
from registry import conversation, each
from vocabulary import SECOND

LEVEL = "Nats-Required-Api-Level"

# Every kind of request, as one that may be answered.
REQUESTS = [
    ("info", "INFO", ""),
    ("stream_names", "STREAM.NAMES", {"subject": "@.a"}),
    ("stream_list", "STREAM.LIST", {"subject": "@.nothing"}),
    ("stream_info", "STREAM.INFO.@", ""),
    ("stream_create", "STREAM.CREATE.@2", {"name": "@2", "storage": "memory"}),
    ("stream_update", "STREAM.UPDATE.@", stream_config("@", {})),
    ("stream_purge", "STREAM.PURGE.@", ""),
    ("stream_delete", "STREAM.DELETE.@", ""),
    ("message_get", "STREAM.MSG.GET.@", {"seq": 1}),
    ("message_delete", "STREAM.MSG.DELETE.@", {"seq": 1}),
    ("consumer_names", "CONSUMER.NAMES.@", ""),
    ("consumer_list", "CONSUMER.LIST.@", ""),
    ("consumer_info", "CONSUMER.INFO.@.c", ""),
    ("consumer_create", "CONSUMER.CREATE.@.d", {"stream_name": "@", "config": {"name": "d"}}),
    (
        "consumer_durable",
        "CONSUMER.DURABLE.CREATE.@.d",
        {"stream_name": "@", "config": {"durable_name": "d"}},
    ),
    ("consumer_delete", "CONSUMER.DELETE.@.c", ""),
    ("consumer_pause", "CONSUMER.PAUSE.@.c", ""),
    ("consumer_reset", "CONSUMER.RESET.@.c", ""),
    ("consumer_unpin", "CONSUMER.UNPIN.@.c", {"group": "g"}),
    ("next", "CONSUMER.MSG.NEXT.@.c", {"no_wait": True}),
    ("direct", "DIRECT.GET.@", {"seq": 1}),
    ("direct_subject", "DIRECT.GET.@.@.a", ""),
    ("leader", "STREAM.LEADER.STEPDOWN.@", ""),
]


@each("level_needed", REQUESTS)
def needed(talk, subject, body):
    """The lists show the streams of others, so they look for what is theirs only"""
    for level in ("99", "6", "4", "1", "0", "-1", "x", "", "1.5", " 1", "99999999999999999999"):
        talk.create_stream(allow_direct=True)
        talk.fill(1)
        talk.create_consumer()
        brief = only_fault if subject in ("INFO", "STREAM.NAMES", "STREAM.LIST") else fault_or_kind
        talk.request("$JS.API." + subject, body, {LEVEL: level}, view=brief)
        talk.api("STREAM.DELETE.@", recorded=False)
        talk.api("STREAM.DELETE.@2", recorded=False)


def only_fault(form):
    return form["json"].get("error", "ok") if "json" in form else form


def fault_or_kind(form):
    if "json" not in form:
        return form
    answer = form["json"]
    return {"type": answer.get("type"), "error": answer.get("error")}


# A configuration, and so the level that it needs.
STREAMS = [
    ("plain", {}),
    ("compression", {"storage": "file", "compression": "s2"}),
    ("limits", {"consumer_limits": {"max_ack_pending": 5}}),
    ("transform", {"subject_transform": {"src": "@.*", "dest": "@.x.$1"}}),
    ("republish", {"republish": {"src": ">", "dest": "out.@.>"}}),
    ("first", {"first_seq": 5}),
    ("ttl", {"allow_msg_ttl": True}),
    ("marker", {"subject_delete_marker_ttl": SECOND}),
    ("counter", {"allow_msg_counter": True}),
    ("atomic", {"allow_atomic": True}),
    ("schedules", {"allow_msg_schedules": True}),
    ("batched", {"allow_batched": True}),
    ("async", {"persist_mode": "async", "storage": "file"}),
    ("default_persist", {"persist_mode": "default", "storage": "file"}),
    ("own_metadata", {"metadata": {"a": "b", "_nats.req.level": "9", "_nats.level": "9"}}),
    ("own_version", {"metadata": {"_nats.ver": "9", "_nats.other": "x"}}),
    ("several", {"allow_msg_ttl": True, "allow_atomic": True}),
]


@each("level_of_stream", STREAMS)
def of_stream(talk, config):
    talk.create_stream(whole=True, **config)
    talk.api("STREAM.INFO.@", view=metadata)
    talk.update_stream(description="x", **config)
    talk.api("STREAM.CREATE.@", stream_config("@", {"description": "x", **config}), view=metadata)
    talk.update_stream("@", whole=False, metadata={"b": "c"})
    talk.api("STREAM.INFO.@", view=metadata)
    talk.api("STREAM.LIST", {"subject": "@.a"}, view=metadata_of_list)


CONSUMERS = [
    ("plain", {}),
    ("filters", {"filter_subjects": ["@.a", "@.b"]}),
    ("pause", {"pause_until": "2099-01-01T00:00:00Z"}),
    ("pause_over", {"pause_until": "2020-01-01T00:00:00Z"}),
    ("overflow", {"priority_groups": ["g"], "priority_policy": "overflow"}),
    ("pinned", {"priority_groups": ["g"], "priority_policy": "pinned_client"}),
    ("prioritized", {"priority_groups": ["g"], "priority_policy": "prioritized"}),
    ("priority_none", {"priority_policy": "none"}),
    ("own_metadata", {"metadata": {"a": "b", "_nats.req.level": "9", "_nats.level": "9"}}),
    ("own_version", {"metadata": {"_nats.ver": "9", "_nats.other": "x"}}),
]


@each("level_of_consumer", CONSUMERS)
def of_consumer(talk, config):
    talk.create_stream()
    talk.create_consumer(whole=True, **config)
    talk.api("CONSUMER.INFO.@.c", view=metadata)
    talk.create_consumer(whole=True, description="x", **config)
    body = {"stream_name": "@", "config": consumer_config({"metadata": {"b": "c"}})}
    talk.api("CONSUMER.CREATE.@.c", body, view=metadata)
    talk.api("CONSUMER.INFO.@.c", view=metadata)
    talk.api("CONSUMER.LIST.@", view=metadata_of_list)


@conversation
def level_of_paused(talk):
    """A pause by request is not one of the configuration"""
    talk.create_stream()
    talk.create_consumer()
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": "2099-01-01T00:00:00Z"})
    talk.api("CONSUMER.INFO.@.c", view=metadata)
    talk.api("CONSUMER.PAUSE.@.c", "")
    talk.api("CONSUMER.INFO.@.c", view=metadata)


@conversation(own_server=True)
def level_across_restart(talk):
    talk.create_stream(storage="file", allow_msg_ttl=True)
    talk.create_consumer(priority_groups=["g"], priority_policy="overflow")
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.api("STREAM.INFO.@", view=metadata)
    talk.api("CONSUMER.INFO.@.c", view=metadata)


@conversation
def level_of_server(talk):
    """INFO of the connection tells it too"""
    talk.step("told", ["api_lvl" in (talk.client.info or {})])


def metadata(form):
    answer = form.get("json", {})
    return answer.get("config", {}).get("metadata", answer.get("error"))


def metadata_of_list(form):
    answer = form["json"]
    listed = answer.get("streams") or answer.get("consumers") or []
    return [one["config"].get("metadata") for one in listed]
