"""Conversations that are made up from a number, the same for both servers.

Everything is drawn from one random generator in one order: what a server answers changes nothing
of what is asked next. The state is compared after every few steps.
"""

import random

from registry import generated
from vocabulary import (
    EXPECTED_ID,
    EXPECTED_LAST,
    EXPECTED_OF_SUBJECT,
    MSG_ID,
    ROLLUP,
    SECOND,
)

SUBJECTS = ["@.a", "@.b", "@.c.x", "@.c.y", "@.d", "@.c.x.z"]
FILTERS = ["@.a", "@.*", "@.c.*", "@.c.>", ">", "@.>", "@.zz", "@.b", "@.*.x", "@.d"]


@generated("generated_store", 60)
def store(talk):
    """One stream with random limits: publishes with expectations, deletions, purges, reads"""
    draw = random.Random(f"store{talk.seed}")
    config = store_config(draw)
    talk.create_stream(**config)
    for step in range(45):
        what = draw.random()
        subject = draw.choice(SUBJECTS)
        if what < 0.45:
            headers = publish_headers(draw)
            body = "b%d" % step + "x" * draw.choice([0, 0, 5, 30, 80, 120])
            talk.publish(subject, body, headers or None)
        elif what < 0.55:
            talk.api("STREAM.MSG.DELETE.@", {"seq": draw.randrange(1, 30)})
        elif what < 0.62:
            talk.api("STREAM.PURGE.@", purge_body(draw))
        elif what < 0.72:
            read_one(talk, draw)
        elif what < 0.77:
            talk.request("$JS.API.DIRECT.GET.@." + subject)
        elif what < 0.83:
            read_batch(talk, draw)
        elif what < 0.86:
            config = changed(draw, config)
            talk.update_stream(whole=False, **config)
        else:
            filter = draw.choice(FILTERS)
            talk.stream_info({"subjects_filter": filter, "deleted_details": True})
        if step % 5 == 4:
            talk.stream_info({"subjects_filter": ">", "deleted_details": True})


def store_config(draw):
    config = {"storage": draw.choice(["memory", "memory", "file"]), "allow_direct": True}
    if draw.random() < 0.45:
        config["max_msgs"] = draw.choice([3, 5, 8, 12])
    if draw.random() < 0.3:
        config["max_bytes"] = draw.choice([200, 400, 900])
    if draw.random() < 0.4:
        config["max_msgs_per_subject"] = draw.choice([1, 2, 3])
    if draw.random() < 0.4:
        config["discard"] = "new"
        if "max_msgs_per_subject" in config and draw.random() < 0.5:
            config["discard_new_per_subject"] = True
    # `rollup_beyond_limit` is about limits that a rollup meets.
    has_limit = "max_msgs" in config or "max_bytes" in config
    if draw.random() < 0.5 and (config.get("discard") == "new" or not has_limit):
        config["allow_rollup_hdrs"] = True
    if draw.random() < 0.2:
        config["max_msg_size"] = 60
    if draw.random() < 0.2:
        config["first_seq"] = 10
    return config


def publish_headers(draw):
    headers = []
    if draw.random() < 0.25:
        headers.append((MSG_ID, "id%d" % draw.randrange(6)))
    if draw.random() < 0.08:
        headers.append((EXPECTED_LAST, str(draw.randrange(30))))
    if draw.random() < 0.1:
        headers.append((EXPECTED_OF_SUBJECT, str(draw.choice([0, 0, draw.randrange(20)]))))
    if draw.random() < 0.05:
        headers.append((EXPECTED_ID, "id%d" % draw.randrange(6)))
    if draw.random() < 0.1:
        headers.append((ROLLUP, draw.choice(["sub", "sub", "all"])))
    if draw.random() < 0.1:
        headers.append(("K", "v"))
    return headers


def purge_body(draw):
    body = {}
    if draw.random() < 0.6:
        body["filter"] = draw.choice(FILTERS)
    which = draw.random()
    if which < 0.35:
        body["seq"] = draw.randrange(1, 25)
    elif which < 0.75:
        body["keep"] = draw.randrange(1, 5)
    return body


def read_one(talk, draw):
    body = draw.choice(
        [
            {"seq": draw.randrange(1, 30)},
            {"last_by_subj": draw.choice(FILTERS)},
            {"next_by_subj": draw.choice(FILTERS), "seq": draw.randrange(0, 20)},
        ]
    )
    talk.api("STREAM.MSG.GET.@", body)
    talk.request("$JS.API.DIRECT.GET.@", body)


def read_batch(talk, draw):
    body = draw.choice(
        [
            {"seq": draw.randrange(1, 20), "batch": draw.randrange(1, 6)},
            {"multi_last": draw.sample(FILTERS, 2)},
            {"seq": draw.randrange(1, 20), "batch": 4, "next_by_subj": draw.choice(FILTERS)},
            {"multi_last": [">"], "up_to_seq": draw.randrange(1, 25)},
        ]
    )
    inbox = talk.client.inbox()
    talk.client.send("$JS.API.DIRECT.GET.@", body, reply=inbox.subject)
    # The end of the batch has a status.
    talk.client.until(lambda: any(m.status for m in inbox.messages), talk.patience(2))
    take_all(talk, inbox, f"direct batch {body}")


def changed(draw, config):
    config = dict(config)
    if draw.random() < 0.5:
        config["max_msgs"] = draw.choice([2, 4, 6, -1])
    if draw.random() < 0.4:
        config["max_msgs_per_subject"] = draw.choice([1, 2, 4])
    if config.get("max_msgs_per_subject", -1) <= 0:
        config.pop("discard_new_per_subject", None)
    config.pop("first_seq", None)
    return config


@generated("generated_consumers", 80)
def consumers(talk):
    """A stream of any retention with some consumers: fetches, acks of all kinds, removals"""
    draw = random.Random(f"cons{talk.seed}")
    retention = draw.choice(["limits", "limits", "limits", "interest", "workqueue"])
    config = {"retention": retention, "storage": draw.choice(["memory", "memory", "file"])}
    if draw.random() < 0.3:
        config["max_msgs_per_subject"] = draw.choice([1, 2, 3])
    if draw.random() < 0.3:
        config["max_msgs"] = draw.choice([5, 8])
    talk.create_stream(**config)
    for _ in range(draw.randrange(0, 8)):
        talk.publish(draw.choice(SUBJECTS), "m")
    names = ["k0", "k1", "k2"][: draw.randrange(1, 4)]
    for name in names:
        talk.create_consumer(name, **drawn_consumer(draw, retention, name))
    fetched = {name: [] for name in names}
    for step in range(40):
        consumers_step(talk, draw, step, retention, fetched)
        if step % 6 == 5:
            talk.sleep(0.02)
            for name in names:
                talk.consumer_info(name)
            talk.stream_info({"deleted_details": True, "subjects_filter": ">"})


def consumers_step(talk, draw, step, retention, fetched):
    what = draw.random()
    name = draw.choice(list(fetched))
    if what < 0.28:
        talk.publish(draw.choice(SUBJECTS), f"m{step}")
        talk.sleep(0.005)
    elif what < 0.5:
        fetched[name] += fetch_some(talk, name, draw.randrange(1, 5))
    elif what < 0.74:
        ack_one(talk, draw, fetched[name])
    elif what < 0.8:
        talk.sleep(0.02)
        talk.consumer_info(name)
    elif what < 0.84:
        talk.api("STREAM.MSG.DELETE.@", {"seq": draw.randrange(1, 20)})
        talk.sleep(0.02)
    elif what < 0.87:
        purges = [
            {"filter": draw.choice(FILTERS)},
            {"seq": draw.randrange(1, 15)},
            {"keep": draw.randrange(1, 4)},
        ]
        talk.api("STREAM.PURGE.@", draw.choice(purges))
        talk.sleep(0.03)
    elif what < 0.9:
        talk.api("CONSUMER.DELETE.@." + name)
        talk.create_consumer(name, **drawn_consumer(draw, retention, name))
        fetched[name] = []
    else:
        talk.sleep(0.02)
        talk.stream_info({"deleted_details": True})


def drawn_consumer(draw, retention, name):
    config = {"ack_wait": 60 * SECOND}
    if retention == "workqueue":
        config["filter_subject"] = {"k0": "@.a", "k1": "@.c.>", "k2": "@.b"}[name]
    else:
        config.update(drawn_policies(draw))
    acks = config.get("ack_policy") != "none"
    if draw.random() < 0.25 and acks:
        config["max_ack_pending"] = draw.choice([1, 2, 3])
    if draw.random() < 0.25:
        config["max_deliver"] = draw.choice([1, 2, 3])
    if not acks:
        config.pop("ack_wait")
        config.pop("max_deliver", None)
    return config


def drawn_policies(draw):
    config = {"ack_policy": draw.choice(["explicit", "explicit", "explicit", "all", "none"])}
    filtering = draw.random()
    if filtering < 0.3:
        config["filter_subject"] = draw.choice(FILTERS)
    elif filtering < 0.45:
        several = [["@.a", "@.b"], ["@.c.*", "@.a"], ["@.d", "@.c.x.z", "@.zz"]]
        config["filter_subjects"] = draw.choice(several)
    start = draw.random()
    if start < 0.12:
        config["deliver_policy"] = "new"
    elif start < 0.25:
        config["deliver_policy"] = "last"
    elif start < 0.4:
        config["deliver_policy"] = "by_start_sequence"
        config["opt_start_seq"] = draw.randrange(1, 12)
    elif start < 0.55 and filtering < 0.45:
        config["deliver_policy"] = "last_per_subject"
    return config


def fetch_some(talk, name, count):
    """What came of a request that does not wait."""
    talk.sleep(0.01)
    inbox = talk.pull(name, {"batch": count, "no_wait": True}, settle=0)
    talk.client.until(
        lambda: len(inbox.messages) >= count or any(m.status for m in inbox.messages),
        talk.patience(1),
    )
    return [m for m in take_all(talk, inbox, f"fetch {name} {count}") if m.reply]


def ack_one(talk, draw, messages):
    position = draw.random()
    kinds = ["", "", "+ACK", "-NAK", "-NAK", "+TERM", "+WPI", '-NAK {"delay":60000000000}']
    kind = draw.choice(kinds)
    if messages:
        talk.ack(messages[int(position * len(messages))], kind)
    else:
        talk.step("nothing to ack", [])


def take_all(talk, inbox, done):
    """Records what is there, and ends the subscription."""
    taken, inbox.messages = inbox.messages, []
    talk.step(done, [talk.normalised(message) for message in taken])
    inbox.unsubscribe()
    return taken
