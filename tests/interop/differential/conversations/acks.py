"""Acks of all kinds, what they do to the numbers of a consumer, and the metrics of acks."""

from registry import conversation, each
from vocabulary import MS, SECOND

ACKS = [
    ("empty", ""),
    ("plusack", "+ACK"),
    ("ok", "+OK"),
    ("nak", "-NAK"),
    ("nak_delay", '-NAK {"delay":900000000}'),
    ("nak_dur", "-NAK 900ms"),
    ("nak_bad", '-NAK {"delay":"x"}'),
    ("nak_bad2", "-NAK xyz"),
    ("nak_nospace", '-NAK{"delay":900000000}'),
    ("wpi", "+WPI"),
    ("wpi_extra", "+WPI x"),
    ("term", "+TERM"),
    ("term_reason", "+TERM because of it"),
    ("junk", "hello"),
    ("lower", "+ack"),
    ("ackextra", "+ACK x"),
    ("plus", "+"),
    ("minus", "-"),
    ("nakonly", "-nak"),
    ("space", " "),
    ("binary", b"\x00"),
]


@each("ack", ACKS)
def ack(talk, payload):
    talk.create_stream()
    talk.fill(2)
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.@.>")
    talk.create_consumer(ack_wait=20 * SECOND)
    advisories.take(1)
    message = talk.fetch()
    talk.ack(message, payload)
    talk.consumer_info()
    talk.fetch("c", '{"batch":2,"expires":200000000}', 1, timeout=0.4, extra=0.35)
    talk.consumer_info()
    talk.ack(message, payload)
    talk.consumer_info()
    advisories.take(0, extra=0.05)


@conversation
def ack_no_reply(talk):
    talk.create_stream()
    talk.fill(2)
    talk.create_consumer()
    message = talk.fetch()
    talk.client.publish(message[0].reply if message else "x", "")
    talk.sleep(0.05)
    talk.consumer_info()


@conversation
def ack_with_headers(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    if message:
        talk.request(message[0].reply, "-NAK", {"A": "b"})
    talk.consumer_info()
    message = talk.fetch()
    if message:
        talk.request(message[0].reply, "+ACK", {"A": "b"})
    talk.consumer_info()


@conversation
def ack_out_of_order(talk):
    talk.create_stream()
    talk.fill(5)
    talk.create_consumer()
    messages = talk.fetch("c", "5", 5)
    for i in (3, 1, 0, 4, 2):
        if len(messages) == 5:
            talk.ack(messages[i])
        talk.consumer_info()


@conversation
def ack_all_policy(talk):
    talk.create_stream()
    talk.fill(6)
    talk.create_consumer(ack_policy="all")
    messages = talk.fetch("c", "5", 5)
    if len(messages) == 5:
        talk.ack(messages[2])
        talk.consumer_info()
        talk.ack(messages[0])
        talk.consumer_info()
        talk.ack(messages[3], "-NAK")
        talk.consumer_info()
        talk.fetch("c", "1", 1)
        talk.consumer_info()
        talk.ack(messages[4], "+TERM")
        talk.consumer_info()


@conversation
def ack_all_gap(talk):
    """ack all with filter and deletes in between"""
    talk.create_stream()
    for s in "abababa":
        talk.client.publish("@." + s, s, recorded=False)
    talk.create_consumer(ack_policy="all", filter_subject="@.a")
    messages = talk.fetch("c", "4", 4)
    if len(messages) == 4:
        talk.ack(messages[1])
        talk.consumer_info()
        talk.ack(messages[3])
        talk.consumer_info()


@conversation
def ack_none_policy(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer(ack_policy="none")
    message = talk.fetch()
    talk.consumer_info()
    talk.ack(message)
    talk.ack(message, "-NAK")
    talk.ack(message, "+TERM")
    talk.consumer_info()
    talk.fetch()
    talk.consumer_info()


@conversation
def ack_nonsense_numbers(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    talk.fetch("c", "2", 2)
    T = "1700000000000000000"
    for s in (
        "1.99.99.%s.0",
        "1.0.0.%s.0",
        "1.1.2.%s.0",
        "1.2.1.%s.0",
        "5.1.1.%s.9",
        "0.1.1.%s.0",
        "x.1.1.%s.0",
        "1.x.1.%s.0",
        "1.1.x.%s.0",
        "1.3.3.%s.0",
    ):
        talk.request("$JS.ACK.@.c." + s % T, "+ACK", timeout=0.3)
        talk.consumer_info()


@conversation
def ack_forms(talk):
    """token counts; v2 form"""
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer()
    messages = talk.fetch("c", "4", 4)
    talk.request("$JS.ACK.@.c.1.1", "", timeout=0.2)
    talk.request("$JS.ACK.@.c", "", timeout=0.2)
    talk.request("$JS.ACK.@.c.1.1.1.1.1.1", "", timeout=0.2)
    talk.consumer_info()
    if len(messages) == 4:
        t = messages[1].reply.split(".")
        talk.request("$JS.ACK._.szMpdrwD." + ".".join(t[2:]), "", timeout=0.2)
        talk.consumer_info()
        talk.request("$JS.ACK._.szMpdrwD." + ".".join(t[2:]) + ".rnd", "", timeout=0.2)
        talk.consumer_info()


@conversation
def ack_stream_mismatch(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    if message:
        talk.request(message[0].reply.replace(".c.", ".zz."), "")
        talk.request(message[0].reply.replace(talk.token, "nosuch" + talk.token), "")
    talk.consumer_info()


@conversation
def ack_other_connection(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    other = talk.connect()
    if message:
        talk.request(message[0].reply, "", connection=other)
    talk.consumer_info()


@conversation
def ack_redelivered_old_reply(talk):
    """ack with the reply of an earlier delivery"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer(ack_wait=200 * MS)
    m1 = talk.fetch()
    talk.fetch("c", "1", 1)
    talk.consumer_info()
    talk.ack(m1)
    talk.consumer_info()
    talk.fetch("c", '{"batch":1,"expires":400000000}', 1)
    talk.consumer_info()


@conversation
def ack_nxt(talk):
    talk.create_stream()
    talk.fill(6)
    talk.create_consumer()
    message = talk.fetch()
    sub = talk.client.inbox()
    talk.client.send(message[0].reply if message else "x", "+NXT", reply=sub.subject)
    message = sub.take(1)
    talk.consumer_info()
    talk.client.send(message[0].reply if message else "x", "+NXT 2", reply=sub.subject)
    message = sub.take(2, extra=0.05)
    talk.consumer_info()
    talk.client.send(
        message[0].reply if message else "x", '+NXT {"batch":5,"no_wait":true}', reply=sub.subject
    )
    sub.take(3, extra=0.05)
    talk.consumer_info()
    talk.client.send(message[1].reply if len(message) > 1 else "x", "+NXT x", reply=sub.subject)
    sub.take(1, timeout=0.3, extra=0.05)
    talk.client.send(message[1].reply if len(message) > 1 else "x", "+NXT")
    talk.client.sync()
    talk.sleep(0.05)
    talk.consumer_info()


@conversation
def ack_nxt_wait(talk):
    """+NXT with nothing there waits"""
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    message = talk.fetch()
    sub = talk.client.inbox()
    talk.client.send(message[0].reply if message else "x", "+NXT", reply=sub.subject)
    sub.quiet()
    talk.consumer_info()
    talk.fill(1)
    sub.take(1)


@conversation
def ack_floor_with_term_and_nak(talk):
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer()
    messages = talk.fetch("c", "4", 4)
    if len(messages) == 4:
        talk.ack(messages[0], "+TERM")
        talk.consumer_info()
        talk.ack(messages[1], "-NAK")
        talk.consumer_info()
        talk.ack(messages[2])
        talk.consumer_info()
        message = talk.fetch("c", "1", 1)
        talk.consumer_info()
        talk.ack(message)
        talk.consumer_info()
        talk.ack(messages[3])
        talk.consumer_info()


@conversation
def ack_undelivered(talk):
    """acks for messages not yet delivered"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    talk.request("$JS.ACK.@.c.1.2.2.1700000000000000000.0", "")
    talk.consumer_info()
    talk.fetch("c", "3", 3)
    talk.consumer_info()


@conversation
def ack_nak_zero_delay(talk):
    talk.create_stream()
    talk.fill(1)
    talk.create_consumer()
    for p in ('-NAK {"delay":0}', '-NAK {"delay":-5}', "-NAK {}", "-NAK ", "-NAK 0s", "-NAK -1s"):
        message = talk.fetch("c", '{"batch":1,"expires":500000000}', 1, timeout=0.8)
        talk.ack(message, p)
        talk.consumer_info()


@conversation
def ack_pipelined(talk):
    talk.create_stream()
    talk.fill(50)
    talk.create_consumer()
    sub = talk.pull("c", "50")
    sub.wait(50, 3)
    for message in sub.messages:
        talk.client.send(message.reply, "+ACK")
    sub.messages = []
    talk.client.sync()
    talk.sleep(0.15)
    talk.consumer_info()


@conversation
def next_default_max_ack_pending(talk):
    """1000 outstanding, then no more"""
    talk.create_stream()
    talk.fill(1100)
    talk.create_consumer()
    sub = talk.pull("c", "1100")
    sub.wait(1000, 4)
    talk.sleep(0.2)
    talk.client.sync()
    talk.step("got", [len(sub.messages)])
    q, sub.messages = sub.messages, []
    talk.consumer_info()
    for message in q[:10]:
        talk.client.send(message.reply, "")
    sub.wait(10, 2)
    talk.sleep(0.1)
    talk.client.sync()
    talk.step("got", [len(sub.messages)])
    sub.messages = []
    talk.consumer_info()


@conversation
def next_ack_all_max_ack_pending(talk):
    talk.create_stream()
    talk.fill(6)
    talk.create_consumer(ack_policy="all", max_ack_pending=2)
    sub = talk.pull("c", "10")
    messages = sub.take(2, extra=0.05)
    talk.ack(messages[1:])
    messages = sub.take(2, extra=0.05)
    talk.ack(messages[:1])
    sub.take(1, extra=0.05)
    talk.consumer_info()


@conversation
def next_lps_update_during(talk):
    """last_per_subject: a subject not yet delivered gets a newer message"""
    talk.create_stream()
    for s in "abc":
        talk.fill(1, "@." + s, s + "1")
    talk.create_consumer(deliver_policy="last_per_subject", filter_subject="@.>")
    talk.fetch()
    talk.consumer_info()
    talk.fill(1, "@.b", "b2")
    talk.sleep(0.03)
    talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 4)
    talk.consumer_info()


@conversation
def next_lps_evicted_during(talk):
    """the same with max_msgs_per_subject 1"""
    talk.create_stream(max_msgs_per_subject=1)
    for s in "abc":
        talk.fill(1, "@." + s, s + "1")
    talk.create_consumer(deliver_policy="last_per_subject", filter_subject="@.>")
    talk.fetch()
    talk.consumer_info()
    talk.fill(1, "@.b", "b2")
    talk.sleep(0.03)
    talk.consumer_info()
    talk.fetch("c", '{"batch":9,"no_wait":true}', 3)
    talk.consumer_info()


@conversation
def ack_metric(talk):
    talk.create_stream()
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.METRIC.CONSUMER.ACK.@.>")
    talk.fill(3)
    talk.create_consumer(sample_freq="100")
    messages = talk.fetch("c", "3", 3)
    if len(messages) == 3:
        talk.ack(messages[0])
        sub.take(1)
        talk.ack(messages[1], "+TERM")
        sub.take(0, extra=0.1)
        talk.ack(messages[2], "-NAK")
        message = talk.fetch()
        talk.ack(message)
        sub.take(1)


@conversation
def ack_metric_zero(talk):
    talk.create_stream()
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.METRIC.>", only="@")
    talk.fill(1)
    talk.create_consumer(sample_freq="0%")
    message = talk.fetch()
    talk.ack(message)
    sub.take(0, extra=0.1)
