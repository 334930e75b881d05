"""Streams of counters that source other streams of counters."""

from conversations.mirrors import create, holds, read
from registry import conversation, each

INCR = "Nats-Incr"
COUNTER_SOURCES = "Nats-Counter-Sources"


def add(talk, subject, amount, more=()):
    talk.publish(subject, "", [(INCR, amount), *more])


def summing(talk, *names, **config):
    """A stream that adds up what others count, all under one subject"""
    transforms = [{"src": "*.a", "dest": "sum.@.a"}, {"src": "*.b", "dest": "sum.@.b"}]
    sources = [{"name": name, "subject_transforms": transforms} for name in names]
    options = {"subjects": ["sum.@.*"], "sources": sources, **config}
    create(talk, "@2", allow_msg_counter=True, **options)


@conversation
def source_counter_deltas(talk):
    """What was removed at the source is in the difference"""
    talk.create_stream(allow_msg_counter=True, max_msgs_per_subject=1)
    for amount in ("5", "+7", "-2"):
        add(talk, "@.a", amount)
    summing(talk, "@")
    holds(talk, "@2", 1)
    add(talk, "@.a", "1")
    holds(talk, "@2", 2)
    add(talk, "@.b", "-4")
    holds(talk, "@2", 3)
    read(talk, "@2", 3)


@conversation
def source_counter_own(talk):
    """Who adds at the sum itself hands on what came from where"""
    talk.create_stream(allow_msg_counter=True)
    talk.create_stream("@3", allow_msg_counter=True)
    summing(talk, "@", "@3")
    add(talk, "sum.@.a", "100")
    add(talk, "@.a", "1")
    holds(talk, "@2", 2)
    add(talk, "@3.a", "10")
    holds(talk, "@2", 3)
    add(talk, "sum.@.a", "1000", [("A", "b")])
    add(talk, "sum.@.a", "1", [(COUNTER_SOURCES, '{"x":{"y":"1"}}')])
    add(talk, "sum.@.b", "1", [(COUNTER_SOURCES, '{"x": {"<y>":"1"}, "a":{}}')])
    add(talk, "sum.@.b", "1")
    add(talk, "sum.@.b", "1", [(COUNTER_SOURCES, "x")])
    read(talk, "@2", 8)


@conversation
def source_counter_broken_sources(talk):
    talk.create_stream(allow_msg_counter=True)
    for place, broken in enumerate(["x", "{}", '{"a":1}', '{"a":{"b":1}}', "null"]):
        add(talk, f"@.{place}", "1", [(COUNTER_SOURCES, broken)])
        add(talk, f"@.{place}", "1")
    read(talk, "@", 7)


@conversation
def source_counter_reset(talk):
    """A purge of the source is no change; what comes after is"""
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@")
    add(talk, "@.a", "10")
    holds(talk, "@2", 1)
    talk.api("STREAM.PURGE.@")
    add(talk, "@.a", "1")
    holds(talk, "@2", 2)
    talk.api("STREAM.PURGE.@2")
    add(talk, "@.a", "1")
    holds(talk, "@2", 1)
    read(talk, "@2", 1)


@conversation
def source_counter_tiers(talk):
    """A sum of sums tells of the nearest only"""
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@")
    sources = [{"name": "@2", "subject_transforms": [{"src": "sum.@.*", "dest": "top.@.$1"}]}]
    create(talk, "@3", subjects=None, sources=sources, allow_msg_counter=True)
    add(talk, "@.a", "3", [("A", "b")])
    holds(talk, "@3", 1)
    add(talk, "@.a", "4")
    holds(talk, "@3", 2)
    read(talk, "@3", 2)


@conversation
def source_counter_of_plain(talk):
    """What is no counter's message"""
    talk.create_stream()
    summing(talk, "@")
    talk.publish("@.a", "x")
    talk.publish("@.a", '{"val":"5"}')
    talk.sleep(0.5)
    holds(talk, "@2", 0)


@conversation
def source_counter_copied_plain(talk):
    """Who does not count stores what came"""
    talk.create_stream(allow_msg_counter=True)
    transforms = [{"src": "*.a", "dest": "sum.@.a"}]
    sources = [{"name": "@", "subject_transforms": transforms}]
    create(talk, "@2", subjects=None, sources=sources)
    add(talk, "@.a", "3")
    add(talk, "@.a", "4")
    holds(talk, "@2", 2)
    read(talk, "@2", 2)
    # A sum of what was copied.
    sources = [{"name": "@2", "subject_transforms": [{"src": "sum.@.*", "dest": "top.@.$1"}]}]
    create(talk, "@3", subjects=None, sources=sources, allow_msg_counter=True)
    holds(talk, "@3", 2)
    read(talk, "@3", 2)


@conversation
def source_counter_mirror(talk):
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@")
    add(talk, "@.a", "3")
    holds(talk, "@2", 1)
    create(talk, "@3", subjects=None, mirror={"name": "@2"})
    holds(talk, "@3", 1)
    read(talk, "@3", 1)


@conversation
def source_counter_removed(talk):
    """A source that is taken away and comes back adds what it missed"""
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@")
    add(talk, "@.a", "3")
    holds(talk, "@2", 1)
    talk.update_stream("@2", subjects=["sum.@.*"], allow_msg_counter=True)
    add(talk, "@.a", "4")
    transforms = [{"src": "*.a", "dest": "sum.@.a"}]
    sources = [{"name": "@", "subject_transforms": transforms}]
    config = {"subjects": ["sum.@.*"], "sources": sources, "allow_msg_counter": True}
    talk.update_stream("@2", whole=False, **config)
    talk.sleep(0.5)
    add(talk, "@.a", "1")
    talk.sleep(0.5)
    talk.api("STREAM.MSG.GET.@2", {"last_by_subj": "sum.@.a"})


@conversation
def source_counter_republish(talk):
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@", republish={"src": ">", "dest": "out.@.>"})
    sub = talk.connect().subscribe("out.@.>")
    add(talk, "@.a", "3")
    holds(talk, "@2", 1)
    sub.take(1)
    add(talk, "@.a", "4")
    holds(talk, "@2", 2)
    sub.take(1)


@conversation
def source_counter_limit(talk):
    """What becomes too long when it is counted"""
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@", max_msg_size=150)
    add(talk, "@.a", "3")
    talk.sleep(0.3)
    add(talk, "@.a", "4")
    talk.sleep(0.5)
    holds(talk, "@2", 0)


@conversation
def source_counter_ids(talk):
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@")
    add(talk, "@.a", "3", [("Nats-Msg-Id", "i")])
    holds(talk, "@2", 1)
    add(talk, "@.a", "4", [("Nats-Msg-Id", "j")])
    holds(talk, "@2", 2)
    add(talk, "sum.@.a", "4", [("Nats-Msg-Id", "j")])
    add(talk, "sum.@.a", "4", [("Nats-Msg-Id", "k")])
    read(talk, "@2", 4)


@conversation(own_server=True)
def source_counter_across_restart(talk):
    talk.create_stream(storage="file", allow_msg_counter=True)
    summing(talk, "@", storage="file")
    add(talk, "@.a", "3")
    holds(talk, "@2", 1)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    add(talk, "@.a", "4")
    holds(talk, "@2", 2)
    add(talk, "sum.@.a", "4")
    read(talk, "@2", 3)


CONFIGS = [
    ("plain", {}),
    ("no_subjects", {"subjects": None}),
    ("discard_new", {"discard": "new"}),
    ("ttl", {"allow_msg_ttl": True}),
    ("workqueue", {"retention": "workqueue"}),
    ("atomic", {"allow_atomic": True}),
    ("rollup", {"allow_rollup_hdrs": True}),
    ("pedantic", {"pedantic": True}),
]


@each("source_counter_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(allow_msg_counter=True)
    summing(talk, "@", **config)
    talk.update_stream("@2", subjects=["sum.@.*"], sources=[{"name": "@"}])
    add(talk, "sum.@.a", "1")
    talk.create_stream("@3")
    talk.update_stream("@3", sources=[{"name": "@"}], allow_msg_counter=True)
