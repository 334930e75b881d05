"""Atomic batches: messages that are stored together or not at all."""

from registry import conversation, each
from vocabulary import (
    EXPECTED_ID,
    EXPECTED_LAST,
    EXPECTED_OF_SUBJECT,
    EXPECTED_STREAM,
    EXPECTED_SUBJECT,
    MSG_ID,
    ROLLUP,
    SECOND,
)

ID = "Nats-Batch-Id"
SEQUENCE = "Nats-Batch-Sequence"
COMMIT = "Nats-Batch-Commit"


def batching(talk, **config):
    talk.create_stream(allow_atomic=True, **config)


def part(talk, sequence, *headers, id="b", subject="@.a", body="x", commit=None):
    """One message of a batch"""
    pairs = [(ID, id), (SEQUENCE, str(sequence)), *headers]
    if commit is not None:
        pairs.append((COMMIT, commit))
    talk.publish(subject, body, pairs)


@conversation
def batch_of_three(talk):
    batching(talk)
    talk.publish("@.a", "before")
    part(talk, 1, body="1")
    part(talk, 2, subject="@.b", body="2")
    talk.stream_info()
    part(talk, 3, body="3", commit="1")
    talk.stream_info({"subjects_filter": ">"})
    for sequence in (2, 3, 4):
        talk.api("STREAM.MSG.GET.@", {"seq": sequence})


@conversation
def batch_of_one(talk):
    batching(talk)
    part(talk, 1, commit="1")
    part(talk, 1, id="b2", commit="eob")
    talk.stream_info()


@conversation
def batch_end_is_not_stored(talk):
    batching(talk)
    part(talk, 1)
    part(talk, 2)
    part(talk, 3, commit="eob", body="not stored")
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 2})


@conversation
def batch_without_replies(talk):
    """Only the last one is answered"""
    batching(talk)
    talk.client.publish("@.a", "1", [(ID, "b"), (SEQUENCE, "1")])
    talk.client.publish("@.a", "2", [(ID, "b"), (SEQUENCE, "2")])
    part(talk, 3, commit="1")
    talk.stream_info()


@conversation
def batch_commit_without_reply(talk):
    batching(talk)
    part(talk, 1)
    talk.client.publish("@.a", "2", [(ID, "b"), (SEQUENCE, "2"), (COMMIT, "1")])
    talk.sleep(0.1)
    talk.stream_info()


@conversation
def batch_two_at_once(talk):
    batching(talk)
    part(talk, 1, id="one", body="1")
    part(talk, 1, id="two", body="2")
    talk.publish("@.a", "between")
    part(talk, 2, id="two", body="2")
    part(talk, 3, id="two", body="2", commit="1")
    part(talk, 2, id="one", body="1", commit="1")
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", "6", 6)


# Batches that fail: what is published, one after the other.
WRONG = [
    ("gap", [(1, {}), (3, {"commit": "1"})]),
    ("gap_then_more", [(1, {}), (3, {}), (4, {"commit": "1"}), (2, {"commit": "1"})]),
    ("from_two", [(2, {}), (3, {"commit": "1"})]),
    ("from_zero", [(0, {}), (1, {"commit": "1"})]),
    ("again", [(1, {}), (1, {}), (2, {"commit": "1"})]),
    ("twice", [(1, {}), (2, {}), (2, {}), (3, {"commit": "1"})]),
    ("sequence_text", [("x", {}), ("1", {"commit": "1"})]),
    ("sequence_negative", [("-1", {})]),
    ("sequence_empty", [("", {})]),
    ("sequence_space", [(" 1", {"commit": "1"})]),
    ("sequence_zeros", [("001", {"commit": "1"})]),
    ("sequence_huge", [("99999999999999999999", {})]),
    ("id_empty", [(1, {"id": "", "commit": "1"})]),
    ("id_64", [(1, {"id": "i" * 64, "commit": "1"})]),
    ("id_65", [(1, {"id": "i" * 65, "commit": "1"})]),
    ("commit_0", [(1, {}), (2, {"commit": "0"}), (2, {"commit": "1"})]),
    ("commit_empty", [(1, {}), (2, {"commit": ""}), (3, {"commit": "1"})]),
    ("commit_text", [(1, {}), (2, {"commit": "x"}), (2, {"commit": "1"})]),
    ("commit_EOB", [(1, {}), (2, {"commit": "EOB"})]),
    ("eob_first", [(1, {"commit": "eob"})]),
    ("commit_again", [(1, {"commit": "1"}), (2, {"commit": "1"})]),
    ("foreign_subject", [(1, {}), (2, {"subject": "elsewhere.@", "commit": "1"})]),
]


@each("batch_wrong", WRONG)
def wrong(talk, parts):
    batching(talk)
    for sequence, options in parts:
        part(talk, sequence, **options)
    talk.stream_info()


# A header of the first, the second and the committing message of three.
HEADERS = [
    ("expected_stream", (EXPECTED_STREAM, "@")),
    ("expected_stream_other", (EXPECTED_STREAM, "no")),
    ("expected_last", (EXPECTED_LAST, "2")),
    ("expected_last_wrong", (EXPECTED_LAST, "9")),
    ("expected_subject", (EXPECTED_OF_SUBJECT, "1")),
    ("expected_subject_wrong", (EXPECTED_OF_SUBJECT, "9")),
    ("expected_subject_zero", (EXPECTED_OF_SUBJECT, "0")),
    ("expected_id", (EXPECTED_ID, "i")),
    ("message_id", (MSG_ID, "new")),
    ("message_id_known", (MSG_ID, "i")),
    ("rollup_sub", (ROLLUP, "sub")),
    ("rollup_all", (ROLLUP, "all")),
    ("rollup_wrong", (ROLLUP, "x")),
    ("ttl", ("Nats-TTL", "60")),
    ("ttl_wrong", ("Nats-TTL", "x")),
    ("counter", ("Nats-Incr", "1")),
    ("schedule", ("Nats-Schedule", "@@daily")),
    ("user", ("A", "b")),
]
PLACES = [("first", 1), ("second", 2), ("last", 3)]


@each(
    "batch_header",
    [(f"{tag}_{name}", header, at) for tag, header in HEADERS for name, at in PLACES],
)
def header(talk, header, place):
    batching(talk, allow_rollup_hdrs=True, allow_msg_ttl=True)
    talk.publish("@.a", "1", {MSG_ID: "i"})
    talk.publish("@.b", "2", {MSG_ID: "j"})
    for sequence in (1, 2, 3):
        headers = [header] if sequence == place else []
        commit = "1" if sequence == 3 else None
        part(talk, sequence, *headers, commit=commit)
    talk.stream_info({"subjects_filter": ">"})
    talk.publish("@.a", "after", {MSG_ID: "new"})


@conversation
def batch_expectations_of_subjects(talk):
    """Each subject's expectation, and again one that the batch itself has changed"""
    batching(talk)
    talk.publish("@.a", "1")
    talk.publish("@.b", "2")
    part(talk, 1, (EXPECTED_OF_SUBJECT, "1"), subject="@.a")
    part(talk, 2, (EXPECTED_OF_SUBJECT, "2"), subject="@.b")
    part(talk, 3, (EXPECTED_OF_SUBJECT, "0"), subject="@.c", commit="1")
    talk.stream_info()
    part(talk, 1, (EXPECTED_OF_SUBJECT, "3"), subject="@.a", id="b2")
    part(talk, 2, (EXPECTED_OF_SUBJECT, "3"), subject="@.a", id="b2", commit="1")
    part(talk, 1, (EXPECTED_OF_SUBJECT, "3"), subject="@.a", id="b3")
    part(talk, 2, (EXPECTED_OF_SUBJECT, "6"), subject="@.a", id="b3", commit="1")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def batch_expectation_of_other_subject(talk):
    batching(talk)
    talk.publish("@.a", "1")
    other = [(EXPECTED_OF_SUBJECT, "1"), (EXPECTED_SUBJECT, "@.a")]
    part(talk, 1, *other, subject="@.b")
    part(talk, 2, commit="1")
    talk.stream_info()
    part(talk, 1, id="b2")
    part(talk, 2, *other, subject="@.b", id="b2", commit="1")
    talk.stream_info()


@conversation
def batch_duplicate_ids_inside(talk):
    batching(talk)
    part(talk, 1, (MSG_ID, "i"))
    part(talk, 2, (MSG_ID, "i"), commit="1")
    talk.stream_info()
    talk.publish("@.a", "x", {MSG_ID: "i"})


@conversation
def batch_limits(talk):
    """A batch that does not fit is not stored at all"""
    batching(talk, max_msgs=3, discard="new", max_msg_size=200)
    talk.publish("@.a", "1")
    talk.publish("@.a", "2")
    part(talk, 1)
    part(talk, 2, commit="1")
    talk.stream_info()
    part(talk, 1, id="b2")
    part(talk, 2, id="b2", body="x" * 300, commit="1")
    talk.stream_info()


@conversation
def batch_limits_per_subject(talk):
    batching(talk, max_msgs_per_subject=1, discard="new", discard_new_per_subject=True)
    talk.publish("@.a", "1")
    part(talk, 1, subject="@.b")
    part(talk, 2, subject="@.a", commit="1")
    part(talk, 1, subject="@.b", id="b2")
    part(talk, 2, subject="@.b", id="b2", commit="1")
    part(talk, 1, subject="@.b", id="b3")
    part(talk, 2, subject="@.c", id="b3", commit="1")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def batch_limits_discard_old(talk):
    batching(talk, max_msgs=3)
    talk.fill(3)
    for sequence in (1, 2, 3, 4):
        part(talk, sequence, body=f"b{sequence}")
    part(talk, 5, commit="1", body="b5")
    talk.stream_info()
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", '{"batch":9,"no_wait":true}', 4)


@conversation
def batch_disabled(talk):
    talk.create_stream()
    part(talk, 1)
    part(talk, 1, commit="1")
    part(talk, "x")
    talk.publish("@.a", "x", {COMMIT: "1"})
    talk.publish("@.a", "x", {SEQUENCE: "1"})
    talk.stream_info()


@conversation
def batch_halves(talk):
    """Some of the headers only"""
    batching(talk)
    talk.publish("@.a", "x", {ID: "b"})
    talk.publish("@.a", "x", {SEQUENCE: "1"})
    talk.publish("@.a", "x", {COMMIT: "1"})
    talk.publish("@.a", "x", [(SEQUENCE, "1"), (COMMIT, "1")])
    talk.publish("@.a", "x", [(ID, "b"), (COMMIT, "1")])
    talk.stream_info()


@conversation
def batch_while_updating(talk):
    """The feature is taken away while a batch is open"""
    batching(talk)
    part(talk, 1)
    talk.update_stream(whole=False)
    part(talk, 2, commit="1")
    talk.update_stream(whole=False, allow_atomic=True)
    part(talk, 2, commit="1")
    talk.stream_info()


@conversation
def batch_while_purging(talk):
    batching(talk)
    talk.fill(2)
    part(talk, 1)
    talk.api("STREAM.PURGE.@")
    part(talk, 2, commit="1")
    talk.stream_info()


@conversation
def batch_of_many(talk):
    batching(talk)
    client = talk.client
    inbox = client.inbox()
    for sequence in range(1, 1000):
        client.send("@.a", "x", [(ID, "b"), (SEQUENCE, str(sequence))])
    client.send("@.a", "x", [(ID, "b"), (SEQUENCE, "1000"), (COMMIT, "1")], inbox.subject)
    inbox.take(1, timeout=5)
    talk.stream_info()


@conversation
def batch_of_too_many(talk):
    batching(talk)
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.@")
    client = talk.client
    for sequence in range(1, 1001):
        client.send("@.a", "x", [(ID, "b"), (SEQUENCE, str(sequence))])
    part(talk, 1001)
    part(talk, 1002, commit="1")
    sub.take(1)
    talk.stream_info()


@conversation
def batch_too_many_open(talk):
    batching(talk)
    for number in range(50):
        talk.client.send("@.a", "x", [(ID, f"b{number}"), (SEQUENCE, "1")])
    part(talk, 1, id="more")
    part(talk, 2, id="b0", commit="1")
    part(talk, 1, id="more")
    talk.stream_info()


@conversation
def batch_advisory(talk):
    batching(talk)
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.@")
    part(talk, 1)
    part(talk, 3)
    sub.take(0, extra=0.2)
    part(talk, 1, id="b2")
    part(talk, 2, (EXPECTED_ID, "x"), id="b2")
    sub.take(0, extra=0.2)
    part(talk, 1, id="b3")
    part(talk, 2, (EXPECTED_OF_SUBJECT, "9"), id="b3", commit="1")
    sub.take(0, extra=0.2)


@conversation(slow=True)
def batch_left_alone(talk):
    """Ten seconds without a message end it"""
    batching(talk)
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.@")
    part(talk, 1)
    sub.take(1, timeout=14)
    part(talk, 2, commit="1")
    talk.stream_info()


@conversation
def batch_workqueue(talk):
    batching(talk, retention="workqueue")
    talk.create_consumer()
    inbox = talk.pull("c", "5")
    part(talk, 1)
    inbox.quiet(0.1)
    part(talk, 2, commit="1")
    inbox.take(2)
    talk.consumer_info()


@conversation
def batch_interest(talk):
    batching(talk, retention="interest")
    part(talk, 1)
    part(talk, 2, commit="1")
    talk.stream_info()
    talk.create_consumer()
    part(talk, 1)
    part(talk, 2, commit="1")
    talk.stream_info()


@conversation
def batch_republish(talk):
    batching(talk, republish={"src": ">", "dest": "out.@.>"})
    sub = talk.connect().subscribe("out.@.>")
    part(talk, 1)
    part(talk, 2)
    sub.quiet(0.1)
    part(talk, 3, commit="1")
    sub.take(3)


@conversation
def batch_sealed(talk):
    batching(talk)
    part(talk, 1)
    talk.update_stream(whole=False, allow_atomic=True, sealed=True)
    part(talk, 2, commit="1")
    talk.stream_info()


CONFIGS = [
    ("plain", {}),
    ("batched", {"allow_batched": True}),
    ("async", {"persist_mode": "async", "storage": "file"}),
    ("mirror", {"mirror": {"name": "@none"}, "subjects": None}),
    ("sources", {"sources": [{"name": "@none"}]}),
    ("no_ack", {"no_ack": True}),
    ("type", {"allow_atomic": 1}),
    ("age", {"max_age": SECOND, "duplicate_window": SECOND}),
]


@each("batch_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(whole=True, **{"allow_atomic": True, **config})
    part(talk, 1)
    part(talk, 2, commit="1")
    talk.update_stream(whole=False)
    talk.update_stream(whole=False, **{"allow_atomic": True, **config})
