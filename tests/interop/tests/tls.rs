//! TLS, after INFO and before it, with and without a certificate of the client's.

use std::fs;

use async_nats::ConnectOptions;

use crate::harness::{Server, next};
use crate::keys::Keys;

impl Keys {
    async fn serve(&self, flags: &[&str]) -> Server {
        let own = self.flags();
        let all: Vec<&str> = own
            .iter()
            .map(String::as_str)
            .chain(flags.iter().copied())
            .collect();
        Server::start_with(&all).await
    }

    fn trusting(&self) -> ConnectOptions {
        ConnectOptions::new().add_root_certificates(self.path("root.pem"))
    }
}

async fn assert_works(server: &Server, options: ConnectOptions) {
    let client = server.connect_with(options).await;
    let mut subscription = client.subscribe("inside").await.unwrap();
    let large = vec![7; 1_000_000];
    for _ in 0..10 {
        client
            .publish("inside", large.clone().into())
            .await
            .unwrap();
        client.publish("inside", "small".into()).await.unwrap();
    }
    for _ in 0..10 {
        assert!(next(&mut subscription).await.payload == large);
        assert_eq!(next(&mut subscription).await.payload, "small");
    }
}

#[tokio::test]
async fn messages_pass_in_both_directions() {
    let keys = Keys::new();
    let server = keys.serve(&["--tls"]).await;
    assert_works(&server, keys.trusting()).await;
    assert_works(&server, keys.trusting().require_tls(true)).await;
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let keys = Keys::new();
    let server = keys.serve(&["--tlsverify"]).await;
    let known = || {
        keys.trusting()
            .add_client_certificate(keys.path("client.pem"), keys.path("client.key"))
    };
    assert_works(&server, known()).await;
    assert!(keys.trusting().connect(server.url()).await.is_err());
}

#[tokio::test]
async fn the_handshake_may_come_first() {
    let keys = Keys::new();
    let path = keys.path("server.conf");
    let text = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, handshake_first: auto }}",
        keys.path("server.pem"),
        keys.path("server.key")
    );
    fs::write(&path, text).expect("written");
    let server = Server::start_with(&["--config", path.to_str().expect("a plain path")]).await;
    assert_works(&server, keys.trusting().tls_first()).await;
    assert_works(&server, keys.trusting()).await;
}

#[tokio::test]
async fn who_is_not_trusted_is_not_talked_to() {
    let keys = Keys::new();
    let server = keys.serve(&["--tls"]).await;
    assert!(Keys::new().trusting().connect(server.url()).await.is_err());
}
