"""Many subscriptions and many clients."""

import asyncio

from harness import eventually, next_data, numbers, settle, take


async def test_ten_thousand_subscriptions_each_get_their_message(server):
    count = 10_000
    sender, receiver = await server.connect(), await server.connect()
    subscriptions = [await receiver.subscribe(f"sensor.{n}.state") for n in range(count)]
    await settle(receiver)

    for number, data in enumerate(numbers(count)):
        await sender.publish(f"sensor.{number}.state", data)

    await eventually(lambda: all(sub.pending_msgs for sub in subscriptions), "all messages")
    await settle(sender)
    await settle(receiver)
    assert {sub.pending_msgs for sub in subscriptions} == {1}
    assert [await next_data(sub) for sub in subscriptions] == numbers(count)

    # All of them gone again, and the server none the worse for it.
    for subscription in subscriptions:
        await subscription.unsubscribe()
    one = await receiver.subscribe("sensor.*.state")
    await settle(receiver)
    await sender.publish("sensor.1.state", b"after")
    assert await next_data(one) == b"after"
    assert {sub.delivered for sub in subscriptions} == {1}


async def test_many_clients_hear_one_and_one_hears_many(server):
    count = 100
    clients = await asyncio.gather(*(server.connect() for _ in range(count)))
    assert len({client.client_id for client in clients}) == count
    subscriptions = []
    for client in clients:
        subscriptions.append(await client.subscribe("to.all"))
        await settle(client)
    center = await server.connect()

    for data in numbers(3):
        await center.publish("to.all", data)
    for subscription in subscriptions:
        assert await take(subscription, 3) == numbers(3)

    answers = await center.subscribe("to.center")
    await settle(center)
    for client, data in zip(clients, numbers(count), strict=True):
        await client.publish("to.center", data)
    assert sorted(await take(answers, count), key=int) == numbers(count)


async def test_clients_may_come_and_go(server):
    receiver = await server.connect()
    visits = await receiver.subscribe("visits")
    await settle(receiver)

    for data in numbers(100):
        visitor = await server.connect()
        await visitor.subscribe("visits")
        await visitor.publish("visits", data)
        await visitor.close()

    # Each was closed before the next came, but the server may read them in any order.
    assert sorted(await take(visits, 100), key=int) == numbers(100)
