"""Rollups of a subject and of a stream."""

from registry import conversation
from vocabulary import EXPECTED_OF_SUBJECT, MSG_ID, ROLLUP


@conversation
def rollup_sub(talk):
    talk.create_stream(allow_rollup_hdrs=True)
    for i in range(3):
        talk.client.publish("@.a", "a%d" % i, recorded=False)
        talk.client.publish("@.b", "b%d" % i, recorded=False)
    talk.publish("@.a", "ra", {ROLLUP: "sub"})
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.publish("@.new", "rn", {ROLLUP: "sub"})
    talk.publish("@.a", "SUB", {ROLLUP: "SUB"})
    talk.publish("@.a", "Sub", {ROLLUP: "Sub"})
    talk.publish("@.a", "bad", {ROLLUP: "bogus"})
    talk.publish("@.b", "all", {ROLLUP: "all"})
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.b"})


@conversation
def rollup_errors(talk):
    talk.create_stream(allow_rollup_hdrs=True)
    talk.publish("@.a", "1")
    talk.publish("@.a", "2", {ROLLUP: ""})
    talk.publish("@.a", "2", {ROLLUP: "x"})
    talk.publish("@.a", "2", [(ROLLUP, "sub"), (EXPECTED_OF_SUBJECT, "0")])
    talk.publish("@.a", "2", [(ROLLUP, "sub"), (EXPECTED_OF_SUBJECT, "2")])
    talk.publish("@.a", "3", [(ROLLUP, "all"), (MSG_ID, "m")])
    talk.publish("@.a", "3", [(ROLLUP, "all"), (MSG_ID, "m")])
    talk.stream_info()


@conversation
def rollup_discard_new_per_subject(talk):
    talk.create_stream(
        allow_rollup_hdrs=True, discard="new", max_msgs_per_subject=1, discard_new_per_subject=True
    )
    talk.publish("@.a", "1")
    talk.publish("@.a", "2")
    talk.publish("@.a", "3", {ROLLUP: "sub"})
    talk.stream_info()


@conversation
def rollup_maxmsgs_new(talk):
    talk.create_stream(allow_rollup_hdrs=True, discard="new", max_msgs=2)
    talk.fill(2)
    talk.publish("@.a", "3", {ROLLUP: "all"})
    talk.publish("@.a", "3", {ROLLUP: "sub"})
    talk.stream_info()


@conversation
def rollup_with_consumer(talk):
    """pending messages vanish by rollup"""
    talk.create_stream(allow_rollup_hdrs=True)
    talk.fill(3)
    talk.create_consumer()
    talk.fetch("c", "2", 2)
    talk.publish("@.a", "r", {ROLLUP: "sub"})
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch("c", "1")
    talk.consumer_info()


@conversation
def rollup_beyond_limit(talk):
    """A limit is met by what is about to go"""
    talk.create_stream(max_msgs=2, allow_rollup_hdrs=True)
    talk.publish("@.b")
    talk.publish("@.a")
    talk.publish("@.a", "x", {ROLLUP: "sub"})
    talk.stream_info()
