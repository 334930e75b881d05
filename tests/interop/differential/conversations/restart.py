"""What is there after a restart."""

from conversation import consumer_numbers, stream_state
from conversations.pause import after_resume
from registry import conversation
from vocabulary import MS, SECOND


def restart(talk):
    for connection in talk.connections:
        connection.close()
    ended = talk.server.stop()
    talk.server.start()
    talk.sleep(0.1)
    talk.step("restart", ["ended by itself" if ended else "had to be killed"])


@conversation(own_server=True)
def restart_stream_state(talk):
    talk.create_stream(storage="file", metadata={"a": "b"}, description="d", max_msgs=100)
    talk.fill(5)
    talk.publish("@.b", "x", {"A": "b"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 3})
    restart(talk)
    talk.api("STREAM.INFO.@", {"deleted_details": True, "subjects_filter": ">"})
    talk.api("STREAM.MSG.GET.@", {"seq": 6})
    talk.publish("@.a")
    talk.stream_info()


@conversation(own_server=True)
def restart_memory_stream(talk):
    """memory streams keep their configuration, not their messages?"""
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer()
    restart(talk)
    talk.api("STREAM.INFO.@")
    talk.api("CONSUMER.NAMES.@")
    talk.publish("@.a")


@conversation(own_server=True)
def restart_empty_and_purged(talk):
    talk.create_stream(storage="file")
    talk.create_stream("@2", storage="file", first_seq=50)
    talk.create_stream("@3", storage="file")
    talk.fill(4, "@3.a")
    talk.api("STREAM.PURGE.@3")
    talk.create_stream("@4", storage="file")
    talk.fill(3, "@4.a")
    talk.api("STREAM.MSG.DELETE.@4", {"seq": 3})
    talk.create_stream("@5", storage="file")
    talk.fill(3, "@5.a")
    talk.api("STREAM.MSG.DELETE.@5", {"seq": 1})
    talk.api("STREAM.PURGE.@5", {"keep": 1})
    restart(talk)
    for n in ("@", "@2", "@3", "@4", "@5"):
        # nats-server calls sequence 0 of a stream deleted that was never written to.
        talk.stream_info(
            {"deleted_details": True} if n != "@" else None,
            n,
            view=(lambda r: {k: v for k, v in r["json"]["state"].items() if k != "num_deleted"})
            if n == "@"
            else stream_state,
        )
        talk.publish(n + ".a")


@conversation(own_server=True)
def restart_consumer_state(talk):
    talk.create_stream(storage="file")
    talk.fill(6)
    talk.create_consumer(ack_wait=30 * SECOND, description="x")
    messages = talk.fetch("c", "4", 4)
    talk.ack(messages[:1])
    talk.ack(messages[2:3])
    talk.sleep(0.3)
    talk.consumer_info()
    restart(talk)
    talk.api("CONSUMER.INFO.@.c")
    talk.fetch("c", '{"batch":10,"no_wait":true}', 4)
    talk.consumer_info()
    if messages:
        talk.ack(messages[1])
    talk.consumer_info()


@conversation(own_server=True)
def restart_nak_forgotten(talk):
    """a NAK nobody fetched before the restart: the message waits for its ack_wait again"""
    talk.create_stream(storage="file")
    talk.fill(2)
    talk.create_consumer(ack_wait=30 * SECOND)
    talk.ack(talk.fetch(), "-NAK")
    talk.sleep(0.3)
    restart(talk)
    talk.consumer_info()
    talk.fetch("c", '{"batch":5,"no_wait":true}', 2)


@conversation(own_server=True)
def restart_ack_timer_resumes(talk):
    talk.create_stream(storage="file")
    talk.fill(2)
    talk.create_consumer(ack_wait=2500 * MS)
    talk.fetch("c", "2", 2)
    restart(talk)
    sub = talk.pull("c", "5", settle=0)
    sub.quiet(0.1)
    sub.take(2, timeout=5)
    talk.consumer_info()


@conversation(own_server=True)
def restart_max_deliver(talk):
    """delivery counts survive"""
    talk.create_stream(storage="file")
    talk.fill(1)
    talk.create_consumer(ack_wait=300 * MS, max_deliver=3)
    sub = talk.pull("c", "5", settle=0)
    sub.take(2)
    sub.unsubscribe()
    talk.sleep(0.3)
    restart(talk)
    other = talk.connect()
    advisories = other.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.@.>")
    sub = talk.pull("c", "5", settle=0)
    sub.take(1)
    advisories.take(1)
    talk.consumer_info()


@conversation(own_server=True)
def restart_acked_all(talk):
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer()
    for message in talk.fetch("c", "3", 3):
        talk.ack(message)
    talk.sleep(0.3)
    restart(talk)
    talk.consumer_info()
    talk.fill(1)
    talk.fetch()
    talk.consumer_info()


@conversation(own_server=True)
def restart_fresh_consumers(talk):
    """never used consumers; deliver new / by sequence"""
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer("n", deliver_policy="new")
    talk.create_consumer("s", deliver_policy="by_start_sequence", opt_start_seq=2)
    talk.create_consumer("l", deliver_policy="last")
    talk.create_consumer("p", deliver_policy="last_per_subject", filter_subject="@.>")
    talk.fill(2)
    talk.sleep(0.2)
    restart(talk)
    for n in "nslp":
        talk.consumer_info(n)
        talk.fetch(n, '{"batch":9,"no_wait":true}', 2, extra=0.1, timeout=0.5)
        talk.consumer_info(n)


@conversation(own_server=True)
def restart_ack_none(talk):
    talk.create_stream(storage="file")
    talk.fill(4)
    talk.create_consumer(ack_policy="none")
    talk.fetch("c", "2", 2)
    talk.sleep(0.3)
    restart(talk)
    talk.consumer_info()
    talk.fetch("c", "2", 2)


@conversation(own_server=True)
def restart_ephemeral(talk):
    talk.create_stream(storage="file")
    talk.fill(1)
    talk.api(
        "CONSUMER.CREATE.@.e",
        {"stream_name": "@", "config": {"name": "e", "inactive_threshold": 100 * SECOND}},
        view=consumer_numbers,
    )
    talk.api(
        "CONSUMER.CREATE.@.m",
        {
            "stream_name": "@",
            "config": {"name": "m", "mem_storage": True, "inactive_threshold": 100 * SECOND},
        },
        view=consumer_numbers,
    )
    talk.create_consumer("dm", mem_storage=True)
    talk.create_consumer("d")
    restart(talk)
    talk.api("CONSUMER.NAMES.@")
    talk.consumer_info("dm")


@conversation(own_server=True)
def restart_wq(talk):
    talk.create_stream(storage="file", retention="workqueue")
    talk.fill(4)
    talk.create_consumer()
    messages = talk.fetch("c", "3", 3)
    talk.ack(messages[1:2])
    talk.sleep(0.3)
    talk.stream_info({"deleted_details": True})
    restart(talk)
    talk.stream_info({"deleted_details": True})
    talk.consumer_info()
    talk.ack(messages[:1])
    talk.sleep(0.1)
    talk.stream_info({"deleted_details": True})


@conversation(own_server=True)
def restart_interest(talk):
    talk.create_stream(storage="file", retention="interest")
    talk.create_consumer("a")
    talk.create_consumer("b")
    talk.fill(3)
    for message in talk.fetch("a", "3", 3):
        talk.ack(message)
    b = talk.fetch("b", "1", 1)
    talk.ack(b)
    talk.sleep(0.3)
    restart(talk)
    talk.stream_info()
    talk.consumer_info("a")
    talk.consumer_info("b")
    for message in talk.fetch("b", "2", 2):
        talk.ack(message)
    talk.sleep(0.1)
    talk.stream_info()


@conversation(own_server=True)
def restart_dedupe(talk):
    talk.create_stream(storage="file")
    talk.publish("@.a", "1", {"Nats-Msg-Id": "x"})
    talk.publish("@.a", "2", {"Nats-Msg-Id": "y"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    restart(talk)
    talk.publish("@.a", "2", {"Nats-Msg-Id": "y"})
    talk.publish("@.a", "1", {"Nats-Msg-Id": "x"})
    talk.publish("@.a", "3", {"Nats-Expected-Last-Msg-Id": "x"})
    talk.stream_info()


@conversation(own_server=True)
def restart_last_msg_id(talk):
    talk.create_stream(storage="file")
    talk.publish("@.a", "1", {"Nats-Msg-Id": "x"})
    restart(talk)
    talk.publish("@.a", "2", {"Nats-Expected-Last-Msg-Id": "x"})


@conversation(own_server=True)
def restart_max_age(talk):
    talk.create_stream(storage="file", max_age=700 * MS, duplicate_window=200 * MS)
    talk.fill(2)
    restart(talk)
    talk.sleep(0.9)
    talk.fill(1)
    talk.sleep(0.1)
    talk.stream_info()


@conversation(own_server=True)
def restart_push(talk):
    talk.create_stream(storage="file")
    talk.fill(2)
    sub = talk.subscribe("_INBOX.@.p")
    talk.create_consumer(deliver_subject="_INBOX.@.p", ack_wait=30 * SECOND)
    sub.take(2)
    talk.sleep(0.3)
    restart(talk)
    talk.consumer_info()
    sub = talk.subscribe("_INBOX.@.p")
    talk.sleep(0.05)
    talk.fill(1)
    sub.take(1)
    talk.consumer_info()


@conversation(own_server=True)
def restart_paused(talk):
    talk.create_stream(storage="file")
    talk.fill(1)
    talk.create_consumer()
    talk.api("CONSUMER.PAUSE.@.c", {"pause_until": "2099-01-01T00:00:00Z"})
    restart(talk)
    talk.consumer_info()
    sub = talk.pull("c", "1")
    sub.quiet()
    talk.api("CONSUMER.PAUSE.@.c", "{}")
    after_resume(talk, sub, 1)


@conversation(own_server=True)
def restart_config_updates(talk):
    talk.create_stream(storage="file")
    talk.update_stream(
        whole=False, storage="file", description="new", subjects=["@.a", "@.b"], max_msgs=7
    )
    talk.create_consumer()
    talk.create_consumer(description="newer", max_deliver=9)
    talk.create_stream("@2", storage="file")
    talk.create_consumer("gone", stream="@2")
    talk.api("CONSUMER.DELETE.@2.gone")
    talk.create_stream("@3", storage="file")
    talk.api("STREAM.DELETE.@3")
    restart(talk)
    talk.api("STREAM.INFO.@")
    talk.api("CONSUMER.INFO.@.c")
    talk.api("CONSUMER.NAMES.@2")
    talk.api("STREAM.NAMES")
    talk.publish("@3.a")


@conversation(own_server=True)
def restart_sealed(talk):
    talk.create_stream(storage="file")
    talk.fill(2)
    talk.update_stream(whole=False, storage="file", sealed=True)
    restart(talk)
    talk.publish("@.a")
    talk.api("STREAM.INFO.@")


@conversation(own_server=True)
def restart_waiting_pull_409(talk):
    """a waiting request at shutdown"""
    talk.create_stream(storage="file")
    talk.create_consumer()
    sub = talk.pull("c", '{"batch":5,"expires":20000000000,"max_bytes":1000}')
    talk.server.stop()
    sub.take(1, timeout=1)
    talk.step("closed", [sub.connect.until(lambda: sub.connect.closed, 2)])
    sub.connect.events = []
    talk._client = None
    talk.server.start()
    talk.consumer_info()


@conversation(own_server=True)
def restart_direct_get(talk):
    talk.create_stream(storage="file", allow_direct=True, max_msgs_per_subject=2)
    for i in range(6):
        talk.fill(1, "@.k%d" % (i % 2), "v%d" % i)
    restart(talk)
    talk.request("$JS.API.DIRECT.GET.@.@.k0")
    talk.request("$JS.API.DIRECT.GET.@", {"multi_last": ["@.>"]}, count=3)
    talk.publish("@.k0", "x", {"Nats-Expected-Last-Subject-Sequence": "5"})
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(own_server=True)
def restart_account_info(talk):
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer()
    restart(talk)
    talk.api("INFO")
    talk.api("STREAM.LIST")
    talk.api("CONSUMER.LIST.@")


@conversation(own_server=True)
def restart_big(talk):
    talk.create_stream(storage="file")
    talk.fill(2000, "@.k%d", "v" * 100)
    talk.create_consumer()
    sub = talk.pull("c", "500")
    sub.wait(500, 3)
    sub.messages = []
    talk.sleep(0.3)
    restart(talk)
    talk.stream_info()
    talk.consumer_info()


@conversation(own_server=True)
def restart_rollup_and_purge_subject(talk):
    talk.create_stream(storage="file", allow_rollup_hdrs=True)
    for s in "ababab":
        talk.fill(1, "@." + s, "x")
    talk.publish("@.a", "r", {"Nats-Rollup": "sub"})
    talk.api("STREAM.PURGE.@", {"filter": "@.b", "keep": 1})
    restart(talk)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(own_server=True)
def restart_twice(talk):
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer(ack_wait=30 * SECOND)
    talk.fetch()
    talk.sleep(0.3)
    restart(talk)
    message = talk.fetch()
    talk.ack(message)
    talk.sleep(0.3)
    restart(talk)
    talk.consumer_info()
    talk.fetch()
    talk.stream_info()


@conversation(own_server=True)
def restart_backoff_pending(talk):
    talk.create_stream(storage="file")
    talk.fill(1)
    talk.create_consumer(backoff=[800 * MS, 5 * SECOND])
    talk.fetch()
    talk.sleep(0.2)
    restart(talk)
    sub = talk.pull("c", "1", settle=0)
    sub.take(1, timeout=3)
    talk.consumer_info()
