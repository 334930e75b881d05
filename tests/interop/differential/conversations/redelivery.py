"""When a message is delivered again, in which order, and when no more."""

from registry import conversation
from vocabulary import MS, SECOND


@conversation
def redelivery_ack_wait(talk):
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer(ack_wait=250 * MS)
    sub = talk.pull("c", "10")
    sub.take(2)
    sub.take(2)
    talk.consumer_info()
    sub.take(2)
    talk.consumer_info()
    sub.unsubscribe()


@conversation
def redelivery_before_new(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer(ack_wait=200 * MS)
    talk.fetch("c", "2", 2)
    talk.sleep(0.45)
    talk.fetch("c", "3", 3)
    talk.consumer_info()


@conversation
def redelivery_nak_order(talk):
    """NAKed in reverse order; redelivery order"""
    talk.create_stream()
    talk.fill(5)
    talk.create_consumer()
    messages = talk.fetch("c", "4", 4)
    for i in (3, 1, 0):
        if len(messages) == 4:
            talk.ack(messages[i], "-NAK")
    talk.consumer_info()
    talk.fetch("c", "5", 4)
    talk.consumer_info()


@conversation
def redelivery_nak_while_waiting(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    sub = talk.pull("c", "10")
    messages = sub.take(3)
    if len(messages) == 3:
        talk.ack(messages[2], "-NAK")
        talk.ack(messages[0], "-NAK")
    sub.take(2)
    talk.consumer_info()


@conversation
def redelivery_nak_delay_order(talk):
    """delays 300/100 ms: order"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    sub = talk.pull("c", "10")
    messages = sub.take(3)
    if len(messages) == 3:
        talk.ack(messages[0], '-NAK {"delay":900000000}')
        talk.ack(messages[1], '-NAK {"delay":500000000}')
        talk.ack(messages[2], "-NAK")
    sub.take(3)
    talk.consumer_info()


@conversation
def redelivery_wpi_extends(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(ack_wait=400 * MS)
    sub = talk.pull("c", "10", settle=0)
    messages = sub.take(1)
    for _ in range(3):
        talk.sleep(0.22)
        talk.ack(messages, "+WPI")
    sub.quiet(0.05)
    talk.consumer_info()
    sub.take(1)
    talk.consumer_info()


@conversation(slow=True)
def redelivery_backoff(talk):
    """backoff 150,450 ms, max 4: order, counts and advisory"""
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.@.>")
    talk.fill(1)
    talk.create_consumer(backoff=[150 * MS, 450 * MS], max_deliver=4)
    sub = talk.pull("c", "10", settle=0)
    sub.wait(4, 3)
    t = [message.at for message in sub.messages]
    g = [round(b - a, 2) for a, b in zip(t, t[1:])]
    talk.step(
        "gaps",
        [
            "ok"
            if len(g) == 3 and 0.1 < g[0] < 0.4 and 0.4 < g[1] < 0.8 and 0.4 < g[2] < 0.8
            else str(g)
        ],
    )
    sub.take(4)
    advisories.quiet(0.05)
    advisories.take(1, timeout=2)
    talk.consumer_info()
    sub.quiet(0.3)


@conversation
def redelivery_backoff_nak_ignores(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(backoff=[2 * SECOND, 3 * SECOND])
    sub = talk.pull("c", "10")
    message = sub.take(1)
    talk.ack(message, "-NAK")
    sub.take(1, timeout=1)
    talk.consumer_info()


@conversation
def redelivery_max_deliver(talk):
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.@.>")
    talk.fill(3)
    talk.create_consumer(max_deliver=2, ack_wait=200 * MS)
    sub = talk.pull("c", "20", settle=0)
    sub.take(6)
    advisories.take(3, timeout=2, sort=True)
    talk.consumer_info()
    sub.quiet(0.3)
    talk.fill(1)
    message = sub.take(1)
    talk.ack(message)
    talk.consumer_info()


@conversation
def redelivery_max_deliver_nak(talk):
    """NAK at the limit, with and without a waiting request"""
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>", only="@")
    talk.fill(2)
    talk.create_consumer(max_deliver=1, ack_wait=20 * SECOND)
    advisories.take(1)
    message = talk.fetch()
    talk.ack(message, "-NAK")
    advisories.take(0, extra=0.15)
    talk.consumer_info()
    message = talk.fetch()
    advisories.take(0, extra=0.15)
    talk.consumer_info()
    sub = talk.pull("c", "1")
    talk.ack(message, "-NAK")
    advisories.take(0, extra=0.15)
    talk.consumer_info()
    sub.quiet()


@conversation
def redelivery_max_deliver_no_request(talk):
    """max deliver reached with nobody asking"""
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.@.>")
    talk.fill(1)
    talk.create_consumer(max_deliver=1, ack_wait=150 * MS)
    talk.fetch()
    advisories.take(0, extra=0.6)
    talk.consumer_info()
    talk.fetch("c", '{"batch":1,"expires":200000000}', 1)
    advisories.take(0, extra=0.1)
    talk.consumer_info()


@conversation
def redelivery_max_deliver_term(talk):
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>", only="@")
    talk.fill(1)
    talk.create_consumer(max_deliver=1, ack_wait=150 * MS)
    advisories.take(1)
    message = talk.fetch()
    talk.ack(message, "+TERM")
    advisories.take(1)
    talk.sleep(0.4)
    advisories.quiet(0.02)
    talk.consumer_info()


@conversation
def redelivery_max_deliver_ack_late(talk):
    """ack after the message was given up"""
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer(max_deliver=1, ack_wait=150 * MS)
    sub = talk.pull("c", "5", settle=0)
    messages = sub.take(2)
    talk.sleep(0.5)
    talk.consumer_info()
    talk.ack(messages[:1])
    talk.consumer_info()
    talk.ack(messages[1:])
    talk.consumer_info()


@conversation
def redelivery_max_deliver_wq_floor(talk):
    """ack floor around a given-up message"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer(max_deliver=1, ack_wait=200 * MS)
    sub = talk.pull("c", "5", settle=0)
    messages = sub.take(3)
    if len(messages) == 3:
        talk.ack(messages[0])
        talk.ack(messages[2])
    talk.consumer_info()
    talk.sleep(0.5)
    talk.consumer_info()
    talk.fill(1)
    message = sub.take(1)
    talk.ack(message)
    talk.consumer_info()


@conversation
def redelivery_map_redeliveries_flow(talk):
    """max_ack_pending reached: redeliveries still flow"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer(max_ack_pending=1, ack_wait=200 * MS)
    sub = talk.pull("c", "5", settle=0)
    sub.take(1)
    sub.take(1)
    message = sub.take(1)
    talk.consumer_info()
    talk.ack(message)
    sub.take(1)
    talk.consumer_info()


@conversation
def redelivery_no_interest_uncounted(talk):
    """a redelivery that cannot be sent is not counted"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(ack_wait=150 * MS)
    talk.fetch()
    talk.sleep(0.5)
    talk.consumer_info()
    talk.fetch()
    talk.consumer_info()


@conversation
def redelivery_deleted_pending(talk):
    """a pending message is deleted: terminated advisory"""
    talk.create_stream()
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.@.>")
    talk.fill(2)
    talk.create_consumer(ack_wait=200 * MS)
    talk.fetch("c", "2", 2)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    advisories.take(0, extra=0.1)
    talk.consumer_info()
    talk.sleep(0.4)
    talk.fetch("c", "1", 1)
    advisories.take(0, extra=0.1)
    talk.consumer_info()


@conversation
def redelivery_num_redelivered(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    messages = talk.fetch("c", "3", 3)
    for message in messages:
        talk.ack(message, "-NAK")
    talk.consumer_info()
    messages = talk.fetch("c", "3", 3)
    talk.consumer_info()
    for message in messages:
        talk.ack(message)
        talk.consumer_info()


@conversation
def redelivery_cseq_gap(talk):
    """consumer sequence counts each delivery; floor uses both"""
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    a = talk.fetch()
    talk.ack(a, "-NAK")
    a2 = talk.fetch()
    b = talk.fetch()
    talk.consumer_info()
    talk.ack(a2)
    talk.consumer_info()
    talk.ack(b)
    talk.consumer_info()


@conversation
def redelivery_pending_after_nak(talk):
    """no_wait sees NAKed messages"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1)
    talk.ack(message, "-NAK")
    talk.fetch("c", '{"batch":5,"no_wait":true}', 2)
    talk.consumer_info()


@conversation
def redelivery_nak_delay_pull_nowait(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    talk.ack(message, '-NAK {"delay":400000000}')
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1)
    talk.consumer_info()
    talk.sleep(0.6)
    talk.fetch("c", '{"batch":1,"no_wait":true}', 1)


@conversation
def redelivery_multi_waiting_rr(talk):
    """redelivery to two waiting requests"""
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer(ack_wait=400 * MS)
    talk.fetch("c", "4", 4)
    a = talk.pull("c", "2")
    b = talk.pull("c", "2")
    talk.sleep(0.6)
    a.take(0, extra=0.02)
    b.take(0, extra=0.02)
    talk.consumer_info()
    a.unsubscribe()
    b.unsubscribe()
