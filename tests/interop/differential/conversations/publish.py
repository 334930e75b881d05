"""Publishing into a stream, and who gets which answer."""

from registry import conversation
from vocabulary import EXPECTED_STREAM


@conversation
def publish_basic(talk):
    talk.create_stream()
    talk.publish("@.a")
    talk.publish("@.a", "")
    talk.publish("@.b", "x", {"A": "b"})
    talk.publish("@", "not captured")
    talk.client.publish("@.a", "no reply")
    talk.stream_info()


@conversation
def publish_no_ack(talk):
    talk.create_stream(no_ack=True, max_msg_size=5)
    talk.expect_silence("@.a", "x")
    talk.expect_silence("@.a", "too long for it")
    talk.expect_silence("@.a", "x", {EXPECTED_STREAM: "other"})
    talk.stream_info()
    talk.update_stream(whole=False, no_ack=False)
    talk.publish("@.a", "x")


@conversation
def publish_literal_wildcards(talk):
    """subjects with wildcard characters published literally"""
    talk.create_stream(allow_direct=True)
    for s in ("@.*", "@.>", "@.a.*.b", "@.a*", "@.a>b", "@.*.*"):
        talk.publish(s, s)
    talk.publish("@..a", "x", timeout=0.3)
    talk.publish("@.", "x", timeout=0.3)
    talk.stream_info({"subjects_filter": ">"})
    talk.create_consumer("all", ack_policy="none")
    talk.create_consumer("lit", ack_policy="none", filter_subject="@.a*")
    talk.fetch("all", "20", 6, timeout=0.5)
    talk.fetch("lit", "20", 1, timeout=0.5)
    talk.api("STREAM.PURGE.@", {"filter": "@.*"})
    talk.stream_info({"subjects_filter": ">"})


@conversation
def publish_single_token_wild(talk):
    talk.create_stream(subjects=["@.*"])
    talk.publish("@.>", "x")
    talk.publish("@.*", "x")
    talk.publish("@.a.b", "x")
    talk.stream_info({"subjects_filter": ">"})


@conversation
def publish_reply_subject_kept(talk):
    """the publisher's reply subject is not delivered to consumers"""
    talk.create_stream()
    talk.publish("@.a", "x")
    talk.create_consumer(ack_policy="none")
    talk.fetch()


@conversation
def publish_plain_subscriber(talk):
    """plain subscribers get the message with the original reply; the ack goes to the reply"""
    talk.create_stream()
    other = talk.connect()
    sub = other.subscribe("@.>")
    q1 = other.subscribe("@.*", queue="g")
    talk.client.publish("@.a", "x", {"H": "v"}, reply="_INBOX.@.ack")
    r = talk.subscribe("_INBOX.@.ack")
    talk.client.publish("@.a", "y", reply="_INBOX.@.ack")
    sub.take(2)
    q1.take(2)
    r.take(1)


@conversation
def publish_ack_order_plain(talk):
    """subscriber on the publishing connection: order of its message and the ack"""
    talk.create_stream()
    other = talk.connect()
    other.subscribe("@.>")
    other.subscribe("_INBOX.@.r")
    for i in range(3):
        other.send("@.a", "x%d" % i, reply="_INBOX.@.r")
    other.until(
        lambda: len([message for message in other.order if not isinstance(message, str)]) >= 6, 2
    )
    talk.step(
        "acks in order",
        [
            talk.normalised(message)
            for message in other.order
            if not isinstance(message, str) and message.subject.startswith("_INBOX")
        ],
    )
    for s in other.subs.values():
        s.messages = []


@conversation
def publish_verbose(talk):
    """verbose connection publishing into a stream"""
    talk.create_stream()
    other = talk.connect(verbose=True)
    sub = other.subscribe("_INBOX.@.r")
    other.order.clear()
    other.send("@.a", "x", reply="_INBOX.@.r")
    other.send("@.a", "y")
    other.until(lambda: len(other.order) >= 3, 2)
    talk.step("order", sorted(str(talk.normalised(message)) for message in other.order))
    sub.messages = []
    other.order.clear()
    other.send("$JS.API.STREAM.NAMES", {"subject": "@.>"}, reply="_INBOX.@.r")
    other.until(lambda: len(other.order) >= 2, 2)
    talk.step("order", sorted([str(talk.normalised(message)) for message in other.order]))
    sub.messages = []


@conversation
def publish_pedantic(talk):
    talk.create_stream()
    other = talk.connect(pedantic=True)
    talk.request("@.*", "x", connection=other)
    talk.stream_info()


@conversation
def publish_no_responders(talk):
    """503 when nobody takes the message"""
    talk.publish("@.none", "x")
    talk.publish("@.none", "x", {"A": "b"})
    talk.create_stream(subjects=["@.x"])
    talk.publish("@.none", "x")
    talk.publish("@.x", "x")


@conversation
def publish_reserved_replies(talk):
    talk.create_stream()
    other = talk.connect()
    for r in (
        "$JS.ACK.@.c.1.1.1.1.1",
        "_R_.x",
        "_GR_.x",
        "$JS.FC.x",
        "$JS.API.STREAM.INFO.@",
        "$SYS.x",
    ):
        other.publish("@.a", "x", reply=r)
    talk.step("events", [talk.shown(e) for e in other.events])
    other.events.clear()
    talk.stream_info()
