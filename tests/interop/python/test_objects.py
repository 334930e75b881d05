"""Object stores: large things in chunks."""

import asyncio
import base64
import hashlib
import io
import json

import pytest
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import APIError, BucketNotFoundError, ObjectNotFoundError

from harness import PATIENCE, Watch


@pytest.fixture
async def store(js):
    return await js.create_object_store("FILES")


def blob(size):
    """Bytes that repeat at no power of two."""
    pattern = bytes(number % 251 for number in range(251 * 400))
    return (pattern * (size // len(pattern) + 1))[:size]


async def test_an_object_is_put_and_got(store):
    info = await store.put("photo", blob(300_000), ObjectMeta(description="a view"))
    assert (info.name, info.bucket, info.size, info.chunks) == ("photo", "FILES", 300_000, 3)
    digest = base64.urlsafe_b64encode(hashlib.sha256(blob(300_000)).digest()).decode()
    assert info.digest == f"SHA-256={digest}"
    got = await store.get("photo")
    assert got.data == blob(300_000)
    assert got.info.description == "a view"


async def test_the_chunks_may_have_any_size(store):
    options = ObjectMeta(options=ObjectMetaOptions(max_chunk_size=1000))
    info = await store.put("small chunks", blob(10_001), options)
    assert info.chunks == 11
    assert (await store.get("small chunks")).data == blob(10_001)


async def test_an_empty_object_is_an_object(store):
    info = await store.put("empty", b"")
    assert (info.size, info.chunks) == (0, 0)
    assert (await store.get_info("empty")).size == 0


async def test_an_object_may_be_replaced(js, store):
    await store.put("photo", blob(500_000))
    await store.put("photo", blob(1000))
    assert (await store.get("photo")).data == blob(1000)
    assert (await js.stream_info("OBJ_FILES")).state.messages == 2, "the old chunks are gone"


async def test_a_deleted_object_is_gone(js, store):
    await store.put("photo", blob(300_000))
    await store.delete("photo")
    with pytest.raises(ObjectNotFoundError):
        await store.get("photo")
    assert (await store.get_info("photo", show_deleted=True)).deleted
    assert (await js.stream_info("OBJ_FILES")).state.messages == 1, "its mark stays"
    with pytest.raises(ObjectNotFoundError):
        await store.get("never")


async def test_objects_are_listed(store):
    for name in ("a", "b", "c"):
        await store.put(name, name.encode())
    await store.delete("b")
    assert sorted(info.name for info in await store.list(ignore_deletes=True)) == ["a", "c"]


async def test_a_watcher_sees_objects_come_and_go(store):
    await store.put("old", b"1")
    watcher = await store.watch()
    assert (await watcher.updates(timeout=PATIENCE)).name == "old"
    assert await watcher.updates(timeout=PATIENCE) is None
    await store.put("new", b"2")
    assert (await watcher.updates(timeout=PATIENCE)).name == "new"
    await store.delete("old")
    gone = await watcher.updates(timeout=PATIENCE)
    assert (gone.name, gone.deleted) == ("old", True)
    await watcher.stop()


async def test_the_description_may_change(store):
    await store.put("photo", b"view")
    await store.update_meta("photo", ObjectMeta(name="photo", description="new"))
    assert (await store.get_info("photo")).description == "new"
    assert (await store.get("photo")).data == b"view"


async def test_a_link_leads_to_its_object(js, store):
    await store.put("photo", b"view")
    # This client follows links and makes none.
    link = {"name": "photo", "bucket": "FILES"}
    info = {"name": "favourite", "bucket": "FILES", "nuid": "link", "options": {"link": link}}
    name = base64.urlsafe_b64encode(b"favourite").decode()
    await js.publish(f"$O.FILES.M.{name}", json.dumps(info).encode())
    assert (await store.get("favourite")).data == b"view"


async def test_a_sealed_store_is_read_only(store):
    await store.put("photo", b"view")
    await store.seal()
    assert (await store.status()).sealed
    assert (await store.get("photo")).data == b"view"
    with pytest.raises(APIError):
        await store.delete("photo")


async def test_a_store_is_found_and_deleted(js, store):
    await store.put("photo", b"view")
    assert (await (await js.object_store("FILES")).get("photo")).data == b"view"
    assert await js.delete_object_store("FILES")
    with pytest.raises(BucketNotFoundError):
        await js.object_store("FILES")


async def test_a_large_object_comes_back_whole(store_server):
    size = 64 * 1024 * 1024
    data = blob(size)
    client = await store_server.connect()
    store = await client.jetstream(timeout=PATIENCE).create_object_store("FILES")
    info = await store.put("large", io.BytesIO(data))
    assert (info.size, info.chunks) == (size, 512)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    assert info.digest == f"SHA-256={digest}"
    # The client checks the digest, too.
    back = io.BytesIO()
    await store.get("large", writeinto=back)
    assert back.getvalue() == data


async def test_a_put_cut_short_leaves_the_old_object(store_server):
    watch = Watch()
    js = await store_server.jetstream(**watch.options())
    store = await js.create_object_store("FILES")
    await store.put("photo", b"old")

    class Slow(io.BytesIO):
        """Reads on only once the server has been killed and come back."""

        halfway = asyncio.Event()

        def readinto(self, buffer):
            if self.tell() > 500_000:
                self.halfway.set()
                raise InterruptedError
            return super().readinto(buffer)

    with pytest.raises(InterruptedError):
        await store.put("photo", Slow(blob(1_000_000)))
    store_server.kill()
    await watch.until("disconnected")
    await store_server.start_again()
    await watch.until("reconnected")
    assert (await store.get("photo")).data == b"old"
    await store.put("photo", blob(1_000_000))
    assert (await store.get("photo")).data == blob(1_000_000)
