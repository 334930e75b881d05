"""Messages whose way is traced, and what is told of it."""

from registry import conversation
from vocabulary import EXPECTED_STREAM, MSG_ID

TRACED = {"Nats-Trace-Dest": "@.w.trace"}
ONLY = {**TRACED, "Nats-Trace-Only": "true"}
BOTH = (TRACED, ONLY)


def told(form):
    """Without the numbers of clients; who gets a message first is nobody's business."""
    trace = form.get("json", {})
    events = trace.get("events", [])
    for event in events:
        event.pop("cid", None)
    trace["events"] = events[:1] + sorted(events[1:], key=str)
    return form


def watch(talk):
    return talk.connect(name="watcher").subscribe("@.w.trace")


@conversation
def trace_receivers(talk):
    watcher = watch(talk)
    plain = talk.connect(name="plain").subscribe("@.a")
    member = talk.connect(name="<member>").subscribe("@.*", queue="g")
    own = talk.client.subscribe("@.>", only="body")
    for headers in BOTH:
        talk.client.publish("@.a", "body", headers)
        watcher.take(view=told)
    for sub in (plain, member, own):
        sub.take(extra=0.1)


@conversation
def trace_no_echo(talk):
    watcher = watch(talk)
    muted = talk.connect(name="muted", echo=False)
    muted.subscribe("@.a")
    muted.subscribe("@.*", queue="g")
    for headers in BOTH:
        muted.publish("@.a", "", headers)
        watcher.take(view=told)


@conversation
def trace_headers(talk):
    """what a header has to look like, and how headers are shown"""
    watcher = watch(talk)
    receiver = talk.client.subscribe("@.a")
    for lines in (
        "b: 1\r\nA:  two \r\nb: 3\r\nEmpty: \r\nNats-Trace-Dest: @.w.trace\r\n",
        "Nats-Trace-Dest:\t@.w.trace\t\r\nX: <&>\r\n",
        "Nats-Trace-Dest: @.w.trace\r\nNats-Trace-Dest: @.other\r\n",
        "Nats-Trace-Dest: @.w.trace\r\nno header\r\nA: 1\r\n",
        "Nats-Trace-Dest: @.w.trace\r\nNats-Trace-Only: \r\nNats-Trace-Only: on\r\n",
        "Nats-Trace-Dest: @.w.trace\r\nNats-Trace-Only: yes\r\n",
        "Nats-Trace-Dest: @.w.trace\r\nAccept-Encoding: br\r\n",
    ):
        block = talk.expand(f"NATS/1.0\r\n{lines}\r\n").encode()
        talk.client.publish("@.a", "", block)
        watcher.take(view=told)
    for lines in (
        "nats-trace-dest: @.w.trace\r\n",
        "Nats-Trace-Only: true\r\n",
        "Nats-Trace-Dest : @.w.trace\r\n",
        "Nats-Trace-Dest:\r\n",
        "no header\r\nNats-Trace-Dest: @.w.trace\r\n",
        "Nats-Trace-Dest: trace disabled\r\nNats-Trace-Only: true\r\n",
        "Nats-Trace-Dest: @.*\r\n",
        "Nats-Trace-Dest: @.*\r\nNats-Trace-Only: true\r\n",
        "Nats-Trace-Dest: @..a\r\n",
    ):
        block = talk.expand(f"NATS/1.0\r\n{lines}\r\n").encode()
        talk.client.publish("@.a", "", block)
    watcher.quiet()
    receiver.take(count=0, extra=0.1)


@conversation
def trace_nobody(talk):
    watcher = watch(talk)
    for headers in BOTH:
        talk.request("@.a", "", headers)
        watcher.take(view=told)


@conversation
def trace_reserved(talk):
    watcher = watch(talk)
    for subject, reply in (("$GR.@", None), ("@.a", "$JS.ACK.@")):
        talk.client.publish(subject, "", TRACED, reply=reply)
        watcher.take(view=told)


@conversation
def trace_stream(talk):
    watcher = watch(talk)
    talk.create_stream(subjects=["@.s.>"])
    talk.publish("@.s.a", "x", TRACED)
    watcher.take(view=told)
    talk.expect_silence("@.s.a", "x", ONLY)
    watcher.take(view=told)
    for headers in BOTH:
        talk.publish("@.s.a", "x", {**headers, EXPECTED_STREAM: "other"})
        watcher.take(view=told)
    for headers in (TRACED, TRACED, ONLY):
        talk.publish("@.s.a", "x", {**headers, MSG_ID: "1"})
        watcher.take(view=told)
    talk.api("STREAM.MSG.GET.@", {"seq": 1})
    talk.stream_info()


@conversation
def trace_stream_limits(talk):
    watcher = watch(talk)
    talk.create_stream(subjects=["@.s.>"], max_msgs=1, discard="new")
    for _ in range(2):
        talk.publish("@.s.a", "x", TRACED)
        watcher.take(view=told)
    talk.expect_silence("@.s.a", "x", ONLY)
    watcher.take(view=told)


@conversation
def trace_stream_features(talk):
    """what a stream makes of a message, and that what it sends for it is not traced"""
    watcher = watch(talk)
    talk.create_stream(
        subjects=["@.s.>"],
        retention="interest",
        subject_transform={"src": "@.s.>", "dest": "@.t.>"},
        republish={"src": ">", "dest": "@.r.>"},
    )
    for headers in BOTH:
        talk.client.publish("@.s.a", "x", headers)
        watcher.take(view=told)
    talk.create_consumer()
    talk.client.publish("@.s.a", "x", TRACED)
    watcher.take(view=told)
    talk.fetch()
    watcher.quiet()


@conversation
def trace_counter(talk):
    watcher = watch(talk)
    talk.create_stream(subjects=["@.s.>"], allow_msg_counter=True)
    incr = {"Nats-Incr": "2"}
    talk.publish("@.s.a", "", {**TRACED, **incr})
    watcher.take(view=told)
    talk.expect_silence("@.s.a", "", {**ONLY, **incr})
    watcher.take(view=told)
    for headers in BOTH:
        talk.publish("@.s.a", "", headers)
        watcher.take(view=told)
    talk.publish("@.s.a", "", incr)


@conversation
def trace_requests(talk):
    """the API is a service; what goes to one consumer or stream is not"""
    watcher = watch(talk)
    talk.create_stream(subjects=["@.s.>"])
    talk.publish("@.s.a", "x")
    talk.api("STREAM.PURGE.@", None, ONLY)
    watcher.take(view=told)
    talk.stream_info(headers=TRACED)
    watcher.take(view=told)
    talk.create_consumer()
    for headers in BOTH:
        talk.publish("@.s.a", "x")
        talk.pull("c", "1", headers=headers).take()
        watcher.take(view=told)
