"""Dead letters: found by what is known of them, sent back, dropped."""

import asyncio
import base64

import pytest
from nats.js.api import RetentionPolicy

from harness import (
    PATIENCE,
    Watch,
    asked,
    fill,
    letters,
    midge,
    next_message,
    numbers,
    only_midge,
    payloads,
    stream_names,
    wait_for,
)

pytestmark = only_midge()


async def news(js, *consumers, **options):
    """A stream `NEWS` on news.>, with consumers that try once."""
    await js.add_stream(name="NEWS", subjects=["news.>"])
    options.setdefault("max_deliver", 1)
    return [await consumer(js, "NEWS", name, **options) for name in consumers]


async def jobs(js):
    """The same with a work queue `JOBS` on jobs.> and its consumer `crew`."""
    await js.add_stream(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE)
    return await consumer(js, "JOBS", "crew", max_deliver=1)


async def consumer(js, stream, name, **options):
    await js.add_consumer(stream, durable_name=name, **options)
    return await js.pull_subscribe_bind(stream=stream, consumer=name)


async def fetch(reader):
    [message] = await reader.fetch(1, timeout=PATIENCE)
    return message


async def refuse(reader, count=1):
    for _ in range(count):
        await (await fetch(reader)).nak()


async def done(message):
    await message.ack_sync(timeout=PATIENCE)


async def nothing_comes(reader):
    with pytest.raises(TimeoutError):
        await reader.fetch(1, timeout=0.2)


async def is_idle(js, stream, name):
    info = await js.consumer_info(stream, name)
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def ended(js, id):
    """What a redrive says once it is not running any more."""
    return await wait_for(
        lambda: midge(js, "DLQ.REDRIVE", id=id), lambda told: told["state"] != "running", "an end"
    )


async def code_of(js, words, **body):
    answer = await asked(js, words, **body)
    return answer["error"]["err_code"]


async def test_a_letter_goes_back_to_the_consumer_it_died_with_and_to_no_other(js):
    [one, other] = await news(js, "one", "other")
    await fill(js, "news.a", 2)
    for _ in range(2):
        await done(await fetch(other))
    await refuse(one)
    await letters(js, 1)
    dry = await midge(js, "DLQ.REDRIVE", consumer="one", dry_run=True)
    assert (dry["state"], dry["matched"], dry["redriven"]) == ("done", 1, 0)
    await letters(js, 1)

    told = await midge(js, "DLQ.REDRIVE", consumer="one")
    assert (told["state"], told["redriven"], told["to_consumer"]) == ("done", 1, 1)
    await letters(js, 0)
    # Before what is new, and counted anew.
    back = await fetch(one)
    assert (back.data, back.metadata.num_delivered) == (b"0", 1)
    await done(back)
    await done(await fetch(one))
    await nothing_comes(one)
    await nothing_comes(other)
    assert (await js.stream_info("NEWS")).state.messages == 2
    info = await js.consumer_info("NEWS", "one")
    assert (info.num_ack_pending, info.num_pending, info.ack_floor.stream_seq) == (0, 0, 2)


async def test_a_letter_whose_source_is_gone_is_published_again(js):
    reader = await jobs(js)
    await js.publish("jobs.a.b", b"poison", headers={"Colour": "red", "Nats-Msg-Id": "7"})
    listener = await js._nc.subscribe("jobs.>")
    await refuse(reader)
    await letters(js, 1)
    told = await midge(js, "DLQ.REDRIVE", stream="JOBS")
    assert (told["state"], told["to_subject"], told["to_consumer"]) == ("done", 1, 0)
    back = await fetch(reader)
    assert (back.subject, back.data) == ("jobs.a.b", b"poison")
    assert (back.metadata.num_delivered, back.metadata.sequence.stream) == (1, 2)
    assert (back.headers["Colour"], back.headers["Midge-Redrives"]) == ("red", "1")
    assert not {"Midge-Stream", "Midge-Attempt", "Midge-Reason"} & set(back.headers)
    # Whoever listens to the subject hears it as well.
    assert (await next_message(listener)).data == b"poison"
    await back.nak()
    [letter] = await letters(js, 1)
    assert (letter["redrives"], letter["source_seq"]) == (1, 2)
    await midge(js, "DLQ.REDRIVE", seq=letter["seq"])
    back = await fetch(reader)
    assert back.headers["Midge-Redrives"] == "2"
    await done(back)
    await letters(js, 0)
    assert (await js.stream_info("JOBS")).state.messages == 0


async def test_a_letter_nobody_takes_stays_where_it_is(js):
    reader = await jobs(js)
    await js.publish("jobs.a", b"poison")
    await refuse(reader)
    await letters(js, 1)
    await js.delete_stream("JOBS")
    told = await midge(js, "DLQ.REDRIVE")
    assert (told["failed"], told["redriven"]) == (1, 0)
    assert "jobs.a" in told["why"]
    await letters(js, 1)


async def test_a_letter_of_a_push_consumer_goes_back_to_its_subscriber(js):
    await news(js)
    config = {"max_deliver": 1, "deliver_subject": "here"}
    await js.add_consumer("NEWS", durable_name="pushed", **config)
    subscription = await js._nc.subscribe("here")
    await js.publish("news.a", b"0")
    await (await next_message(subscription)).nak()
    await letters(js, 1)
    await midge(js, "DLQ.REDRIVE", consumer="pushed")
    back = await next_message(subscription)
    assert (back.data, back.metadata.num_delivered) == (b"0", 1)
    await done(back)
    assert await is_idle(js, "NEWS", "pushed")


async def test_a_letter_goes_back_to_a_consumer_that_acks_for_all(js):
    [reader] = await news(js, "reader", ack_policy="all")
    await fill(js, "news.a", 3)
    got = [await fetch(reader) for _ in range(3)]
    await got[0].nak()
    await letters(js, 1)
    await done(got[2])
    assert await is_idle(js, "NEWS", "reader")
    await midge(js, "DLQ.REDRIVE")
    back = await fetch(reader)
    assert back.data == b"0"
    assert (await js.consumer_info("NEWS", "reader")).num_ack_pending == 1
    await done(back)
    assert await is_idle(js, "NEWS", "reader")


async def test_all_that_died_in_an_outage_is_done_after_it(js):
    reader = await jobs(js)
    await fill(js, "jobs.a", 700)
    waiting = 700
    while waiting:
        for message in await reader.fetch(min(waiting, 100), timeout=PATIENCE):
            await message.nak()
            waiting -= 1
    await letters(js, 700)
    told = await midge(js, "DLQ.REDRIVE")
    assert (told["state"], told["matched"], told["redriven"]) == ("done", 700, 700)
    await letters(js, 0)
    got = []
    while len(got) < 700:
        for message in await reader.fetch(min(700 - len(got), 100), timeout=PATIENCE):
            got.append(message.data)
            await done(message)
    assert got == numbers(700)
    await nothing_comes(reader)
    assert (await js.stream_info("JOBS")).state.messages == 0


async def test_a_redrive_keeps_its_rate_and_can_be_stopped(js):
    reader = await jobs(js)
    await fill(js, "jobs.a", 20)
    await refuse(reader, 20)
    await letters(js, 20)
    told = await midge(js, "DLQ.REDRIVE", rate=10)
    assert told["state"] == "running"
    await wait_for(
        lambda: midge(js, "DLQ.REDRIVE", id=told["id"]), lambda told: told["redriven"] >= 3
    )
    stopped = await midge(js, "DLQ.REDRIVE", id=told["id"], stop=True)
    assert stopped["state"] == "stopped"
    assert 3 <= stopped["redriven"] < 20
    # One that goes on would have sent another by then.
    await asyncio.sleep(0.3)
    assert (await midge(js, "DLQ.REDRIVE", id=told["id"]))["redriven"] == stopped["redriven"]
    await letters(js, 20 - stopped["redriven"])
    assert (await js.stream_info("JOBS")).state.messages == stopped["redriven"]


@pytest.mark.parametrize("died_max", [1, 3])
async def test_a_redrive_stops_when_what_it_sent_back_dies_again(js, died_max):
    reader = await jobs(js)
    await fill(js, "jobs.a", 40)
    await refuse(reader, 40)
    await letters(js, 40)
    told = await midge(js, "DLQ.REDRIVE", rate=20, died_max=died_max)
    for _ in range(died_max):
        await refuse(reader)
    told = await ended(js, told["id"])
    assert (told["state"], told["died"]) == ("stopped", died_max)
    assert f"{died_max} of those sent back have died again" in told["why"]
    assert told["redriven"] < 40
    kept = (await js.stream_info("JOBS")).state.messages
    assert kept == told["redriven"] - died_max
    await letters(js, 40 - kept)


async def test_what_is_sent_back_survives_a_kill(store_server):
    watch = Watch()
    js = await store_server.jetstream(**watch.options())
    [one, _] = await news(js, "one", "other")
    await fill(js, "news.a", 10)
    for message in await one.fetch(10, timeout=PATIENCE):
        await message.nak()
    await letters(js, 10)
    await midge(js, "DLQ.REDRIVE", limit=6)
    await one.unsubscribe()
    store_server.kill()
    await watch.until("disconnected")
    await store_server.start_again()
    await watch.until("reconnected")
    found = await letters(js, 4)
    assert [letter["source_seq"] for letter in found] == [7, 8, 9, 10]
    info = await js.consumer_info("NEWS", "one")
    assert (info.num_pending, info.num_ack_pending) == (6, 0)
    one = await js.pull_subscribe_bind(stream="NEWS", consumer="one")
    got = [await fetch(one) for _ in range(6)]
    assert payloads(got) == numbers(6)
    assert {message.metadata.num_delivered for message in got} == {1}
    for message in got:
        await done(message)
    assert await is_idle(js, "NEWS", "one")


async def test_letters_are_found_by_what_is_known_of_them(js):
    [one, other] = await news(js, "one", "other")
    for subject in ("news.a", "news.b.c", "news.a"):
        await js.publish(subject, subject.encode(), headers={"Colour": "red"})
    await refuse(one, 3)
    await letters(js, 3)
    message = await fetch(other)
    await js._nc.request(message.reply, b"+TERM wrong colour", timeout=PATIENCE)

    for count, wanted in [
        (4, {}),
        (4, {"stream": "NEWS"}),
        (0, {"stream": "OTHER"}),
        (3, {"consumer": "one"}),
        (3, {"subject": "news.*"}),
        (1, {"subject": "news.b.>"}),
        (2, {"source_seq": 1}),
        (1, {"source_seq": 1, "consumer": "other"}),
        (1, {"seq": 2}),
        (3, {"reason": "max_deliver"}),
        (1, {"reason": "terminated: wrong"}),
        (0, {"age_min_ms": 3_600_000}),
        (4, {"age_max_ms": 3_600_000}),
    ]:
        assert len(await letters(js, **wanted)) == count, wanted

    page = await midge(js, "DLQ.LIST", limit=3)
    assert [letter["seq"] for letter in page["letters"]] == [1, 2, 3]
    assert (page["total"], page["dlq"]) == (4, "DLQ")
    page = await midge(js, "DLQ.LIST", limit=3, from_seq=page["next_seq"])
    assert [letter["seq"] for letter in page["letters"]] == [4]
    assert page["next_seq"] == 0

    shown = await midge(js, "DLQ.SHOW", seq=2)
    assert shown["letter"]["subject"] == "news.b.c"
    assert base64.b64decode(shown["data"]) == b"news.b.c"
    assert base64.b64decode(shown["hdrs"]) == b"NATS/1.0\r\nColour: red\r\n\r\n"
    assert [attempt["ended"] for attempt in shown["attempts"]] == ["nak"]


async def test_letters_are_dropped_by_what_is_known_of_them(js):
    [one, other] = await news(js, "one", "other")
    await fill(js, "news.a", 3)
    await refuse(one, 3)
    await refuse(other, 3)
    await letters(js, 6)
    dry = await midge(js, "DLQ.DROP", consumer="one", dry_run=True)
    assert (dry["matched"], dry["dropped"]) == (3, 0)
    assert (await midge(js, "DLQ.DROP", consumer="one", limit=2))["dropped"] == 2
    assert [letter["source_seq"] for letter in await letters(js, 1, consumer="one")] == [3]
    assert await code_of(js, "DLQ.DROP") == 20004
    await letters(js, 4)
    assert (await midge(js, "DLQ.DROP", all=True))["dropped"] == 4
    assert (await midge(js, "DLQ.LIST"))["total"] == 0
    assert (await js.stream_info("DLQ")).state.messages == 0
    assert (await js.stream_info("NEWS")).state.messages == 3


async def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(js):
    [one] = await news(js, "one")
    assert (await midge(js, "DLQ.LIST"))["letters"] == []
    assert "DLQ" not in await stream_names(js)
    await js.publish("news.a", b"0")
    await refuse(one)
    await letters(js, 1)
    for code, words, body in [
        (20001, "DLQ.LIST", {"steam": "NEWS"}),
        (20001, "DLQ.REDRIVE", {"consumers": "one"}),
        (20001, "DLQ.DROP", {"all": "yes"}),
        (20002, "DLQ.LIST", {"dlq": "NONE"}),
        (20002, "DLQ.REDRIVE", {"dlq": "NONE"}),
        (20003, "DLQ.SHOW", {"seq": 99}),
        (20004, "DLQ.DROP", {}),
        (20006, "DLQ.REDRIVE", {"id": 99}),
        (20007, "WHY", {"stream": "NONE", "seq": 1}),
        (20008, "WHY", {"stream": "NEWS", "seq": 1, "consumer": "none"}),
        (20008, "DLQ.UNPARK", {"stream": "NEWS", "consumer": "none"}),
        (20010, "DLQ.LOST", {}),
    ]:
        assert await code_of(js, words, **body) == code, (words, body)
    await letters(js, 1)
