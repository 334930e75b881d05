"""What the configuration allows the streams of the server, and of an account."""

from conversation import consumer_config
from registry import conversation
from vocabulary import PUSH, SECOND

BYTES = "jetstream { max_memory_store: 1000, max_file_store: 2000 }"


def full(talk, subject, size, count):
    for _ in range(count):
        talk.publish(subject, "x" * size)


@conversation(conf=BYTES)
def server_bytes(talk):
    talk.api("INFO")
    for name, storage, most in [
        ("@2", "memory", 1001),
        ("@3", "file", 2001),
        ("@4", "memory", 600),
        ("@5", "memory", 500),
        ("@6", "file", 1500),
        ("@7", "file", 600),
        ("@8", "file", -1),
        ("@9", "memory", -1),
    ]:
        talk.create_stream(name, whole=True, storage=storage, max_bytes=most)
    talk.update_stream("@4", max_bytes=1001)
    talk.update_stream("@6", storage="file", max_bytes=2001)
    talk.update_stream("@6", storage="file", max_bytes=1800)
    talk.api("INFO")
    full(talk, "@8.a", 600, 6)
    talk.stream_info(name="@8")
    full(talk, "@9.a", 300, 6)
    talk.stream_info(name="@9")
    talk.api("INFO")
    talk.api("STREAM.PURGE.@9")
    full(talk, "@9.a", 300, 1)


LIMITS = """jetstream { limits {
  max_ack_pending: 10, max_request_batch: 3, duplicate_window: "5s", max_ha_assets: 2
} }"""


@conversation(conf=LIMITS)
def server_limits(talk):
    talk.api("INFO")
    talk.create_stream(whole=True)
    talk.create_stream("@2", whole=True, duplicate_window=6 * SECOND)
    talk.create_stream("@2", whole=True, duplicate_window=5 * SECOND)
    talk.create_stream("@3", whole=True, duplicate_window=6 * SECOND, pedantic=True)
    talk.create_stream("@3", whole=True, pedantic=True)
    talk.create_stream("@4", whole=True, max_age=3 * SECOND)
    talk.update_stream("@2", duplicate_window=6 * SECOND)
    talk.update_stream("@2", consumer_limits={"max_ack_pending": 11})
    talk.create_stream("@5", whole=True, consumer_limits={"max_ack_pending": 11})
    talk.create_stream("@6", whole=True, consumer_limits={"max_ack_pending": 9})
    talk.create_consumer("a", whole=True)
    talk.create_consumer("b", whole=True, max_ack_pending=11)
    talk.create_consumer("c", whole=True, max_ack_pending=-1)
    talk.create_consumer("d", whole=True, max_batch=4)
    talk.create_consumer("e", whole=True, max_batch=3)
    for batch in (None, 0, 3, 4):
        config = consumer_config({"durable_name": "p", "max_batch": batch})
        request = {"stream_name": "@", "config": config, "pedantic": True}
        talk.api("CONSUMER.CREATE.@.p", request)
    talk.create_consumer("f", whole=True, **PUSH)
    talk.create_consumer("g", whole=True, ack_policy="none")
    talk.create_consumer("h", whole=True, max_ack_pending=5)
    talk.create_consumer("h", whole=True, action="update", max_ack_pending=11)
    talk.fill(6)
    talk.fetch("a", {"batch": 4, "no_wait": True}, 1)
    talk.fetch("a", {"batch": 3, "no_wait": True}, 3)


ACCOUNT = """
accounts { A {
  users: [ { user: a, password: p } ]
  jetstream {
    max_mem: 1000, max_file: 2000, max_streams: 4, max_consumers: 2, max_ack_pending: 10
    memory_max_stream_bytes: 800, store_max_stream_bytes: 1500
  }
} }
no_auth_user: a
"""


@conversation(conf=ACCOUNT)
def account_limits(talk):
    talk.api("INFO")
    for name, storage, most in [
        ("@2", "memory", 801),
        ("@2", "memory", 800),
        ("@3", "memory", 300),
        ("@3", "file", 1501),
        ("@3", "file", 1500),
        ("@4", "file", 501),
        ("@4", "file", 500),
        ("@5", "file", -1),
        ("@6", "file", -1),
    ]:
        talk.create_stream(name, whole=True, storage=storage, max_bytes=most)
    talk.api("INFO")
    talk.update_stream("@4", storage="file", max_bytes=501)
    talk.update_stream("@2", max_bytes=801)
    talk.api("STREAM.DELETE.@3")
    full(talk, "@5.a", 900, 4)
    talk.stream_info(name="@5")
    talk.api("INFO")
    talk.create_consumer("a", stream="@5", whole=True)
    talk.create_consumer("b", stream="@5", whole=True, max_ack_pending=11)
    talk.create_consumer("b", stream="@5", whole=True, max_ack_pending=-1)
    talk.create_consumer("c", stream="@5", whole=True)
    talk.create_consumer("d", stream="@5", whole=True)
    talk.create_stream("@7", whole=True, max_consumers=3)
    talk.create_stream("@7", whole=True, max_consumers=2)
    talk.update_stream("@7", max_consumers=3)
    talk.create_stream("@8", whole=True, consumer_limits={"max_ack_pending": 11})


REQUIRED = """
accounts { A {
  users: [ { user: a, password: p } ]
  jetstream { max_mem: 1000, max_file: 2000, max_bytes: true }
} }
no_auth_user: a
"""


@conversation(conf=REQUIRED)
def account_max_bytes_required(talk):
    talk.api("INFO")
    for most in (-1, 0, None, 100):
        talk.create_stream(whole=True, max_bytes=most)
    talk.update_stream(max_bytes=-1)
    talk.update_stream(max_bytes=200)
    talk.create_stream("@2", whole=True, subjects=None, mirror={"name": "@"})


NONE = """
accounts { A { users: [ { user: a, password: p } ], jetstream: disabled } }
no_auth_user: a
"""


@conversation(conf=NONE)
def account_without_streams(talk):
    talk.api("INFO", timeout=0.5)
    talk.api("STREAM.NAMES", timeout=0.5)
    talk.api("STREAM.CREATE.@", {"name": "@"}, timeout=0.5)
