"""Streams that copy others: mirrors and sources of one account."""

import datetime

from conversation import only_error, stream_config, stream_state
from registry import conversation, each
from vocabulary import MSG_ID, ROLLUP, SECOND

# Copies are made by another task: their state is asked for until it is what is waited for.
POLL_S = 0.05
PATIENCE_S = 5


def holds(talk, name, messages, last=None):
    """Waits until the stream has so many messages; records its state, and what it copies from."""
    for _ in range(int(PATIENCE_S / POLL_S)):
        state = talk.api(f"STREAM.INFO.{name}", recorded=False).get("state", {})
        if state.get("messages") == messages and last in (None, state.get("last_seq")):
            break
        talk.sleep(POLL_S)
    # What the lag says a moment later.
    talk.sleep(0.1)
    talk.api(f"STREAM.INFO.{name}", {"subjects_filter": ">"}, view=copied)


def copied(form):
    answer = form.get("json", {})
    kept = stream_state(form)
    for key in ("mirror", "sources"):
        if key in answer:
            kept[key] = answer[key]
    # nats-server tells them in any order.
    if "sources" in kept:
        kept["sources"] = sorted(kept["sources"], key=lambda source: source["name"])
    return kept


def read(talk, name, count):
    """Records the messages of a stream, with their headers"""
    talk.create_consumer("all", stream=name, ack_policy="none")
    talk.fetch("all", {"batch": count, "no_wait": True}, count, stream=name)


def origin(talk, name="@", **config):
    talk.create_stream(name, **config)
    for subject in "abac":
        talk.publish(f"{name}.{subject}", subject, {"H": "v"} if subject == "c" else None)


def create(talk, name, **config):
    """Records what was made of the configuration, not what the copy does in its first moment"""
    talk.api(f"STREAM.CREATE.{name}", stream_config(name, config), view=made_of_it)


def made_of_it(form):
    answer = form.get("json", {})
    return answer["config"] if "config" in answer else only_error(form)


def mirror(talk, name="@2", **options):
    mirror = {"name": "@", **options.pop("mirror", {})}
    create(talk, name, **{"subjects": None, "mirror": mirror, **options})


@conversation
def mirror_plain(talk):
    origin(talk)
    mirror(talk)
    holds(talk, "@2", 4)
    read(talk, "@2", 4)
    talk.publish("@.a", "later")
    holds(talk, "@2", 5)


@conversation
def mirror_created_first(talk):
    """Of a stream that is made later"""
    mirror(talk)
    talk.api("STREAM.INFO.@2", view=copied)
    talk.create_stream()
    talk.fill(1)
    talk.stream_info()


@conversation
def mirror_gaps(talk):
    """Sequences stay, removals of the origin do not follow"""
    origin(talk)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.api("STREAM.PURGE.@", {"seq": 2})
    mirror(talk)
    holds(talk, "@2", 2)
    talk.api("STREAM.INFO.@2", {"deleted_details": True}, view=stream_state)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 3})
    talk.publish("@.a", "later")
    holds(talk, "@2", 3)


@conversation
def mirror_filter(talk):
    origin(talk)
    mirror(talk, mirror={"filter_subject": "@.a"})
    holds(talk, "@2", 2)
    read(talk, "@2", 2)


@conversation
def mirror_start_sequence(talk):
    origin(talk)
    mirror(talk, mirror={"opt_start_seq": 3})
    holds(talk, "@2", 2)
    read(talk, "@2", 2)


@conversation
def mirror_start_time(talk):
    origin(talk)
    talk.sleep(0.05)
    now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    talk.sleep(0.05)
    talk.publish("@.a", "later")
    mirror(talk, mirror={"opt_start_time": now})
    holds(talk, "@2", 1)


@conversation
def mirror_transform(talk):
    origin(talk)
    transforms = [{"src": "@.*", "dest": "m.@.$1"}]
    mirror(talk, mirror={"subject_transforms": transforms})
    holds(talk, "@2", 4)
    read(talk, "@2", 4)


@conversation
def mirror_transforms(talk):
    origin(talk)
    transforms = [{"src": "@.a", "dest": "m.@.one"}, {"src": "@.b", "dest": "m.@.two"}]
    mirror(talk, mirror={"subject_transforms": transforms})
    holds(talk, "@2", 3)
    read(talk, "@2", 3)


@conversation
def mirror_of_mirror(talk):
    origin(talk)
    mirror(talk)
    mirror(talk, "@3", mirror={"name": "@2"})
    holds(talk, "@3", 4)


@conversation
def mirror_direct(talk):
    """allow_direct of the origin is mirror_direct of the mirror"""
    origin(talk, allow_direct=True)
    mirror(talk)
    holds(talk, "@2", 4)
    talk.request("$JS.API.DIRECT.GET.@2", {"seq": 1})
    talk.create_stream("@4")
    mirror(talk, "@3", mirror={"name": "@4"})
    mirror(talk, "@5", mirror={"name": "@4"}, mirror_direct=True)


@conversation
def mirror_limits(talk):
    origin(talk)
    mirror(talk, max_msgs=2)
    holds(talk, "@2", 2, last=4)
    talk.api("STREAM.PURGE.@2")
    holds(talk, "@2", 0)
    talk.publish("@.a", "later")
    holds(talk, "@2", 1)


@conversation
def mirror_consumers(talk):
    """What a mirror keeps is its own"""
    origin(talk)
    mirror(talk)
    holds(talk, "@2", 4)
    talk.create_consumer("c", stream="@2", filter_subject="@.a")
    message = talk.fetch("c", "2", 2, stream="@2")
    talk.ack(message)
    talk.consumer_info("c", "@2")
    talk.api("STREAM.MSG.DELETE.@2", {"seq": 1})
    talk.stream_info(name="@2")
    talk.stream_info()


@conversation
def mirror_headers(talk):
    """Expectations, rollups and ids are the origin's"""
    talk.create_stream(allow_rollup_hdrs=True)
    talk.publish("@.a", "1", [(MSG_ID, "i"), ("Nats-Expected-Last-Sequence", "0")])
    talk.publish("@.a", "2")
    talk.publish("@.a", "3", {ROLLUP: "sub"})
    mirror(talk)
    holds(talk, "@2", 1)
    read(talk, "@2", 1)
    talk.publish("@.a", "4", [(MSG_ID, "j"), ("Nats-Expected-Last-Sequence", "3")])
    holds(talk, "@2", 2)
    talk.fetch("all", {"batch": 1, "no_wait": True}, 1, stream="@2")


@conversation
def mirror_updates(talk):
    """What may be changed: the mirror itself only by taking it away"""
    origin(talk)
    mirror(talk)
    holds(talk, "@2", 4)
    talk.update_stream("@2", subjects=None, mirror={"name": "@"}, description="x")
    talk.update_stream("@2", subjects=None, mirror={"name": "@3"})
    talk.update_stream("@2", subjects=None, mirror={"name": "@", "filter_subject": "@.a"})
    talk.update_stream("@2", subjects=["x.@"], mirror={"name": "@"})
    talk.update_stream("@2", subjects=["x.@"])
    talk.publish("x.@", "own")
    talk.publish("@.a", "later")
    talk.sleep(0.2)
    talk.api("STREAM.INFO.@2", view=copied)
    talk.update_stream("@2", subjects=None, mirror={"name": "@"})


@conversation
def mirror_delete_origin(talk):
    origin(talk)
    mirror(talk)
    holds(talk, "@2", 4)
    talk.api("STREAM.DELETE.@")
    holds(talk, "@2", 4)
    talk.api("STREAM.DELETE.@2")


@conversation(own_server=True)
def mirror_across_restart(talk):
    talk.create_stream(storage="file")
    talk.fill(5)
    mirror(talk, storage="file")
    holds(talk, "@2", 5)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.fill(3)
    holds(talk, "@2", 8)


# A mirror that is refused, and some that are not.
MIRRORS = [
    ("subjects", {"subjects": ["x.@"]}),
    ("subjects_empty", {"subjects": []}),
    ("sources", {"sources": [{"name": "@3"}]}),
    ("first_seq", {"first_seq": 5}),
    ("counter", {"allow_msg_counter": True}),
    ("atomic", {"allow_atomic": True}),
    ("batched", {"allow_batched": True}),
    ("schedules", {"allow_msg_schedules": True}),
    ("ttl", {"allow_msg_ttl": True}),
    ("marker", {"subject_delete_marker_ttl": SECOND}),
    ("duplicates", {"duplicate_window": SECOND}),
    ("transform", {"subject_transform": {"src": "@.*", "dest": "x.$1"}}),
    ("republish", {"republish": {"src": ">", "dest": "out.@.>"}}),
    ("workqueue", {"retention": "workqueue"}),
    ("interest", {"retention": "interest"}),
    ("discard_new", {"discard": "new", "max_msgs": 2}),
    ("rollup", {"allow_rollup_hdrs": True}),
    ("sealed", {"sealed": True}),
    ("no_ack", {"no_ack": True}),
    ("self", {"mirror": {"name": "@2"}}),
    ("no_name", {"mirror": {"name": ""}}),
    ("empty", {"mirror": {}}),
    ("bad_name", {"mirror": {"name": "a.b"}}),
    ("unknown_field", {"mirror": {"name": "@", "bogus": 1}}),
    (
        "both_starts",
        {"mirror": {"name": "@", "opt_start_seq": 2, "opt_start_time": "2020-01-01T00:00:00Z"}},
    ),
    ("bad_time", {"mirror": {"name": "@", "opt_start_time": "x"}}),
    ("far_start", {"mirror": {"name": "@", "opt_start_seq": 99}}),
    ("bad_filter", {"mirror": {"name": "@", "filter_subject": "@..a"}}),
    ("foreign_filter", {"mirror": {"name": "@", "filter_subject": "elsewhere"}}),
    (
        "filter_and_transforms",
        {
            "mirror": {
                "name": "@",
                "filter_subject": "@.a",
                "subject_transforms": [{"src": "@.a", "dest": "x"}],
            }
        },
    ),
    (
        "transform_bad_source",
        {"mirror": {"name": "@", "subject_transforms": [{"src": "@..", "dest": "x"}]}},
    ),
    (
        "transform_bad_dest",
        {"mirror": {"name": "@", "subject_transforms": [{"src": "@.*", "dest": "x.$2"}]}},
    ),
    (
        "transforms_overlap",
        {
            "mirror": {
                "name": "@",
                "subject_transforms": [
                    {"src": "@.*", "dest": "x.$1"},
                    {"src": "@.a", "dest": "y"},
                ],
            }
        },
    ),
    ("transforms_empty", {"mirror": {"name": "@", "subject_transforms": []}}),
    ("external", {"mirror": {"name": "@", "external": {"api": "$JS.hub.API", "deliver": "d.@"}}}),
    ("external_own_api", {"mirror": {"name": "@", "external": {"api": "$JS.API"}}}),
    ("external_empty", {"mirror": {"name": "@", "external": {"api": ""}}}),
    ("pedantic", {"pedantic": True}),
]


@each("mirror_config", MIRRORS)
def configured_mirror(talk, config):
    origin(talk)
    config = {"subjects": None, "mirror": {"name": "@"}, **config}
    create(talk, "@2", **config)
    talk.sleep(0.2)
    talk.stream_info(name="@2")


@conversation
def source_plain(talk):
    origin(talk)
    create(talk, "@2", subjects=None, sources=[{"name": "@"}])
    holds(talk, "@2", 4)
    read(talk, "@2", 4)
    talk.publish("@.a", "later")
    holds(talk, "@2", 5)


@conversation
def source_and_own_subjects(talk):
    origin(talk)
    create(talk, "@2", sources=[{"name": "@"}])
    holds(talk, "@2", 4)
    talk.publish("@2.x", "own")
    holds(talk, "@2", 5)


@conversation
def source_two(talk):
    """One after the other, so that their order is known"""
    origin(talk)
    create(talk, "@2", sources=[{"name": "@"}, {"name": "@3"}])
    # The other is told as missing.
    holds(talk, "@2", 4)
    origin(talk, "@3")


@conversation
def source_two_that_are(talk):
    talk.create_stream()
    talk.create_stream("@3")
    create(talk, "@2", subjects=None, sources=[{"name": "@"}, {"name": "@3"}])
    # The first messages come once the copies have begun.
    talk.publish("@.a", "1")
    holds(talk, "@2", 1)
    talk.publish("@3.a", "2")
    holds(talk, "@2", 2)
    talk.publish("@.b", "3")
    holds(talk, "@2", 3)
    read(talk, "@2", 3)


@conversation
def source_filter(talk):
    origin(talk)
    create(talk, "@2", subjects=None, sources=[{"name": "@", "filter_subject": "@.a"}])
    holds(talk, "@2", 2)
    read(talk, "@2", 2)


@conversation
def source_start(talk):
    origin(talk)
    create(talk, "@2", subjects=None, sources=[{"name": "@", "opt_start_seq": 3}])
    holds(talk, "@2", 2)
    read(talk, "@2", 2)


@conversation
def source_transforms(talk):
    origin(talk)
    transforms = [{"src": "@.a", "dest": "s.@.one"}, {"src": "@.b", "dest": "s.@.two"}]
    sources = [{"name": "@", "subject_transforms": transforms}]
    create(talk, "@2", subjects=None, sources=sources)
    holds(talk, "@2", 3)
    read(talk, "@2", 3)


@conversation
def source_transform_of_stream(talk):
    """What is copied goes through the stream's own transform as well"""
    origin(talk)
    transform = {"src": ">", "dest": "t.>"}
    sources = [{"name": "@", "subject_transforms": [{"src": "@.*", "dest": "s.@.$1"}]}]
    create(talk, "@2", subjects=None, sources=sources, subject_transform=transform)
    holds(talk, "@2", 4)
    read(talk, "@2", 4)


@conversation
def source_headers(talk):
    """What a copy keeps of the headers; ids of copies do not count as its own"""
    talk.create_stream(allow_rollup_hdrs=True)
    expected = ("Nats-Expected-Last-Sequence", "0")
    talk.publish("@.a", "1", [(MSG_ID, "i"), expected, ("A", "b"), ("Nats-Expected-Stream", "@")])
    talk.publish("@.b", "2", {ROLLUP: "sub"})
    create(talk, "@2", subjects=["x.@"], sources=[{"name": "@"}])
    holds(talk, "@2", 2)
    read(talk, "@2", 2)
    talk.publish("x.@", "own", {MSG_ID: "i"})
    talk.stream_info(name="@2")


@conversation
def source_republish(talk):
    talk.create_stream()
    create(
        talk,
        "@2",
        subjects=None,
        sources=[{"name": "@"}],
        republish={"src": ">", "dest": "out.@.>"},
    )
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "1")
    holds(talk, "@2", 1)
    sub.take(1)


@conversation
def source_of_source(talk):
    """A copy of a copy tells of the nearest"""
    origin(talk)
    create(talk, "@2", subjects=None, sources=[{"name": "@"}])
    holds(talk, "@2", 4)
    create(talk, "@3", subjects=None, sources=[{"name": "@2"}])
    holds(talk, "@3", 4)
    read(talk, "@3", 4)


@conversation
def source_counters(talk):
    """The sum of what the sources count"""
    talk.create_stream(allow_msg_counter=True)
    talk.create_stream("@3", allow_msg_counter=True)
    transform = [{"src": "*.a", "dest": "sum.@.a"}]
    sources = [
        {"name": "@", "subject_transforms": transform},
        {"name": "@3", "subject_transforms": transform},
    ]
    create(talk, "@2", subjects=None, sources=sources, allow_msg_counter=True)
    talk.publish("@.a", "", {"Nats-Incr": "2"})
    holds(talk, "@2", 1)
    talk.publish("@3.a", "", {"Nats-Incr": "5"})
    holds(talk, "@2", 2)
    talk.publish("@.a", "", {"Nats-Incr": "-1"})
    holds(talk, "@2", 3)
    read(talk, "@2", 3)


@conversation
def source_updates(talk):
    origin(talk)
    talk.create_stream("@3")
    create(talk, "@2", sources=[{"name": "@"}])
    holds(talk, "@2", 4)
    talk.update_stream("@2", sources=[{"name": "@"}, {"name": "@3"}], whole=False)
    talk.publish("@3.a", "1")
    holds(talk, "@2", 5)
    talk.update_stream("@2", sources=[{"name": "@3"}], whole=False)
    talk.publish("@.a", "not copied")
    talk.publish("@3.a", "2")
    holds(talk, "@2", 6)
    talk.update_stream("@2", whole=False)
    talk.publish("@3.a", "not copied")
    talk.sleep(0.2)
    holds(talk, "@2", 6)


@conversation
def source_purged(talk):
    """A purge of the copy does not bring back what was copied"""
    origin(talk)
    create(talk, "@2", sources=[{"name": "@"}])
    holds(talk, "@2", 4)
    talk.api("STREAM.PURGE.@2")
    talk.publish("@.a", "later")
    holds(talk, "@2", 1)


@conversation(own_server=True)
def source_across_restart(talk):
    talk.create_stream(storage="file")
    talk.fill(5)
    talk.create_stream("@2", storage="file", sources=[{"name": "@"}])
    holds(talk, "@2", 5)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.fill(3)
    holds(talk, "@2", 8)


@conversation
def source_of_workqueue(talk):
    """What is copied from a work queue is done there"""
    talk.create_stream(retention="workqueue")
    talk.fill(3)
    create(talk, "@2", sources=[{"name": "@"}])
    talk.sleep(0.5)
    talk.api("STREAM.INFO.@", view=stream_state)
    talk.api("STREAM.INFO.@2", view=stream_state)


# Sources that are refused, and some that are not.
SOURCES = [
    ("self", [{"name": "@2"}]),
    ("missing", [{"name": "@9"}]),
    ("twice", [{"name": "@"}, {"name": "@"}]),
    (
        "twice_filtered",
        [{"name": "@", "filter_subject": "@.a"}, {"name": "@", "filter_subject": "@.b"}],
    ),
    (
        "twice_same_filter",
        [{"name": "@", "filter_subject": "@.a"}, {"name": "@", "filter_subject": "@.a"}],
    ),
    ("no_name", [{"name": ""}]),
    ("empty", [{}]),
    ("none", []),
    ("bad_name", [{"name": "a.b"}]),
    ("unknown_field", [{"name": "@", "bogus": 1}]),
    ("bad_filter", [{"name": "@", "filter_subject": "@..a"}]),
    ("foreign_filter", [{"name": "@", "filter_subject": "elsewhere"}]),
    (
        "filter_and_transforms",
        [
            {
                "name": "@",
                "filter_subject": "@.a",
                "subject_transforms": [{"src": "@.a", "dest": "x"}],
            }
        ],
    ),
    ("transform_bad_source", [{"name": "@", "subject_transforms": [{"src": "@..", "dest": "x"}]}]),
    ("transform_bad_dest", [{"name": "@", "subject_transforms": [{"src": "@.*", "dest": "x.$2"}]}]),
    (
        "transforms_overlap",
        [
            {
                "name": "@",
                "subject_transforms": [{"src": "@.*", "dest": "x.$1"}, {"src": "@.a", "dest": "y"}],
            }
        ],
    ),
    ("both_starts", [{"name": "@", "opt_start_seq": 2, "opt_start_time": "2020-01-01T00:00:00Z"}]),
    ("bad_time", [{"name": "@", "opt_start_time": "x"}]),
    ("external", [{"name": "@", "external": {"api": "$JS.hub.API", "deliver": "d.@"}}]),
    ("type", {"name": "@"}),
]


@each("source_config", SOURCES)
def configured_source(talk, sources):
    origin(talk)
    create(talk, "@2", sources=sources)
    talk.sleep(0.2)
    talk.stream_info(name="@2")


@conversation
def source_loop(talk):
    """A stream cannot come from itself by way of others"""
    talk.create_stream()
    create(talk, "@2", sources=[{"name": "@"}])
    talk.update_stream(sources=[{"name": "@2"}])
    create(talk, "@3", subjects=["@2.x"], sources=[{"name": "@2"}])
    create(talk, "@4", subjects=["y.@"], sources=[{"name": "@", "filter_subject": "@.a"}])
    talk.update_stream(sources=[{"name": "@4"}])
