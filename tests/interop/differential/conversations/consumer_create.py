"""How consumers are made: subjects and bodies of the request, names."""

from conversation import only_error
from registry import conversation, each, numbered

REQUESTS = [
    ("CONSUMER.CREATE.@", b)
    for b in (
        "",
        "{}",
        "x",
        "null",
        '{"stream_name":"@"}',
        '{"config":{}}',
        '{"stream_name":"@","config":{}}',
        '{"stream_name":"zz","config":{}}',
        '{"stream_name":"","config":{}}',
        '{"stream_name":"@","config":null}',
        '{"stream_name":"@","config":{"durable_name":"d"}}',
        '{"stream_name":"@","config":{"name":"n"}}',
        '{"stream_name":"@","config":{"name":"n","durable_name":"n"}}',
        '{"stream_name":"@","config":{"bogus":1}}',
        '{"stream_name":"@","config":{},"bogus":1}',
        '{"stream_name":"@","config":{},"action":"bogus"}',
        '{"stream_name":"@","config":{},"action":"create"}',
        '{"stream_name":"@","config":{},"action":"update"}',
        '{"stream_name":"@","config":{"filter_subject":"@.a"}}',
        '{"stream_name":"@","config":{"ack_wait":"5s"}}',
    )
]
REQUESTS += [
    ("CONSUMER.CREATE.@.c", b)
    for b in (
        "",
        "{}",
        '{"stream_name":"@"}',
        '{"stream_name":"@","config":{}}',
        '{"stream_name":"zz","config":{}}',
        '{"config":{}}',
        '{"stream_name":"@","config":{"durable_name":"c"}}',
        '{"stream_name":"@","config":{"durable_name":"d"}}',
        '{"stream_name":"@","config":{"name":"d"}}',
        '{"stream_name":"@","config":{"durable_name":"c","name":"d"}}',
        '{"stream_name":"@","config":{"durable_name":"c","filter_subject":"@.a"}}',
        '{"stream_name":"@","config":{"name":"c"},"action":"create"}',
        '{"stream_name":"@","config":{"name":"c"},"action":"update"}',
    )
]
REQUESTS += [
    ("CONSUMER.CREATE.@.c.@.a", b)
    for b in (
        "",
        '{"stream_name":"@","config":{"name":"c","filter_subject":"@.a"}}',
        '{"stream_name":"@","config":{"name":"c"}}',
        '{"stream_name":"@","config":{"name":"c","filter_subject":"@.b"}}',
        '{"stream_name":"@","config":{"name":"c","filter_subjects":["@.a","@.b"]}}',
        '{"stream_name":"@","config":{"name":"c","filter_subjects":["@.a"]}}',
        '{"stream_name":"@","config":{"name":"d","filter_subject":"@.a"}}',
        '{"stream_name":"@","config":{"durable_name":"c","filter_subject":"@.a"}}',
    )
]
REQUESTS += [
    ("CONSUMER.CREATE.@.c.>", '{"stream_name":"@","config":{"name":"c","filter_subject":">"}}'),
    (
        "CONSUMER.CREATE.@.c.@.*.b",
        '{"stream_name":"@","config":{"name":"c","filter_subject":"@.*.b"}}',
    ),
    ("CONSUMER.CREATE.@.c.", '{"stream_name":"@","config":{"name":"c"}}'),
    (
        "CONSUMER.CREATE.@.c.@.a.",
        '{"stream_name":"@","config":{"name":"c","filter_subject":"@.a."}}',
    ),
]
REQUESTS += [
    ("CONSUMER.DURABLE.CREATE.@.c", b)
    for b in (
        "",
        "{}",
        '{"stream_name":"@","config":{}}',
        '{"stream_name":"@","config":{"durable_name":"c"}}',
        '{"stream_name":"@","config":{"durable_name":"d"}}',
        '{"stream_name":"@","config":{"name":"c"}}',
        '{"stream_name":"zz","config":{"durable_name":"c"}}',
        '{"stream_name":"@","config":{"durable_name":"c","name":"c"}}',
        '{"stream_name":"@","config":{"durable_name":"c","name":"d"}}',
        '{"stream_name":"@","config":{"durable_name":"c"},"action":"create"}',
        '{"stream_name":"@","config":{"durable_name":"c","filter_subject":"@.a"}}',
    )
]


@each("consumer_create", numbered(REQUESTS))
def consumer_create(talk, subject, body):
    talk.create_stream()
    talk.fill(2)
    talk.note_sent(body)
    talk.api(subject, body, timeout=0.5)
    talk.api(
        "CONSUMER.LIST.@",
        view=lambda r: [
            {"name": x.get("name"), "cfg": x.get("config")}
            for x in (r.get("json", {}).get("consumers") or [])
        ],
    )


@each(
    "consumer_name",
    numbered(
        [
            "a b",
            "a*",
            "a>",
            "a/b",
            "a\\b",
            "x" * 255,
            "x" * 256,
            "\u00e9",
            "a$b",
            'a"b',
            "a\x01b",
            "a-b_c=d",
        ]
    ),
)
def consumer_name(talk, name):
    talk.create_stream()
    body = {"stream_name": "@", "config": {"name": name, "ack_policy": "none"}}
    if " " not in name:
        talk.api("CONSUMER.CREATE.@." + name, body, timeout=0.4)
        talk.api(
            "CONSUMER.DURABLE.CREATE.@." + name,
            {"stream_name": "@", "config": {"durable_name": name}},
            timeout=0.4,
        )
    talk.api("CONSUMER.CREATE.@", body)
    talk.api(
        "CONSUMER.CREATE.@",
        {"stream_name": "@", "config": {"name": name + ".dot", "ack_policy": "none"}},
        view=only_error,
    )
    talk.api(
        "CONSUMER.DURABLE.CREATE.@.zz",
        {"stream_name": "@", "config": {"durable_name": name}},
        view=only_error,
    )
    if " " not in name:
        talk.api("CONSUMER.DELETE.@." + name, timeout=0.4)


@conversation
def consumer_name_case(talk):
    talk.create_stream()
    talk.create_consumer("abc")
    talk.create_consumer("ABC")
    talk.api("CONSUMER.NAMES.@")
