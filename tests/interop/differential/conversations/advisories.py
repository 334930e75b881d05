"""Advisories of streams, consumers and acks, and the audit of the API."""

from registry import conversation
from vocabulary import MS


@conversation
def advisory_stream(talk):
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.ADVISORY.STREAM.*.@")
    talk.create_stream()
    sub.take(1)
    talk.create_stream()
    sub.take(0, extra=0.1)
    talk.update_stream(whole=False, description="x")
    sub.take(1)
    talk.update_stream(whole=False, description="x")
    sub.take(0, extra=0.1)
    talk.update_stream(whole=False, storage="file")
    talk.api("STREAM.PURGE.@")
    sub.take(0, extra=0.1)
    talk.api("STREAM.DELETE.@")
    sub.take(1)


@conversation
def advisory_consumer(talk):
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.@.>")
    talk.create_stream()
    talk.create_consumer()
    sub.take(1)
    talk.create_consumer()
    sub.take(0, extra=0.1)
    talk.create_consumer(description="x")
    sub.take(0, extra=0.1)
    talk.api("CONSUMER.DELETE.@.c")
    sub.take(1)
    n = talk.create_ephemeral()
    sub.take(1)
    talk.api("CONSUMER.DELETE.@." + n)
    sub.take(1)
    talk.create_consumer("d")
    sub.take(1)
    talk.api("STREAM.DELETE.@")
    sub.take(0, extra=0.15)


@conversation(slow=True)
def advisory_inactive_delete(talk):
    other = talk.connect()
    talk.create_stream()
    sub = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.DELETED.@.>")
    talk.create_consumer("d", inactive_threshold=200 * MS)
    sub.take(1, timeout=4)


@conversation
def advisory_acks(talk):
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.@.c")
    talk.create_stream()
    talk.fill(4)
    talk.create_consumer()
    sub.take(1)
    messages = talk.fetch("c", "4", 4)
    if len(messages) == 4:
        talk.ack(messages[0], "-NAK")
        sub.take(1)
        talk.ack(messages[1], '-NAK {"delay":10000000000}')
        sub.take(1)
        talk.ack(messages[2], "+TERM")
        sub.take(1)
        talk.ack(messages[3], "+TERM the reason is")
        sub.take(1)
        talk.ack(messages[3], "+WPI")
        sub.take(0, extra=0.1)
        message = talk.fetch()
        talk.ack(message, "-NAK")
        sub.take(1)


@conversation(own_server=True)
def advisory_api_audit(talk):
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.ADVISORY.API")
    talk.api("INFO")
    sub.take(1)
    talk.create_stream()
    sub.take(1)
    talk.api("STREAM.INFO.none")
    sub.take(1)
    talk.fill(1)
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    sub.take(0, extra=0.1)
    talk.create_consumer()
    sub.take(1)
    talk.fetch()
    sub.take(0, extra=0.1)
    talk.api("CONSUMER.INFO.@.c")
    sub.take(1)
    talk.api("STREAM.NAMES", "x")
    sub.take(1)
    talk.api("STREAM.LIST")
    sub.take(0, extra=0.1)
    talk.expect_silence("$JS.API.BOGUS")
    sub.take(0, extra=0.1)


@conversation(own_server=True)
def advisory_captured_by_stream(talk):
    talk.create_stream(subjects=["$JS.EVENT.ADVISORY.CONSUMER.>", "$JS.EVENT.ADVISORY.STREAM.>"])
    talk.create_stream("@2")
    talk.create_consumer("d", stream="@2")
    talk.sleep(0.1)
    talk.api(
        "STREAM.INFO.@",
        {"subjects_filter": ">"},
        view=lambda r: [r["json"]["state"]["messages"], r["json"]["state"].get("subjects")],
    )
    talk.api(
        "STREAM.MSG.GET.@",
        {"last_by_subj": "$JS.EVENT.ADVISORY.CONSUMER.>"},
        view=lambda r: r["json"].get("message", {}).get("subject"),
    )


@conversation(own_server=True)
def advisory_account_wide(talk):
    """everything on $JS.EVENT.> during a small life"""
    other = talk.connect()
    sub = other.subscribe("$JS.EVENT.>")
    talk.create_stream()
    talk.create_consumer()
    talk.fill(1)
    message = talk.fetch()
    talk.ack(message, "+TERM")
    talk.api("CONSUMER.DELETE.@.c")
    talk.api("STREAM.DELETE.@")
    talk.sleep(0.2)
    talk.client.sync()
    other.sync()
    q, sub.messages = sub.messages, []
    talk.step("subjects", [sorted(talk.shown(message.subject) for message in q)])
