//! Object stores: large things in chunks.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{
    Config, GetErrorKind, ObjectInfo, ObjectMetadata, ObjectStore, UpdateMetadata,
};
use futures::TryStreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{How, Restarts, next, refused, started};

async fn files(js: &Context) -> ObjectStore {
    let config = Config {
        bucket: "FILES".to_owned(),
        ..Default::default()
    };
    js.create_object_store(config).await.unwrap()
}

/// Bytes that repeat at no power of two.
fn blob(size: usize) -> Vec<u8> {
    (0..251).cycle().take(size).collect()
}

async fn put(store: &ObjectStore, name: &str, data: &[u8]) -> ObjectInfo {
    store.put(name, &mut io::Cursor::new(data)).await.unwrap()
}

/// The client checks the digest as it reads.
async fn get(store: &ObjectStore, name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let mut object = store.get(name).await.unwrap();
    object.read_to_end(&mut data).await.unwrap();
    data
}

async fn names(store: &ObjectStore) -> Vec<String> {
    let infos: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    let mut names: Vec<_> = infos.into_iter().map(|info| info.name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_object_is_put_and_got() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    let info = put(&store, "photo", &blob(300_000)).await;
    assert_eq!(
        (info.name.as_str(), info.bucket.as_str()),
        ("photo", "FILES")
    );
    assert_eq!(info.size, 300_000);
    assert!(info.digest.unwrap().starts_with("SHA-256="));
    assert_eq!(get(&store, "photo").await, blob(300_000));
    let metadata = ObjectMetadata {
        name: "small chunks".to_owned(),
        description: Some("a view".to_owned()),
        chunk_size: Some(1000),
        ..Default::default()
    };
    let data = blob(10_001);
    store
        .put(metadata, &mut io::Cursor::new(&data))
        .await
        .unwrap();
    assert_eq!(get(&store, "small chunks").await, data);
    let info = store.info("small chunks").await.unwrap();
    assert_eq!(info.description.as_deref(), Some("a view"));
    assert_eq!(put(&store, "empty", b"").await.size, 0);
    assert_eq!(names(&store).await, ["empty", "photo", "small chunks"]);
}

#[tokio::test]
async fn an_object_may_be_replaced_and_deleted() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    put(&store, "photo", &blob(500_000)).await;
    put(&store, "photo", b"small").await;
    assert_eq!(get(&store, "photo").await, b"small");
    let stream = js.get_stream("OBJ_FILES").await.unwrap();
    assert_eq!(
        stream.cached_info().state.messages,
        2,
        "the old chunks are gone"
    );
    store.delete("photo").await.unwrap();
    assert!(store.info("photo").await.unwrap().deleted);
    let error = store.get("never").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), GetErrorKind::NotFound);
    assert!(names(&store).await.is_empty());
}

#[tokio::test]
async fn a_watcher_sees_objects_come_and_go() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    put(&store, "old", b"1").await;
    let mut past = store.watch_with_history().await.unwrap();
    assert_eq!(next(&mut past).await.name, "old");
    let mut changes = store.watch().await.unwrap();
    put(&store, "new", b"2").await;
    store.delete("old").await.unwrap();
    assert_eq!(next(&mut changes).await.name, "new");
    let gone = next(&mut changes).await;
    assert_eq!((gone.name.as_str(), gone.deleted), ("old", true));
}

#[tokio::test]
async fn a_link_leads_to_its_object() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    let photo = put(&store, "photo", b"view").await;
    store.add_link("favourite", &photo).await.unwrap();
    assert_eq!(get(&store, "favourite").await, b"view");
    store.add_bucket_link("shelf", "OTHER").await.unwrap();
    let link = store
        .info("shelf")
        .await
        .unwrap()
        .options
        .unwrap()
        .link
        .unwrap();
    assert_eq!((link.bucket.as_str(), link.name), ("OTHER", None));
}

#[tokio::test]
async fn the_description_and_name_may_change() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    put(&store, "photo", b"view").await;
    let update = UpdateMetadata {
        name: "picture".to_owned(),
        description: Some("new".to_owned()),
        ..Default::default()
    };
    store.update_metadata("photo", update).await.unwrap();
    assert_eq!(get(&store, "picture").await, b"view");
    assert_eq!(names(&store).await, ["picture"]);
}

#[tokio::test]
async fn a_sealed_store_is_read_only() {
    let (_server, js) = started().await;
    let mut store = files(&js).await;
    put(&store, "photo", b"view").await;
    store.seal().await.unwrap();
    assert_eq!(get(&store, "photo").await, b"view");
    refused(store.delete("photo").await, 10109);
    js.delete_object_store("FILES").await.unwrap();
    assert!(js.get_object_store("FILES").await.is_err());
}

#[tokio::test]
async fn a_large_object_comes_back_whole() {
    let (_server, js) = started().await;
    let store = files(&js).await;
    let data = blob(64 * 1024 * 1024);
    let info = put(&store, "large", &data).await;
    assert_eq!(info.size, data.len());
    assert!(get(&store, "large").await == data, "it came changed");
}

/// Gives some bytes and then fails, as a broken file does.
struct Broken(usize);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let size = buffer.remaining().min(self.0);
        buffer.put_slice(&vec![7; size]);
        self.0 -= size;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_put_cut_short_by_a_kill_leaves_the_old_object() {
    let mut at = Restarts::started().await;
    let store = files(&at.js).await;
    put(&store, "photo", b"old").await;
    assert!(store.put("photo", &mut Broken(500_000)).await.is_err());
    at.restart(How::Kill).await;
    assert_eq!(get(&store, "photo").await, b"old");
    put(&store, "photo", &blob(500_000)).await;
    assert_eq!(get(&store, "photo").await, blob(500_000));
}
