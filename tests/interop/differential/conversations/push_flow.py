"""Push consumers: heartbeats and flow control."""

from registry import conversation
from vocabulary import MS, PUSHED, SECOND


@conversation
def push_heartbeat(talk):
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, idle_heartbeat=250 * MS)
    sub.take(2)
    talk.fill(1)
    sub.take(1)
    sub.take(2)
    talk.consumer_info()
    talk.api("CONSUMER.DELETE.@.c")
    talk.sleep(0.05)
    sub.messages = []
    sub.quiet(0.5)


@conversation
def push_heartbeat_numbers(talk):
    """heartbeat headers with a filter: last stream sequence sent or seen"""
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(
        deliver_subject=PUSHED, idle_heartbeat=250 * MS, filter_subject="@.a", ack_policy="none"
    )
    for x in "bbabb":
        talk.client.publish("@." + x, x, recorded=False)
    talk.client.until(
        lambda: any(
            message.status and "Last-Consumer: 1" in message.headers for message in sub.messages
        ),
        1.5,
    )
    talk.step(
        "data, then the heartbeat after it",
        [talk.normalised(message) for message in sub.messages if not message.status][:1]
        + [
            talk.normalised(message)
            for message in sub.messages
            if message.status and "Last-Consumer: 1" in message.headers
        ][:1],
    )
    talk.consumer_info()
    sub.unsubscribe()
    sub.messages = []


@conversation
def push_heartbeat_unbound(talk):
    """no heartbeats without interest, numbers when it comes back"""
    talk.create_stream()
    talk.create_consumer(deliver_subject=PUSHED, idle_heartbeat=200 * MS)
    talk.sleep(0.3)
    sub = talk.subscribe(PUSHED)
    sub.take(1)
    sub.unsubscribe()
    talk.sleep(0.1)
    sub.messages = []


@conversation
def push_flow_control(talk):
    """first request, stall at the window, reply"""
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(
        deliver_subject=PUSHED, idle_heartbeat=400 * MS, flow_control=True, ack_policy="none"
    )
    for i in range(20):
        talk.client.publish("@.a", b"z" * 200000, recorded=False)
    talk.sleep(0.3)
    talk.client.sync()
    q, sub.messages = sub.messages, []
    fc = [i for i, message in enumerate(q) if message.status == 100 and "Flow" in message.headers]
    talk.step(
        "before reply: data", [sum(1 for message in q if message.status is None), "fc after", fc]
    )
    for i in fc[:1]:
        talk.step("fc", [talk.normalised(q[i])])
    sub.messages = []
    sub.wait(1, 1)
    talk.step("stalled heartbeat", [talk.normalised(message) for message in sub.messages[:1]])
    if fc:
        sub.messages = []
        talk.client.send(q[fc[0]].reply, "")
        sub.wait(5, 1)
        talk.sleep(0.2)
        talk.client.sync()
        talk.step(
            "after reply",
            [
                sum(1 for message in sub.messages if message.status is None),
                [
                    i
                    for i, message in enumerate(sub.messages)
                    if message.status == 100 and "Flow" in message.headers
                ],
            ],
        )
    talk.consumer_info()
    sub.unsubscribe()
    sub.messages = []


@conversation
def push_flow_control_small(talk):
    """few small messages: no request; unknown FC replies"""
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(deliver_subject=PUSHED, idle_heartbeat=2 * SECOND, flow_control=True)
    talk.trickle(5)
    sub.take(5, extra=0.1)
    talk.request("$JS.FC.@.c.nonsense", "", timeout=0.2)
    talk.client.publish("$JS.FC.@.c.nonsense", "")
    talk.consumer_info()


@conversation
def push_fc_answer_stalled(talk):
    """answering the subject of Nats-Consumer-Stalled"""
    talk.create_stream()
    sub = talk.subscribe(PUSHED)
    talk.create_consumer(
        deliver_subject=PUSHED, idle_heartbeat=300 * MS, flow_control=True, ack_policy="none"
    )
    for i in range(16):
        talk.client.publish("@.a", b"z" * 200000, recorded=False)
    talk.client.until(
        lambda: any("Stalled" in (message.headers or "") for message in sub.messages), 2.5
    )
    st = [message for message in sub.messages if "Stalled" in (message.headers or "")]
    talk.step("stalled", [talk.normalised(message) for message in st[:1]])
    before = sum(1 for message in sub.messages if message.status is None)
    if st:
        subj = [
            h.split(": ")[1]
            for h in st[0].headers.split("\r\n")
            if h.startswith("Nats-Consumer-Stalled")
        ][0]
        talk.client.send(subj, "")
        talk.client.until(
            lambda: sum(1 for message in sub.messages if message.status is None) >= 16, 2
        )
    talk.step("data", [before, sum(1 for message in sub.messages if message.status is None)])
    sub.unsubscribe()
    sub.messages = []
