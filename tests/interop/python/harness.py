"""Starts the server under test, and waits for things with a deadline."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest
from nats.js.errors import APIError

# How long anything may take before the test gives up. Never waited out in a run that passes.
PATIENCE = 20
POLL = 0.005

# Ports that a test of this run has had: a port released by one test and handed to another could
# otherwise lead a reconnecting client of the first to the server of the second.
USED_PORTS = set()


def binary():
    named = os.environ.get("MIDGE_BIN")
    if named:
        return Path(named)
    target = Path(__file__).resolve().parents[3] / "target"
    for profile in ("release", "debug"):
        path = target / profile / "midge"
        if path.exists():
            return path
    raise FileNotFoundError("build midge, or name a server in MIDGE_BIN")


def is_reference():
    return "nats-server" in binary().name


def store_flags(directory):
    """What makes the server keep streams in a directory."""
    if is_reference():
        return ["-js", "-sd", str(directory)]
    return ["--store", str(directory / "midge.redb")]


def free_port():
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port not in USED_PORTS:
            USED_PORTS.add(port)
            return port


async def eventually(condition, what):
    """Waits until the condition holds. What is awaited may be a function, asked in the end."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        in_time = time.monotonic() < deadline
        assert in_time, f"not in time: {what() if callable(what) else what}"
        await asyncio.sleep(POLL)


async def greets(port):
    """Whether a server on the port accepts and says who it is."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


class Server:
    """A server process and the clients that a test has connected to it."""

    def __init__(self, flags=()):
        self.flags = list(flags)
        self.port = None
        self.process = None
        self.clients = []
        # Errors of clients that came with no error callback of their own: there must be none.
        self.errors = []

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    async def start(self):
        """Starts on a free port, which another process may take before the server does."""
        refusals = []
        for _ in range(5):
            self.port = free_port()
            refusal = await self._launch()
            if refusal is None:
                return
            refusals.append(refusal)
        raise AssertionError(f"the server did not start: {refusals}")

    async def start_again(self):
        """Starts a stopped server again, on the same port and with the same flags."""
        deadline = time.monotonic() + PATIENCE
        # A client that keeps dialing can hold the port for an instant.
        while (refusal := await self._launch()) is not None:
            assert time.monotonic() < deadline, f"no restart: {refusal}"
            await asyncio.sleep(POLL)

    async def _launch(self):
        host_flag, port_flag = ("-a", "-p") if is_reference() else ("--host", "--port")
        output = None if os.environ.get("MIDGE_SERVER_OUTPUT") else subprocess.DEVNULL
        # Where no test asks for streams, servers must not share the store of this directory.
        plain = [] if is_reference() or "--store" in self.flags else ["--no-store"]
        self.process = subprocess.Popen(
            [binary(), host_flag, "127.0.0.1", port_flag, str(self.port), *self.flags, *plain],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            greeted = await greets(self.port)
            # Looked at after the greeting, which may have come from another process on the port.
            if self.process.poll() is not None:
                return f"the server ended: {self.process.returncode}"
            if greeted:
                return None
            await asyncio.sleep(POLL)
        self.kill()
        return "no INFO in time"

    def signal(self, number):
        self.process.send_signal(number)

    async def pause(self):
        """Stops the process as it is, until `resume`."""
        self.signal(signal.SIGSTOP)
        stopped = os.WUNTRACED | os.WNOHANG
        # Sending returns earlier than the last thread stops.
        await eventually(lambda: os.waitpid(self.process.pid, stopped)[0], "a stopped process")

    def resume(self):
        self.signal(signal.SIGCONT)

    async def stop(self):
        """Asks the server to end and waits until it has."""
        self.signal(signal.SIGTERM)
        await eventually(lambda: self.process.poll() is not None, "an end on SIGTERM")

    def kill(self):
        self.process.kill()
        self.process.wait()

    async def connect(self, *, url=None, **options):
        options.setdefault("error_cb", self._unexpected)
        # The default of two seconds is short for a busy machine.
        options.setdefault("connect_timeout", PATIENCE)
        client = await nats.connect(url or self.url, **options)
        self.clients.append(client)
        return client

    async def jetstream(self, **options):
        """A context for streams on a client of its own, which dials again at once after a loss."""
        client = await self.connect(reconnect_time_wait=0.02, max_reconnect_attempts=-1, **options)
        # The default of five seconds is short for a busy machine.
        return client.jetstream(timeout=PATIENCE)

    async def _unexpected(self, error):
        self.errors.append(error)

    async def close(self):
        try:
            for client in self.clients:
                async with asyncio.timeout(PATIENCE):
                    await client.close()
        finally:
            if self.process is not None:
                self.kill()
        assert self.errors == []


class Watch:
    """Records what the callbacks of one client are told."""

    def __init__(self):
        self.events = []
        self.errors = []

    def options(self):
        async def on_error(error):
            self.errors.append(error)

        names = ("disconnected", "reconnected", "closed", "lame_duck_mode")
        callbacks = {f"{name}_cb": self._recorder(name) for name in names}
        return {"error_cb": on_error, **callbacks}

    def _recorder(self, name):
        async def record():
            self.events.append(name)

        return record

    async def until(self, name, count=1):
        await eventually(
            lambda: self.events.count(name) >= count, lambda: f"{name} in {self.events}"
        )


async def settle(client):
    """Waits until the server has handled all that the client has sent, and the client all that
    the server had sent it by then.

    Twice, because the client's flush sends its PING ahead of the commands that it still holds
    back, and those only follow while it waits for the PONG.
    """
    await client.flush()
    await client.flush()


async def next_message(subscription):
    return await subscription.next_msg(timeout=PATIENCE)


async def next_data(subscription):
    return (await next_message(subscription)).data


async def take(subscription, count):
    """The payloads of the next messages."""
    return [await next_data(subscription) for _ in range(count)]


@contextmanager
def refused(err_code, text=None):
    """Expects the server to refuse a request about streams."""
    with pytest.raises(APIError) as caught:
        yield
    assert caught.value.err_code == err_code, caught.value
    if text is not None:
        assert caught.value.description == text


def needs_all_kept(how):
    """Leaves a test out for a server that promises less than midge.

    The original writes what its consumers did, and what was deleted, a moment later than it says
    so: killed, it delivers again what was acknowledged and confirmed.
    """
    if how == "kill" and is_reference():
        pytest.skip("the original forgets acknowledgements and deletions when it is killed")


def only_midge():
    """Leaves a file out for a server that does not have what midge adds."""
    return pytest.mark.skipif(is_reference(), reason="the original does not have this")


async def asked(js, words, **body):
    """What the server says to a request of midge's own, be it yes or no."""
    body = json.dumps(body).encode()
    answer = await js._nc.request(f"$MIDGE.API.{words}", body, timeout=PATIENCE)
    return json.loads(answer.data)


async def midge(js, words, **body):
    """A request of midge's own, which is agreed to."""
    answer = await asked(js, words, **body)
    assert "error" not in answer, f"{words} {body}: {answer}"
    return answer


async def letters(js, count=None, **filter):
    """The dead letters of a stream, once there are as many."""
    filter.setdefault("limit", 1000)

    async def listed():
        return (await midge(js, "DLQ.LIST", **filter))["letters"]

    if count is None:
        return await listed()
    return await wait_for(listed, lambda found: len(found) == count, f"{count} dead letters")


async def stream_names(js):
    answer = await js._nc.request("$JS.API.STREAM.NAMES", b"", timeout=PATIENCE)
    return json.loads(answer.data)["streams"] or []


async def wait_for(ask, holds, what="what was asked for"):
    """Asks the server until the answer is what it should be, and gives it back."""
    deadline = time.monotonic() + PATIENCE
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, f"not in time: {what}, but {answer}"
        await asyncio.sleep(POLL)
    return answer


async def fill(js, subject, count, start=0):
    """Publishes numbers as payloads, many at a time, and waits for all to be stored."""
    futures = [
        await js.publish_async(subject, str(number).encode())
        for number in range(start, start + count)
    ]
    return await asyncio.wait_for(asyncio.gather(*futures), PATIENCE)


def sequences(messages):
    return [message.metadata.sequence.stream for message in messages]


def payloads(messages):
    return [message.data for message in messages]


def numbers(count):
    """Distinct payloads, in their order."""
    return [str(number).encode() for number in range(count)]


class Raw:
    """A bare connection, for what the client would not send or does not show."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server, options=""):
        raw = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        assert (await raw.line()).startswith(b"INFO ")
        raw.send(f'CONNECT {{"verbose":false,"pedantic":false{options}}}\r\n'.encode())
        await raw.settle()
        return raw

    def send(self, data):
        self.writer.write(data)

    async def line(self):
        """The next line, or nothing when the server has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readline()

    async def answer(self):
        """The next line that is about what the test did, not housekeeping."""
        while True:
            line = await self.line()
            if line == b"PING\r\n":
                self.send(b"PONG\r\n")
            elif not line.startswith(b"INFO "):
                return line

    async def settle(self):
        self.send(b"PING\r\n")
        assert await self.answer() == b"PONG\r\n"

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()
