//! Connections that nobody else reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use midge_client::{Client, Error, Options, Tls};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use crate::harness::{Kind, PATIENCE, Server, eventually, options};

/// Runs functions as tests, against each kind of server.
macro_rules! on_each {
    ($($name:ident,)*) => {$(
        mod $name {
            use crate::harness::Kind;

            #[test]
            fn midge() {
                super::$name(Kind::Midge);
            }

            #[test]
            fn nats_server() {
                super::$name(Kind::Reference);
            }
        }
    )*};
}

on_each! {
    what_is_said_arrives_whole_both_ways,
    a_broken_connection_is_as_safe_as_the_first,
    whom_nobody_vouches_for_is_not_talked_to,
    a_client_shows_its_own_certificate,
}

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
        keys.write("root.pem", &root.pem());
        for name in ["server", "client"] {
            keys.issue(name, &root, &root_key);
        }
        keys
    }

    fn issue(&self, name: &str, root: &Certificate, root_key: &KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params
            .signed_by(&key, root, root_key)
            .expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server with these certificates and flags; nothing if this half is to be left out.
    fn serve(&self, kind: Kind, flags: &[&str]) -> Option<Server> {
        let binary = kind.binary()?;
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let word = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let (certificate, key, root) =
            (word(&certificate), word(&key), word(&self.path("root.pem")));
        let mut all = vec![
            "--tlscert",
            &certificate,
            "--tlskey",
            &key,
            "--tlscacert",
            &root,
        ];
        all.extend(flags);
        Some(Server::start(kind, &binary, &all))
    }

    fn trusting(&self) -> Tls {
        Tls {
            roots: Some(self.path("root.pem")),
            ..Tls::default()
        }
    }
}

fn with(tls: Tls) -> Options {
    Options {
        tls: Some(tls),
        ..options()
    }
}

fn what_is_said_arrives_whole_both_ways(kind: Kind) {
    const MESSAGES: u32 = 20_000;
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let client = server.connect_with(with(keys.trusting()));
    let mut messages = client.subscribe("a").expect("subscribed");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                client
                    .publish("a", &number.to_le_bytes())
                    .expect("published");
            }
            client.publish("a", &vec![7; 1_000_000]).expect("published");
        });
        for number in 0..MESSAGES {
            let message = messages.next_timeout(PATIENCE).expect("it comes");
            assert_eq!(message.payload(), number.to_le_bytes());
        }
        let message = messages.next_timeout(PATIENCE).expect("it comes");
        assert_eq!(message.payload().len(), 1_000_000);
    });
    client.drain(PATIENCE).expect("drained");
}

fn a_broken_connection_is_as_safe_as_the_first(kind: Kind) {
    let keys = Keys::new();
    let Some(mut server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let client = server.connect_with(with(keys.trusting()));
    let mut messages = client.subscribe("a").expect("subscribed");
    client.flush(PATIENCE).expect("flushed");
    server.kill();
    // What is written before that is noticed goes nowhere.
    eventually("the break is seen", || !client.is_connected());
    client.publish("a", "in between").expect("it waits");
    server.start_again();
    let message = messages.next_timeout(PATIENCE).expect("it comes");
    assert_eq!(message.payload(), b"in between");
}

fn whom_nobody_vouches_for_is_not_talked_to(kind: Kind) {
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tls"]) else {
        return;
    };
    let strangers = Keys::new();
    let error = Client::connect(&server.url(), with(strangers.trusting())).expect_err("refused");
    assert!(matches!(error, Error::Tls(_)), "{error}");
}

fn a_client_shows_its_own_certificate(kind: Kind) {
    let keys = Keys::new();
    let Some(server) = keys.serve(kind, &["--tlsverify"]) else {
        return;
    };
    let error = Client::connect(&server.url(), with(keys.trusting())).expect_err("refused");
    assert!(matches!(error, Error::Tls(_) | Error::Io(_)), "{error}");
    let known = Tls {
        identity: Some((keys.path("client.pem"), keys.path("client.key"))),
        ..keys.trusting()
    };
    let client = server.connect_with(with(known));
    client.flush(PATIENCE).expect("flushed");
}

#[test]
fn nothing_goes_to_a_server_without_tls() {
    let Some(binary) = Kind::Midge.binary() else {
        return;
    };
    let server = Server::start(Kind::Midge, &binary, &[]);
    for (url, options) in [
        (server.url(), with(Keys::new().trusting())),
        (server.url().replace("nats://", "tls://"), options()),
    ] {
        let error = Client::connect(&url, options).expect_err("refused");
        assert!(matches!(error, Error::Tls(_)), "{error}");
    }
}
