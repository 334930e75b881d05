"""Queue groups: of all members, one gets the message."""

import asyncio
import itertools

from harness import eventually, numbers, settle, take

# So many that a member left out by chance is out of the question: (2/3)^600.
JOBS = 600


async def join(client, share, subject="jobs", queue="w"):
    """Adds a member that puts what it gets into its share."""

    async def on_job(message):
        share.append(message.data)

    subscription = await client.subscribe(subject, queue=queue, cb=on_job)
    await settle(client)
    return subscription


async def publish_jobs(client, count, subject="jobs"):
    for data in numbers(count):
        await client.publish(subject, data)


async def all_done(shares, count):
    await eventually(lambda: sum(map(len, shares)) >= count, lambda: f"{count} jobs, but {shares}")
    assert sorted(itertools.chain(*shares), key=int) == numbers(count)


async def test_each_message_goes_to_one_member_and_every_member_gets_some(server):
    publisher = await server.connect()
    shares = [[], [], []]
    for share in shares:
        await join(await server.connect(), share)

    await publish_jobs(publisher, JOBS)

    await all_done(shares, JOBS)
    assert all(shares)
    # One publisher, so every member sees its share in the order of publishing.
    for share in shares:
        assert share == sorted(share, key=int)


async def test_members_on_one_connection_share_too(server):
    client = await server.connect()
    shares = [[], [], []]
    for share in shares:
        await join(client, share)

    await publish_jobs(client, JOBS)

    await all_done(shares, JOBS)
    assert all(shares)


async def test_every_group_and_every_plain_subscription_gets_all(server):
    publisher, client = await server.connect(), await server.connect()
    one_group, other_group = [[], []], [[], []]
    for share in one_group:
        await join(client, share, queue="one")
    for share in other_group:
        await join(client, share, queue="other")
    plain = await client.subscribe("jobs")
    await settle(client)

    await publish_jobs(publisher, 100)

    await all_done(one_group, 100)
    await all_done(other_group, 100)
    assert await take(plain, 100) == numbers(100)
    await settle(client)
    assert plain.pending_msgs == 0


async def test_a_group_is_one_whatever_pattern_its_members_use(server):
    publisher, client = await server.connect(), await server.connect()
    shares = [[], [], []]
    for share, pattern in zip(shares, ("jobs.new", "jobs.*", "jobs.>"), strict=True):
        await join(client, share, subject=pattern)

    await publish_jobs(publisher, JOBS, subject="jobs.new")

    await all_done(shares, JOBS)
    assert all(shares)


async def test_the_rest_of_a_group_takes_over(server):
    publisher, staying, leaving = [await server.connect() for _ in range(3)]
    stays, leaves = [], []
    await join(staying, stays)
    left = await join(leaving, leaves)

    await left.unsubscribe()
    await settle(leaving)
    await publish_jobs(publisher, 100)

    await all_done([stays], 100)
    assert leaves == []


async def test_one_of_a_queue_group_answers(server):
    asking = await server.connect()
    answers = [0, 0, 0]

    async def serve(client, member):
        async def on_request(message):
            answers[member] += 1
            await message.respond(str(member).encode())

        await client.subscribe("who", queue="w", cb=on_request)
        await settle(client)

    for member in range(3):
        await serve(await server.connect(), member)

    replies = await asyncio.gather(*(asking.request("who", timeout=10) for _ in range(200)))

    assert all(answers)
    assert sum(answers) == 200
    assert [sum(int(reply.data) == member for reply in replies) for member in range(3)] == answers
