"""Subjects that a stream changes as it stores: each function, each mistake."""

from registry import conversation, each, numbered
from vocabulary import EXPECTED_OF_SUBJECT, MSG_ID, SECOND

# Source and destination; what is published to is below.
TRANSFORMS = [
    ("@.>", "@.x.>"),
    ("@.*", "@.x.{{wildcard(1)}}"),
    ("@.*", "@.x.$1"),
    ("@.*.*", "@.{{wildcard(2)}}.{{wildcard(1)}}"),
    ("@.*.*", "@.$2.$1"),
    ("@.*.*", "@.x.{{Wildcard(1)}}.{{ wildcard ( 2 ) }}"),
    ("@.*", "@.x.{{splitFromleft( 1 , 2 )}}"),
    ("@.*", "@.{{partition(3,1)}}.{{wildcard(1)}}"),
    ("@.*.*", "@.{{partition(10,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}"),
    ("@.*", "@.{{partition(5)}}.{{wildcard(1)}}"),
    ("@.*.*", "@.{{partition(5)}}.{{wildcard(1)}}.{{wildcard(2)}}"),
    ("@.*", "@.{{split(1,-)}}"),
    ("@.*", "@.x.{{split(1,)}}"),
    ("@.*", "@.{{splitfromleft(1,2)}}"),
    ("@.*", "@.{{splitfromright(1,2)}}"),
    ("@.*", "@.{{splitfromleft(1,0)}}"),
    ("@.*", "@.{{SplitFromLeft(1,100)}}"),
    ("@.*", "@.{{slicefromleft(1,2)}}"),
    ("@.*", "@.{{slicefromright(1,2)}}"),
    ("@.*", "@.{{slicefromleft(1,0)}}"),
    ("@.*", "@.{{SliceFromRight(1,100)}}"),
    ("@.*", "@.{{left(1,2)}}"),
    ("@.*", "@.{{right(1,2)}}"),
    ("@.*", "@.{{left(1,0)}}"),
    ("@.*", "@.{{right(1,100)}}"),
    ("@.*.>", "@.x.{{wildcard(1)}}.>"),
    ("@.*.>", "@.x.>"),
    ("@.*.*.>", "@.{{wildcard(2)}}.{{left(1,1)}}.>"),
    ("@.one", "@.two"),
    ("@.>", "elsewhere.@.>"),
    ("", "@.x"),
    ("", "@.x.>"),
    (">", "@.x.>"),
    ("@.>", ""),
]
SUBJECTS = ["@.one", "@.one.two", "@.ab-cd-ef", "@.abcdefgh", "@.a", "@.a.b.c", "@.ab-.-cd.x"]


@each("transform", numbered(TRANSFORMS))
def transformed(talk, transform):
    source, destination = transform
    talk.create_stream(whole=True, subject_transform={"src": source, "dest": destination})
    for subject in SUBJECTS:
        talk.publish(subject, "x")
    talk.api("STREAM.INFO.@", {"subjects_filter": ">"})


WRONG = [
    ("@.*", "@.{{WILDCARD(1)}}"),
    ("@.*", "@.{{sPlit(1,-)}}"),
    ("@.*", "@.{{split( 1 , - )}}"),
    ("@.*", "@.{{wildcard(2)}}"),
    ("@.*", "@.{{wildcard(0)}}"),
    ("@.*", "@.{{wildcard(-1)}}"),
    ("@.*", "@.{{wildcard()}}"),
    ("@.*", "@.{{wildcard(x)}}"),
    ("@.*", "@.{{wildcard(1,2)}}"),
    ("@.*", "@.{{unknown(1)}}"),
    ("@.*", "@.{{wildcard(1)"),
    ("@.*", "@.wildcard(1)}}"),
    ("@.*", "@.{{partition(x,1)}}"),
    ("@.*", "@.{{partition(0,1)}}"),
    ("@.*", "@.{{partition()}}"),
    ("@.*", "@.{{partition(3,2)}}"),
    ("@.*", "@.{{partition(9999999999,1)}}"),
    ("@.*", "@.{{split(1)}}"),
    ("@.*", "@.{{split(1,.)}}"),
    ("@.*", "@.{{split(1,a b)}}"),
    ("@.*", "@.{{split(2,-)}}"),
    ("@.*", "@.{{splitfromleft(1)}}"),
    ("@.*", "@.{{splitfromleft(1,x)}}"),
    ("@.*", "@.{{splitfromleft(1,-1)}}"),
    ("@.*", "@.{{left(1)}}"),
    ("@.*", "@.{{left(1,2,3)}}"),
    ("@.*", "@.{{random()}}"),
    ("@.*", "@.{{random(0)}}"),
    ("@.*", "@.{{random(x)}}"),
    ("@.*", "@.$2"),
    ("@.*", "@.$0"),
    ("@.*", "@.x"),
    ("@.*.*", "@.$1"),
    ("@.a", "@.>"),
    ("@.a", "@.*"),
    ("@.>", "@.x"),
    ("@.*", "@.>"),
    ("@.>", "@.*"),
    ("@..a", "@.x"),
    ("@.a", "@..x"),
    ("@.a b", "@.x"),
    ("foreign.>", "@.x.>"),
    ("@.a", "@.a"),
    ("@.*", "@.*"),
    ("*", "@.*"),
]


@each("transform_wrong", numbered(WRONG))
def refused(talk, transform):
    source, destination = transform
    talk.create_stream(whole=True, subject_transform={"src": source, "dest": destination})
    talk.publish("@.a", "x")
    talk.create_stream("@2")
    talk.update_stream("@2", subject_transform={"src": source, "dest": destination})


@conversation
def transform_random(talk):
    """Only where it may be: the same number has to come for the same bounds"""
    talk.create_stream(subject_transform={"src": "@.*", "dest": "@.{{random(1)}}.{{wildcard(1)}}"})
    talk.publish("@.a", "x")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def transform_then(talk):
    """What else looks at the subject: expectations, filters, direct gets, interest"""
    talk.create_stream(subject_transform={"src": "@.*", "dest": "@.x.$1"}, allow_direct=True)
    talk.create_consumer("old", filter_subject="@.a")
    talk.create_consumer("new", filter_subject="@.x.a")
    talk.publish("@.a", "1", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "2", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "2", {EXPECTED_OF_SUBJECT: "1"})
    talk.publish("@.x.a", "3", {EXPECTED_OF_SUBJECT: "2"})
    talk.publish("@.x.a", "4", {MSG_ID: "i"})
    talk.publish("@.a", "5", {MSG_ID: "i"})
    talk.stream_info({"subjects_filter": ">"})
    talk.request("$JS.API.DIRECT.GET.@.@.a")
    talk.request("$JS.API.DIRECT.GET.@.@.x.a")
    talk.fetch("old", '{"batch":9,"no_wait":true}', 1)
    talk.fetch("new", '{"batch":9,"no_wait":true}', 5)


@conversation
def transform_update(talk):
    talk.create_stream()
    talk.publish("@.a", "1")
    talk.update_stream(subject_transform={"src": "@.*", "dest": "@.x.$1"})
    talk.publish("@.a", "2")
    talk.update_stream(subject_transform={"src": "@.*", "dest": "@.y.$1"})
    talk.publish("@.a", "3")
    talk.update_stream()
    talk.publish("@.a", "4")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def transform_limits(talk):
    """The limit for a subject counts the new ones"""
    talk.create_stream(
        subject_transform={"src": "@.*", "dest": "@.one"},
        max_msgs_per_subject=2,
        discard="new",
        discard_new_per_subject=True,
    )
    talk.create_stream(
        subject_transform={"src": "@.*.*", "dest": "@.{{wildcard(1)}}.x.{{wildcard(2)}}"},
        max_msgs_per_subject=2,
        discard="new",
        discard_new_per_subject=True,
    )
    for subject in ("@.a.b", "@.a.b", "@.a.b", "@.a.x.b", "@.c.d"):
        talk.publish(subject, "x")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def transform_workqueue(talk):
    talk.create_stream(
        retention="interest",
        subject_transform={"src": "@.*", "dest": "@.x.$1"},
        max_age=60 * SECOND,
    )
    talk.create_consumer(filter_subject="@.x.a")
    talk.publish("@.a", "1")
    talk.publish("@.b", "2")
    talk.stream_info({"subjects_filter": ">"})
