"""What becomes of consumers: made again, purged under, left alone."""

from conversation import consumer_numbers
from registry import conversation
from vocabulary import MS, PUSH


@conversation
def consumer_delete_recreate(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    message = talk.fetch()
    talk.ack(message)
    talk.api("CONSUMER.DELETE.@.c")
    talk.create_consumer()
    talk.fetch()
    talk.consumer_info()


@conversation
def consumer_purge_effects(talk):
    talk.create_stream()
    talk.fill(5)
    talk.create_consumer()
    talk.fetch("c", "3", 3)
    talk.consumer_info()
    talk.api("STREAM.PURGE.@")
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fill(2)
    talk.consumer_info()
    talk.fetch("c", "2", 2)
    talk.consumer_info()


@conversation
def consumer_purge_filter_effects(talk):
    talk.create_stream()
    for s in "ababab":
        talk.client.publish("@." + s, s, recorded=False)
    talk.create_consumer("a", filter_subject="@.a")
    talk.create_consumer("all")
    talk.fetch("a", "1")
    talk.fetch("all", "2", 2)
    talk.api("STREAM.PURGE.@", {"filter": "@.a"})
    talk.sleep(0.05)
    talk.consumer_info("a")
    talk.consumer_info("all")
    talk.fetch("all", '{"batch":10,"no_wait":true}', 3)
    talk.consumer_info("all")


@conversation
def consumer_purge_seq_effects(talk):
    talk.create_stream()
    talk.fill(6)
    talk.create_consumer()
    talk.fetch("c", "2", 2)
    talk.api("STREAM.PURGE.@", {"seq": 4})
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fetch()
    talk.consumer_info()
    talk.api("STREAM.PURGE.@", {"keep": 1})
    talk.sleep(0.05)
    talk.consumer_info()


@conversation
def consumer_msgdelete_effects(talk):
    """API delete of pending, of undelivered and of acked messages"""
    talk.create_stream()
    talk.fill(6)
    talk.create_consumer()
    messages = talk.fetch("c", "3", 3)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.sleep(0.05)
    talk.consumer_info()
    talk.api("STREAM.MSG.DELETE.@", {"seq": 5})
    talk.sleep(0.05)
    talk.consumer_info()
    talk.ack(messages[:1])
    talk.consumer_info()
    talk.fetch("c", '{"batch":10,"no_wait":true}', 3)
    talk.consumer_info()


@conversation
def consumer_file_storage(talk):
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer(whole=True)
    message = talk.fetch("c", "2", 2)
    talk.ack(message)
    talk.consumer_info()


@conversation(slow=True)
def consumer_inactive_pull(talk):
    """ephemeral and durable with inactive_threshold disappear"""
    talk.create_stream()
    talk.create_consumer("d", inactive_threshold=200 * MS)
    talk.api(
        "CONSUMER.CREATE.@.e",
        {"stream_name": "@", "config": {"name": "e", "inactive_threshold": 200 * MS}},
        view=consumer_numbers,
    )
    talk.create_consumer("keep")
    talk.api("CONSUMER.NAMES.@")
    talk.sleep(3.2)
    talk.api("CONSUMER.NAMES.@")


@conversation(slow=True)
def consumer_inactive_push(talk):
    talk.create_stream()
    sub = talk.subscribe("_INBOX.@.push")
    talk.create_consumer("b", inactive_threshold=200 * MS, **PUSH)
    talk.create_consumer("nob", inactive_threshold=200 * MS, deliver_subject="_INBOX.@.nobody")
    talk.sleep(1.6)
    talk.api("CONSUMER.NAMES.@")
    sub.unsubscribe()
    talk.sleep(1.6)
    talk.api("CONSUMER.NAMES.@")


@conversation(slow=True)
def consumer_inactive_waiting_pull(talk):
    """a waiting request keeps it"""
    talk.create_stream()
    talk.create_consumer("d", inactive_threshold=200 * MS)
    sub = talk.pull("d", "1")
    talk.sleep(2.0)
    talk.api("CONSUMER.NAMES.@")
    sub.unsubscribe()
    talk.sleep(3.2)
    talk.api("CONSUMER.NAMES.@")


@conversation
def consumer_name_in_two_streams(talk):
    talk.create_stream()
    talk.create_stream("@2")
    talk.create_consumer("c")
    talk.create_consumer("c", stream="@2")
    talk.fill(1)
    talk.consumer_info("c")
    talk.consumer_info("c", "@2")


@conversation
def consumer_ephemeral_random_name(talk):
    talk.create_stream()
    talk.fill(2)
    n = talk.create_ephemeral(whole=True)
    talk.api("CONSUMER.INFO.@." + n)
    talk.fetch(n)
    talk.api("CONSUMER.DELETE.@." + n)


@conversation
def consumer_direct_cfg_hidden(talk):
    """internal fields in a client's config"""
    talk.create_stream()
    talk.create_consumer("a", direct=True, whole=True)
    talk.create_consumer("b", sourcing=True, whole=True)
