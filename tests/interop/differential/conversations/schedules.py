"""Messages that are stored later: at a time, every so often, by a calendar."""

import datetime

from conversation import without_pending
from registry import conversation, each, numbered
from vocabulary import EXPECTED_OF_SUBJECT, MSG_ID, ROLLUP

SCHEDULE = "Nats-Schedule"
TARGET = "Nats-Schedule-Target"
SOURCE = "Nats-Schedule-Source"
TTL = "Nats-Schedule-TTL"
ZONE = "Nats-Schedule-Time-Zone"
ROLLUP_OF_TARGET = "Nats-Schedule-Rollup"
FAR = "@@at 2099-01-01T00:00:00Z"


def soon(seconds):
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return "@@at " + when.isoformat().replace("+00:00", "Z")


def scheduling(talk, **config):
    talk.create_stream(allow_msg_schedules=True, **config)


# All that may be said of when; none of these is due in the time of a test.
PATTERNS = [
    FAR,
    "@@at 2099-01-01T00:00:00.123456789Z",
    "@@at 2099-01-01T00:00:00+02:00",
    "@@at 2099-01-01",
    "@@at tomorrow",
    "@@at",
    "@@at ",
    "@@AT 2099-01-01T00:00:00Z",
    "@@every 1h",
    "@@every 1h30m",
    "@@every 999ms",
    "@@every 0s",
    "@@every -1h",
    "@@every 3600",
    "@@every",
    "@@every x",
    "@@hourly",
    "@@daily",
    "@@midnight",
    "@@weekly",
    "@@monthly",
    "@@yearly",
    "@@annually",
    "@@Yearly",
    "@@secondly",
    "@@reboot",
    "0 0 3 1 1 *",
    "0 0 3 * * *",
    "0 0 3 1 1 2",
    "0 0 3 31 2 *",
    "0 0 3 1 JAN *",
    "0 0 3 1 jan SUN",
    "0 0 3 1 1 7",
    "0 0 3 1 1-3 *",
    "0 0 3 1 1,2 *",
    "0 0 3 1 */3 *",
    "0 0 3 1 1 ?",
    "0 0 3 ? 1 1",
    "0 3 1 1 *",
    "60 0 3 1 1 *",
    "0 60 3 1 1 *",
    "0 0 24 1 1 *",
    "0 0 3 0 1 *",
    "0 0 3 1 13 *",
    "0 0 3 1 1 8",
    "0 0 3 1 1 * *",
    "* * * * *",
    "hello",
    "",
    " ",
]


@each("schedule_pattern", numbered(PATTERNS))
def pattern(talk, when):
    scheduling(talk)
    talk.publish("@.s", "x", [(SCHEDULE, when), (TARGET, "@.t")])
    talk.api("STREAM.MSG.GET.@", {"seq": 1})


# What else a schedule says, beside one that is far away.
HEADERS = [
    ("no_target", []),
    ("target_empty", [(TARGET, "")]),
    ("target_own", [(TARGET, "@.s")]),
    ("target_wild", [(TARGET, "@.*")]),
    ("target_all", [(TARGET, "@.>")]),
    ("target_foreign", [(TARGET, "elsewhere")]),
    ("target_invalid", [(TARGET, "@..t")]),
    ("target_only", [("-", ""), (TARGET, "@.t")]),
    ("source", [(TARGET, "@.t"), (SOURCE, "@.source")]),
    ("source_own", [(TARGET, "@.t"), (SOURCE, "@.s")]),
    ("source_target", [(TARGET, "@.t"), (SOURCE, "@.t")]),
    ("source_wild", [(TARGET, "@.t"), (SOURCE, "@.*")]),
    ("source_foreign", [(TARGET, "@.t"), (SOURCE, "elsewhere")]),
    ("source_empty", [(TARGET, "@.t"), (SOURCE, "")]),
    ("ttl", [(TARGET, "@.t"), (TTL, "5")]),
    ("ttl_duration", [(TARGET, "@.t"), (TTL, "5m")]),
    ("ttl_never", [(TARGET, "@.t"), (TTL, "never")]),
    ("ttl_bad", [(TARGET, "@.t"), (TTL, "x")]),
    ("ttl_short", [(TARGET, "@.t"), (TTL, "500ms")]),
    ("ttl_empty", [(TARGET, "@.t"), (TTL, "")]),
    ("zone", [(TARGET, "@.t"), (ZONE, "Europe/Berlin")]),
    ("zone_unknown", [(TARGET, "@.t"), (ZONE, "Europe/Atlantis")]),
    ("rollup", [(TARGET, "@.t"), (ROLLUP_OF_TARGET, "sub")]),
    ("rollup_all", [(TARGET, "@.t"), (ROLLUP_OF_TARGET, "all")]),
    ("rollup_bad", [(TARGET, "@.t"), (ROLLUP_OF_TARGET, "x")]),
    ("own_rollup_sub", [(TARGET, "@.t"), (ROLLUP, "sub")]),
    ("own_rollup_all", [(TARGET, "@.t"), (ROLLUP, "all")]),
    ("own_rollup_bad", [(TARGET, "@.t"), (ROLLUP, "x")]),
    ("message_ttl", [(TARGET, "@.t"), ("Nats-TTL", "60")]),
    ("message_id", [(TARGET, "@.t"), (MSG_ID, "i")]),
    ("expected", [(TARGET, "@.t"), (EXPECTED_OF_SUBJECT, "9")]),
    ("counter", [(TARGET, "@.t"), ("Nats-Incr", "1")]),
    ("scheduler", [(TARGET, "@.t"), ("Nats-Scheduler", "@.x")]),
    ("next", [(TARGET, "@.t"), ("Nats-Schedule-Next", "purge")]),
    ("user", [(TARGET, "@.t"), ("A", "b"), ("A", "c")]),
]


@each("schedule_header", HEADERS)
def header(talk, headers):
    scheduling(talk)
    first = [(SCHEDULE, FAR)] if headers[:1] != [("-", "")] else []
    talk.publish("@.s", "x", first + [pair for pair in headers if pair[0] != "-"])
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.update_stream(whole=False, allow_msg_schedules=True, allow_msg_ttl=True)
    talk.publish("@.s", "x", first + [pair for pair in headers if pair[0] != "-"])
    talk.stream_info({"subjects_filter": ">"})


ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Local", "", "CET", "GMT+2", "+02:00", "x y"]


@each("schedule_zone", numbered(ZONES))
def zone(talk, name):
    scheduling(talk)
    for when in ("0 0 3 1 1 *", "@@daily", "@@every 1h", FAR):
        talk.publish("@.s", "x", [(SCHEDULE, when), (TARGET, "@.t"), (ZONE, name)])
    talk.stream_info()


@conversation
def schedule_disabled(talk):
    talk.create_stream()
    talk.publish("@.s", "x", [(SCHEDULE, FAR), (TARGET, "@.t")])
    talk.publish("@.s", "x", [(SCHEDULE, "x")])
    talk.publish("@.s", "x", [(SCHEDULE, "")])
    talk.publish("@.s", "x", [(TARGET, "@.t")])
    talk.publish("@.s", "x", [("Nats-Scheduler", "@.t")])
    talk.stream_info()


@conversation
def schedule_replaced(talk):
    """One schedule for a subject; another message there ends it"""
    scheduling(talk)
    for body in ("1", "2", "3"):
        talk.publish("@.s", body, [(SCHEDULE, FAR), (TARGET, "@.t")])
    talk.publish("@.other", "4", [(SCHEDULE, FAR), (TARGET, "@.t")])
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.publish("@.s", "plain")
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})
    talk.api("STREAM.PURGE.@", {"filter": "@.other"})
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


def watch(talk):
    """An inbox where all that is stored comes"""
    talk.create_consumer("w", ack_policy="none", deliver_policy="new")
    return talk.pull("w", "20")


@conversation(slow=True)
def schedule_at(talk):
    """It is stored with what the user said, and the schedule is gone"""
    scheduling(talk)
    inbox = watch(talk)
    headers = [(SCHEDULE, soon(1.2)), (TARGET, "@.t"), ("A", "b"), (MSG_ID, "i")]
    talk.publish("@.s", "body", headers)
    inbox.take(1, view=without_pending)
    inbox.take(1, timeout=5, view=without_pending)
    talk.sleep(0.1)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(slow=True)
def schedule_past(talk):
    scheduling(talk)
    inbox = watch(talk)
    talk.publish("@.s", "x", [(SCHEDULE, "@@at 2020-01-01T00:00:00Z"), (TARGET, "@.t")])
    inbox.take(2, timeout=4, view=without_pending)
    talk.sleep(0.1)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(slow=True)
def schedule_every(talk):
    scheduling(talk)
    inbox = watch(talk)
    talk.publish("@.s", "x", [(SCHEDULE, "@@every 1s"), (TARGET, "@.t"), ("A", "b")])
    inbox.take(1, view=without_pending)
    inbox.take(2, timeout=5, view=without_pending)
    talk.api("STREAM.PURGE.@", {"filter": "@.s"})
    inbox.messages = []
    talk.sleep(1.6)
    talk.stream_info({"subjects_filter": "@.s"}, view=lambda form: form["json"]["total"])
    talk.step("after its end", [len(inbox.messages) <= 1])
    inbox.messages = []
    inbox.unsubscribe()


@conversation(slow=True)
def schedule_source(talk):
    """The body is the last message of another subject at that time"""
    scheduling(talk)
    inbox = watch(talk)
    headers = [(SCHEDULE, soon(1.5)), (TARGET, "@.t"), (SOURCE, "@.source"), ("A", "b")]
    talk.publish("@.s", "own", headers)
    talk.publish("@.source", "1")
    talk.publish("@.source", "2", {"C": "d"})
    inbox.take(3, view=without_pending)
    inbox.take(1, timeout=5, view=without_pending)
    talk.sleep(0.1)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(slow=True)
def schedule_source_missing(talk):
    scheduling(talk)
    inbox = watch(talk)
    talk.publish("@.s", "own", [(SCHEDULE, soon(1.2)), (TARGET, "@.t"), (SOURCE, "@.source")])
    inbox.take(1, view=without_pending)
    inbox.take(0, extra=2.5, view=without_pending)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(slow=True)
def schedule_ttl(talk):
    scheduling(talk, allow_msg_ttl=True)
    inbox = watch(talk)
    talk.publish("@.s", "x", [(SCHEDULE, soon(1.2)), (TARGET, "@.t"), (TTL, "1")])
    inbox.take(1, view=without_pending)
    inbox.take(1, timeout=5, view=without_pending)
    talk.stream_info({"subjects_filter": ">"})
    talk.sleep(2.4)
    talk.stream_info({"subjects_filter": ">"})


@conversation(slow=True)
def schedule_rollup(talk):
    """What is stored takes the place of what was there"""
    scheduling(talk)
    inbox = watch(talk)
    talk.publish("@.t", "old")
    headers = [(SCHEDULE, soon(1.2)), (TARGET, "@.t"), (ROLLUP_OF_TARGET, "sub")]
    talk.publish("@.s", "new", headers)
    inbox.take(2, view=without_pending)
    inbox.take(1, timeout=5, view=without_pending)
    talk.sleep(0.1)
    talk.stream_info({"subjects_filter": ">", "deleted_details": True})


@conversation(slow=True)
def schedule_deleted(talk):
    """A schedule that is removed in time stores nothing"""
    scheduling(talk)
    talk.publish("@.s", "x", [(SCHEDULE, soon(1.5)), (TARGET, "@.t")])
    talk.api("STREAM.MSG.DELETE.@", {"seq": 1})
    talk.publish("@.s2", "x", [(SCHEDULE, soon(1.5)), (TARGET, "@.t2")])
    talk.publish("@.s2", "plain")
    talk.sleep(3)
    talk.stream_info({"subjects_filter": ">"})


@conversation(slow=True, own_server=True)
def schedule_across_restart(talk):
    scheduling(talk, storage="file")
    talk.publish("@.s", "x", [(SCHEDULE, soon(2.5)), (TARGET, "@.t")])
    talk.publish("@.s2", "x", [(SCHEDULE, soon(0.5)), (TARGET, "@.t2")])
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.sleep(1.0)
    talk.server.start()
    talk.sleep(3.5)
    talk.stream_info({"subjects_filter": ">"})
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.t"})
    talk.api("STREAM.MSG.GET.@", {"last_by_subj": "@.t2"})


CONFIGS = [
    ("plain", {}),
    ("discard_new", {"discard": "new"}),
    ("no_rollup", {"allow_rollup_hdrs": False}),
    ("deny_purge", {"deny_purge": True}),
    ("deny_delete", {"deny_delete": True}),
    ("pedantic", {"pedantic": True}),
    ("pedantic_rollup", {"pedantic": True, "allow_rollup_hdrs": True}),
    ("mirror", {"mirror": {"name": "@none"}, "subjects": None}),
    ("sources", {"sources": [{"name": "@none"}]}),
    ("counter", {"allow_msg_counter": True}),
    ("atomic", {"allow_atomic": True}),
    ("batched", {"allow_batched": True}),
    ("workqueue", {"retention": "workqueue"}),
    ("interest", {"retention": "interest"}),
    ("per_subject", {"max_msgs_per_subject": 1}),
    ("ttl", {"allow_msg_ttl": True}),
    ("type", {"allow_msg_schedules": "yes"}),
]


@each("schedule_config", CONFIGS)
def configured(talk, config):
    talk.create_stream(whole=True, **{"allow_msg_schedules": True, **config})
    talk.update_stream(whole=False)
    talk.update_stream(**{"allow_msg_schedules": True, **config})
