"""Options of the connection that change what goes over the wire."""

import pytest

from harness import Watch, next_data, next_message, numbers, settle, take


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("pedantic", [False, True])
async def test_verbose_and_pedantic_clients_are_served(server, verbose, pedantic):
    client = await server.connect(verbose=verbose, pedantic=pedantic)
    other = await server.connect()
    subscription = await client.subscribe("news.*")

    async def on_request(message):
        await message.respond(message.data.upper())

    service = await client.subscribe("shout", queue="w", cb=on_request)
    await settle(client)

    for data in numbers(100):
        await client.publish("news.here", data, headers={"Number": data.decode()})
    await other.publish("news.there", b"hello")
    assert sorted(await take(subscription, 101)) == sorted([*numbers(100), b"hello"])
    assert (await other.request("shout", b"hello", timeout=10)).data == b"HELLO"
    await service.unsubscribe()
    await subscription.drain()
    await client.drain()
    assert client.last_error is None


async def test_verbose_and_pedantic_survive_a_restart(server):
    watch = Watch()
    client = await server.connect(
        **watch.options(), verbose=True, pedantic=True, reconnect_time_wait=0.02
    )
    news = await client.subscribe("news")
    await settle(client)

    await server.stop()
    await watch.until("disconnected")
    await server.start_again()
    await watch.until("reconnected")

    await client.publish("news", b"again")
    assert await next_data(news) == b"again"


async def test_a_pedantic_client_is_told_of_a_subject_it_must_not_publish_to(server):
    watch = Watch()
    client = await server.connect(**watch.options(), pedantic=True)

    await client.publish("wild.*", b"")

    # To this client every error from the server is the end of the connection.
    await watch.until("closed")
    assert "invalid publish subject" in str(client.last_error).lower()


async def test_a_client_that_is_not_pedantic_may_publish_to_any_subject(server):
    client = await server.connect()
    subscription = await client.subscribe("wild.*")
    await client.publish("wild.*", b"hello")
    message = await next_message(subscription)
    assert (message.subject, message.data) == ("wild.*", b"hello")


@pytest.mark.parametrize("subject", ["a..b", ".a", "a.", "a.>.b"])
async def test_a_subscription_to_an_invalid_subject_is_refused(server, subject):
    watch = Watch()
    client = await server.connect(**watch.options(), skip_subject_validation=True)

    await client.subscribe(subject)

    await watch.until("closed")
    assert "invalid subject" in str(client.last_error).lower()


NAMES = ["plain", 'with "quotes", \\ and {braces: [1, 2]}', "línea\nnueva\tund ☕", "long" * 200]


@pytest.mark.parametrize("name", NAMES, ids=["plain", "quotes", "unicode", "long"])
async def test_any_client_name_is_accepted(server, name):
    client = await server.connect(name=name)
    named = await client.subscribe("named")
    await client.publish("named", b"hello")
    assert await next_data(named) == b"hello"


async def test_a_url_may_come_without_scheme_and_in_a_list(server):
    for url in (f"127.0.0.1:{server.port}", [server.url], f"nats://localhost:{server.port}"):
        client = await server.connect(url=url)
        await settle(client)
