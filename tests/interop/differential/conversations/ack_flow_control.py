"""Consumers that are acknowledged by answers to flow control requests."""

from conversation import only_error
from registry import conversation, each
from vocabulary import MS, PUSH, PUSHED, SECOND

# What such a consumer needs.
WHOLE = {
    "deliver_subject": PUSHED,
    "ack_policy": "flow_control",
    "flow_control": True,
    "idle_heartbeat": SECOND,
    "max_ack_pending": 10,
}

CONFIGS = [
    ("whole", {}),
    ("pull", {"deliver_subject": None}),
    ("pull_bare", {"deliver_subject": None, "flow_control": None, "idle_heartbeat": None}),
    ("no_flow_control", {"flow_control": None}),
    ("flow_control_false", {"flow_control": False}),
    ("no_heartbeat", {"idle_heartbeat": None}),
    ("nothing", {"flow_control": None, "idle_heartbeat": None}),
    ("bare", {"flow_control": None, "idle_heartbeat": None, "max_ack_pending": None}),
    ("heartbeat_short", {"idle_heartbeat": 500 * MS}),
    ("heartbeat_tiny", {"idle_heartbeat": MS}),
    ("heartbeat_long", {"idle_heartbeat": 2 * SECOND}),
    ("heartbeat_negative", {"idle_heartbeat": -1}),
    ("no_pending", {"max_ack_pending": None}),
    ("zero_pending", {"max_ack_pending": 0}),
    ("endless_pending", {"max_ack_pending": -1}),
    ("negative_pending", {"max_ack_pending": -5}),
    ("ack_wait", {"ack_wait": SECOND}),
    ("ack_wait_default", {"ack_wait": 30 * SECOND}),
    ("ack_wait_negative", {"ack_wait": -1}),
    ("backoff", {"backoff": [SECOND, 2 * SECOND]}),
    ("backoff_deliver", {"backoff": [SECOND, 2 * SECOND], "max_deliver": 5}),
    ("max_deliver", {"max_deliver": 3}),
    ("max_deliver_endless", {"max_deliver": -1}),
    ("ephemeral", {"durable_name": None, "name": "c"}),
    ("group", {"deliver_group": "g"}),
    ("replay", {"replay_policy": "original"}),
    ("headers_only", {"headers_only": True}),
    ("rate_limit", {"rate_limit_bps": 1000}),
    ("last_per_subject", {"deliver_policy": "last_per_subject", "filter_subject": "@.>"}),
    ("sample", {"sample_freq": "100"}),
    ("inactive", {"inactive_threshold": 5 * SECOND}),
    ("max_waiting", {"max_waiting": 5}),
    ("priority", {"priority_policy": "overflow", "priority_groups": ["g"]}),
    ("direct", {"direct": True}),
    ("sourcing", {"sourcing": True}),
    ("pending_excess", {"max_ack_pending": 5000}),
    ("mem_storage", {"mem_storage": True}),
]


@each("ack_fc_config", CONFIGS)
def configured(talk, config):
    talk.create_stream()
    body = {key: value for key, value in {**WHOLE, **config}.items() if value is not None}
    for pedantic in (False, True):
        whole = {"durable_name": "c", **body}
        if "name" in body:
            whole.pop("durable_name")
        request = {"stream_name": "@", "config": whole, "pedantic": pedantic}
        talk.api("CONSUMER.CREATE.@.c", request)
        talk.api("CONSUMER.INFO.@.c")
        talk.api("CONSUMER.DELETE.@.c")


def question(sub):
    """Waits for the next flow control request. Where its answer goes."""
    sub.talk.wait_for(lambda: any(is_question(message) for message in sub.messages), 2.5)
    asked = [message for message in sub.messages if is_question(message)]
    sub.messages = [message for message in sub.messages if message.status != 100]
    sub.talk.step("asked", [sub.talk.normalised(message) for message in asked[:1]])
    return asked[0].reply if asked else "none"


def is_question(message):
    return message.status == 100 and "FlowControl" in message.headers


def answer(talk, to, consumer_seq=None, stream_seq=None):
    pairs = [("Nats-Last-Consumer", consumer_seq), ("Nats-Last-Stream", stream_seq)]
    headers = [(key, value) for key, value in pairs if value is not None]
    talk.client.send(to, "", headers or None)
    talk.client.sync()
    talk.sleep(0.05)


def listening(talk, **config):
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(**{"deliver_subject": PUSHED, "ack_policy": "flow_control", **config})
    return sub


@conversation
def ack_fc_idle(talk):
    """The question comes with the first heartbeat, and none where nothing is out"""
    talk.create_stream()
    talk.fill(3)
    sub = listening(talk)
    sub.take(3)
    to = question(sub)
    talk.consumer_info()
    answer(talk, to, 2, 2)
    talk.consumer_info()
    to = question(sub)
    answer(talk, to, 3, 3)
    talk.consumer_info()
    sub.wait(1, 1.5)
    talk.step("then", [talk.normalised(message) for message in sub.messages[:1]])
    sub.messages = []
    talk.sleep(1.3)
    kinds = sorted({message.headers.split("\r")[0] for message in sub.messages})
    sub.messages = []
    talk.step(f"later {kinds}", [])


@conversation
def ack_fc_full(talk):
    """The question comes at once where no more may be out"""
    talk.create_stream()
    talk.fill(8)
    sub = listening(talk, max_ack_pending=3)
    sub.take(3)
    to = question(sub)
    talk.consumer_info()
    answer(talk, to, 3, 3)
    sub.take(3)
    talk.consumer_info()
    to = question(sub)
    answer(talk, to, 4, 4)
    sub.take(1)
    talk.consumer_info()
    to = question(sub)
    answer(talk, to, 7, 7)
    sub.take(1)
    talk.consumer_info()


# What an answer may say: sequences of the consumer and of the stream.
ANSWERS = [
    ("none", None, None),
    ("consumer_only", 2, None),
    ("stream_only", None, 2),
    ("zero", 0, 0),
    ("zero_consumer", 0, 2),
    ("text", "x", "y"),
    ("negative", -1, 2),
    ("plus", "+2", "+2"),
]


@each("ack_fc_answer", ANSWERS)
def answered(talk, consumer_seq, stream_seq):
    talk.create_stream()
    talk.fill(6)
    sub = listening(talk, max_ack_pending=4)
    sub.take(4)
    to = question(sub)
    answer(talk, to, consumer_seq, stream_seq)
    talk.consumer_info()
    sub.take(2, timeout=0.4)


@conversation
def ack_fc_answer_twice(talk):
    """Only the answer to the question that is out counts"""
    talk.create_stream()
    talk.fill(6)
    sub = listening(talk, max_ack_pending=3)
    sub.take(3)
    to = question(sub)
    answer(talk, "$JS.FC.@.c.none", 3, 3)
    talk.consumer_info()
    answer(talk, to, 1, 1)
    answer(talk, to, 3, 3)
    sub.take(1)
    talk.consumer_info()


@conversation
def ack_fc_by_acks(talk):
    """What is said in the place of acks"""
    talk.create_stream()
    talk.fill(6)
    sub = listening(talk)
    messages = sub.take(6)
    for message, word in zip(messages, ["", "-NAK", "+WPI", "+TERM", "+ACK", "+NXT"]):
        talk.request(message.reply, word, timeout=0.3)
        talk.consumer_info()
    sub.messages = [message for message in sub.messages if message.status != 100]
    sub.take(1, timeout=0.4)


@conversation
def ack_fc_of_workqueue(talk):
    talk.create_stream(retention="workqueue")
    talk.fill(4)
    sub = listening(talk)
    sub.take(4)
    to = question(sub)
    answer(talk, to, 3, 3)
    talk.stream_info()
    talk.create_consumer("d", whole=True)
    talk.create_consumer("e", whole=True, ack_policy="all", filter_subject="@.b")


@conversation
def ack_fc_of_interest(talk):
    talk.create_stream(retention="interest")
    talk.create_consumer("d")
    sub = listening(talk)
    talk.trickle(4)
    sub.take(4)
    to = question(sub)
    answer(talk, to, 3, 3)
    talk.stream_info()
    talk.api("CONSUMER.DELETE.@.d")
    talk.stream_info()


@conversation
def ack_fc_removed(talk):
    """What is gone is no longer out"""
    talk.create_stream()
    talk.fill(4)
    sub = listening(talk)
    sub.take(4)
    talk.api("STREAM.MSG.DELETE.@", {"seq": 2})
    to = question(sub)
    answer(talk, to, 4, 4)
    talk.consumer_info()


@conversation
def ack_fc_reset(talk):
    """What was not acknowledged comes again when the consumer starts over"""
    talk.create_stream()
    talk.fill(4)
    sub = listening(talk)
    sub.take(4)
    to = question(sub)
    answer(talk, to, 2, 2)
    talk.api("CONSUMER.RESET.@.c", view=only_error)
    sub.messages = [message for message in sub.messages if message.status != 100]
    sub.take(2)
    talk.consumer_info()


@conversation
def ack_fc_new_receiver(talk):
    """Another receiver does not get what the first one had"""
    talk.create_stream()
    talk.fill(3)
    sub = listening(talk)
    sub.take(3)
    sub.unsubscribe()
    talk.sleep(0.05)
    sub.messages = []
    talk.fill(1)
    other = talk.subscribe(PUSHED)
    other.wait(1, 1)
    other.messages = [message for message in other.messages if message.status != 100]
    other.take(1)
    to = question(other)
    answer(talk, to, 4, 4)
    talk.consumer_info()


@conversation(own_server=True)
def ack_fc_across_restart(talk):
    talk.create_stream(storage="file")
    talk.fill(4)
    sub = listening(talk)
    sub.take(4)
    answer(talk, question(sub), 2, 2)
    for connection in talk.connections:
        connection.close()
    talk.server.stop()
    talk.server.start()
    talk.consumer_info()
    sub = talk.subscribe(PUSHED)
    talk.fill(1)
    sub.wait(1, 1)
    sub.messages = [message for message in sub.messages if message.status != 100]
    sub.take(1)
    answer(talk, question(sub), 5, 5)
    talk.consumer_info()


UPDATES = [
    ("same", {}),
    ("pending", {"max_ack_pending": 20}),
    ("endless", {"max_ack_pending": -1}),
    ("explicit", {"ack_policy": "explicit"}),
    ("ack_wait", {"ack_wait": SECOND}),
    ("heartbeat", {"idle_heartbeat": 2 * SECOND}),
    ("no_flow_control", {"flow_control": None}),
    ("pull", {"deliver_subject": None}),
    ("description", {"description": "x"}),
]


@each("ack_fc_update", UPDATES)
def updated(talk, config):
    talk.create_stream()
    talk.create_consumer(whole=True, **WHOLE)
    talk.create_consumer(whole=True, action="update", **{**WHOLE, **config})


@conversation
def ack_fc_update_to(talk):
    talk.create_stream()
    talk.create_consumer(**PUSH)
    talk.create_consumer(whole=True, action="update", **WHOLE)
    talk.create_consumer("d", flow_control=True, idle_heartbeat=SECOND, **PUSH)
    config = {**WHOLE, "durable_name": "d"}
    talk.create_consumer("d", whole=True, action="update", **config)


# What servers ask of each other.
OF_SERVERS = [
    ("direct", {"direct": True, "durable_name": None, "name": "c"}),
    ("direct_durable", {"direct": True}),
    ("direct_fc", {"direct": True, "durable_name": None, "name": "c", **WHOLE}),
    ("sourcing", {"sourcing": True}),
    ("sourcing_fc", {"sourcing": True, **WHOLE}),
    ("sourcing_pull", {"sourcing": True, "deliver_subject": None, "ack_policy": "explicit"}),
    ("direct_pull", {"direct": True, "deliver_subject": None, "durable_name": None, "name": "c"}),
]


@each("consumer_of_servers", OF_SERVERS)
def of_servers(talk, config):
    talk.create_stream()
    talk.fill(2)
    sub = talk.subscribe(PUSHED)
    config = {"deliver_subject": PUSHED, "ack_policy": "none", "durable_name": "c", **config}
    config = {key: value for key, value in config.items() if value is not None}
    talk.api("CONSUMER.CREATE.@.c", {"stream_name": "@", "config": config})
    sub.take(2, timeout=0.5)
    talk.api("CONSUMER.INFO.@.c")
    talk.api("CONSUMER.NAMES.@")
    talk.api("CONSUMER.LIST.@", view=lambda form: len(form["json"].get("consumers") or []))
    talk.stream_info()
    talk.api("CONSUMER.DELETE.@.c")
    sub.messages = []


@each("consumer_sourcing_again", [("same", {}), ("changed", {"description": "x"})])
def sourcing_again(talk, config):
    talk.create_stream()
    talk.fill(4)
    sub = listening(talk, sourcing=True)
    sub.take(4)
    answer(talk, question(sub), 2, 2)
    for action in ("create", "update", ""):
        again = {**WHOLE, "max_ack_pending": 1000, "sourcing": True, **config}
        talk.create_consumer(whole=True, action=action, **again)
        sub.take(2, timeout=0.4)
        talk.consumer_info()
    sub.messages = []
