"""Headers of a publish that have to hold, alone and together, and their order."""

from registry import conversation, each
from vocabulary import (
    EXPECTED_ID,
    EXPECTED_LAST,
    EXPECTED_OF_SUBJECT,
    EXPECTED_STREAM,
    EXPECTED_SUBJECT,
    MSG_ID,
    ROLLUP,
)

HEADERS = [
    ("xs_ok", {EXPECTED_STREAM: "@"}),
    ("xs_bad", {EXPECTED_STREAM: "nope"}),
    ("xs_empty", {EXPECTED_STREAM: ""}),
    ("xls_ok", {EXPECTED_LAST: "3"}),
    ("xls_bad", {EXPECTED_LAST: "2"}),
    ("xls_zero", {EXPECTED_LAST: "0"}),
    ("xls_text", {EXPECTED_LAST: "abc"}),
    ("xls_neg", {EXPECTED_LAST: "-1"}),
    ("xls_empty", {EXPECTED_LAST: ""}),
    ("xls_space", {EXPECTED_LAST: " 3 "}),
    ("xls_lead0", {EXPECTED_LAST: "003"}),
    ("xls_plus", {EXPECTED_LAST: "+3"}),
    ("xls_big", {EXPECTED_LAST: "99999999999999999999"}),
    ("xlss_ok", {EXPECTED_OF_SUBJECT: "3"}),
    ("xlss_bad", {EXPECTED_OF_SUBJECT: "1"}),
    ("xlss_zero", {EXPECTED_OF_SUBJECT: "0"}),
    ("xlss_text", {EXPECTED_OF_SUBJECT: "abc"}),
    ("xlss_neg", {EXPECTED_OF_SUBJECT: "-1"}),
    ("xlss_empty", {EXPECTED_OF_SUBJECT: ""}),
    ("xlss_future", {EXPECTED_OF_SUBJECT: "10"}),
    ("xlsss_other_ok", [(EXPECTED_OF_SUBJECT, "2"), (EXPECTED_SUBJECT, "@.b")]),
    ("xlsss_other_bad", [(EXPECTED_OF_SUBJECT, "3"), (EXPECTED_SUBJECT, "@.b")]),
    ("xlsss_wild_ok", [(EXPECTED_OF_SUBJECT, "3"), (EXPECTED_SUBJECT, "@.*")]),
    ("xlsss_wild_bad", [(EXPECTED_OF_SUBJECT, "2"), (EXPECTED_SUBJECT, "@.>")]),
    ("xlsss_none", [(EXPECTED_OF_SUBJECT, "0"), (EXPECTED_SUBJECT, "@.zz")]),
    ("xlsss_only", {EXPECTED_SUBJECT: "@.b"}),
    ("xlsss_foreign", [(EXPECTED_OF_SUBJECT, "0"), (EXPECTED_SUBJECT, "other")]),
    ("xlsss_invalid", [(EXPECTED_OF_SUBJECT, "0"), (EXPECTED_SUBJECT, "@..b")]),
    ("xlsss_self", [(EXPECTED_OF_SUBJECT, "3"), (EXPECTED_SUBJECT, "@.a")]),
    ("xlsss_gt", [(EXPECTED_OF_SUBJECT, "3"), (EXPECTED_SUBJECT, ">")]),
    ("xlsss_emptysubj", [(EXPECTED_OF_SUBJECT, "3"), (EXPECTED_SUBJECT, "")]),
    ("xlm_ok", {EXPECTED_ID: "id3"}),
    ("xlm_bad", {EXPECTED_ID: "id2"}),
    ("xlm_empty", {EXPECTED_ID: ""}),
    ("both_seqs_ok", [(EXPECTED_LAST, "3"), (EXPECTED_OF_SUBJECT, "3")]),
    ("both_seqs_first", [(EXPECTED_LAST, "1"), (EXPECTED_OF_SUBJECT, "1")]),
    ("both_seqs_second", [(EXPECTED_LAST, "3"), (EXPECTED_OF_SUBJECT, "1")]),
    ("roll_disabled", {ROLLUP: "sub"}),
    ("roll_disabled_bad", {ROLLUP: "x"}),
    ("roll_empty", {ROLLUP: ""}),
    ("ttl_disabled", {"Nats-TTL": "5"}),
    ("ttl_zero", {"Nats-TTL": "0"}),
    ("ttl_bad", {"Nats-TTL": "x"}),
    ("incr_disabled", {"Nats-Incr": "1"}),
    ("batch_disabled", [("Nats-Batch-Id", "x"), ("Nats-Batch-Sequence", "1")]),
    ("sched_disabled", [("Nats-Schedule", "@@every 5s"), ("Nats-Schedule-Target", "@.b")]),
    ("source_hdr", {"Nats-Stream-Source": "x 1 > > a"}),
    ("case", {"nats-expected-last-sequence": "1"}),
    ("case2", {"Nats-expected-Stream": "zz"}),
    ("minlast", {"Nats-Min-Last-Sequence": "9"}),
    ("marker", {"Nats-Marker-Reason": "Purge"}),
    ("required_level", {"Nats-Required-Api-Level": "99"}),
    ("ord_xs_xls", [(EXPECTED_LAST, "1"), (EXPECTED_STREAM, "nope")]),
    ("ord_xs_id", [(EXPECTED_STREAM, "nope"), (MSG_ID, "id1")]),
    ("ord_xls_dup", [(EXPECTED_LAST, "1"), (MSG_ID, "id1")]),
    ("ord_xls_ok_dup", [(EXPECTED_LAST, "3"), (MSG_ID, "id1")]),
    ("ord_xlss_dup", [(EXPECTED_OF_SUBJECT, "1"), (MSG_ID, "id1")]),
    ("ord_xlm_dup", [(EXPECTED_ID, "zz"), (MSG_ID, "id1")]),
    ("ord_roll_dup", [(ROLLUP, "sub"), (MSG_ID, "id1")]),
    ("ord_xls_xlm", [(EXPECTED_ID, "zz"), (EXPECTED_LAST, "1")]),
    ("ord_xlss_xlm", [(EXPECTED_ID, "zz"), (EXPECTED_OF_SUBJECT, "1")]),
    ("ord_roll_xls", [(ROLLUP, "sub"), (EXPECTED_LAST, "1")]),
    ("ord_roll_xlss", [(ROLLUP, "sub"), (EXPECTED_OF_SUBJECT, "1")]),
    ("ord_roll_xlm", [(ROLLUP, "sub"), (EXPECTED_ID, "zz")]),
    ("ord_ttl_xls", [("Nats-TTL", "5"), (EXPECTED_LAST, "1")]),
    ("ord_ttl_xs", [("Nats-TTL", "5"), (EXPECTED_STREAM, "zz")]),
    ("ord_ttl_dup", [("Nats-TTL", "5"), (MSG_ID, "id1")]),
    ("ord_incr_xs", [("Nats-Incr", "5"), (EXPECTED_STREAM, "zz")]),
    ("dup_twice_hdr", [(MSG_ID, "new1"), (MSG_ID, "id1")]),
    ("xls_twice", [(EXPECTED_LAST, "3"), (EXPECTED_LAST, "1")]),
]


@each("expect", HEADERS)
def expect(talk, headers):
    talk.create_stream()
    talk.publish("@.a", "1", {MSG_ID: "id1"})
    talk.publish("@.b", "2", {MSG_ID: "id2"})
    talk.publish("@.a", "3", {MSG_ID: "id3"})
    talk.publish("@.a", "test", headers)
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 4})


@conversation
def expect_msgsize_order(talk):
    """size check against preconditions"""
    talk.create_stream(max_msg_size=10, allow_rollup_hdrs=True)
    talk.publish("@.a", "1", {MSG_ID: "i"})
    talk.publish("@.a", "x" * 10)
    talk.publish("@.a", "x" * 11)
    talk.publish("@.a", "x" * 50, {MSG_ID: "i"})
    talk.publish("@.a", "x" * 50, {EXPECTED_STREAM: "n"})
    talk.publish("@.a", "x" * 50, {EXPECTED_LAST: "0"})
    talk.publish("@.a", "x" * 50, {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "x" * 50, {ROLLUP: "zz"})
    talk.publish("@.a", "", {"A": "b"})
    talk.stream_info()


@conversation
def expect_full_order(talk):
    """a full stream (discard new) against preconditions and dedupe"""
    talk.create_stream(max_msgs=2, discard="new", allow_rollup_hdrs=True)
    talk.publish("@.a", "1", {MSG_ID: "i"})
    talk.publish("@.a", "2")
    talk.publish("@.a", "3")
    talk.publish("@.a", "3", {MSG_ID: "i"})
    talk.publish("@.a", "3", {EXPECTED_STREAM: "n"})
    talk.publish("@.a", "3", {EXPECTED_LAST: "0"})
    talk.publish("@.a", "3", {EXPECTED_LAST: "2"})
    talk.publish("@.a", "3", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "3", {EXPECTED_ID: "0"})
    talk.publish("@.a", "3", {ROLLUP: "zz"})
    talk.publish("@.a", "3", {ROLLUP: "sub"})
    talk.stream_info()
    talk.publish("@.a", "4", {MSG_ID: "j"})
    talk.api("STREAM.PURGE.@")
    talk.publish("@.a", "4", {MSG_ID: "j"})
    talk.stream_info()


@conversation
def expect_header_64k(talk):
    talk.create_stream()
    for n in (65535, 65536, 66000):
        h = b"NATS/1.0\r\nA: " + b"x" * (n - 18) + b"\r\n\r\n"
        if len(h) != n:
            h = b"NATS/1.0\r\nA: " + b"x" * (n - len(b"NATS/1.0\r\nA: \r\n\r\n")) + b"\r\n\r\n"
        talk.publish("@.a", "x", h)
    talk.stream_info()


@conversation
def expect_kv_create_update(talk):
    """KV create / update / delete marker sequences"""
    talk.create_stream(
        subjects=["$KV.@.>"],
        max_msgs_per_subject=3,
        discard="new",
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
    )
    k = "$KV.@.key"
    talk.publish(k, "v1", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish(k, "v1", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish(k, "v2", {EXPECTED_OF_SUBJECT: "1"})
    talk.publish(k, "v3", {EXPECTED_OF_SUBJECT: "1"})
    talk.publish(k, "", {"KV-Operation": "DEL"})
    talk.publish(k, "v4", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish(k, "v4", {EXPECTED_OF_SUBJECT: "3"})
    talk.publish(k, "", [("KV-Operation", "PURGE"), (ROLLUP, "sub")])
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.publish(k, "v5", {EXPECTED_OF_SUBJECT: "5"})
    talk.request("$JS.API.DIRECT.GET.@." + k)
    talk.publish(
        "$KV.@.k2", "", [("KV-Operation", "PURGE"), (ROLLUP, "sub"), (EXPECTED_OF_SUBJECT, "9")]
    )
    for i in range(5):
        talk.publish(k, "h%d" % i)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation
def expect_xlss_after_delete(talk):
    """API-deleted and purged messages do not count as the subject's last"""
    talk.create_stream()
    talk.fill(2)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.publish("@.a", "x", {EXPECTED_OF_SUBJECT: "2"})
    talk.publish("@.a", "x", {EXPECTED_OF_SUBJECT: "1"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "1"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "3"})
    talk.api("STREAM.PURGE.@")
    talk.publish("@.a", "x", {EXPECTED_OF_SUBJECT: "4"})
    talk.publish("@.a", "x", {EXPECTED_OF_SUBJECT: "0"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "0"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "5"})


@conversation
def expect_xls_empty_stream(talk):
    talk.create_stream(first_seq=50)
    talk.publish("@.a", "x", {EXPECTED_LAST: "0"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "49"})
    talk.publish("@.a", "x", {EXPECTED_LAST: "50"})
    talk.stream_info()


@conversation
def expect_xlm_after(talk):
    """last msg id: of the last stored message, also one without id"""
    talk.create_stream()
    talk.publish("@.a", "x", {EXPECTED_ID: "a"})
    talk.publish("@.a", "1", {MSG_ID: "a"})
    talk.publish("@.a", "2", {EXPECTED_ID: "a"})
    talk.publish("@.a", "3", {EXPECTED_ID: "a"})
    talk.publish("@.a", "3", [(EXPECTED_ID, "a"), (MSG_ID, "b")])
    talk.publish("@.a", "4", [(EXPECTED_ID, "b"), (MSG_ID, "b")])
    talk.publish("@.a", "5", [(EXPECTED_ID, "b"), (MSG_ID, "c")])
    talk.publish("@.a", "6", [(EXPECTED_ID, "zz"), (MSG_ID, "c")])
    talk.api("STREAM.PURGE.@")
    talk.publish("@.a", "7", {EXPECTED_ID: "c"})
    talk.stream_info()
