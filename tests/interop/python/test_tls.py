"""TLS, after INFO and before it, with and without a certificate of the client's."""

import ssl
from pathlib import Path

import pytest

from harness import PATIENCE, next_data

# Made by tls/make.
KEYS = Path(__file__).parent / "tls"
SERVER = ("--tlscert", str(KEYS / "server.pem"), "--tlskey", str(KEYS / "server.key"))
ROOT = str(KEYS / "root.pem")


def trusting(identity=None):
    context = ssl.create_default_context(cafile=ROOT)
    if identity:
        context.load_cert_chain(KEYS / f"{identity}.pem", KEYS / f"{identity}.key")
    return context


async def assert_works(server, context, **options):
    client = await server.connect(
        url=f"tls://localhost:{server.port}", tls=context, **options
    )
    inside = await client.subscribe("inside")
    large = bytes(1_000_000)
    for _ in range(10):
        await client.publish("inside", large)
        await client.publish("inside", b"small")
    for _ in range(10):
        assert await next_data(inside) == large
        assert await next_data(inside) == b"small"
    await client.close()


async def test_messages_pass_in_both_directions(start_server):
    server = await start_server("--tls", *SERVER)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting()
        context.minimum_version = context.maximum_version = version
        await assert_works(server, context)


async def test_a_client_shows_its_certificate(start_server):
    server = await start_server("--tlsverify", *SERVER, "--tlscacert", ROOT)
    await assert_works(server, trusting("client"))
    with pytest.raises(Exception):
        await server.connect(
            url=f"tls://localhost:{server.port}",
            tls=trusting(),
            allow_reconnect=False,
            connect_timeout=PATIENCE,
        )
    server.errors.clear()


async def test_the_handshake_may_come_first(start_server, tmp_path):
    path = tmp_path / "server.conf"
    path.write_text(
        f'tls {{ cert_file: "{KEYS}/server.pem", key_file: "{KEYS}/server.key",'
        " handshake_first: auto }"
    )
    server = await start_server("--config", str(path))
    await assert_works(server, trusting(), tls_handshake_first=True)
    await assert_works(server, trusting())


async def test_a_stranger_is_not_talked_to(start_server):
    server = await start_server("--tls", *SERVER)
    with pytest.raises(ssl.SSLCertVerificationError):
        await server.connect(
            url=f"tls://localhost:{server.port}",
            tls=ssl.create_default_context(),
            allow_reconnect=False,
        )
    server.errors.clear()
