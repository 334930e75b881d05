"""Streams that copy through a consumer of their origin: `consumer` of a source or a mirror."""

from registry import conversation, each
from vocabulary import PUSHED, SECOND

from conversations.mirrors import create, holds, mirror, origin, read

CONSUMER = {"name": "c", "deliver_subject": PUSHED}

TRANSFORM = [{"src": "@.a", "dest": "x.@"}]

CONFIGS = [
    ("whole", {}),
    ("empty", {"consumer": {}}),
    ("no_name", {"consumer": {"deliver_subject": PUSHED}}),
    ("no_subject", {"consumer": {"name": "c"}}),
    ("bad_name", {"consumer": {"name": "a.b", "deliver_subject": PUSHED}}),
    ("blank_name", {"consumer": {"name": "a b", "deliver_subject": PUSHED}}),
    ("slash_name", {"consumer": {"name": "a/b", "deliver_subject": PUSHED}}),
    ("wildcard", {"consumer": {"name": "c", "deliver_subject": "d.@.*"}}),
    ("bad_subject", {"consumer": {"name": "c", "deliver_subject": "d..@"}}),
    ("unknown_field", {"consumer": {**CONSUMER, "bogus": 1}}),
    ("start_sequence", {"opt_start_seq": 2}),
    ("start_time", {"opt_start_time": "2020-01-01T00:00:00Z"}),
    ("filter", {"filter_subject": "@.a"}),
    ("bad_filter", {"filter_subject": "@..a"}),
    ("transforms", {"subject_transforms": TRANSFORM}),
    ("bad_transform", {"consumer": {}, "subject_transforms": [{"src": "@.*", "dest": "x.$2"}]}),
    ("filter_and_transforms", {"filter_subject": "@.a", "subject_transforms": TRANSFORM}),
]


def through(**options):
    return {"name": "@", "consumer": CONSUMER, **options}


def consumer(talk, **config):
    """What copies are made through; with a short window, that it is acknowledged soon"""
    talk.create_consumer(
        **{
            "ack_policy": "flow_control",
            "deliver_subject": PUSHED,
            "flow_control": True,
            "idle_heartbeat": SECOND,
            "max_ack_pending": 1,
            **config,
        }
    )


def settled(talk, seq):
    """Waits until all is acknowledged up to a message, and records what the consumer says"""
    for _ in range(60):
        info = talk.api("CONSUMER.INFO.@.c", recorded=False)
        if info.get("ack_floor", {}).get("stream_seq") == seq:
            break
        talk.sleep(0.05)
    talk.consumer_info()


@each("attached_source_config", CONFIGS)
def configured_source(talk, options):
    talk.create_stream()
    create(talk, "@2", sources=[through(**options)])


@each("attached_mirror_config", CONFIGS)
def configured_mirror(talk, options):
    talk.create_stream()
    mirror(talk, mirror=through(**options))


SOURCES = [
    ("same", [through(), through()]),
    ("same_name", [through(), through(consumer={"name": "c", "deliver_subject": "e.@"})]),
    ("other_transform", [through(), through(subject_transforms=TRANSFORM)]),
    ("other_name", [through(), through(consumer={"name": "e", "deliver_subject": "e.@"})]),
    ("and_without", [through(), {"name": "@"}]),
]


@each("attached_sources", SOURCES)
def configured_sources(talk, sources):
    talk.create_stream()
    create(talk, "@2", sources=sources)


@conversation
def attached_update(talk):
    talk.create_stream()
    create(talk, "@2", sources=[through()])
    talk.update_stream("@2", sources=[through(consumer={"name": "c"})])
    talk.update_stream("@2", sources=[through(consumer={"name": "e", "deliver_subject": "e.@"})])


@conversation
def attached_source(talk):
    origin(talk)
    consumer(talk)
    create(talk, "@2", sources=[through()])
    holds(talk, "@2", 4)
    settled(talk, 4)
    read(talk, "@2", 4)


@conversation
def attached_work_queue(talk):
    origin(talk, retention="workqueue")
    consumer(talk)
    create(talk, "@2", sources=[through(subject_transforms=[{"src": "@.*", "dest": "x.@.$1"}])])
    holds(talk, "@2", 4)
    settled(talk, 4)
    talk.stream_info()
    read(talk, "@2", 4)


@conversation
def attached_mirror(talk):
    """Of what the consumer is for: its filter, its start"""
    origin(talk)
    consumer(
        talk, filter_subject="@.a", deliver_policy="by_start_sequence", opt_start_seq=2
    )
    mirror(talk, mirror=through())
    holds(talk, "@2", 1)
    settled(talk, 3)
    read(talk, "@2", 1)


@conversation
def attached_headers(talk):
    origin(talk)
    consumer(talk, headers_only=True)
    create(talk, "@2", sources=[through()])
    holds(talk, "@2", 4)
    read(talk, "@2", 4)
