"""What a stream publishes again once it is stored."""

from registry import conversation, each
from vocabulary import MSG_ID, ROLLUP

REPUBLISHES = [
    ("all", {"src": ">", "dest": "out.@.>"}),
    ("no_source", {"dest": "out.@.>"}),
    ("source_empty", {"src": "", "dest": "out.@.>"}),
    ("own", {"src": "@.>", "dest": "out.@.>"}),
    ("headers_only", {"src": "@.>", "dest": "out.@.>", "headers_only": True}),
    ("one", {"src": "@.a", "dest": "out.@.one"}),
    ("wild", {"src": "@.*", "dest": "out.@.$1"}),
    ("wildcard", {"src": "@.*", "dest": "out.@.{{wildcard(1)}}"}),
    ("partition", {"src": "@.*", "dest": "out.@.{{partition(3,1)}}.$1"}),
    ("split", {"src": "@.*", "dest": "out.@.{{split(1,-)}}"}),
    ("cycle", {"src": "@.a", "dest": "@.b"}),
    ("cycle_all", {"src": ">", "dest": "@.>"}),
    ("cycle_wide", {"src": "@.>", "dest": ">"}),
    ("no_destination", {"src": "@.>"}),
    ("destination_empty", {"src": "@.>", "dest": ""}),
    ("literal_for_all", {"src": "@.>", "dest": "out.@"}),
    ("wild_missing", {"src": "@.*", "dest": "out.@.$2"}),
    ("invalid_source", {"src": "@..a", "dest": "out.@"}),
    ("invalid_destination", {"src": "@.a", "dest": "out..@"}),
    ("unknown_function", {"src": "@.*", "dest": "out.@.{{nothing(1)}}"}),
    ("foreign_source", {"src": "foreign.>", "dest": "out.@.>"}),
    ("unknown_field", {"src": "@.>", "dest": "out.@.>", "bogus": 1}),
    ("system", {"src": "@.>", "dest": "$JS.@.>"}),
    ("null", None),
]


@each("republish", REPUBLISHES)
def republished(talk, republish):
    talk.create_stream(whole=True, republish=republish)
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "1")
    talk.publish("@.ab-cd", "2", {"A": "b"})
    talk.publish("@.a", "3")
    talk.publish("@.b.c", "4")
    sub.take(0, extra=0.2)
    talk.create_stream("@2", whole=False)
    talk.update_stream("@2", republish=republish)


@conversation
def republish_refused_are_not(talk):
    """Only what is stored goes out: no duplicates, no refused ones; no_ack ones do"""
    talk.create_stream(
        republish={"src": ">", "dest": "out.@.>"}, max_msg_size=60, allow_rollup_hdrs=True
    )
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "1", {MSG_ID: "i"})
    talk.publish("@.a", "2", {MSG_ID: "i"})
    talk.publish("@.a", "x" * 100)
    talk.publish("@.a", "3", {ROLLUP: "sub"})
    talk.client.publish("@.a", "4")
    sub.take(0, extra=0.2)


@conversation
def republish_last_sequence(talk):
    """What it says was the last of the subject, after deletions"""
    talk.create_stream(republish={"src": ">", "dest": "out.@.>"})
    sub = talk.connect().subscribe("out.@.>")
    talk.fill(2, "@.a")
    talk.fill(1, "@.b")
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.fill(1, "@.a")
    talk.api("STREAM.PURGE.@")
    talk.fill(1, "@.a")
    sub.take(5)


@conversation
def republish_transformed(talk):
    talk.create_stream(
        republish={"src": "@.x.*", "dest": "out.@.$1"},
        subject_transform={"src": "@.*", "dest": "@.x.$1"},
    )
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "1")
    talk.publish("@.x.b", "2")
    sub.take(0, extra=0.2)
    talk.stream_info({"subjects_filter": ">"})


@conversation
def republish_to_a_stream(talk):
    talk.create_stream(republish={"src": ">", "dest": "out.@.>"})
    talk.create_stream("@2", subjects=["out.@.>"])
    talk.publish("@.a", "1", {"A": "b"})
    talk.sleep(0.1)
    # The time in a header is as long as it has digits, and so are the bytes.
    talk.stream_info(name="@2", view=lambda form: form["json"]["state"]["messages"])
    talk.api("STREAM.MSG.GET.@2", {"seq": 1})


@conversation
def republish_update(talk):
    talk.create_stream()
    sub = talk.connect().subscribe("out.@.>")
    talk.publish("@.a", "1")
    talk.update_stream(republish={"src": ">", "dest": "out.@.one.>"})
    talk.publish("@.a", "2")
    talk.update_stream(republish={"src": ">", "dest": "out.@.two.>"})
    talk.publish("@.a", "3")
    talk.update_stream()
    talk.publish("@.a", "4")
    sub.take(0, extra=0.2)


@conversation
def republish_order(talk):
    """It comes before the ack"""
    talk.create_stream(republish={"src": ">", "dest": "out.@.>"})
    other = talk.connect()
    other.subscribe("out.@.>")
    other.subscribe("_INBOX.@.r")
    other.send("@.a", "x", reply="_INBOX.@.r")
    other.until(lambda: len([m for m in other.order if not isinstance(m, str)]) >= 2, 2)
    came = [talk.normalised(m) for m in other.order if not isinstance(m, str)]
    talk.step("in their order", came)
    for sub in other.subscriptions.values():
        sub.messages = []
