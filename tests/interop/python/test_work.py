"""Work shared by several workers, with the server killed in the middle."""

import asyncio
import time

import pytest
from nats.errors import NoRespondersError
from nats.js.api import RetentionPolicy
from nats.js.errors import APIError

from harness import PATIENCE, Watch, fill, is_reference, numbers, wait_for

JOBS = 600
WORKERS = 4

# What a worker may see while the server is away.
AWAY = (TimeoutError, NoRespondersError, APIError)


class Crew:
    """Workers on one consumer that note what they got and what was confirmed."""

    def __init__(self):
        self.seen = []
        # With the times.
        self.confirmed = {}
        self.twice = []

    async def work(self, server):
        js = await server.jetstream(**Watch().options())
        while not await self.is_done(js):
            reader = await js.pull_subscribe_bind(stream="JOBS", consumer="crew")
            asked = time.monotonic()
            try:
                for job in await reader.fetch(10, timeout=0.5):
                    # Of what was asked for earlier, a worker may still hold a job that another
                    # has done since.
                    if self.confirmed.get(job.data, asked) < asked:
                        self.twice.append(job.data)
                    self.seen.append(job.data)
                    await job.ack_sync(timeout=1)
                    self.confirmed.setdefault(job.data, time.monotonic())
            except AWAY:
                pass
            finally:
                await reader.unsubscribe()
        await js._nc.close()

    @staticmethod
    async def is_done(js):
        """Whether nothing is left to do.

        What was confirmed does not tell: a job whose ack was kept while the answer was lost never
        comes again.
        """
        try:
            info = await js.consumer_info("JOBS", "crew", timeout=1)
        except AWAY:
            return False
        return (info.num_pending, info.num_ack_pending) == (0, 0)


async def crew(server, js, **options):
    await js.add_stream(name="JOBS", subjects=["jobs"], **options)
    await js.add_consumer("JOBS", durable_name="crew", ack_wait=1)
    await fill(js, "jobs", JOBS)
    crew = Crew()
    return crew, [asyncio.create_task(crew.work(server)) for _ in range(WORKERS)]


async def finish(workers):
    async with asyncio.timeout(2 * PATIENCE):
        await asyncio.gather(*workers)


async def check(js, crew, restarted=False):
    # The original writes what its consumers did a moment later than it says so.
    if not (restarted and is_reference()):
        assert crew.twice == [], "a confirmed job came again"
    assert set(crew.seen) == set(numbers(JOBS)), "a job was lost"
    # Each worker may have missed the answer to one ack each time the server went.
    assert len(crew.confirmed) >= JOBS - (2 * WORKERS if restarted else 0)
    info = await js.consumer_info("JOBS", "crew")
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 0, JOBS)


@pytest.mark.parametrize("retention", [RetentionPolicy.WORK_QUEUE, RetentionPolicy.LIMITS])
async def test_every_job_is_done(store_server, retention):
    js = await store_server.jetstream()
    team, workers = await crew(store_server, js, retention=retention)
    await finish(workers)
    await check(js, team)
    assert len(team.confirmed) == JOBS


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_every_job_is_done_though_the_server_goes_away(store_server, how):
    js = await store_server.jetstream(**Watch().options())
    team, workers = await crew(store_server, js, retention=RetentionPolicy.WORK_QUEUE)
    for share in (1, 2):
        async with asyncio.timeout(PATIENCE):
            while len(team.confirmed) < share * JOBS // 4:
                await asyncio.sleep(0.002)
        if how == "kill":
            store_server.kill()
        else:
            await store_server.stop()
        await store_server.start_again()
    await finish(workers)
    await wait_for(lambda: asyncio.sleep(0, js._nc.is_connected), bool, "connected again")
    await check(js, team, restarted=True)
    assert (await js.stream_info("JOBS")).state.messages == 0
