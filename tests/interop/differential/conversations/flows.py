"""What whole clients do: key-value buckets, object stores, work queues."""

from conversation import consumer_numbers, only_error, stream_state
from registry import conversation
from vocabulary import SECOND


@conversation
def flow_kv(talk):
    B = "$KV.@."
    talk.api("STREAM.INFO.KV_@")
    talk.api(
        "STREAM.CREATE.KV_@",
        {
            "name": "KV_@",
            "subjects": [B + ">"],
            "max_msgs_per_subject": 3,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "duplicate_window": 120 * SECOND,
            "max_age": 0,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_msgs": -1,
            "max_consumers": -1,
            "num_replicas": 1,
            "retention": "limits",
            "storage": "memory",
        },
    )
    talk.publish(B + "a", "1")
    talk.publish(B + "a", "2")
    talk.publish(B + "b", "3")
    talk.request("$JS.API.DIRECT.GET.KV_@." + B + "a")
    talk.request("$JS.API.DIRECT.GET.KV_@." + B + "zz")
    talk.request("$JS.API.DIRECT.GET.KV_@", {"seq": 1})
    talk.publish(B + "a", "", {"KV-Operation": "DEL"})
    talk.publish(B + "b", "", {"KV-Operation": "PURGE", "Nats-Rollup": "sub"})
    sub = talk.subscribe("_INBOX.@.w")
    talk.api(
        "CONSUMER.CREATE.KV_@",
        {
            "stream_name": "KV_@",
            "config": {
                "ack_policy": "none",
                "deliver_subject": "_INBOX.@.w",
                "deliver_policy": "last_per_subject",
                "filter_subject": B + ">",
                "headers_only": True,
                "max_deliver": 1,
                "mem_storage": True,
                "num_replicas": 1,
            },
        },
        view=consumer_numbers,
    )
    sub.take(2)
    talk.api("STREAM.PURGE.KV_@", {"filter": B + "a"})
    talk.api("STREAM.MSG.DELETE.KV_@", {"seq": 5})
    talk.api("STREAM.INFO.KV_@", view=stream_state)


@conversation
def flow_objectstore(talk):
    talk.api(
        "STREAM.CREATE.OBJ_@",
        {
            "name": "OBJ_@",
            "subjects": ["$O.@.C.>", "$O.@.M.>"],
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "storage": "memory",
        },
        view=only_error,
    )
    for i in range(3):
        talk.publish("$O.@.C.nuid1", "x" * 1000)
    talk.publish(
        "$O.@.M.bmFtZQ==",
        '{"name":"name","nuid":"nuid1","size":3000,"chunks":3}',
        {"Nats-Rollup": "sub"},
    )
    talk.api("STREAM.MSG.GET.OBJ_@", {"last_by_subj": "$O.@.M.bmFtZQ=="})
    sub = talk.subscribe("_INBOX.@.o")
    talk.api(
        "CONSUMER.CREATE.OBJ_@",
        {
            "stream_name": "OBJ_@",
            "config": {
                "ack_policy": "none",
                "deliver_subject": "_INBOX.@.o",
                "filter_subject": "$O.@.C.nuid1",
                "flow_control": True,
                "idle_heartbeat": 5 * SECOND,
                "max_deliver": 1,
                "mem_storage": True,
                "num_replicas": 1,
            },
        },
        view=consumer_numbers,
    )
    sub.take(3)
    talk.publish("$O.@.C.nuid2", "y")
    talk.publish("$O.@.M.bmFtZQ==", '{"name":"name","nuid":"nuid2"}', {"Nats-Rollup": "sub"})
    talk.api("STREAM.PURGE.OBJ_@", {"filter": "$O.@.C.nuid1"})
    talk.api("STREAM.INFO.OBJ_@", {"subjects_filter": ">"}, view=stream_state)
    talk.api(
        "STREAM.UPDATE.OBJ_@",
        {
            "name": "OBJ_@",
            "subjects": ["$O.@.C.>", "$O.@.M.>"],
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "storage": "memory",
            "sealed": True,
        },
    )
    talk.publish("$O.@.C.nuid3", "y")


@conversation
def flow_scripted_sequence(talk):
    """consumer numbers after each step of a longer life"""
    talk.create_stream()
    talk.create_consumer(ack_wait=30 * SECOND, max_deliver=3)
    talk.consumer_info()
    talk.fill(5)
    talk.consumer_info()
    a = talk.fetch("c", "2", 2)
    talk.consumer_info()
    talk.ack(a[:1])
    talk.consumer_info()
    talk.ack(a[1:], "-NAK")
    talk.consumer_info()
    b = talk.fetch("c", "2", 2)
    talk.consumer_info()
    talk.ack(b[:1], "-NAK")
    talk.consumer_info()
    d = talk.fetch("c", "1", 1)
    talk.consumer_info()
    talk.ack(d, "+TERM")
    talk.consumer_info()
    talk.ack(b[1:2])
    talk.consumer_info()
    talk.api("STREAM.MSG.DELETE.@", {"seq": 4})
    talk.sleep(0.05)
    talk.consumer_info()
    e = talk.fetch("c", '{"batch":3,"no_wait":true}', 2)
    talk.consumer_info()
    talk.ack(e[:1])
    talk.consumer_info()
    talk.api("STREAM.PURGE.@")
    talk.sleep(0.05)
    talk.consumer_info()
    talk.fill(1)
    talk.consumer_info()


@conversation
def flow_two_consumers_independent(talk):
    talk.create_stream()
    talk.fill(3)
    talk.create_consumer("a")
    talk.create_consumer("b", filter_subject="@.a", deliver_policy="last")
    message = talk.fetch("a")
    talk.ack(message)
    talk.consumer_info("a")
    talk.consumer_info("b")
    talk.fetch("b")
    talk.consumer_info("a")
    talk.consumer_info("b")


@conversation
def flow_worker_loop(talk):
    """nats.py style fetch: no_wait first, then expires"""
    talk.create_stream()
    talk.create_consumer()
    talk.fetch("c", '{"batch":3,"no_wait":true}', 1)
    sub = talk.pull("c", '{"batch":3,"expires":600000000,"idle_heartbeat":200000000}', settle=0)
    talk.publish("@.a", "1")
    message = sub.take(1)
    talk.ack(message)
    talk.client.until(lambda: any(message.status == 408 for message in sub.messages), 2)
    q, sub.messages = sub.messages, []
    r = []
    for message in q:
        if talk.normalised(message) not in r:
            r.append(talk.normalised(message))
    talk.step("the rest, each kind once", r)
    talk.consumer_info()


@conversation
def sys_user_info(talk):
    talk.request(
        "$SYS.REQ.USER.INFO",
        "",
        view=lambda r: (
            {k: v for k, v in r.get("json", {}).items() if k != "server"}
            if isinstance(r, dict) and "json" in r
            else r
        ),
    )
    talk.request("$SYS.REQ.SERVER.PING", "")


@conversation
def info_line(talk):
    i = talk.client.info or {}
    talk.step("INFO", [{k: i.get(k) for k in ("proto", "headers", "max_payload", "jetstream")}])
