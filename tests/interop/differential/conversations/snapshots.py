"""Snapshots of streams and their restoration: what is asked and answered, not the bytes between."""

from conversation import only_error, stream_state
from registry import conversation, each, numbered
from vocabulary import SECOND

BODIES = [
    "",
    "{}",
    "x",
    "null",
    "[]",
    '{"deliver_subject":""}',
    '{"deliver_subject":"s.@.*"}',
    '{"deliver_subject":"s.@."}',
    '{"deliver_subject":5}',
    '{"deliver_subject":"s.@","bogus":1}',
    '{"deliver_subject":"s.@","chunk_size":-1}',
    '{"deliver_subject":"s.@","chunk_size":10}',
    '{"deliver_subject":"s.@","chunk_size":"x"}',
    '{"deliver_subject":"s.@","window_size":-1}',
    '{"deliver_subject":"s.@","window_size":10}',
    '{"deliver_subject":"s.@","no_consumers":true}',
    '{"deliver_subject":"s.@","jsck":true}',
    '{"deliver_subject":"s.@","no_consumers":"x"}',
]


@each("snapshot", numbered(BODIES))
def asked(talk, body):
    talk.create_stream(storage="file")
    talk.fill(3)
    talk.create_consumer()
    talk.connect().subscribe("s.@")
    talk.api("STREAM.SNAPSHOT.@", body)
    discard_chunks(talk)


def discard_chunks(talk):
    talk.sleep(0.1)
    for connection in talk.connections:
        connection.sync()
        for sub in connection.subscriptions.values():
            sub.messages = []


@conversation
def snapshot_missing(talk):
    talk.api("STREAM.SNAPSHOT.@", {"deliver_subject": "s.@"})
    talk.api("STREAM.SNAPSHOT.@", "")
    talk.expect_silence("$JS.API.STREAM.SNAPSHOT", "")
    talk.expect_silence("$JS.API.STREAM.SNAPSHOT.@.x", "")


@conversation
def snapshot_of_memory(talk):
    talk.create_stream()
    talk.fill(3)
    talk.api("STREAM.SNAPSHOT.@", {"deliver_subject": "s.@"})


def snapshot(talk, **options):
    """The chunks of a snapshot; records how it began and ended"""
    sub = talk.connect().subscribe("s.@")
    talk.api("STREAM.SNAPSHOT.@", {"deliver_subject": "s.@", **options})
    chunks = []
    while sub.wait(1, 4):
        message = sub.messages.pop(0)
        if message.reply:
            chunks.append(message.data)
            sub.connection.send(message.reply)
        elif message.data:
            chunks.append(message.data)
        else:
            talk.step("the end", [{"headers": message.headers, "chunks": bool(chunks)}])
            break
    return chunks


def restore(talk, chunks, begun):
    """Sends them back; `begun` is the answer that said where to"""
    for chunk in chunks:
        talk.request(begun["deliver_subject"], chunk, recorded=False)
    return talk.request(begun["deliver_subject"], b"", timeout=4, view=only_error)


def whole_trip(talk, **config):
    talk.create_stream(storage="file", **config)
    talk.fill(4)
    talk.publish("@.b", "x", {"A": "b"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.create_consumer()
    messages = talk.fetch("c", "2", 2)
    talk.ack(messages)
    talk.sleep(0.3)
    info = talk.api("STREAM.INFO.@", {"deleted_details": True}, view=stream_state)
    chunks = snapshot(talk)
    body = {"config": info.get("config", {}), "state": info.get("state", {})}
    begin(talk, body)
    talk.api("STREAM.DELETE.@")
    begun = begin(talk, body)
    if "deliver_subject" in begun:
        restore(talk, chunks, begun)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.consumer_info()
    talk.publish("@.a", "after")
    talk.fetch("c", '{"batch":9,"no_wait":true}', 4, timeout=0.4)


def begin(talk, body):
    """Asks for a restoration; the body has times that no two servers share"""
    begun = talk.api("STREAM.RESTORE.@", body, recorded=False)
    told = {key: value for key, value in begun.items() if key in ("type", "error")}
    talk.step("request for a restoration", [told])
    return begun


# A server takes back few streams at a time.
@conversation(own_server=True)
def snapshot_whole_trip(talk):
    whole_trip(talk)


@conversation(own_server=True)
def snapshot_whole_trip_of_workqueue(talk):
    whole_trip(talk, retention="workqueue")


@conversation
def snapshot_advisories(talk):
    talk.create_stream(storage="file")
    talk.fill(3)
    sub = talk.connect().subscribe("$JS.EVENT.ADVISORY.STREAM.*.@")
    snapshot(talk)
    sub.wait(2, 1)
    came = [talk.normalised(message)["json"]["type"] for message in sub.messages]
    talk.step("advisories", sorted(came))
    sub.messages = []


RESTORES = [
    "",
    "{}",
    "x",
    '{"config":{}}',
    '{"config":{"name":"@"}}',
    '{"config":{"name":"other"},"state":{}}',
    '{"config":{"name":"@","subjects":["@.>"]},"state":{"messages":1}}',
    '{"config":{"name":"@","subjects":["@.."]},"state":{}}',
    '{"config":{"name":"@","num_replicas":3},"state":{}}',
    '{"config":{"name":"@"},"state":{},"bogus":1}',
    '{"config":{"name":"@","bogus":1},"state":{}}',
    '{"config":{"name":"@","storage":"memory"},"state":{}}',
]


@each("restore", numbered(RESTORES), own_server=[tag for tag, _ in numbered(RESTORES)])
def restored(talk, body):
    begun = talk.api("STREAM.RESTORE.@", body)
    if begun.get("deliver_subject"):
        restore(talk, [], begun)
    talk.create_stream("@")
    talk.api("STREAM.RESTORE.@", body)


@conversation(own_server=True)
def restore_garbage(talk):
    """What is sent is no snapshot"""
    config = {"name": "@", "subjects": ["@.>"], "max_age": 60 * SECOND}
    begun = talk.api("STREAM.RESTORE.@", {"config": config, "state": {}})
    if "deliver_subject" in begun:
        restore(talk, [b"garbage"], begun)
    talk.stream_info()
