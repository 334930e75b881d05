"""Accounts: what is published in one is seen in no other, but for what they exchange."""

import asyncio
import json

import nats.errors
import pytest

from harness import next_data, next_message, settle, store_flags

CONF = """
accounts {
  FIELD {
    jetstream: enabled
    users: [ { user: field, password: f } ]
    exports: [ { stream: "readings.>" }, { service: "open.*" } ]
  }
  OFFICE {
    jetstream: enabled
    users: [ { user: office, password: o } ]
    imports: [
      { stream: { account: FIELD, subject: "readings.roof.*" }, prefix: field }
      { service: { account: FIELD, subject: "open.*" }, to: "valves.*" }
    ]
  }
  SYS { users: [ { user: operator, password: s } ] }
}
system_account: SYS
"""


@pytest.fixture
def flags(tmp_path):
    file = tmp_path / "accounts.conf"
    file.write_text(CONF)
    return ["--config", str(file)]


async def field(server, **options):
    return await server.connect(user="field", password="f", **options)


async def office(server, **options):
    return await server.connect(user="office", password="o", **options)


async def test_subjects_are_each_accounts_own(start_server, flags):
    server = await start_server(*flags)
    here, there = await field(server), await office(server)
    heard = await here.subscribe(">")
    elsewhere = await there.subscribe("secret")
    await settle(here)
    await settle(there)
    await there.publish("secret", b"office")
    assert await next_data(elsewhere) == b"office"
    await here.publish("last", b"")
    assert (await next_message(heard)).subject == "last"


async def test_a_stream_is_imported_under_another_name(start_server, flags):
    server = await start_server(*flags)
    here, there = await field(server), await office(server)
    readings = await there.subscribe("field.readings.>")
    await settle(there)
    for place in ("cellar", "roof"):
        await here.publish(f"readings.{place}.heat", place.encode())
    message = await next_message(readings)
    assert (message.subject, message.data) == ("field.readings.roof.heat", b"roof")
    # It leads one way.
    back = await here.subscribe("readings.>")
    await settle(here)
    await there.publish("field.readings.roof.heat", b"forged")
    await settle(there)
    await here.publish("readings.roof.heat", b"true")
    assert await next_data(back) == b"true"


async def test_a_service_is_asked_across_accounts(start_server, flags):
    server = await start_server(*flags)
    here, there = await field(server), await office(server)

    async def respond(message):
        await message.respond(message.subject.encode())

    await here.subscribe("open.*", cb=respond)
    await settle(here)
    answers = await asyncio.gather(*(there.request(f"valves.{n}", b"") for n in range(5)))
    assert [answer.data for answer in answers] == [f"open.{n}".encode() for n in range(5)]
    with pytest.raises(nats.errors.NoRespondersError):
        await there.request("open.1", b"")


async def test_streams_are_each_accounts_own(start_server, flags, tmp_path):
    server = await start_server(*flags, *store_flags(tmp_path))
    here, there = (await field(server)).jetstream(), (await office(server)).jetstream()
    for js, data in [(here, b"here"), (there, b"there")]:
        await js.add_stream(name="LOG", subjects=["log"])
        await js.publish("log", data)
    for js, data in [(here, b"here"), (there, b"there")]:
        assert (await js.stream_info("LOG")).state.messages == 1
        assert (await js.get_msg("LOG", 1)).data == data


async def test_the_system_account_hears_who_comes_and_goes(start_server, flags):
    server = await start_server(*flags)
    operator = await server.connect(user="operator", password="s")
    news = await operator.subscribe("$SYS.ACCOUNT.FIELD.*")
    await settle(operator)
    client = await field(server, name="roof")
    await client.close()
    for what in ("CONNECT", "DISCONNECT"):
        message = await next_message(news)
        assert message.subject == f"$SYS.ACCOUNT.FIELD.{what}"
        assert json.loads(message.data)["client"]["name"] == "roof"
