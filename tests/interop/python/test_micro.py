"""The micro services framework, which is all requests, queue groups and headers."""

import asyncio
import json

import pytest
from nats import micro
from nats.errors import NoRespondersError
from nats.micro.request import ServiceError

from harness import next_message, settle


async def start_service(client):
    """A service with one endpoint at the top and two in a group."""
    service = await micro.add_service(
        client,
        name="calculator",
        version="1.2.3",
        description="adds up",
        metadata={"floor": "3"},
    )

    async def add(request):
        await request.respond(str(sum(json.loads(request.data))).encode(), {"Unit": "apples"})

    async def refuse(request):
        raise ServiceError("418", "a teapot")

    async def identify(request):
        await request.respond(service.id.encode())

    await service.add_endpoint(name="add", handler=add)
    group = service.add_group(name="extra")
    await group.add_endpoint(name="refuse", handler=refuse)
    await group.add_endpoint(name="who", handler=identify)
    await settle(client)
    return service


async def ask_all(client, subject, count):
    """The answers of all instances to one request."""
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)
    await client.publish(subject, reply=inbox)
    answers = [await next_message(replies) for _ in range(count)]
    await replies.unsubscribe()
    return [json.loads(answer.data) for answer in answers]


async def test_endpoints_answer(server):
    asking, serving = await server.connect(), await server.connect()
    await start_service(serving)

    reply = await asking.request("add", b"[1, 2, 39]", timeout=10)
    assert (reply.data, reply.headers) == (b"42", {"Unit": "apples"})

    reply = await asking.request("extra.refuse", timeout=10)
    assert reply.data == b""
    assert reply.headers == {
        "Nats-Service-Error": "a teapot",
        "Nats-Service-Error-Code": "418",
    }


async def test_instances_share_the_requests(server):
    asking = await server.connect()
    ids = {(await start_service(await server.connect())).id for _ in range(3)}
    assert len(ids) == 3

    replies = await asyncio.gather(*(asking.request("extra.who", timeout=10) for _ in range(200)))
    assert {reply.data.decode() for reply in replies} == ids


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_services_can_be_discovered(server, verb):
    asking = await server.connect()
    services = [await start_service(await server.connect()) for _ in range(2)]
    ids = {service.id for service in services}
    await asking.request("add", b"[1, 2]", timeout=10)

    for subject in (f"$SRV.{verb}", f"$SRV.{verb}.calculator"):
        answers = await ask_all(asking, subject, 2)
        assert {answer["id"] for answer in answers} == ids
    for service in services:
        (answer,) = await ask_all(asking, f"$SRV.{verb}.calculator.{service.id}", 1)
        assert answer["id"] == service.id
        assert answer["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
        assert (answer["name"], answer["version"]) == ("calculator", "1.2.3")
        assert answer["metadata"] == {"floor": "3"}
        if verb != "PING":
            subjects = [endpoint["subject"] for endpoint in answer["endpoints"]]
            assert subjects == ["add", "extra.refuse", "extra.who"]
    if verb == "STATS":
        answers = await ask_all(asking, "$SRV.STATS", 2)
        assert sum(answer["endpoints"][0]["num_requests"] for answer in answers) == 1


async def test_a_stopped_service_is_gone(server):
    asking, serving = await server.connect(), await server.connect()
    service = await start_service(serving)
    assert (await asking.request("add", b"[1]", timeout=10)).data == b"1"

    await service.stop()

    for subject in ("add", "$SRV.PING", "$SRV.PING.calculator"):
        with pytest.raises(NoRespondersError):
            await asking.request(subject, timeout=10)
