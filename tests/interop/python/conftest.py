"""Every test gets its own server."""

from contextlib import AsyncExitStack

import pytest_asyncio

from harness import Server


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
