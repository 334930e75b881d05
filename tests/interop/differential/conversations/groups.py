"""Priority groups: overflow, prioritized and pinned clients."""

from registry import conversation, each, numbered
from vocabulary import MS, PUSHED, SECOND

CONFIGS = [
    ("overflow", {"priority_groups": ["g"], "priority_policy": "overflow"}),
    ("prioritized", {"priority_groups": ["g"], "priority_policy": "prioritized"}),
    ("pinned", {"priority_groups": ["g"], "priority_policy": "pinned_client"}),
    (
        "pinned_timeout",
        {
            "priority_groups": ["g"],
            "priority_policy": "pinned_client",
            "priority_timeout": 5 * SECOND,
        },
    ),
    (
        "pinned_short",
        {"priority_groups": ["g"], "priority_policy": "pinned_client", "priority_timeout": MS},
    ),
    (
        "pinned_negative",
        {"priority_groups": ["g"], "priority_policy": "pinned_client", "priority_timeout": -1},
    ),
    ("none", {"priority_policy": "none"}),
    ("groups_only", {"priority_groups": ["g"]}),
    ("groups_none", {"priority_groups": ["g"], "priority_policy": "none"}),
    ("policy_only", {"priority_policy": "overflow"}),
    ("groups_empty", {"priority_groups": [], "priority_policy": "overflow"}),
    ("group_empty", {"priority_groups": [""], "priority_policy": "overflow"}),
    ("group_16", {"priority_groups": ["g" * 16], "priority_policy": "overflow"}),
    ("group_17", {"priority_groups": ["g" * 17], "priority_policy": "overflow"}),
    ("group_characters", {"priority_groups": ["aZ09/_=-"], "priority_policy": "overflow"}),
    ("group_dot", {"priority_groups": ["a.b"], "priority_policy": "overflow"}),
    ("group_space", {"priority_groups": ["a b"], "priority_policy": "overflow"}),
    ("group_two", {"priority_groups": ["a", "b"], "priority_policy": "overflow"}),
    ("group_twice", {"priority_groups": ["a", "a"], "priority_policy": "overflow"}),
    ("unknown", {"priority_groups": ["g"], "priority_policy": "x"}),
    ("timeout_only", {"priority_timeout": 5 * SECOND}),
    (
        "timeout_overflow",
        {"priority_groups": ["g"], "priority_policy": "overflow", "priority_timeout": 5 * SECOND},
    ),
    ("timeout_none", {"priority_policy": "none", "priority_timeout": 5 * SECOND}),
    (
        "push",
        {"priority_groups": ["g"], "priority_policy": "overflow", "deliver_subject": PUSHED},
    ),
    ("push_none", {"priority_policy": "none", "deliver_subject": PUSHED}),
    (
        "ack_none",
        {"priority_groups": ["g"], "priority_policy": "pinned_client", "ack_policy": "none"},
    ),
    (
        "ack_all",
        {"priority_groups": ["g"], "priority_policy": "pinned_client", "ack_policy": "all"},
    ),
    ("type", {"priority_groups": "g", "priority_policy": "overflow"}),
]


@each("group_config", CONFIGS)
def configured(talk, config):
    talk.create_stream()
    talk.create_consumer(whole=True, **config)
    talk.api("CONSUMER.INFO.@.c")
    talk.create_consumer("d")
    talk.create_consumer("d", action="update", **config)
    talk.create_consumer("c", action="update")
    talk.create_consumer("c", action="update", priority_groups=["h"], priority_policy="overflow")
    talk.api("CONSUMER.INFO.@.c")


# What a request for messages may say, of each kind of consumer.
REQUESTS = [
    {},
    {"group": "g"},
    {"group": ""},
    {"group": "h"},
    {"group": "g", "min_pending": 1},
    {"group": "g", "min_pending": 5},
    {"group": "g", "min_pending": 0},
    {"group": "g", "min_pending": -1},
    {"group": "g", "min_ack_pending": 1},
    {"group": "g", "min_ack_pending": -1},
    {"group": "g", "min_pending": 2, "min_ack_pending": 2},
    {"group": "g", "id": "x"},
    {"group": "g", "id": ""},
    {"id": "x"},
    {"group": "g", "priority": 0},
    {"group": "g", "priority": 9},
    {"group": "g", "priority": 10},
    {"group": "g", "priority": -1},
    {"priority": 1},
    {"min_pending": 1},
    {"min_ack_pending": 1},
    {"group": 5},
    {"group": "g", "min_pending": "1"},
]
POLICIES = ["overflow", "prioritized", "pinned_client", None]


@each(
    "group_request",
    [
        (f"{policy}_{number}", policy, request)
        for policy in POLICIES
        for number, request in numbered(REQUESTS)
    ],
)
def requested(talk, policy, request):
    talk.create_stream()
    talk.fill(3)
    groups = ["g"] if policy else None
    talk.create_consumer(priority_groups=groups, priority_policy=policy)
    body = {"batch": 1, "no_wait": True, **request}
    talk.fetch("c", body, 1, timeout=0.3)
    body = {"batch": 5, "expires": 200 * MS, **request}
    talk.fetch("c", body, 3, timeout=0.4, extra=0.05)
    talk.consumer_info()


def grouped(talk, policy, **config):
    talk.create_stream()
    talk.create_consumer(priority_groups=["g"], priority_policy=policy, **config)


def ask(talk, batch=1, **options):
    return talk.pull("c", {"group": "g", "batch": batch, "expires": 20 * SECOND, **options})


@conversation
def group_overflow_pending(talk):
    """Who asks for overflow gets messages only while there are enough"""
    grouped(talk, "overflow")
    inbox = ask(talk, batch=10, min_pending=3)
    talk.fill(2)
    inbox.quiet()
    talk.consumer_info()
    # One at a time: nats-server may deliver between two that come together.
    talk.trickle(2)
    inbox.take(0, extra=0.2)
    talk.consumer_info()
    plain = ask(talk, batch=10)
    plain.take(0, extra=0.2)
    inbox.take(0, extra=0.05)
    talk.consumer_info()


@conversation
def group_overflow_ack_pending(talk):
    grouped(talk, "overflow")
    talk.fill(4)
    inbox = ask(talk, batch=10, min_ack_pending=2)
    inbox.quiet()
    plain = ask(talk, batch=2)
    plain.take(2)
    inbox.take(0, extra=0.2)
    talk.consumer_info()


@conversation
def group_prioritized(talk):
    """The lower number first, and the same number in turn"""
    grouped(talk, "prioritized")
    low = ask(talk, batch=2, priority=5)
    high = ask(talk, batch=2, priority=1)
    same = ask(talk, batch=2, priority=1)
    talk.trickle(5)
    high.take(2)
    same.take(2)
    low.take(1)
    talk.consumer_info()


@conversation
def group_pinned(talk):
    """The first to ask is pinned; who has no pin waits"""
    grouped(talk, "pinned_client", priority_timeout=60 * SECOND)
    advisories = talk.connect().subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.@.c")
    first = ask(talk, batch=2)
    talk.fill(1)
    message = first.take(1)
    advisories.take(0, extra=0.1)
    second = ask(talk, batch=2)
    talk.fill(1)
    first.take(1)
    talk.fill(1)
    second.quiet()
    talk.api("CONSUMER.INFO.@.c")
    third = ask(talk, batch=2, id=pin(talk, message))
    third.take(1)
    talk.ack(message)
    talk.consumer_info()


@conversation
def group_pinned_wrong_id(talk):
    grouped(talk, "pinned_client", priority_timeout=60 * SECOND)
    talk.fill(2)
    wrong = ask(talk, id="before")
    wrong.take(0, extra=0.15)
    first = ask(talk)
    first.take(0, extra=0.15)
    again = ask(talk, id="wrong")
    again.take(0, extra=0.15)
    talk.consumer_info()


@conversation
def group_unpin(talk):
    grouped(talk, "pinned_client", priority_timeout=60 * SECOND)
    advisories = talk.connect().subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.@.c")
    talk.fill(1)
    message = ask(talk).take(1)
    second = ask(talk)
    advisories.take(0, extra=0.1)
    for body in ("", "{}", '{"group":""}', '{"group":"h"}', "x", '{"bogus":1}', '{"group":"g"}'):
        talk.api("CONSUMER.UNPIN.@.c", body)
    advisories.take(0, extra=0.1)
    talk.fill(1)
    second.take(1)
    advisories.take(0, extra=0.1)
    ask(talk, id=pin(talk, message)).take(0, extra=0.15)
    talk.api("CONSUMER.INFO.@.c")


@conversation
def group_unpin_others(talk):
    talk.create_stream()
    talk.create_consumer("plain")
    talk.create_consumer("over", priority_groups=["g"], priority_policy="overflow")
    talk.create_consumer("pin", priority_groups=["g"], priority_policy="pinned_client")
    for name in ("plain", "over", "pin", "none"):
        for group in ("g", "h", ""):
            talk.api(f"CONSUMER.UNPIN.@.{name}", {"group": group})
    talk.api("CONSUMER.UNPIN.@9.c", {"group": "g"})


@conversation(slow=True)
def group_pin_times_out(talk):
    """Who is pinned and does not ask any more loses it"""
    grouped(talk, "pinned_client", priority_timeout=SECOND)
    advisories = talk.connect().subscribe("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.@.c")
    talk.fill(3)
    message = ask(talk).take(1)
    second = ask(talk)
    second.take(1, timeout=5)
    advisories.take(1)
    ask(talk, id=pin(talk, message)).take(0, extra=0.15)


@conversation
def group_pinned_no_wait(talk):
    grouped(talk, "pinned_client", priority_timeout=60 * SECOND)
    talk.fetch("c", {"group": "g", "no_wait": True}, 1)
    talk.fill(3)
    talk.fetch("c", {"group": "g", "no_wait": True}, 1, extra=0.05)
    talk.fetch("c", {"group": "g", "no_wait": True}, 1, timeout=0.3)
    talk.consumer_info()


@conversation(own_server=True)
def group_across_restart(talk):
    talk.create_stream(storage="file")
    talk.create_consumer(
        priority_groups=["g"], priority_policy="pinned_client", priority_timeout=60 * SECOND
    )
    talk.fill(2)
    message = ask(talk).take(1)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.api("CONSUMER.INFO.@.c")
    ask(talk, id=pin(talk, message)).take(0, extra=0.2)
    ask(talk).take(0, extra=0.2)


def pin(talk, messages):
    """The pin that the first of the messages came with"""
    for message in messages:
        for line in (message.headers or "").split("\r\n"):
            if line.startswith("Nats-Pin-Id: "):
                found = line.removeprefix("Nats-Pin-Id: ")
                talk.show_as(found, "<pin>")
                return found
    return "none"
