"""Every field of every request with values of every JSON type, and configurations made up."""

import random

from conversation import only_error
from registry import conversation, each, generated
from vocabulary import MS, PUSHED, SECOND

# JSON as it is written, so that numbers keep their form.
VALUES = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "1e3",
    "9223372036854775808",
    '""',
    '"x"',
    '"1"',
    "[]",
    '["x"]',
    "[1]",
    "{}",
    '{"x":1}',
]

STREAM_FIELDS = [
    "name",
    "description",
    "subjects",
    "retention",
    "max_consumers",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "max_msg_size",
    "discard",
    "discard_new_per_subject",
    "storage",
    "num_replicas",
    "no_ack",
    "duplicate_window",
    "placement",
    "mirror",
    "sources",
    "compression",
    "first_seq",
    "subject_transform",
    "republish",
    "allow_direct",
    "mirror_direct",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "consumer_limits",
    "metadata",
    "allow_msg_ttl",
    "subject_delete_marker_ttl",
    "allow_msg_counter",
    "allow_atomic",
    "allow_msg_schedules",
    "persist_mode",
    "allow_batched",
    "pedantic",
    "template_owner",
]


@each("stream_field", [(field, field) for field in STREAM_FIELDS])
def stream_field(talk, field):
    for value in VALUES:
        body = f'{{"name":"@","subjects":["@.>"],"storage":"memory","{field}":{value}}}'
        talk.api("STREAM.CREATE.@", body, view=configured)
        talk.api("STREAM.DELETE.@", recorded=False)


CONSUMER_FIELDS = [
    "durable_name",
    "name",
    "description",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "backoff",
    "filter_subject",
    "filter_subjects",
    "replay_policy",
    "rate_limit_bps",
    "sample_freq",
    "max_waiting",
    "max_ack_pending",
    "headers_only",
    "max_batch",
    "max_expires",
    "max_bytes",
    "deliver_subject",
    "deliver_group",
    "flow_control",
    "idle_heartbeat",
    "inactive_threshold",
    "num_replicas",
    "mem_storage",
    "metadata",
    "pause_until",
    "priority_groups",
    "priority_policy",
    "priority_timeout",
]


@each("consumer_field", [(field, field) for field in CONSUMER_FIELDS])
def consumer_field(talk, field):
    talk.create_stream()
    for value in VALUES:
        config = f'"name":"c","{field}":{value}'
        body = f'{{"stream_name":"@","config":{{{config}}}}}'
        talk.api("CONSUMER.CREATE.@.c", body, view=configured)
        talk.api("CONSUMER.DELETE.@.c", recorded=False)


def configured(form):
    """The configuration that came of it, without what only says by which server"""
    answer = form.get("json", {})
    if "error" in answer or "config" not in answer:
        return only_error(form)
    return answer["config"]


# The fields of other requests, with what they are asked with otherwise.
REQUESTS = [
    ("names", "STREAM.NAMES", '"subject":"@.a"', ["offset", "subject"]),
    ("list", "STREAM.LIST", '"subject":"@.a"', ["offset", "subject"]),
    ("info", "STREAM.INFO.@", "", ["offset", "deleted_details", "subjects_filter"]),
    ("purge", "STREAM.PURGE.@", "", ["seq", "keep", "filter"]),
    (
        "get",
        "STREAM.MSG.GET.@",
        "",
        ["seq", "last_by_subj", "next_by_subj", "batch", "start_time", "no_hdr", "multi_last"],
    ),
    (
        "direct",
        "DIRECT.GET.@",
        "",
        [
            "seq",
            "last_by_subj",
            "next_by_subj",
            "batch",
            "max_bytes",
            "start_time",
            "multi_last",
            "up_to_seq",
            "up_to_time",
            "no_hdr",
        ],
    ),
    ("delete", "STREAM.MSG.DELETE.@", "", ["seq", "no_erase"]),
    ("consumer_names", "CONSUMER.NAMES.@", "", ["offset"]),
    ("consumer_list", "CONSUMER.LIST.@", "", ["offset"]),
    (
        "create",
        "CONSUMER.CREATE.@.d",
        '"config":{}',
        ["stream_name", "config", "action", "pedantic"],
    ),
    ("pause", "CONSUMER.PAUSE.@.c", "", ["pause_until"]),
    ("unpin", "CONSUMER.UNPIN.@.c", "", ["group"]),
    ("reset", "CONSUMER.RESET.@.c", "", ["seq"]),
]


@each(
    "request_field",
    [
        (f"{tag}_{field}", subject, other, field)
        for tag, subject, other, fields in REQUESTS
        for field in fields
    ],
)
def request_field(talk, subject, other, field):
    talk.create_stream(allow_direct=True)
    talk.fill(3)
    talk.create_consumer()
    given = "" if f'"{field}":' in other else other
    for value in VALUES:
        body = "{" + ",".join(filter(None, [given, f'"{field}":{value}'])) + "}"
        talk.request("$JS.API." + subject, body, view=brief)


def brief(form):
    """Errors in full, of the rest the kind and what does not depend on other conversations"""
    if "json" not in form:
        return form
    answer = form["json"]
    kept = {key: answer[key] for key in ("type", "error", "offset", "purged") if key in answer}
    if "message" in answer:
        kept["seq"] = answer["message"]["seq"]
    return kept


@conversation
def fields_unknown(talk):
    """A field that no request has"""
    talk.create_stream()
    talk.create_consumer()
    for tag, subject, other, _fields in REQUESTS:
        body = "{" + ",".join(filter(None, [other, '"bogus":1'])) + "}"
        talk.request("$JS.API." + subject, body, view=brief)
    nested = [
        '{"name":"@2","consumer_limits":{"bogus":1}}',
        '{"name":"@2","placement":{"bogus":1}}',
        '{"name":"@2","mirror":{"name":"@","bogus":1}}',
        '{"name":"@2","sources":[{"name":"@","bogus":1}]}',
        '{"name":"@2","republish":{"dest":"x","bogus":1}}',
        '{"name":"@2","subject_transform":{"src":"@.a","bogus":1}}',
        '{"name":"@2","sources":[{"name":"@","external":{"bogus":1}}]}',
    ]
    for body in nested:
        talk.api("STREAM.CREATE.@2", body, view=only_error)


STREAM_CHOICES = {
    "retention": ["limits", "limits", "interest", "workqueue"],
    "max_msgs": [-1, 5, 100],
    "max_bytes": [-1, 10000],
    "max_age": [0, SECOND, 60 * SECOND, 50 * MS],
    "max_msgs_per_subject": [-1, 1, 10],
    "max_msg_size": [-1, 1000],
    "discard": ["old", "new"],
    "discard_new_per_subject": [True, False],
    "storage": ["memory", "file"],
    "duplicate_window": [0, SECOND, 10 * SECOND, 120 * SECOND],
    "compression": ["none", "s2"],
    "allow_direct": [True, False],
    "mirror_direct": [False, False, True],
    "deny_delete": [True, False],
    "deny_purge": [True, False],
    "allow_rollup_hdrs": [True, False],
    "no_ack": [True, False],
    "max_consumers": [-1, 3],
    "consumer_limits": [
        {"max_ack_pending": 10},
        {"inactive_threshold": 5 * SECOND},
        {"max_ack_pending": 10, "inactive_threshold": 5 * SECOND},
    ],
    "subject_transform": [{"src": "@.*", "dest": "@.x.$1"}],
    "republish": [{"src": ">", "dest": "out.@.>"}],
    "allow_msg_ttl": [True, False],
    "subject_delete_marker_ttl": [0, SECOND, 60 * SECOND],
    "allow_msg_counter": [True, False],
    "allow_atomic": [True, False],
    "allow_msg_schedules": [True, False],
    "persist_mode": ["default", "async"],
    "first_seq": [0, 1, 50],
    "pedantic": [True, False],
}


@generated("generated_stream_config", 100)
def stream_configs(talk):
    """A configuration, changed twice"""
    draw = random.Random(f"stream {talk.seed}")
    config = drawn(draw, STREAM_CHOICES, 6)
    talk.create_stream(whole=True, **config)
    for _ in range(3):
        config = {**config, **drawn(draw, STREAM_CHOICES, 3)}
        talk.update_stream(**config)
    # Before an age of a second can matter, also where there is no answer.
    talk.publish("@.a", "x", timeout=0.4)
    talk.stream_info()


CONSUMER_CHOICES = {
    "deliver_policy": ["all", "last", "new", "last_per_subject"],
    "opt_start_seq": [2],
    "ack_policy": ["explicit", "all", "none"],
    "ack_wait": [0, SECOND, -1],
    "max_deliver": [-1, 1, 3],
    "backoff": [[SECOND], [SECOND, 2 * SECOND]],
    "filter_subject": ["@.a", "@.*", ""],
    "filter_subjects": [["@.a", "@.b"], ["@.a"], []],
    "replay_policy": ["instant", "original"],
    "rate_limit_bps": [0, 1000],
    "sample_freq": ["50", "50%"],
    "max_waiting": [0, 5],
    "max_ack_pending": [-1, 0, 5],
    "headers_only": [True, False],
    "max_batch": [0, 5],
    "max_expires": [0, SECOND],
    "max_bytes": [0, 1000],
    "deliver_subject": [PUSHED],
    "deliver_group": ["g"],
    "flow_control": [True, False],
    "idle_heartbeat": [0, SECOND],
    "inactive_threshold": [0, 60 * SECOND],
    "num_replicas": [0, 1],
    "mem_storage": [True, False],
    "pause_until": ["2099-01-01T00:00:00Z"],
    "priority_groups": [["g"]],
    "priority_policy": ["none", "overflow", "pinned_client", "prioritized"],
    "priority_timeout": [0, 60 * SECOND],
    "description": ["d"],
}


@generated("generated_consumer_config", 100)
def consumer_configs(talk):
    """A configuration on a stream of any retention with limits, changed twice"""
    draw = random.Random(f"consumer {talk.seed}")
    choices = {key: STREAM_CHOICES[key] for key in ("retention", "storage", "consumer_limits")}
    talk.create_stream(**drawn(draw, choices, 2))
    talk.fill(3)
    config = drawn(draw, CONSUMER_CHOICES, 5)
    talk.create_consumer(whole=True, **config)
    for _ in range(3):
        config = {**config, **drawn(draw, CONSUMER_CHOICES, 2)}
        talk.create_consumer(whole=True, **config)


def drawn(draw, choices, most):
    fields = draw.sample(sorted(choices), draw.randrange(1, most + 1))
    return {field: draw.choice(choices[field]) for field in fields}
