"""Buckets of keys and values."""

import functools

import pytest
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
)

from harness import PATIENCE, Watch, numbers, refused, wait_for


@pytest.fixture
async def kv(js):
    return await js.create_key_value(bucket="CONFIG", history=5, direct=True)


async def next_update(watcher):
    return await watcher.updates(timeout=PATIENCE)


async def drain(watcher):
    """What a watcher has to tell until it is up to date."""
    entries = []
    while (entry := await next_update(watcher)) is not None:
        entries.append((entry.key, entry.value, entry.operation))
    return entries


async def test_a_value_is_put_and_got(kv):
    assert await kv.put("colour", b"red") == 1
    assert await kv.put("colour", b"green") == 2
    entry = await kv.get("colour")
    assert (entry.bucket, entry.key, entry.value, entry.revision) == (
        "CONFIG",
        "colour",
        b"green",
        2,
    )
    assert (await kv.get("colour", revision=1)).value == b"red"
    with pytest.raises(KeyNotFoundError):
        await kv.get("size")
    await kv.put("size", b"7")
    with pytest.raises(KeyNotFoundError):
        await kv.get("colour", revision=3)


async def test_the_bucket_is_a_stream(js, kv):
    config = (await js.stream_info("KV_CONFIG")).config
    assert config.subjects == ["$KV.CONFIG.>"]
    assert config.max_msgs_per_subject == 5
    assert config.discard == "new"
    assert config.allow_rollup_hdrs and config.deny_delete
    status = await kv.status()
    assert (status.bucket, status.values, status.history, status.ttl) == ("CONFIG", 0, 5, 0)


async def test_empty_values_and_odd_keys_are_kept(kv):
    for key in ("empty", "a.b.c", "x/y=z_1-2"):
        await kv.put(key, b"")
        assert not (await kv.get(key)).value
    await kv.put("binary", bytes(range(256)))
    assert (await kv.get("binary")).value == bytes(range(256))


async def test_a_key_is_created_once(kv):
    assert await kv.create("lock", b"mine") == 1
    with pytest.raises(KeyWrongLastSequenceError):
        await kv.create("lock", b"yours")
    await kv.delete("lock")
    assert await kv.create("lock", b"yours") == 3
    await kv.purge("lock")
    assert await kv.create("lock", b"theirs") == 5


async def test_an_update_needs_the_right_revision(kv):
    first = await kv.put("count", b"1")
    second = await kv.update("count", b"2", last=first)
    with pytest.raises(KeyWrongLastSequenceError) as caught:
        await kv.update("count", b"3", last=first)
    assert caught.value.description == "wrong last sequence: 2"
    await kv.put("other", b"")
    assert await kv.update("count", b"3", last=second) == 4
    assert (await kv.get("count")).value == b"3"


async def test_a_deleted_key_is_gone_but_remembered(kv):
    for data in numbers(3):
        await kv.put("key", data)
    await kv.delete("key")
    with pytest.raises(KeyNotFoundError):
        await kv.get("key")
    history = await kv.history("key")
    assert [(entry.value, entry.operation) for entry in history] == [
        (b"0", None),
        (b"1", None),
        (b"2", None),
        (b"", "DEL"),
    ]


async def test_a_delete_may_expect_a_revision(kv):
    await kv.put("key", b"1")
    await kv.put("key", b"2")
    with refused(10071):
        await kv.delete("key", last=1)
    await kv.delete("key", last=2)


async def test_a_purged_key_leaves_no_past(kv):
    for data in numbers(3):
        await kv.put("key", data)
    await kv.put("other", b"")
    await kv.purge("key")
    with pytest.raises(KeyNotFoundError):
        await kv.get("key")
    assert [entry.operation for entry in await kv.history("key")] == ["PURGE"]
    assert await kv.keys() == ["other"]


async def test_purging_deletes_clears_the_markers(kv):
    for key in ("a", "b", "c"):
        await kv.put(key, b"")
    await kv.delete("a")
    await kv.delete("b")
    await kv.purge_deletes(olderthan=0)
    assert (await kv.status()).values == 1
    assert await kv.keys() == ["c"]


async def test_the_history_is_as_long_as_agreed(kv):
    for data in numbers(8):
        await kv.put("key", data)
    history = await kv.history("key")
    assert [entry.value for entry in history] == numbers(8)[3:]
    assert [entry.revision for entry in history] == [4, 5, 6, 7, 8]
    assert [entry.delta for entry in history] == [4, 3, 2, 1, 0]


async def test_keys_are_listed(kv):
    with pytest.raises(NoKeysError):
        await kv.keys()
    for key in ("a", "b", "c.d"):
        await kv.put(key, b"")
        await kv.put(key, b"again")
    await kv.delete("b")
    assert sorted(await kv.keys()) == ["a", "c.d"]


async def test_a_thousand_keys_are_listed(js, kv):
    futures = [await js.publish_async(f"$KV.CONFIG.key.{n}", b"v") for n in range(1000)]
    for future in futures:
        await future
    assert len(set(await kv.keys())) == 1000


async def test_a_watcher_of_all_sees_the_last_values_then_changes(kv):
    await kv.put("a", b"1")
    await kv.put("b", b"2")
    await kv.put("a", b"3")
    watcher = await kv.watchall()
    assert await drain(watcher) == [("b", b"2", None), ("a", b"3", None)]
    await kv.put("c", b"4")
    await kv.delete("b")
    await kv.purge("a")
    seen = [await next_update(watcher) for _ in range(3)]
    assert [(entry.key, entry.value, entry.operation) for entry in seen] == [
        ("c", b"4", None),
        ("b", b"", "DEL"),
        ("a", b"", "PURGE"),
    ]
    await watcher.stop()


async def test_a_watcher_of_one_key_sees_only_that(kv):
    await kv.put("other", b"")
    watcher = await kv.watch("key")
    assert await drain(watcher) == []
    await kv.put("other", b"")
    await kv.put("key", b"mine")
    assert (await next_update(watcher)).value == b"mine"
    with pytest.raises(NatsTimeout):
        await watcher.updates(timeout=0.1)


async def test_a_watcher_may_use_wildcards(kv):
    for key in ("lamp.kitchen", "lamp.hall", "door.hall"):
        await kv.put(key, b"")
    assert len(await drain(await kv.watch("lamp.*"))) == 2
    assert len(await drain(await kv.watch("*.hall"))) == 2
    assert len(await drain(await kv.watch("door.>"))) == 1


async def test_a_watcher_may_see_the_history(kv):
    for data in numbers(3):
        await kv.put("key", data)
    watcher = await kv.watch("key", include_history=True)
    assert [value for _, value, _ in await drain(watcher)] == numbers(3)


async def test_a_watcher_may_ignore_deletes(kv):
    await kv.put("a", b"1")
    await kv.put("b", b"2")
    await kv.delete("b")
    watcher = await kv.watchall(ignore_deletes=True)
    assert await drain(watcher) == [("a", b"1", None)]
    await kv.delete("a")
    await kv.put("c", b"3")
    assert (await next_update(watcher)).key == "c"


async def test_a_watcher_may_go_without_values(kv):
    await kv.put("a", b"long value")
    watcher = await kv.watchall(meta_only=True)
    assert await drain(watcher) == [("a", b"", None)]


async def test_values_expire_with_their_bucket_ttl(js):
    kv = await js.create_key_value(bucket="BRIEF", ttl=0.3)
    await kv.put("key", b"soon gone")
    assert (await kv.get("key")).value == b"soon gone"
    await wait_for(kv.status, lambda status: status.values == 0, "no value")
    with pytest.raises(KeyNotFoundError):
        await kv.get("key")


async def test_values_may_be_limited_in_size(js):
    kv = await js.create_key_value(bucket="SMALL", max_value_size=10)
    await kv.put("key", bytes(10))
    with refused(10054):
        await kv.put("key", bytes(11))


async def test_a_bucket_is_found_and_deleted(js):
    config = KeyValueConfig(bucket="MEMORY", storage=StorageType.MEMORY, description="fast")
    kv = await js.create_key_value(config)
    await kv.put("key", b"value")
    found = await js.key_value("MEMORY")
    assert (await found.get("key")).value == b"value"
    assert (await found.status()).stream_info.config.description == "fast"
    assert await js.delete_key_value("MEMORY")
    with pytest.raises(BucketNotFoundError):
        await js.key_value("MEMORY")


async def test_buckets_are_streams_in_the_list(js):
    for name in ("ONE", "TWO"):
        await js.create_key_value(bucket=name)
    await js.add_stream(name="OTHER")
    names = {info.config.name for info in await js.streams_info()}
    assert names == {"KV_ONE", "KV_TWO", "OTHER"}


async def test_values_can_be_read_without_direct_access(js):
    kv = await js.create_key_value(bucket="PLAIN")
    await kv.put("key", b"value")
    assert (await kv.get("key")).value == b"value"
    with pytest.raises(KeyNotFoundError):
        await kv.get("other")


async def test_a_watch_goes_on_after_the_server_was_killed(store_server):
    watch = Watch()
    js = await store_server.jetstream(**watch.options())
    # A watch has no option for the heartbeat, by which its client notices a consumer gone.
    js.subscribe = functools.partial(js.subscribe, idle_heartbeat=0.2)
    kv = await js.create_key_value(bucket="CONFIG")
    await kv.put("a", b"before")
    watcher = await kv.watchall()
    assert await drain(watcher) == [("a", b"before", None)]
    store_server.kill()
    await watch.until("disconnected")
    await store_server.start_again()
    await watch.until("reconnected")
    await kv.put("b", b"after")
    # The client starts over, and may repeat what it has told.
    while (entry := await next_update(watcher)).key != "b":
        pass
    assert entry.value == b"after"


async def test_a_key_may_live_shorter_than_its_bucket(js):
    brief = await js.create_key_value(bucket="BRIEF", direct=True)
    # The client asks for markers itself only where the server tells its level.
    config = (await js.stream_info("KV_BRIEF")).config
    config.subject_delete_marker_ttl = 1
    config = (await js.update_stream(config)).config
    assert config.allow_msg_ttl and config.subject_delete_marker_ttl == 1
    with refused(10165):
        await js.publish("$KV.BRIEF.key", b"", headers={"Nats-TTL": "0"})
    watcher = await brief.watchall()
    await drain(watcher)
    await brief.create("lock", b"mine", msg_ttl=1)
    await brief.create("kept", b"mine")
    keys = [(await next_update(watcher)).key for _ in range(2)]
    assert keys == ["lock", "kept"]
    # Those who watch see a marker, and the key is free again.
    marker = await next_update(watcher)
    assert (marker.key, marker.value, marker.operation) == ("lock", b"", "PURGE")
    await wait_for(brief.status, lambda status: status.values == 1, "one value")
    with pytest.raises(KeyNotFoundError):
        await brief.get("lock")
    assert (await brief.get("kept")).value == b"mine"
    await brief.create("lock", b"yours", msg_ttl=1)
    # The purge of a key goes without a trace.
    await brief.purge("kept", msg_ttl=1)
    await brief.purge("lock", msg_ttl=1)
    await wait_for(
        lambda: js.stream_info("KV_BRIEF"),
        lambda info: info.state.messages == 0,
        "no message",
    )
