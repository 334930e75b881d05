//! TLS, after INFO and before it, with and without a certificate of the client's.

use std::fs;
use std::path::PathBuf;

use async_nats::ConnectOptions;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use crate::harness::{Server, next};

/// Certificates of a server and a client, and what they come from, as files.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Keys {
        let keys = Keys {
            folder: TempDir::new().expect("a temporary directory"),
        };
        let root_key = KeyPair::generate().expect("a key");
        let mut root = CertificateParams::new(Vec::new()).expect("parameters");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = root.self_signed(&root_key).expect("a certificate");
        fs::write(keys.path("root.pem"), root.pem()).expect("written");
        keys.issue("server", &root, &root_key);
        keys.issue("client", &root, &root_key);
        keys
    }

    fn issue(&self, name: &str, root: &Certificate, root_key: &KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, root, root_key);
        let pem = certificate.expect("a certificate").pem();
        fs::write(self.path(&format!("{name}.pem")), pem).expect("written");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain path").to_owned()
    }

    async fn serve(&self, flags: &[&str]) -> Server {
        let (certificate, key) = (self.word("server.pem"), self.word("server.key"));
        let root = self.word("root.pem");
        let own = [
            "--tlscert",
            &certificate,
            "--tlskey",
            &key,
            "--tlscacert",
            &root,
        ];
        Server::start_with(&[&own, flags].concat()).await
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
    let server = Server::start_with(&["--config", &keys.word("server.conf")]).await;
    assert_works(&server, keys.trusting().tls_first()).await;
    assert_works(&server, keys.trusting()).await;
}

#[tokio::test]
async fn who_is_not_trusted_is_not_talked_to() {
    let keys = Keys::new();
    let server = keys.serve(&["--tls"]).await;
    assert!(Keys::new().trusting().connect(server.url()).await.is_err());
}
