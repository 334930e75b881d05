"""The state of a stream: numbers, bytes, subjects, gaps; purges."""

from registry import STORAGES, conversation, each


@each("state_bytes", STORAGES)
def state_bytes(talk, storage):
    """bytes accounting with and without headers"""
    talk.create_stream(storage=storage)
    talk.stream_info()
    talk.publish("@.a", "")
    talk.stream_info()
    talk.publish("@.a", "hello")
    talk.stream_info()
    talk.publish("@.abcdef", "hello", {"A": "b"})
    talk.stream_info()
    talk.publish("@.a", "", {"A": "b"})
    talk.stream_info()
    talk.publish("@.a", b"\x00" * 70000)
    talk.stream_info()
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.stream_info()
    talk.api("STREAM.MSG.DELETE.@", {"seq": 5, "no_erase": True})
    talk.stream_info({"deleted_details": True})


@each("purge_forms", STORAGES)
def purge_forms(talk, storage):
    """purge forms and the state after each"""
    talk.create_stream(storage=storage)
    talk.api("STREAM.PURGE.@")
    talk.stream_info()
    talk.fill(4)
    talk.api("STREAM.PURGE.@")
    talk.stream_info()
    talk.api("STREAM.PURGE.@")
    talk.fill(3, "@.a")
    talk.fill(3, "@.b")
    talk.stream_info()
    talk.api("STREAM.PURGE.@", {"seq": 6})
    talk.stream_info()
    talk.api("STREAM.PURGE.@", {"keep": 3})
    talk.stream_info()
    talk.api("STREAM.PURGE.@", {"filter": "@.b", "keep": 1})
    talk.stream_info()
    talk.fill(2, "@.a")
    talk.api("STREAM.PURGE.@", {"filter": "@.a"})
    talk.stream_info()
    talk.api("STREAM.PURGE.@", {"filter": "@.b"})
    talk.stream_info()
    talk.publish("@.z")
    talk.stream_info()


@each("delete_ends", STORAGES)
def delete_ends(talk, storage):
    """deletes at the ends and inside"""
    talk.create_stream(storage=storage)
    talk.fill(6)
    for q in (3, 1, 2, 6, 4, 5):
        talk.api("STREAM.MSG.DELETE.@", {"seq": q})
        talk.stream_info({"deleted_details": True})
    talk.publish("@.a")
    talk.stream_info({"deleted_details": True})


PURGES = [
    ("empty", ""),
    ("obj", "{}"),
    ("seq0", '{"seq":0}'),
    ("seq1", '{"seq":1}'),
    ("seq4", '{"seq":4}'),
    ("seqlast", '{"seq":9}'),
    ("seqlast1", '{"seq":10}'),
    ("seqfar", '{"seq":100}'),
    ("keep0", '{"keep":0}'),
    ("keep2", '{"keep":2}'),
    ("keepall", '{"keep":9}'),
    ("keepmore", '{"keep":50}'),
    ("both", '{"seq":3,"keep":3}'),
    ("both0", '{"seq":0,"keep":3}'),
    ("filter", '{"filter":"@.a"}'),
    ("filterwild", '{"filter":"@.*"}'),
    ("filtergt", '{"filter":">"}'),
    ("filternone", '{"filter":"@.zz"}'),
    ("filterother", '{"filter":"other"}'),
    ("filterempty", '{"filter":""}'),
    ("filterseq", '{"filter":"@.a","seq":5}'),
    ("filterkeep", '{"filter":"@.a","keep":1}'),
    ("filterkeep0", '{"filter":"@.a","keep":0}'),
    ("filterkeepmany", '{"filter":"@.a","keep":10}'),
    ("filterwildkeep", '{"filter":"@.*","keep":2}'),
    ("filterboth", '{"filter":"@.a","keep":1,"seq":3}'),
    ("filterbad", '{"filter":"@..a"}'),
    ("neg", '{"seq":-1}'),
    ("unknown", '{"bogus":1}'),
    ("garbage", "x"),
    ("nullb", "null"),
]


# Those of them that a file stream is asked with as well.
FILE_PURGES = ["filter", "filterkeep", "seq4", "keep2", "filterseq", "empty"]


@each("purge", PURGES)
def purge(talk, body):
    talk.create_stream()
    talk.fill(9, "@.a")
    for s in "@.b", "@.c", "@.a":
        talk.publish(s)
    talk.api("STREAM.PURGE.@", body)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


@each("purge_file", [case for case in PURGES if case[0] in FILE_PURGES])
def purge_file(talk, body):
    talk.create_stream(storage="file")
    talk.fill(9, "@.a")
    for s in "@.b", "@.c", "@.a":
        talk.publish(s)
    talk.api("STREAM.PURGE.@", body)
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


@conversation
def purge_interleaved(talk):
    talk.create_stream()
    for i in range(5):
        for s in "abc":
            talk.client.publish("@." + s, "%d" % i, recorded=False)
    talk.stream_info({"subjects_filter": ">"})
    talk.api("STREAM.PURGE.@", {"filter": "@.b", "keep": 2})
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.api("STREAM.PURGE.@", {"filter": "@.a", "seq": 8})
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})
    talk.api("STREAM.PURGE.@", {"filter": "@.*", "keep": 3})
    talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


@conversation
def state_first_seq(talk):
    talk.create_stream(first_seq=100)
    talk.stream_info()
    talk.publish("@.a")
    talk.stream_info()
    talk.api("STREAM.PURGE.@")
    talk.stream_info()
    talk.publish("@.a")
    talk.stream_info()
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.api("STREAM.MSG.GET.@", {"seq": 101})


@conversation
def state_first_seq_consumer(talk):
    talk.create_stream(first_seq=100)
    talk.create_consumer("early")
    talk.create_consumer("new", deliver_policy="new")
    talk.create_consumer("last", deliver_policy="last")
    talk.create_consumer("seq", deliver_policy="by_start_sequence", opt_start_seq=5)
    talk.fill(2)
    for n in ("early", "new", "last", "seq"):
        talk.consumer_info(n)
        talk.fetch(n)
    talk.create_consumer("seq2", deliver_policy="by_start_sequence", opt_start_seq=5)


@conversation
def state_num_subjects(talk):
    talk.create_stream()
    for s in ("a", "b", "a", "c.d", "c.e", "c.d.e"):
        talk.client.publish("@." + s, "x", recorded=False)
    for f in (">", "@.*", "@.a", "@.c.>", "@.c.*", "@.zz", "*", "@.>", "@.*.d", "@..", "other.>"):
        talk.stream_info({"subjects_filter": f})
    talk.stream_info({"subjects_filter": ">", "offset": 2})
    talk.stream_info({"subjects_filter": ">", "offset": 5})
    talk.stream_info({"subjects_filter": ">", "offset": 9})
    talk.stream_info({"subjects_filter": ">", "offset": -2})
    talk.stream_info({"offset": 2})
    talk.stream_info()


@conversation
def state_many_subjects(talk):
    talk.create_stream()
    talk.fill(500, "@.s%d", "x")
    talk.api(
        "STREAM.INFO.@",
        {"subjects_filter": ">"},
        view=lambda r: [
            len(r["json"]["state"].get("subjects", {})),
            r["json"].get("total"),
            r["json"].get("limit"),
            r["json"]["state"].get("num_subjects"),
        ],
    )
    talk.api(
        "STREAM.INFO.@",
        {"subjects_filter": ">", "offset": 490},
        view=lambda r: [
            len(r["json"]["state"].get("subjects", {})),
            r["json"].get("total"),
            r["json"].get("limit"),
            r["json"].get("offset"),
        ],
    )
    talk.api("STREAM.PURGE.@", {"filter": "@.s1*"})
    talk.api("STREAM.PURGE.@", {"filter": "@.s10"})
    talk.stream_info()


@conversation
def state_deleted_details(talk):
    talk.create_stream()
    talk.fill(10)
    for q in (2, 5, 6, 9):
        talk.api("STREAM.MSG.DELETE.@", {"seq": q})
    talk.stream_info()
    talk.stream_info({"deleted_details": True})
    talk.stream_info({"deleted_details": False})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.stream_info({"deleted_details": True})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 10})
    talk.stream_info({"deleted_details": True})


@conversation
def state_consumer_count(talk):
    talk.create_stream()
    talk.create_consumer("a")
    talk.create_consumer("b")
    talk.stream_info()
    talk.api("CONSUMER.DELETE.@.a")
    talk.stream_info()


@conversation
def state_empty_after_delete_all(talk):
    talk.create_stream()
    talk.fill(2)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    talk.stream_info({"deleted_details": True})
    talk.publish("@.a")
    talk.stream_info({"deleted_details": True})
