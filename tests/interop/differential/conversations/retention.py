"""Interest and work queues: when a message is removed."""

from registry import conversation
from vocabulary import EXPECTED_LAST, EXPECTED_OF_SUBJECT, MS, MSG_ID


@conversation
def interest_no_consumer(talk):
    talk.create_stream(retention="interest")
    talk.publish("@.a")
    talk.publish("@.a")
    talk.stream_info()
    talk.create_consumer()
    talk.consumer_info()
    talk.publish("@.a")
    talk.stream_info()
    talk.consumer_info()


@conversation
def interest_two_consumers(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("c1")
    talk.create_consumer("c2")
    talk.fill(3)
    a = talk.fetch("c1", "3", 3)
    for message in a:
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()
    b = talk.fetch("c2", "3", 3)
    if len(b) == 3:
        talk.ack(b[1])
    talk.sleep(0.05)
    talk.stream_info({"deleted_details": True})
    if len(b) == 3:
        talk.ack(b[0])
        talk.ack(b[2], "+TERM")
    talk.sleep(0.05)
    talk.stream_info({"deleted_details": True})


@conversation
def interest_filters(talk):
    """a subject no consumer wants is not stored"""
    talk.create_stream(retention="interest")
    talk.create_consumer("c1", filter_subject="@.a")
    talk.publish("@.b")
    talk.publish("@.a")
    talk.publish("@.b")
    talk.stream_info()
    message = talk.fetch("c1")
    talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def interest_delete_consumer(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("c1")
    talk.create_consumer("c2", filter_subject="@.a")
    talk.fill(2, "@.a")
    talk.fill(2, "@.b")
    for message in talk.fetch("c1", "4", 4):
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()
    talk.api("CONSUMER.DELETE.@.c2")
    talk.sleep(0.1)
    talk.stream_info()
    talk.fill(2, "@.b")
    talk.api("CONSUMER.DELETE.@.c1")
    talk.sleep(0.1)
    talk.stream_info()


@conversation
def interest_ack_none(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("c1", ack_policy="none")
    talk.fill(3)
    talk.stream_info()
    talk.fetch("c1", "2", 2)
    talk.sleep(0.1)
    talk.stream_info()
    talk.consumer_info("c1")


@conversation
def interest_ack_all(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("c1", ack_policy="all")
    talk.fill(4)
    messages = talk.fetch("c1", "4", 4)
    if len(messages) == 4:
        talk.ack(messages[2])
    talk.sleep(0.1)
    talk.stream_info()
    talk.consumer_info("c1")


@conversation
def interest_late_consumer(talk):
    """a consumer created later holds the messages still there"""
    talk.create_stream(retention="interest")
    talk.create_consumer("c1")
    talk.fill(3)
    talk.create_consumer("late")
    talk.create_consumer("late_new", deliver_policy="new")
    talk.consumer_info("late")
    for message in talk.fetch("c1", "3", 3):
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()
    for message in talk.fetch("late", "3", 3):
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def interest_discard_new(talk):
    talk.create_stream(retention="interest", max_msgs=2, discard="new")
    talk.publish("@.a")
    talk.create_consumer()
    for i in range(3):
        talk.publish("@.a")
    message = talk.fetch()
    talk.ack(message)
    talk.sleep(0.05)
    talk.publish("@.a")
    talk.stream_info()


@conversation
def interest_nointerest_preconditions(talk):
    talk.create_stream(retention="interest")
    talk.publish("@.a", "x", {MSG_ID: "a"})
    talk.publish("@.a", "x", {MSG_ID: "a"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "9"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "1"})
    talk.publish("@.a", "x", {EXPECTED_OF_SUBJECT: "0"})
    talk.stream_info()


@conversation
def interest_push_consumer_unbound(talk):
    """a push consumer without subscriber holds messages"""
    talk.create_stream(retention="interest")
    talk.create_consumer("c1", deliver_subject="_INBOX.@.push")
    talk.fill(2)
    talk.stream_info()
    sub = talk.subscribe("_INBOX.@.push")
    messages = sub.take(2)
    for message in messages:
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def workqueue_basic(talk):
    talk.create_stream(retention="workqueue")
    talk.fill(4)
    talk.stream_info()
    talk.create_consumer()
    messages = talk.fetch("c", "3", 3)
    if len(messages) == 3:
        talk.ack(messages[1])
        talk.sleep(0.05)
        talk.stream_info({"deleted_details": True})
        talk.ack(messages[0])
        talk.sleep(0.05)
        talk.stream_info()
        talk.ack(messages[2], "+TERM bad")
    talk.sleep(0.05)
    talk.stream_info()
    talk.consumer_info()
    talk.api("CONSUMER.DELETE.@.c")
    talk.stream_info()
    talk.create_consumer()
    talk.fetch("c", "1", 1)


@conversation
def workqueue_filtered(talk):
    talk.create_stream(retention="workqueue")
    talk.create_consumer("a", filter_subject="@.a")
    talk.create_consumer("b", filter_subject="@.b")
    for s in "aabbc":
        talk.client.publish("@." + s, s, recorded=False)
    for message in talk.fetch("a", "2", 2):
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info({"subjects_filter": ">"})
    for message in talk.fetch("b", "2", 2):
        talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info({"subjects_filter": ">"})


@conversation
def workqueue_max_deliver(talk):
    """max-delivered messages stay in the stream"""
    talk.create_stream(retention="workqueue")
    talk.create_consumer(max_deliver=1, ack_wait=200 * MS)
    talk.fill(2)
    talk.fetch("c", "1", 1)
    talk.sleep(0.5)
    talk.fetch("c", '{"batch":2,"expires":200000000}', 2)
    talk.sleep(0.4)
    talk.consumer_info()
    talk.stream_info()


@conversation
def workqueue_purge_pending(talk):
    talk.create_stream(retention="workqueue")
    talk.fill(3)
    talk.create_consumer()
    messages = talk.fetch("c", "2", 2)
    talk.api("STREAM.PURGE.@")
    talk.sleep(0.05)
    talk.consumer_info()
    talk.ack(messages)
    talk.consumer_info()
    talk.stream_info()


@conversation
def workqueue_nak_keeps(talk):
    talk.create_stream(retention="workqueue")
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    talk.ack(message, "-NAK")
    talk.stream_info()
    message = talk.fetch()
    talk.ack(message)
    talk.sleep(0.05)
    talk.stream_info()


@conversation
def retention_limits_ack_keeps(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    talk.ack(message)
    talk.stream_info()


@conversation
def publish_headers_none_conn(talk):
    """HPUB into a stream; consumer on a connection without headers"""
    talk.create_stream()
    talk.publish("@.a", "body", {"A": "b"})
    talk.create_consumer("c", ack_policy="none", deliver_subject="_INBOX.@.p")
    other = talk.connect(headers=False, no_responders=False)
    sub = other.subscribe("_INBOX.@.p")
    sub.take(1)


@conversation
def publish_large(talk):
    """up to max payload"""
    talk.create_stream()
    talk.publish("@.a", b"z" * 1000000)
    talk.create_consumer(ack_policy="none")
    talk.fetch()
    talk.stream_info()


@conversation
def publish_pipeline_order(talk):
    """sequence numbers of pipelined publishes"""
    talk.create_stream()
    k = talk.client
    r = k.subscribe("_INBOX.@.r")
    for i in range(50):
        k.send("@.a", "%d" % i, reply="_INBOX.@.r")
    r.wait(50)
    talk.step("acks", [[message.json().get("seq") for message in r.messages]])
    r.messages = []


@conversation
def publish_nats_internal_header_stripped(talk):
    talk.create_stream()
    talk.publish("@.a", "x", {"Nats-Request-Info": '{"acc":"x"}', "B": "c"})
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.publish("@.a", "x", {"Nats-Request-Info": '{"acc":"x"}'})
    talk.api("STREAM.MSG.GET.@", {"seq": 2})
    talk.stream_info()
