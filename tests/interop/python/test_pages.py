"""The monitoring pages beside those of the original: the same load, the same questions, the same
names and types in the answers."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness import free_port, is_reference, store_flags

REFERENCE = Path(sys.prefix) / "bin" / "nats-server"

pytestmark = [
    pytest.mark.skipif(is_reference(), reason="this compares with the original"),
    pytest.mark.skipif(not REFERENCE.exists(), reason="the original is not installed"),
]

PAGES = """
    /varz
    /connz /connz?subs=1 /connz?subs=detail /connz?auth=1 /connz?cid=999 /connz?user=joe
    /connz?state=closed /connz?state=any /connz?state=ANY /connz?state=half
    /connz?sort=stop /connz?sort=size /connz?sort=CID /connz?sort=reason&state=any
    /connz?state=closed&sort=reason /connz?state=closed&sort=stop /connz?state=closed&sort=idle
    /connz?limit=x /connz?limit=-1 /connz?limit=0 /connz?limit=99999999999999999999
    /connz?offset=-1 /connz?offset=100 /connz?cid=x /connz?subs=x /connz?auth=x
    /connz?acc=$G /connz?acc=$G&filter_subject=foo.bar /connz?mqtt_client=x
    /subsz /subsz?subs=1 /subsz?subs=x /subsz?subs=detail /subsz?subs=1&test=foo.bar
    /subsz?test=foo.* /subsz?limit=x /subsz?limit=-5 /subsz?acc=$G /subsz?acc=$G&subs=1
    /subsz?acc=NO&subs=1 /subscriptionsz
    /jsz /jsz?acc=$G /jsz?acc=NO /jsz?accounts=1 /jsz?streams=1 /jsz?consumers=1
    /jsz?consumers=1&config=1 /jsz?leader-only=1 /jsz?raft=1&streams=1&consumers=1
    /jsz?stream-leader-only=1&streams=1 /jsz?direct-consumers=1&consumers=1 /jsz?limit=0&accounts=1
    /jsz?limit=x /jsz?streams=x /jsz?config=x /jsz?offset=-1
    /healthz /healthz?js-enabled-only=1 /healthz?js-enabled=1 /healthz?js-server-only=1
    /healthz?js-meta-only=1 /healthz?js-enabled-only=x /healthz?details=x /healthz?details=1
    /healthz?account=$G /healthz?account=NO /healthz?account=$G&stream=ORDERS
    /healthz?account=$G&stream=NO /healthz?account=$G&stream=ORDERS&consumer=bill
    /healthz?account=$G&stream=ORDERS&consumer=no /healthz?stream=ORDERS /healthz?consumer=bill
    /healthz?account=$G&consumer=bill /healthz?details=true&account=$G&stream=NO
    /healthz?details=true&account=NO /healthz?details=true&stream=NO
    /healthz?details=true&account=$G&stream=ORDERS&consumer=no
    /accountz /accountz?acc=$G /accountz?acc=NO
    /accstatz /accstatz?unused=1 /accstatz?unused=x
    /routez /routez?subs=1 /gatewayz /gatewayz?accs=1 /leafz /leafz?subs=1
    /nothing /varz/
""".split()

# What midge leaves out, or has beside it, and why. Names end a path through the JSON.
ABSENT = {
    "git_commit": "the version says which midge it is",
    "go": "there is no Go in it",
    "gomaxprocs": "nor Go's threads",
    "feature_flags": "switches of nats-server's own making",
    "disk_io_wait_stats": "a store has one writer; /metrics tells how long it takes",
    "sync_interval": "every commit is synced, as sync_always says",
    "limits": "there are none for all of the server",
    "metadata": "only the answers of the API tell their level",
    "imports": "what everybody may ask of the server is no import of each account",
}
EXTRA = {
    "midge_version": "version is that of nats-server whose behaviour may be expected",
    "sync_always": "nats-server shows it as well when it is on",
}
# An empty list where nats-server has null.
EMPTY = {"connections"}


def ask(port, path):
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}{path}")
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


async def load(server):
    js = await server.jetstream(name="sensor")
    await js.add_stream(name="ORDERS", subjects=["orders.>"], max_bytes=1_000_000)
    await js.add_stream(name="HEAT", subjects=["heat.>"], storage="memory")
    for _ in range(5):
        await js.publish("orders.x", b"hello")
    orders = await js.pull_subscribe("orders.>", "bill")
    for message in await orders.fetch(2):
        await message.ack_sync()
        break
    nc = js._nc

    async def ignore(_):
        pass

    await nc.subscribe("foo.bar", cb=ignore)
    await nc.subscribe("foo.*", queue="q", cb=ignore)
    gone = await server.connect(name="gone")
    await gone.publish("foo.bar", b"once")
    await gone.flush()
    await gone.close()
    await nc.flush()


async def pages(start_server, directory):
    directory.mkdir()
    port = free_port()
    flag = "-m" if is_reference() else "--http-port"
    server = await start_server(flag, str(port), *store_flags(directory))
    await load(server)
    while json.loads(ask(port, "/connz?state=closed")[2])["total"] == 0:
        pass
    return {page: ask(port, page) for page in PAGES}


def shape(value, path="", out=None):
    """The paths through some JSON, with the type of what is there."""
    out = {} if out is None else out
    if isinstance(value, dict):
        for key, inner in value.items():
            shape(inner, f"{path}.{key}", out)
    elif isinstance(value, list):
        out[path] = "array"
        for inner in value:
            shape(inner, f"{path}[]", out)
    else:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        out[path] = "number" if number else type(value).__name__
    return out


def is_named(path, names):
    steps = path.replace("[]", "").split(".")
    return any(name in steps for name in names)


def differences(ours, theirs):
    ours, theirs = shape(json.loads(ours)), shape(json.loads(theirs))
    for path in theirs.keys() - ours.keys():
        if not is_named(path, ABSENT):
            yield f"{path} is missing"
    for path in ours.keys() - theirs.keys():
        if not is_named(path, EXTRA):
            yield f"{path} is more"
    for path in ours.keys() & theirs.keys():
        if ours[path] != theirs[path] and not is_named(path, EMPTY):
            yield f"{path} is {ours[path]}, not {theirs[path]}"


async def test_pages_are_those_of_the_original(start_server, tmp_path, monkeypatch):
    ours = await pages(start_server, tmp_path / "ours")
    monkeypatch.setenv("MIDGE_BIN", str(REFERENCE))
    theirs = await pages(start_server, tmp_path / "theirs")
    found = []
    for page in PAGES:
        status, kind, body = ours[page]
        if (status, kind) != theirs[page][:2]:
            found.append(f"{page}: {status} {kind}, not {theirs[page][:2]}")
        elif kind != "application/json":
            if body.strip() != theirs[page][2].strip():
                found.append(f"{page}: {body!r}, not {theirs[page][2]!r}")
        else:
            found += [f"{page}: {what}" for what in differences(body, theirs[page][2])]
    assert not found, "\n".join(found)
