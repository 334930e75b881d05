"""Plain subscriptions and verbose connections beside streams."""

from conversation import stream_state
from registry import conversation


@conversation
def plain_sub_before_stream(talk):
    """subscriber answers, stream acks too: the requester gets both"""
    other = talk.connect()
    sub = other.subscribe("@.svc")
    talk.create_stream()
    inbox = talk.client.inbox()
    talk.client.send("@.svc", "q", reply=inbox.subject)
    message = sub.take(1)
    other.publish(message[0].reply if message else "x", "answer")
    inbox.take(2, sort=True)


@conversation
def plain_queue_sub(talk):
    talk.create_stream()
    other = talk.connect()
    a, b = other.subscribe("@.>", queue="q"), other.subscribe("@.>", queue="q")
    talk.fill(10)
    other.until(lambda: len(a.messages) + len(b.messages) >= 10, 1)
    talk.step("queue got", [len(a.messages) + len(b.messages)])
    a.messages, b.messages = [], []
    talk.stream_info()


@conversation
def plain_consumer_message_not_routed(talk):
    """deliveries by a consumer are not seen by plain subscribers of the stream's subject"""
    talk.create_stream()
    talk.fill(1)
    other = talk.connect()
    sub = other.subscribe("@.>")
    talk.create_consumer()
    talk.fetch()
    sub.quiet(0.1)


@conversation
def plain_sub_ack_subject(talk):
    """a plain subscription on ack subjects sees acks"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    other = talk.connect()
    sub = other.subscribe("$JS.ACK.@.>")
    talk.ack(message)
    sub.take(1)
    talk.consumer_info()


@conversation
def plain_publish_from_deliver_subject(talk):
    """publishing onto the deliver subject or inbox of a pull request by others"""
    talk.create_stream()
    talk.create_consumer()
    sub = talk.pull("c", "2")
    talk.client.publish(sub.subject, "intruder")
    sub.take(1)
    talk.fill(1)
    sub.take(1)


@conversation
def plain_stream_to_stream(talk):
    """a stream whose subject is another stream's ack inbox"""
    talk.create_stream()
    talk.create_stream("@2", subjects=["@acks"])
    talk.client.publish("@.a", "x", reply="@acks")
    talk.sleep(0.1)
    talk.stream_info(name="@2")
    talk.api("STREAM.MSG.GET.@2", {"seq": 1})


@conversation
def plain_headers_status_line(talk):
    """user headers and an inline status through a consumer"""
    talk.create_stream()
    talk.publish("@.a", "x", b"NATS/1.0 503\r\n\r\n")
    talk.publish("@.a", "x", b"NATS/1.0\r\nA: 1\r\nA: 2\r\na: 3\r\n\r\n")
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", "2", 2)


@conversation
def plain_unsub_auto(talk):
    """request with UNSUB 1 on the inbox: batch of 3 delivers one"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    other = talk.connect()
    sub = other.subscribe("_INBOX.@.u")
    other.write(("UNSUB %s 1\r\n" % sub.sid).encode())
    other.send("$JS.API.CONSUMER.MSG.NEXT.@.c", "3", reply="_INBOX.@.u")
    sub.take(1)
    talk.sleep(0.05)
    other.sync()
    sub.messages = []  # 2.15.1 sometimes sends more than the UNSUB maximum from a consumer


@conversation
def plain_sub_js_events_denied(talk):
    """subscribing to API subjects is allowed; requests reach both"""
    other = talk.connect()
    sub = other.subscribe("$JS.API.STREAM.INFO.@")
    talk.create_stream()
    talk.api("STREAM.INFO.@", view=stream_state)
    sub.take(1)


@conversation
def plain_wildcard_reply(talk):
    talk.create_stream()
    talk.client.publish("@.a", "x", reply="_INBOX.@.*")
    talk.stream_info()


@conversation
def verbose_api(talk):
    other = talk.connect(verbose=True)
    sub = other.subscribe("_INBOX.@.r")
    other.order.clear()
    other.send(
        "$JS.API.STREAM.CREATE.@",
        {"name": "@", "storage": "memory", "subjects": ["@.>"]},
        reply="_INBOX.@.r",
    )
    other.until(lambda: len(other.order) >= 2, 2)
    talk.step("create", [str(x if isinstance(x, str) else "MSG") for x in other.order])
    other.order.clear()
    other.send("@.a", "x", reply="_INBOX.@.r")
    other.until(lambda: len(other.order) >= 2, 2)
    talk.step("publish", sorted(str(x if isinstance(x, str) else "MSG") for x in other.order))
    other.order.clear()
    other.send("@.a", "x", {"A": "b"})
    other.until(lambda: len(other.order) >= 1, 2)
    other.sync()
    talk.step("hpub", [str(x if isinstance(x, str) else "MSG") for x in other.order])
    sub.messages = []


@conversation
def verbose_pull(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    other = talk.connect(verbose=True)
    sub = other.subscribe("_INBOX.@.r")
    other.order.clear()
    other.send("$JS.API.CONSUMER.MSG.NEXT.@.c", "1", reply="_INBOX.@.r")
    other.until(lambda: len(other.order) >= 2, 2)
    talk.step("next", sorted(str(x if isinstance(x, str) else "MSG") for x in other.order))
    message = sub.messages[0] if sub.messages else None
    sub.messages = []
    other.order.clear()
    if message:
        other.send(message.reply, "")
        other.until(lambda: len(other.order) >= 1, 2)
        other.sync()
        talk.step("ack", [str(x if isinstance(x, str) else "MSG") for x in other.order])
    talk.sleep(0.05)
    talk.consumer_info()
