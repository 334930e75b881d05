"""Message ids and the window in which they count."""

from registry import conversation
from vocabulary import EXPECTED_LAST, MS, MSG_ID, SECOND


@conversation
def dedupe_basic(talk):
    talk.create_stream()
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "2", {MSG_ID: "x"})
    talk.publish("@.b", "3", {MSG_ID: "x"})
    talk.publish("@.a", "4", {MSG_ID: "X"})
    talk.publish("@.a", "5", {MSG_ID: ""})
    talk.publish("@.a", "6", {MSG_ID: ""})
    talk.publish("@.a", "7", {"nats-msg-id": "x"})
    talk.publish("@.a", "8", b"NATS/1.0\r\nNats-Msg-Id:x\r\n\r\n")
    talk.publish("@.a", "9", b"NATS/1.0\r\nNats-Msg-Id:   x  \r\n\r\n")
    talk.publish("@.a", "a", b"NATS/1.0\r\nA: b\r\nNats-Msg-Id: x\r\nC: d\r\n\r\n")
    talk.stream_info()


@conversation(slow=True)
def dedupe_window(talk):
    talk.create_stream(duplicate_window=1200 * MS)
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "2", {MSG_ID: "x"})
    talk.sleep(0.3)
    talk.publish("@.a", "3", {MSG_ID: "x"})
    talk.sleep(2.2)
    talk.publish("@.a", "4", {MSG_ID: "x"})
    talk.publish("@.a", "5", {MSG_ID: "x"})
    talk.stream_info()


@conversation
def dedupe_deleted(talk):
    talk.create_stream()
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "2", {MSG_ID: "y"})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.api("STREAM.PURGE.@")
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "2", {MSG_ID: "y"})
    talk.stream_info()


@conversation
def dedupe_failed_not_remembered(talk):
    talk.create_stream(max_msg_size=20)
    talk.publish("@.a", "1", [(MSG_ID, "x"), (EXPECTED_LAST, "9")])
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "x" * 200, {MSG_ID: "y"})
    talk.publish("@.a", "", {MSG_ID: "y"})


@conversation
def dedupe_window_update(talk):
    talk.create_stream(duplicate_window=60 * SECOND)
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.update_stream(whole=False, duplicate_window=30 * SECOND)
    talk.publish("@.a", "1", {MSG_ID: "x"})


@conversation
def dedupe_limits_evicted(talk):
    talk.create_stream(max_msgs=1)
    talk.publish("@.a", "1", {MSG_ID: "x"})
    talk.publish("@.a", "2", {MSG_ID: "y"})
    talk.publish("@.a", "3", {MSG_ID: "x"})
    talk.stream_info()


@conversation
def dedupe_no_ack_reply(talk):
    talk.create_stream()
    talk.client.publish("@.a", "1", {MSG_ID: "x"})
    talk.client.publish("@.a", "2", {MSG_ID: "x"})
    talk.publish("@.a", "3", {MSG_ID: "x"})
    talk.stream_info()
