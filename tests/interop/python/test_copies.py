"""Mirrors and sources, republishing, counters and batches."""

import asyncio
import json

from nats.js.api import RePublish, StreamSource, SubjectTransform

from harness import PATIENCE


async def filled(js, name, count):
    """Waits until a stream has so many messages."""
    async with asyncio.timeout(PATIENCE):
        while (await js.stream_info(name)).state.messages != count:
            await asyncio.sleep(0.01)


async def test_a_mirror_and_a_source_follow_their_origin(js):
    await js.add_stream(name="O", subjects=["o.>"])
    await js.add_stream(name="M", mirror=StreamSource(name="O"))
    await js.add_stream(name="S", sources=[StreamSource(name="O", filter_subject="o.a")])
    for number in range(10):
        await js.publish("o.a" if number % 2 else "o.b", str(number).encode())
    await filled(js, "M", 10)
    await filled(js, "S", 5)
    assert (await js.stream_info("M")).mirror.lag == 0
    assert (await js.get_msg("M", 7)).data == b"6"
    copy = await js.get_msg("S", 2)
    assert copy.data == b"3"
    assert copy.headers["Nats-Stream-Source"] == "O 4 o.a > o.a"
    subscription = await js.subscribe("", stream="M", ordered_consumer=True)
    for number in range(10):
        assert (await subscription.next_msg(timeout=PATIENCE)).data == str(number).encode()


async def test_a_bucket_is_mirrored(js):
    bucket = await js.create_key_value(bucket="B")
    await js.add_stream(name="KV_C", mirror=StreamSource(name="KV_B"), allow_direct=True)
    await bucket.put("key", b"value")
    await filled(js, "KV_C", 1)
    assert (await js.get_last_msg("KV_C", "$KV.B.key", direct=True)).data == b"value"


async def test_subjects_change_and_messages_are_published_again(js):
    await js.add_stream(
        name="R",
        subjects=["r.*"],
        subject_transform=SubjectTransform(src="r.*", dest="n.{{left(1,2)}}"),
        republish=RePublish(src="n.>", dest="again.>"),
    )
    heard = await js._nc.subscribe("again.>")
    await js.publish("r.abc", b"x")
    again = await heard.next_msg(timeout=PATIENCE)
    assert again.subject == "again.ab"
    assert again.headers["Nats-Stream"] == "R"
    assert again.headers["Nats-Sequence"] == "1"


async def request(js, subject, headers):
    answer = await js._nc.request(subject, b"", timeout=PATIENCE, headers=headers)
    return json.loads(answer.data) if answer.data else None


async def create(js, name, **more):
    body = json.dumps({"name": name, **more}).encode()
    answer = await js._nc.request(f"$JS.API.STREAM.CREATE.{name}", body, timeout=PATIENCE)
    assert "error" not in json.loads(answer.data)


async def test_counters_and_batches(js):
    await create(js, "C", subjects=["c.>"], allow_msg_counter=True, allow_atomic=True)
    assert (await request(js, "c.a", {"Nats-Incr": "5"}))["val"] == "5"
    assert (await request(js, "c.a", {"Nats-Incr": "-7"}))["val"] == "-2"
    headers = {"Nats-Incr": "1", "Nats-Batch-Id": "b"}
    assert await request(js, "c.a", {**headers, "Nats-Batch-Sequence": "1"}) is None
    last = {**headers, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
    answer = await request(js, "c.a", last)
    assert (answer["seq"], answer["batch"], answer["count"]) == (4, "b", 2)
    assert json.loads((await js.get_msg("C", 4)).data) == {"val": "0"}


async def test_counters_are_added_up(js):
    sources = []
    for name in ("EU", "US"):
        await create(js, name, subjects=[f"{name}.>"], allow_msg_counter=True)
        transforms = [{"src": f"{name}.>", "dest": "all.>"}]
        sources.append({"name": name, "subject_transforms": transforms})
    await create(js, "SUM", sources=sources, allow_msg_counter=True)
    for subject, amount in [("EU.hits", "5"), ("US.hits", "7"), ("EU.hits", "-1")]:
        await request(js, subject, {"Nats-Incr": amount})
    await filled(js, "SUM", 3)
    last = await js.get_last_msg("SUM", "all.hits")
    assert json.loads(last.data) == {"val": "11"}
    counted = json.loads(last.headers["Nats-Counter-Sources"])
    assert counted == {"EU": {"EU.hits": "4"}, "US": {"US.hits": "7"}}


async def test_answers_to_flow_control_acknowledge(js):
    await js.add_stream(name="W", subjects=["w"], retention="workqueue")
    for number in range(5):
        await js.publish("w", str(number).encode())
    pushed = await js._nc.subscribe("pushed")
    config = {"durable_name": "c", "deliver_subject": "pushed", "ack_policy": "flow_control"}
    body = json.dumps({"stream_name": "W", "config": {**config, "max_ack_pending": 3}}).encode()
    await js._nc.request("$JS.API.CONSUMER.CREATE.W.c", body, timeout=PATIENCE)
    got = []
    while len(got) < 5:
        message = await pushed.next_msg(timeout=PATIENCE)
        if (message.headers or {}).get("Status") != "100":
            got.append(message.data)
        elif message.reply:
            last = str(len(got))
            headers = {"Nats-Last-Consumer": last, "Nats-Last-Stream": last}
            await js._nc.publish(message.reply, b"", headers=headers)
    assert got == [b"0", b"1", b"2", b"3", b"4"]
    await filled(js, "W", 2)
