"""User and password, or a token."""

import nats.errors
import pytest

from harness import Watch, eventually, next_data, settle

# A secret as users choose them, with all that could upset a careless parser.
SECRET = 's3cr3t "quoted" \\ {ünïcode}'


async def assert_works(server, **options):
    client = await server.connect(**options)
    inside = await client.subscribe("inside")
    await client.publish("inside", b"hello")
    assert await next_data(inside) == b"hello"


async def assert_refused(server, **options):
    watch = Watch()
    with pytest.raises(nats.errors.Error, match="(?i)authorization violation"):
        await server.connect(**watch.options(), allow_reconnect=False, **options)
    assert [str(error) for error in watch.errors] == ["nats: 'Authorization Violation'"]


@pytest.mark.parametrize("verbose", [False, True])
async def test_a_user_needs_the_password(start_server, verbose):
    server = await start_server("--user", "alice", "--pass", SECRET)
    await assert_works(server, verbose=verbose, user="alice", password=SECRET)
    for user, password in [("alice", "wrong"), ("alice", ""), ("bob", SECRET), ("", "")]:
        await assert_refused(server, verbose=verbose, user=user, password=password)
    await assert_refused(server, verbose=verbose, token=SECRET)
    await assert_refused(server, verbose=verbose)
    # Those that were refused have done no harm.
    await assert_works(server, verbose=verbose, user="alice", password=SECRET)


@pytest.mark.parametrize("verbose", [False, True])
async def test_a_token_is_enough(start_server, verbose):
    server = await start_server("--auth", SECRET)
    await assert_works(server, verbose=verbose, token=SECRET)
    await assert_works(server, verbose=verbose, token=lambda: SECRET)
    for token in ("wrong", ""):
        await assert_refused(server, verbose=verbose, token=token)
    await assert_refused(server, verbose=verbose)


async def test_credentials_may_come_in_the_url(start_server):
    server = await start_server("--user", "alice", "--pass", "secret")
    address = f"127.0.0.1:{server.port}"
    await assert_works(server, url=f"nats://alice:secret@{address}")
    await assert_refused(server, url=f"nats://alice:wrong@{address}")

    server = await start_server("--auth", "secret")
    address = f"127.0.0.1:{server.port}"
    await assert_works(server, url=f"nats://secret@{address}")
    await assert_refused(server, url=f"nats://wrong@{address}")


async def test_credentials_are_sent_again_after_a_restart(start_server):
    server = await start_server("--user", "alice", "--pass", SECRET)
    watch = Watch()
    client = await server.connect(
        **watch.options(), user="alice", password=SECRET, reconnect_time_wait=0.02
    )
    news = await client.subscribe("news")
    await settle(client)
    await server.stop()
    await watch.until("disconnected")
    await server.start_again()
    await watch.until("reconnected")
    await client.publish("news", b"again")
    assert await next_data(news) == b"again"


async def test_credentials_nobody_asked_for_are_ignored(server):
    await assert_works(server, user="alice", password="x")
    await assert_works(server, token="x")


# A key whose other half only the client has, and bcrypt's hash of "tomato".
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
HASH = "$2y$04$Eqm0g3Gzyhx5eehmXMAsk.U7umpYU5o1yHHdfY/ZtVPDfP6oMc3CG"

USERS = f"""
authorization {{
  default_permissions {{ publish: "inside", subscribe: "inside" }}
  users [ {{ nkey: {KEY} }}, {{ user: joe, password: '{HASH}' }} ]
}}
"""


async def test_keys_hashes_and_permissions(start_server, tmp_path):
    file = tmp_path / "users.conf"
    file.write_text(USERS)
    server = await start_server("--config", str(file))
    await assert_works(server, nkeys_seed_str=SEED)
    await assert_works(server, user="joe", password="tomato")
    await assert_refused(server, user="joe", password="potato")
    await assert_refused(server)

    watch = Watch()
    client = await server.connect(**watch.options(), user="joe", password="tomato")
    await client.publish("outside", b"")
    # The client's flush may overtake what it has published.
    await eventually(lambda: watch.errors, "an error")
    assert ["permissions violation for publish" in str(error).lower() for error in watch.errors] == [True]
