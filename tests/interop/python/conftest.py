"""Every test gets its own server."""

import pytest_asyncio

from harness import Server


@pytest_asyncio.fixture
async def start_server():
    """Starts servers with the flags that a test wants, and ends them after it."""
    servers = []

    async def start(*flags):
        server = Server(flags)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.close()


@pytest_asyncio.fixture
async def server(start_server):
    return await start_server()
