"""Fast batches: messages that are stored as they come and answered now and then."""

from registry import conversation, each
from vocabulary import (
    EXPECTED_LAST,
    EXPECTED_OF_SUBJECT,
    EXPECTED_STREAM,
    MSG_ID,
    ROLLUP,
    SECOND,
)

START, APPEND, COMMIT, END, PING = range(5)
LEVEL = "Nats-Required-Api-Level"
WRONG = [(EXPECTED_LAST, "99")]
MODES = [("ok", "ok"), ("fail", "fail")]


class Batch:
    """Publishes into a batch, and records what its publisher hears."""

    def __init__(self, talk, id="b", flow=2, mode="ok", subject="@.a"):
        self.talk, self.id, self.flow, self.mode = talk, id, flow, mode
        self.subject = subject
        self.heard = talk.client.subscribe(f"fi.@.{id or '>'}.>")

    def reply(self, place, operation):
        return f"fi.@.{self.id}.{self.flow}.{self.mode}.{place}.{operation}.$FI"

    def send(self, place, operation, headers=None, body="x"):
        reply = self.reply(place, operation)
        self.talk.client.send(self.subject, body, headers, reply)

    def say(self, place, operation, answers, headers=None, body="x"):
        """Sends a message and waits for so many answers, or a little for one too many."""
        self.send(place, operation, headers, body)
        self.talk.step(f"batch {self.reply(place, operation)} {headers or ''}", [])
        if answers:
            self.heard.take(answers)
        else:
            self.heard.quiet(0.05)


def batching(talk, **config):
    talk.create_stream(allow_batched=True, **config)


@each(
    "fast",
    [(f"{on}_{mode}", mode, on) for on in ("file", "memory") for mode in ("ok", "fail")],
)
def whole(talk, mode, storage):
    batching(talk, storage=storage)
    batch = Batch(talk, mode=mode, flow=3)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 0)
    batch.say(3, APPEND, 1)
    talk.stream_info()
    batch.say(4, APPEND, 0)
    batch.say(5, COMMIT, 1)
    batch.say(6, APPEND, 1)
    batch.say(1, COMMIT, 1)
    batch.say(1, START, 1)
    batch.say(2, END, 1)
    batch.say(2, END, 1)
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 5})


FLOWS = ["1", "2", "0", "100", "500", "501", "70000", "-1", "x", "01", "+5"]


@each("fast_flow", [(flow, flow) for flow in FLOWS])
def flow(talk, flow):
    batching(talk)
    batch = Batch(talk, flow=flow)
    batch.say(1, START, 2 if flow in ("1", "01") else 1)
    batch.say(2, END, 1)


@conversation
def fast_flow_of_many(talk):
    """Alone a publisher is told rarely; beside another it begins slowly, and both share"""
    batching(talk)
    first = Batch(talk, id="one", flow=1000)
    first.say(1, START, 1)
    for place in range(2, 1100):
        first.send(place, APPEND)
    first.heard.take(2)
    second = Batch(talk, id="two", flow=100)
    second.say(1, START, 2)
    for place in range(2, 400):
        second.send(place, APPEND)
    second.heard.take(9)
    for place in range(1100, 2000):
        first.send(place, APPEND)
    first.heard.take(3)
    second.say(400, COMMIT, 1)
    for place in range(2000, 3000):
        first.send(place, APPEND)
    first.heard.take(2)
    first.say(3000, COMMIT, 1)


@conversation
def fast_flow_and_gaps(talk):
    batching(talk)
    Batch(talk, id="other").say(1, START, 1)
    batch = Batch(talk, flow=100)
    batch.say(1, START, 2)
    batch.say(8, APPEND, 2)
    batch.say(9, APPEND, 0)
    for place in (40, 100, 500):
        batch.say(place, APPEND, 2)


# What no place in a batch is: flow, mode, place and operation.
PATTERNS = [
    ("mode", "10.maybe.1.0"),
    ("mode_case", "10.OK.1.0"),
    ("operation", "10.ok.1.5"),
    ("operation_text", "10.ok.1.x"),
    ("operation_zeros", "10.ok.1.00"),
    ("place_zero", "10.ok.0.0"),
    ("place_text", "10.ok.x.0"),
    ("place_negative", "10.ok.-1.1"),
    ("place_plus", "10.ok.+1.2"),
    ("place_zeros", "10.ok.01.2"),
    ("place_huge", "10.ok.9223372036854775807.1"),
    ("place_too_huge", "10.ok.99999999999999999999.1"),
    ("start_later", "10.ok.2.0"),
    ("append_first", "10.ok.1.1"),
    ("end_first", "10.ok.1.3"),
    ("ping_first", "10.ok.1.4"),
    ("append_unknown", "10.ok.2.1"),
    ("commit_unknown", "10.ok.2.2"),
    ("end_unknown", "10.ok.2.3"),
    ("ping_unknown", "10.ok.2.4"),
]


@each("fast_pattern", PATTERNS)
def pattern(talk, pattern):
    batching(talk)
    heard = talk.client.subscribe("fi.@.>")
    talk.client.send("@.a", "x", reply=f"fi.@.b.{pattern}.$FI")
    heard.take(1)
    talk.stream_info()


REPLIES = ["@.$FI", "@.1.2.3.4.5.$FI", "@.b.10.ok.1.0", "@.b.10.ok.1.0.$Fi", "@.b.10.ok.1.0.$FI.x"]


@conversation
def fast_replies(talk):
    """Short ones, and those that only look alike"""
    batching(talk)
    heard = talk.client.subscribe("@.>")
    for reply in REPLIES:
        talk.client.send("@", "x", reply=reply)
        heard.take(1)
    talk.stream_info()


@each("fast_id", [("64", "i" * 64), ("65", "i" * 65)])
def long_id(talk, id):
    batching(talk)
    batch = Batch(talk, id=id)
    batch.say(1, START, 1)
    batch.say(2, COMMIT, 1)


# Places and operations after the first two messages, with how many answers come in each mode.
GAPS = [
    ("append", [(4, APPEND, 2, 2), (5, APPEND, 0, 1), (6, COMMIT, 1, 1)]),
    ("commit", [(4, COMMIT, 2, 2), (5, APPEND, 1, 1)]),
    ("end", [(5, END, 2, 2), (6, END, 1, 1)]),
    ("wide", [(21, APPEND, 2, 2), (22, APPEND, 1, 1), (23, COMMIT, 1, 1)]),
    ("ping", [(3, PING, 2, 2), (4, APPEND, 1, 1), (5, COMMIT, 1, 1)]),
    ("ping_behind", [(1, PING, 1, 1), (3, COMMIT, 1, 1)]),
    ("again", [(2, APPEND, 2, 2), (3, COMMIT, 1, 1)]),
    ("start_again", [(1, START, 2, 2), (3, COMMIT, 1, 1)]),
    ("commit_behind", [(1, COMMIT, 2, 2), (3, COMMIT, 1, 1)]),
    ("end_behind", [(2, END, 2, 2), (3, COMMIT, 1, 1)]),
]


@each(
    "fast_gap",
    [(f"{tag}_{mode}", mode, then) for tag, then in GAPS for mode in ("ok", "fail")],
)
def gap(talk, mode, then):
    batching(talk)
    batch = Batch(talk, mode=mode)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    for place, operation, if_ok, if_fail in then:
        batch.say(place, operation, if_ok if mode == "ok" else if_fail)
    talk.stream_info()


@conversation
def fast_settings_stay(talk):
    """Only what the first message says of flow and gaps counts"""
    batching(talk)
    batch = Batch(talk, flow=10, mode="ok")
    batch.say(1, START, 1)
    batch.mode, batch.flow = "fail", 1
    batch.say(3, APPEND, 1)
    batch.say(4, COMMIT, 1)
    talk.stream_info()


# A header of the first, the second or the last message, and the stream's further configuration.
HEADERS = [
    ("expected_stream", (EXPECTED_STREAM, "@"), {}),
    ("expected_stream_other", (EXPECTED_STREAM, "no"), {}),
    ("expected_last_wrong", (EXPECTED_LAST, "99"), {}),
    ("expected_subject_wrong", (EXPECTED_OF_SUBJECT, "77"), {}),
    ("ttl", ("Nats-TTL", "60"), {"allow_msg_ttl": True}),
    ("ttl_wrong", ("Nats-TTL", "x"), {"allow_msg_ttl": True}),
    ("ttl_off", ("Nats-TTL", "60"), {}),
    ("counter_off", ("Nats-Incr", "1"), {}),
    ("rollup", (ROLLUP, "all"), {"allow_rollup_hdrs": True}),
    ("rollup_off", (ROLLUP, "sub"), {}),
    ("rollup_wrong", (ROLLUP, "x"), {"allow_rollup_hdrs": True}),
    ("schedule_off", ("Nats-Schedule", "@@daily"), {}),
    ("level", (LEVEL, "99"), {}),
    ("level_text", (LEVEL, "x"), {}),
    ("level_none", (LEVEL, "0"), {}),
    ("user", ("A", "b"), {}),
]
REFUSED = {"level", "level_text"}
TAKEN = {"expected_stream", "ttl", "rollup", "level_none", "user"}


def answers(tag, place, at, mode):
    """How many answers come for a message if this is in the one `at` that place"""
    if tag in TAKEN or place < at:
        return {1: 1, 2: 1, 3: 0, 4: 1}[place]
    if tag in REFUSED:
        return 1
    if mode == "fail":
        return 2 if place == at else 1
    if place == at:
        return {1: 2, 2: 1, 4: 2}[place]
    return {2: 1, 3: 1 if at == 2 else 0, 4: 1}[place]


@each(
    "fast_header",
    [
        (f"{tag}_{at}_{mode}", tag, pair, config, at, mode)
        for tag, pair, config in HEADERS
        for at in (1, 2, 4)
        for mode in ("ok", "fail")
    ],
)
def header(talk, tag, pair, config, at, mode):
    batching(talk, **config)
    batch = Batch(talk, mode=mode)
    for place, operation in [(1, START), (2, APPEND), (3, APPEND), (4, COMMIT)]:
        headers = [pair] if place == at else None
        batch.say(place, operation, answers(tag, place, at, mode), headers)
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": at})


@each("fast_first_refused", MODES)
def first_refused(talk, mode):
    """A batch of one that cannot be stored"""
    batching(talk)
    batch = Batch(talk, mode=mode)
    batch.say(1, COMMIT, 2 if mode == "ok" else 1, WRONG)
    batch.say(1, START, 1)
    batch.say(2, END, 1, WRONG)
    batch.say(1, START, 1)
    batch.say(5, COMMIT, 3 if mode == "ok" else 2, WRONG)
    talk.stream_info()


@each("fast_known", MODES)
def known(talk, mode):
    """Messages whose id is known count, and are not stored"""
    batching(talk, storage="file")
    talk.publish("@.a", "1", {MSG_ID: "i"})
    batch = Batch(talk, mode=mode)
    batch.say(1, START, 1, [(MSG_ID, "i")])
    batch.say(2, APPEND, 1, [(MSG_ID, "j")])
    batch.say(3, APPEND, 0, [(MSG_ID, "j"), *WRONG])
    batch.say(4, COMMIT, 2, [(MSG_ID, "i")])
    batch.say(1, COMMIT, 1, [(MSG_ID, "i")])
    batch.say(1, START, 1, [(MSG_ID, "i")])
    batch.say(2, END, 1)
    talk.stream_info()


@each("fast_size", MODES)
def size(talk, mode):
    batching(talk, max_msg_size=100)
    batch = Batch(talk, mode=mode)
    batch.say(1, START, 1, body="x" * 300)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1, body="x" * 300)
    batch.say(2, END, 1, body="x" * 300)
    batch.say(2, APPEND, 1)
    batch.say(4, COMMIT, 2)
    talk.stream_info()


LIMITS = [
    ("messages", {"max_msgs": 3, "discard": "new"}),
    ("bytes", {"max_bytes": 170, "discard": "new"}),
    (
        "subject",
        {"max_msgs_per_subject": 3, "discard": "new", "discard_new_per_subject": True},
    ),
]


@each(
    "fast_limit",
    [(f"{tag}_{mode}", config, mode) for tag, config in LIMITS for mode in ("ok", "fail")],
)
def limit(talk, config, mode):
    batching(talk, storage="memory", **config)
    batch = Batch(talk, mode=mode)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    batch.say(3, APPEND, 0)
    batch.say(4, COMMIT, 2)
    batch.say(1, START, 2)
    batch.say(2, COMMIT, 2 if mode == "ok" else 1)
    talk.stream_info()


@conversation
def fast_limits_discard_old(talk):
    batching(talk, max_msgs=3)
    batch = Batch(talk)
    batch.say(1, START, 1)
    for place in range(2, 7):
        batch.say(place, APPEND, 1 - place % 2)
    batch.say(7, COMMIT, 1)
    talk.stream_info()


@conversation
def fast_disabled(talk):
    talk.create_stream()
    batch = Batch(talk)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    batch.say(1, COMMIT, 1)
    batch.say(1, 9, 1)
    batch.say(1, START, 1, [(LEVEL, "99")])
    talk.publish("@.a", "x")
    talk.stream_info()


@conversation
def fast_while_updating(talk):
    batching(talk)
    batch = Batch(talk)
    batch.say(1, START, 1)
    talk.update_stream(whole=False, allow_batched=True, max_msgs=50)
    batch.say(2, APPEND, 1)
    talk.update_stream(whole=False)
    batch.say(3, APPEND, 1)
    talk.update_stream(whole=False, allow_batched=True)
    batch.say(3, COMMIT, 1)
    talk.stream_info()


@conversation
def fast_while_sealing(talk):
    batching(talk)
    batch = Batch(talk)
    batch.say(1, START, 1)
    talk.update_stream(whole=False, allow_batched=True, sealed=True)
    batch.say(2, APPEND, 1)
    batch.say(2, END, 1)
    batch.say(1, PING, 1)
    talk.stream_info()


@conversation
def fast_while_purging(talk):
    batching(talk)
    batch = Batch(talk)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    talk.api("STREAM.PURGE.@")
    batch.say(3, APPEND, 0)
    batch.say(4, COMMIT, 1)
    talk.stream_info()


@conversation
def fast_while_deleting(talk):
    batching(talk)
    batch = Batch(talk)
    batch.say(1, START, 1)
    talk.api("STREAM.DELETE.@")
    batch.say(2, APPEND, 1)
    batching(talk)
    batch.say(2, APPEND, 1)
    batch.say(2, COMMIT, 1)
    talk.stream_info()


@conversation(slow=True)
def fast_left_alone(talk):
    """Ten seconds without a message end it, and nobody is told"""
    batching(talk)
    left, pinged = Batch(talk, id="left"), Batch(talk, id="pinged")
    left.say(1, START, 1)
    pinged.say(1, START, 2)
    talk.sleep(7)
    pinged.say(1, PING, 1)
    talk.sleep(4)
    left.say(2, APPEND, 1)
    pinged.say(2, COMMIT, 1)
    talk.stream_info()


@conversation
def fast_too_many_open(talk):
    batching(talk)
    heard = talk.client.subscribe("fi.@.more.>")
    for number in range(1000):
        talk.client.send("@.a", "x", reply=f"fo.@.b{number}.10.ok.1.0.$FI")
    talk.client.send("@.a", "x", reply="fi.@.more.10.ok.1.0.$FI")
    heard.take(1, timeout=5)
    talk.client.send("@.a", "x", reply="fi.@.more.10.ok.1.2.$FI")
    heard.take(1)
    talk.client.send("@.a", "x", reply="fi.@.b7.10.ok.2.3.$FI")
    talk.sleep(0.1)
    talk.client.send("@.a", "x", reply="fi.@.more.10.ok.1.2.$FI")
    heard.take(1)
    talk.stream_info()


@conversation
def fast_counters(talk):
    batching(talk, allow_msg_counter=True)
    batch = Batch(talk)
    add = [("Nats-Incr", "5")]
    batch.say(1, START, 1, add, body="")
    batch.say(2, APPEND, 1, add, body="")
    batch.say(3, APPEND, 1, body="")
    batch.say(4, APPEND, 1, add, body="x")
    batch.say(5, COMMIT, 1, add, body="")
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 3})


@conversation
def fast_republish(talk):
    batching(talk, republish={"src": ">", "dest": "out.@.>"})
    sub = talk.connect().subscribe("out.@.>")
    batch = Batch(talk)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    batch.say(3, END, 1)
    sub.take(2)


@conversation
def fast_workqueue(talk):
    batching(talk, retention="workqueue")
    talk.create_consumer()
    inbox = talk.pull("c", "5")
    batch = Batch(talk)
    batch.say(1, START, 1)
    inbox.take(1)
    batch.say(2, COMMIT, 1)
    inbox.take(1)
    talk.consumer_info()


@conversation
def fast_interest(talk):
    batching(talk, retention="interest")
    batch = Batch(talk)
    batch.say(1, START, 1)
    batch.say(2, APPEND, 1)
    batch.say(3, COMMIT, 1)
    talk.stream_info()


@conversation
def fast_no_ack(talk):
    """Acknowledged is what is asked for by the batch, but not its beginning"""
    batching(talk, no_ack=True)
    batch = Batch(talk)
    batch.say(1, START, 0)
    batch.say(2, APPEND, 1)
    batch.say(4, APPEND, 2)
    batch.say(5, APPEND, 1, WRONG)
    batch.say(6, COMMIT, 1)
    batch.say(7, APPEND, 0)
    talk.stream_info()


@conversation
def fast_beside_atomic(talk):
    """The subject for answers counts, not the headers of the other kind"""
    batching(talk, allow_atomic=True)
    batch = Batch(talk)
    atomic = [("Nats-Batch-Id", "x"), ("Nats-Batch-Sequence", "1")]
    batch.say(1, START, 1, atomic)
    batch.say(2, COMMIT, 1)
    talk.publish("@.a", "1", atomic)
    last = [("Nats-Batch-Id", "x"), ("Nats-Batch-Sequence", "2"), ("Nats-Batch-Commit", "1")]
    talk.publish("@.a", "2", last)
    talk.stream_info()


CONFIGS = [
    ("plain", {}),
    ("async", {"persist_mode": "async", "storage": "file"}),
    ("memory", {"storage": "memory"}),
    ("atomic", {"allow_atomic": True}),
    ("mirror", {"mirror": {"name": "@none"}, "subjects": None}),
    ("type", {"allow_batched": 1}),
    ("age", {"max_age": SECOND, "duplicate_window": SECOND}),
]


@each("fast_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(whole=True, **{"allow_batched": True, **config})
    if "mirror" in config or "allow_batched" in config:
        return
    batch = Batch(talk)
    batch.say(1, START, 1)
    batch.say(2, COMMIT, 1)
    talk.update_stream(whole=False)
    talk.update_stream(whole=False, **{"allow_batched": True, **config})


# Levels that messages of atomic batches name, and whether a server has them.
LEVELS = [
    ("none", "0", True),
    ("negative", "-1", True),
    ("newer", "99", False),
    ("text", "x", False),
]


@each("batch_level", LEVELS)
def level(talk, level, is_known):
    """A message of an atomic batch may need a newer server, too"""
    talk.create_stream(allow_atomic=True)
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.@")
    for at in (1, 2, 3):
        for place in (1, 2, 3):
            headers = [("Nats-Batch-Id", f"b{at}"), ("Nats-Batch-Sequence", str(place))]
            if place == at:
                headers.append((LEVEL, level))
            if place == 3:
                headers.append(("Nats-Batch-Commit", "1"))
            talk.publish("@.a", "x", headers)
    sub.take(0 if is_known else 3)
    talk.publish("@.a", "x", {LEVEL: "99"})
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
