"""How streams are made: bodies of the request, names."""

from conversation import stream_state
from registry import conversation, each

BODIES = [
    ("empty", ""),
    ("obj", "{}"),
    ("garbage", "x"),
    ("array", "[]"),
    ("null", "null"),
    ("number", "5"),
    ("string", '"a"'),
    ("trunc", '{"name":"@"'),
    ("trail", '{"name":"@"} x'),
    ("wrongname", '{"name":"@x"}'),
    ("noname", '{"subjects":["@.>"]}'),
    ("nametype", '{"name":5}'),
    ("subjtype", '{"name":"@","subjects":"@.>"}'),
    ("unknown", '{"name":"@","bogus":1}'),
    ("unknownsub", '{"name":"@","consumer_limits":{"bogus":1}}'),
    ("negtype", '{"name":"@","max_msgs":"5"}'),
    ("floatnum", '{"name":"@","max_msgs":5.5}'),
    ("bigage", '{"name":"@","max_age":1e30}'),
    ("expage", '{"name":"@","max_age":1e9}'),
    ("badret", '{"name":"@","retention":"bogus"}'),
    ("upret", '{"name":"@","retention":"Limits"}'),
    ("baddisc", '{"name":"@","discard":"x"}'),
    ("badstor", '{"name":"@","storage":"disk"}'),
    ("badcomp", '{"name":"@","compression":"zip"}'),
    ("badpersist", '{"name":"@","persist_mode":"x"}'),
    ("case", '{"NAME":"@","Subjects":["@.x"],"storage":"memory"}'),
    ("dupkey", '{"name":"no","name":"@","storage":"memory"}'),
    ("nullfields", '{"name":"@","subjects":null,"max_age":null,"storage":"memory"}'),
    ("utf8", '{"name":"@","description":"h\u00e4\u2713","storage":"memory"}'),
    ("escape", '{"name":"@","description":"<a>&b","storage":"memory"}'),
    ("ws", ' \n {"name" : "@" , "storage":"memory"}\r\n'),
    ("emptyret", '{"name":"@","retention":""}'),
    ("emptystor", '{"name":"@","storage":""}'),
]


# Those of them that an update is asked with as well.
UPDATE_BODIES = [
    "empty",
    "obj",
    "garbage",
    "array",
    "null",
    "trunc",
    "wrongname",
    "noname",
    "unknown",
    "badret",
    "case",
]


@each("stream_create", BODIES)
def stream_create(talk, body):
    talk.api("STREAM.CREATE.@", body)
    talk.api("STREAM.INFO.@")


@each("stream_update_body", [case for case in BODIES if case[0] in UPDATE_BODIES])
def stream_update_body(talk, body):
    talk.api("STREAM.UPDATE.@", body)
    talk.create_stream()
    talk.api("STREAM.UPDATE.@", body)
    talk.api("STREAM.INFO.@")


# Names in the subject and in the body.
NAMES = [
    ("slash", "@/a", "@/a"),
    ("bslash", "@\\a", "@\\a"),
    ("star", "@*", "@*"),
    ("gt", "@>", "@>"),
    ("bodydot", "@", "@.a"),
    ("bodyempty", "@", ""),
    ("len255", "@" + "n" * 247, "@" + "n" * 247),
    ("len256", "@" + "n" * 248, "@" + "n" * 248),
    ("utf8", "@\u00e9", "@\u00e9"),
    ("dollar", "@$x", "@$x"),
    ("colon", "@:x", "@:x"),
    ("quote", '@"x', '@"x'),
    ("ctrl", "@\x01x", "@\x01x"),
    ("under", "@_-=", "@_-="),
]


@each("stream_name", NAMES)
def stream_name(talk, token, name):
    talk.api(
        "STREAM.CREATE." + token,
        {"name": name, "subjects": ["@.x"], "storage": "memory"},
        timeout=0.4,
    )
    talk.api("STREAM.INFO." + token, timeout=0.4)
    talk.api("STREAM.DELETE." + token, timeout=0.4)


@conversation
def stream_name_default_subject(talk):
    talk.api("STREAM.CREATE.@", {"name": "@", "storage": "memory"})
    talk.publish("@")
    talk.publish("@.a")
    talk.api("STREAM.CREATE.@b", {"name": "@b", "subjects": [], "storage": "memory"})


@conversation
def api_create_no_reply(talk):
    talk.client.publish("$JS.API.STREAM.CREATE.@", {"name": "@", "storage": "memory"})
    talk.sleep(0.1)
    talk.api("STREAM.INFO.@", view=stream_state)
    talk.client.publish(
        "$JS.API.CONSUMER.CREATE.@.c", {"stream_name": "@", "config": {"durable_name": "c"}}
    )
    talk.sleep(0.1)
    talk.consumer_info()
    talk.client.publish("$JS.API.CONSUMER.DELETE.@.c")
    talk.sleep(0.1)
    talk.consumer_info()
    talk.publish("@")
    talk.client.publish("$JS.API.STREAM.PURGE.@")
    talk.sleep(0.1)
    talk.stream_info()
    talk.client.publish("$JS.API.STREAM.DELETE.@")
    talk.sleep(0.1)
    talk.stream_info()


@conversation
def api_idempotent_create(talk):
    talk.create_stream(whole=True)
    talk.create_stream(whole=True)
    talk.create_stream(whole=True, max_msgs=5)
    talk.create_stream(
        whole=True, max_msgs=-1, max_age=0, discard="old", retention="limits", num_replicas=1
    )
    talk.create_stream(whole=True, description="x")
    talk.create_stream(whole=True, metadata={"a": "b"})
    talk.create_stream(whole=True, metadata={"_nats.ver": "x"})


@conversation
def api_api_level_header(talk):
    H = {"Nats-Required-Api-Level": "99"}
    talk.api("INFO", headers=H)
    talk.create_stream()
    talk.create_consumer()
    talk.fill(1)
    talk.api("STREAM.INFO.@", headers=H)
    talk.api("STREAM.NAMES", headers=H)
    talk.api("STREAM.CREATE.@x", {"name": "@x"}, headers=H)
    talk.api("CONSUMER.INFO.@.c", headers=H)
    talk.api(
        "CONSUMER.CREATE.@.d", {"stream_name": "@", "config": {"durable_name": "d"}}, headers=H
    )
    talk.api("STREAM.MSG.GET.@", {"seq": 1}, headers=H)
    talk.api("CONSUMER.MSG.NEXT.@.c", "", headers=H)
    talk.api("STREAM.INFO.@", headers={"Nats-Required-Api-Level": "1"}, view=stream_state)
    talk.api("STREAM.INFO.@", headers={"Nats-Required-Api-Level": "0"}, view=stream_state)
    talk.api("STREAM.INFO.@", headers={"Nats-Required-Api-Level": "abc"}, view=stream_state)
    talk.api("STREAM.INFO.@", headers={"Nats-Required-Api-Level": "-1"}, view=stream_state)
    talk.api("STREAM.INFO.@", headers={"Nats-Required-Api-Level": ""}, view=stream_state)
    talk.api("STREAM.INFO.@", headers={"nats-required-api-level": "99"}, view=stream_state)
    talk.update_stream(allow_direct=True)
    talk.request("$JS.API.DIRECT.GET.@", {"seq": 1}, headers=H)
    talk.request("$JS.API.DIRECT.GET.@.@.a", "", headers=H)
