"""The account: INFO, lists and names of streams and consumers, their pages."""

from registry import conversation


@conversation(own_server=True)
def api_info_fresh(talk):
    talk.api("INFO")
    talk.api("INFO", "{}")
    talk.api("INFO", '{"x":1}')
    talk.api("INFO", "garbage")
    talk.expect_silence("$JS.API.INFO.x")


@conversation(own_server=True)
def api_info_counts(talk):
    talk.create_stream()
    talk.create_stream("@2", storage="file")
    talk.create_consumer("c")
    talk.create_consumer("d", stream="@2")
    talk.fill(5)
    talk.fill(3, "@2.a")
    talk.api("INFO")
    talk.create_stream("@3", max_bytes=100000)
    talk.create_stream("@4", storage="file", max_bytes=200000)
    talk.api("INFO")
    talk.api("STREAM.DELETE.@3")
    talk.api("STREAM.DELETE.@2")
    talk.api("CONSUMER.DELETE.@.c")
    talk.api("INFO")


@conversation(own_server=True)
def api_names_empty(talk):
    for b in (
        None,
        "{}",
        '{"offset":0}',
        '{"offset":5}',
        '{"offset":-1}',
        '{"subject":"a"}',
        '{"subject":""}',
        '{"bogus":1}',
        "x",
        "[]",
        '{"offset":"a"}',
    ):
        talk.api("STREAM.NAMES", b)


@conversation(own_server=True)
def api_list_empty(talk):
    for b in (
        None,
        "{}",
        '{"offset":0}',
        '{"offset":5}',
        '{"offset":-1}',
        '{"subject":"a"}',
        '{"bogus":1}',
        "x",
        "[]",
    ):
        talk.api("STREAM.LIST", b)


@conversation(own_server=True)
def api_names_filter(talk):
    talk.create_stream("@C", subjects=["foo.>"])
    talk.create_stream("@A", subjects=["bar", "baz.*.x"])
    talk.create_stream("@B", subjects=["qux.*"])
    talk.api("STREAM.NAMES")
    for s in (
        "foo.a",
        "foo.>",
        "foo",
        ">",
        "*",
        "*.*",
        "bar",
        "baz.1.x",
        "baz.1.y",
        "baz.>",
        "baz.*.*",
        "qux.*",
        "qux.a",
        "qux",
        "nope",
        "foo.*.b",
        "a b",
        "foo..a",
        "*.a",
        "ba>",
    ):
        talk.api("STREAM.NAMES", {"subject": s})
    talk.api("STREAM.NAMES", {"offset": 1})
    talk.api("STREAM.NAMES", {"offset": 3})
    talk.api("STREAM.NAMES", {"offset": 4})
    talk.api("STREAM.NAMES", {"offset": 1, "subject": ">"})
    talk.api("STREAM.NAMES", {"offset": -3})


@conversation(own_server=True)
def api_list_filter(talk):
    talk.create_stream("@C", subjects=["foo.>"])
    talk.create_stream("@A", subjects=["bar"], metadata={"k": "v"})
    talk.create_stream("@B", storage="file", subjects=["qux.*"])
    talk.fill(2, "foo.x")
    talk.create_consumer("c", stream="@A")
    talk.api("STREAM.LIST")
    talk.api("STREAM.LIST", {"subject": "bar"})
    talk.api("STREAM.LIST", {"subject": "nope"})
    talk.api("STREAM.LIST", {"offset": 2})
    talk.api("STREAM.LIST", {"offset": 7})


@conversation(own_server=True)
def api_names_paging(talk):
    k = talk.client
    inbox = k.inbox()
    for i in range(300):
        k.send(
            "$JS.API.STREAM.CREATE.s%04d" % i,
            {"name": "s%04d" % i, "storage": "memory"},
            reply=inbox.subject,
        )
    inbox.wait(300, 15)
    talk.step("300 streams", [len(inbox.messages)])
    inbox.messages.clear()
    r = talk.api("STREAM.NAMES", recorded=False)
    talk.step(
        "names",
        [
            r.get("total"),
            r.get("offset"),
            r.get("limit"),
            len(r.get("streams") or []),
            (r.get("streams") or ["?"])[0],
        ],
    )
    r = talk.api("STREAM.LIST", recorded=False)
    talk.step(
        "list",
        [
            r.get("total"),
            r.get("offset"),
            r.get("limit"),
            len(r.get("streams") or []),
            (r.get("streams") or [{}])[0].get("config", {}).get("name"),
        ],
    )
    r = talk.api("STREAM.LIST", {"offset": 256}, recorded=False)
    talk.step(
        "list offset 256",
        [
            r.get("total"),
            r.get("offset"),
            r.get("limit"),
            len(r.get("streams") or []),
            (r.get("streams") or [{}])[0].get("config", {}).get("name"),
        ],
    )
    r = talk.api("STREAM.NAMES", {"offset": 290}, recorded=False)
    talk.step(
        "names offset 290", [r.get("total"), r.get("offset"), r.get("limit"), r.get("streams")]
    )
    r = talk.api("STREAM.LIST", {"offset": 300}, recorded=False)
    talk.step(
        "list offset 300", [r.get("total"), r.get("offset"), r.get("limit"), r.get("streams")]
    )


@conversation
def api_consumer_paging(talk):
    talk.create_stream()
    k = talk.client
    inbox = k.inbox()
    for i in range(260):
        nm = "k%04d" % i
        k.send(
            "$JS.API.CONSUMER.CREATE.@." + nm,
            {
                "stream_name": "@",
                "config": {"durable_name": nm, "ack_policy": "none", "mem_storage": True},
            },
            reply=inbox.subject,
        )
    inbox.wait(260, 10)
    talk.step("260 consumers", [len(inbox.messages)])
    inbox.messages.clear()
    for what, off in (
        ("NAMES", 0),
        ("LIST", 0),
        ("NAMES", 255),
        ("LIST", 256),
        ("LIST", 260),
        ("NAMES", 400),
        ("NAMES", -1),
    ):
        r = talk.api("CONSUMER.%s.@" % what, {"offset": off} if off else None, recorded=False)
        L = r.get("consumers")
        f = None
        if L:
            f = L[0] if isinstance(L[0], str) else L[0].get("name")
        talk.step(
            "%s offset %d" % (what, off),
            [
                r.get("total"),
                r.get("offset"),
                r.get("limit"),
                None if L is None else len(L),
                f,
                r.get("error"),
            ],
        )
