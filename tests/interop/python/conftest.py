"""Every test gets its own server."""

from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from harness import Server, store_flags


def pytest_collection_modifyitems(items):
    """Lets the tests that need streams be chosen, or left out: `-m streams`."""
    for item in items:
        if "store_server" in item.fixturenames:
            item.add_marker(pytest.mark.streams)


@pytest_asyncio.fixture
async def start_server():
    """Starts servers with the flags that a test wants, and ends them after it."""
    async with AsyncExitStack() as servers:

        async def start(*flags):
            server = Server(flags)
            servers.push_async_callback(server.close)
            await server.start()
            return server

        yield start


@pytest_asyncio.fixture
async def server(start_server):
    return await start_server()


@pytest_asyncio.fixture
async def store_server(start_server, tmp_path):
    """A server that keeps streams, in a directory of its own."""
    return await start_server(*store_flags(tmp_path))


@pytest_asyncio.fixture
async def js(store_server):
    return await store_server.jetstream()
