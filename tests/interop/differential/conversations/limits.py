"""What happens when a stream is full, by each limit and by either way to discard."""

from registry import STORAGES, conversation, each
from vocabulary import MS, SECOND


@conversation
def limits_maxmsgs_old(talk):
    talk.create_stream(max_msgs=3)
    talk.fill(5)
    talk.stream_info()


@conversation
def limits_maxmsgs_new(talk):
    talk.create_stream(max_msgs=3, discard="new")
    for i in range(4):
        talk.publish("@.a", "%d" % i)
    talk.stream_info()
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.publish("@.a", "z")
    talk.stream_info()


@each("limits_maxbytes_old", STORAGES)
def limits_maxbytes_old(talk, storage):
    talk.create_stream(max_bytes=300, storage=storage)
    for i in range(10):
        talk.client.publish("@.a", "x" * 40, recorded=False)
    talk.stream_info()
    talk.publish("@.a", "x" * 300)
    talk.stream_info()
    talk.publish("@.a", "x" * 10)
    talk.stream_info()
    talk.publish("@.a", "x" * 2000)
    talk.stream_info()


@each("limits_maxbytes_new", STORAGES)
def limits_maxbytes_new(talk, storage):
    talk.create_stream(max_bytes=300, storage=storage, discard="new")
    for i in range(8):
        talk.publish("@.a", "x" * 40)
    talk.stream_info()
    talk.publish("@.a", "x" * 2000)
    talk.publish("@.a", "")
    talk.stream_info()


@conversation
def limits_per_subject_old(talk):
    talk.create_stream(max_msgs_per_subject=2)
    for s in "aabab":
        talk.publish("@." + s)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation
def limits_per_subject_new(talk):
    """discard new without per-subject flag still evicts old per subject"""
    talk.create_stream(max_msgs_per_subject=2, discard="new")
    for s in "aabaa":
        talk.publish("@." + s)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation
def limits_per_subject_new_flag(talk):
    talk.create_stream(max_msgs_per_subject=2, discard="new", discard_new_per_subject=True)
    for s in "aabaab":
        talk.publish("@." + s)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.publish("@.a")
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation
def limits_per_subject_and_max(talk):
    """both limits with discard new: which error wins, eviction first"""
    talk.create_stream(max_msgs_per_subject=1, max_msgs=2, discard="new")
    talk.publish("@.a")
    talk.publish("@.b")
    talk.publish("@.a")
    talk.publish("@.c")
    talk.publish("@.b")
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.create_stream(
        "@2", max_msgs_per_subject=1, max_msgs=2, discard="new", discard_new_per_subject=True
    )
    talk.publish("@2.a")
    talk.publish("@2.b")
    talk.publish("@2.a")
    talk.publish("@2.c")


@conversation(slow=True)
def limits_max_age(talk):
    talk.create_stream(max_age=1000 * MS, duplicate_window=200 * MS)
    talk.fill(2)
    talk.stream_info()
    talk.sleep(0.3)
    talk.fill(1)
    talk.sleep(2.6)
    talk.stream_info()
    talk.publish("@.a")
    talk.stream_info()


@conversation(slow=True)
def limits_max_age_consumer(talk):
    """pending messages expire"""
    talk.create_stream(max_age=1000 * MS, duplicate_window=200 * MS)
    talk.fill(3)
    talk.create_consumer(ack_wait=10 * SECOND)
    talk.fetch("c", "2", 2)
    talk.consumer_info()
    talk.sleep(2.4)
    talk.stream_info()
    talk.consumer_info()
    talk.fill(1)
    talk.fetch("c", "1", 1)
    talk.consumer_info()


@conversation
def limits_msg_size(talk):
    talk.create_stream(max_msg_size=10)
    talk.publish("@.a", "x" * 10)
    talk.publish("@.a", "x" * 11)
    talk.publish("@.a", "", {"ABCDEF": "ghijkl"})
    talk.stream_info()


@conversation
def limits_old_keeps_consumer_pending(talk):
    """messages evicted while pending / before delivery"""
    talk.create_stream(max_msgs=3)
    talk.fill(3)
    talk.create_consumer()
    talk.fetch("c", "1", 1)
    talk.fill(2)
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch("c", "3", 3)
    talk.consumer_info()


@each("limit_bytes_to_the_last", [("memory", "memory"), ("file", "file")])
def bytes_to_the_last(talk, storage):
    """What fills a stream exactly is stored, and what is no longer than what it replaces"""
    config = {"storage": storage, "discard": "new", "max_bytes": 200}
    talk.create_stream(**config)
    talk.publish("@.a", "x" * 100)
    used = talk.stream_info()["state"]["bytes"]
    for more in (1, 0, -1):
        talk.publish("@.a", "x" * (300 - 2 * used + more))
        talk.stream_info()
    talk.create_stream("@2", max_msgs_per_subject=1, **config)
    talk.publish("@2.a", "x" * 100)
    for length in (101, 100, 99):
        talk.publish("@2.a", "y" * length)
        talk.stream_info(name="@2")
