//! Certificates for the tests of TLS, of the official client and of our own.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

/// Certificates of a server and a client, and what they come from, as files.
pub struct Keys {
    folder: TempDir,
}

impl Keys {
    pub fn new() -> Keys {
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

    /// One of the files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a server is started with to use them.
    pub fn flags(&self) -> Vec<String> {
        let files = [
            ("--tlscert", "server.pem"),
            ("--tlskey", "server.key"),
            ("--tlscacert", "root.pem"),
        ];
        let word = |name| self.path(name).to_str().expect("a plain path").to_owned();
        let pair = |(flag, name): (&str, _)| [flag.to_owned(), word(name)];
        files.into_iter().flat_map(pair).collect()
    }
}
