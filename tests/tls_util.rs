//! What tests of TLS share: certificates, and a client that is encrypted.

use crate::util::{PATIENCE, Server, midge};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// Certificates as files, in a folder that is gone with the test.
pub(crate) struct Keys {
    folder: PathBuf,
    root: Certificate,
    root_key: KeyPair,
}

impl Keys {
    /// Those of a server and of a client.
    pub(crate) fn new(name: &str) -> Keys {
        let name = format!("midge-tls-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        let root_key = KeyPair::generate().expect("a key");
        let mut root = CertificateParams::new(Vec::new()).expect("parameters");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = root.self_signed(&root_key).expect("a certificate");
        fs::write(folder.join("root.pem"), root.pem()).expect("written");
        let keys = Keys {
            folder,
            root,
            root_key,
        };
        keys.issue("server", |_| {});
        keys.issue("client", |_| {});
        keys
    }

    /// Makes a certificate and its key.
    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.root, &self.root_key);
        let pem = certificate.expect("a certificate").pem();
        fs::write(self.folder.join(format!("{name}.pem")), pem).expect("written");
        let pem = key.serialize_pem();
        fs::write(self.folder.join(format!("{name}.key")), pem).expect("written");
    }

    /// Makes one that has ended long ago.
    pub(crate) fn issue_old(&self, name: &str) {
        self.issue(name, |params| params.not_after = date_time_ymd(2001, 1, 1));
    }

    /// Makes one with other names than that of this machine.
    pub(crate) fn issue_named(&self, name: &str, names: Vec<SanType>) {
        self.issue(name, |params| params.subject_alt_names = names);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Puts one certificate in another's place.
    pub(crate) fn replace(&self, name: &str, by: &str) {
        for kind in ["key", "pem"] {
            let (from, to) = (format!("{by}.{kind}"), format!("{name}.{kind}"));
            fs::copy(self.path(&from), self.path(&to)).expect("copied");
        }
    }

    /// A server that is told to use them, and more.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let first = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
        Server::start_with(&[&first, args].concat())
    }

    /// A server with a file of settings, in which `$keys` is the folder.
    pub(crate) fn serve_file(&self, settings: &str) -> Server {
        let mut command = Command::new(midge());
        command.args(["serve", "--config", &self.file(settings)]);
        if cfg!(feature = "streams") {
            command.arg("--no-store");
        }
        Server::spawn(command)
    }

    /// A file of settings.
    pub(crate) fn file(&self, settings: &str) -> String {
        let path = self.path("midge.conf");
        let text = settings.replace("$keys", &self.folder.display().to_string());
        fs::write(&path, format!("listen: \"127.0.0.1:-1\"\n{text}")).expect("written");
        path
    }

    fn config(
        &self,
        identity: Option<&str>,
        version: Option<&'static SupportedProtocolVersion>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        let builder = match version {
            None => ClientConfig::builder(),
            Some(version) => ClientConfig::builder_with_protocol_versions(&[version]),
        };
        let builder = builder.with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")));
                builder
                    .with_client_auth_cert(vec![chain.unwrap()], key.unwrap())
                    .expect("a pair")
            }
        };
        Arc::new(config)
    }

    /// How to connect with these.
    pub(crate) fn dial(&self) -> Dial<'_> {
        Dial {
            keys: self,
            identity: None,
            version: None,
            is_first: false,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How to connect.
#[derive(Clone, Copy)]
pub(crate) struct Dial<'a> {
    keys: &'a Keys,
    pub(crate) identity: Option<&'a str>,
    /// Only this one.
    pub(crate) version: Option<&'static SupportedProtocolVersion>,
    pub(crate) is_first: bool,
}

impl Dial<'_> {
    /// A client with its INFO, and its handshake done.
    pub(crate) fn connect(&self, address: SocketAddr) -> Secured {
        self.try_connect(address).expect("a handshake")
    }

    pub(crate) fn try_connect(&self, address: SocketAddr) -> io::Result<Secured> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        if self.is_first {
            let mut client = self.shake(stream, String::new())?;
            client.info = client.try_line()?;
            return Ok(client);
        }
        let info = clear_line(&mut stream)?;
        self.shake(stream, info)
    }

    /// A client of something that says nothing by itself.
    pub(crate) fn connect_silently(&self, address: SocketAddr) -> Secured {
        let stream = TcpStream::connect(address).expect("midge listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.shake(stream, String::new()).expect("a handshake")
    }

    /// What a client begins with.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let config = self.keys.config(self.identity, self.version);
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(config, name).expect("a client");
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).expect("written");
        hello
    }

    fn shake(&self, stream: TcpStream, info: String) -> io::Result<Secured> {
        let config = self.keys.config(self.identity, self.version);
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(config, name).expect("a client");
        let mut client = Secured {
            stream: StreamOwned::new(tls, stream),
            info,
            received: Vec::new(),
        };
        while client.stream.conn.is_handshaking() {
            client.stream.conn.complete_io(&mut client.stream.sock)?;
        }
        Ok(client)
    }
}

/// A line that is not encrypted, read by itself.
pub(crate) fn clear_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A client over TLS that says and expects bytes.
pub(crate) struct Secured {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    pub(crate) info: String,
    received: Vec<u8>,
}

impl Secured {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("midge reads");
        self.stream.flush().expect("midge reads");
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("a line")
    }

    fn try_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill()?;
        }
    }

    /// The next bytes, so many.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            self.fill().expect("more comes");
        }
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }

    /// Expects exactly these bytes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: impl AsRef<[u8]>) {
        let wanted = wanted.as_ref();
        while self.received.len() < wanted.len() && wanted.starts_with(&self.received) {
            self.fill().expect("more comes");
        }
        let text = String::from_utf8_lossy(&self.received);
        assert!(self.received.starts_with(wanted), "{text}");
        self.received.drain(..wanted.len());
    }

    /// Whether a PING is answered. In TLS 1.3 a client learns only so whether
    /// its certificate was taken.
    pub(crate) fn is_heard(&mut self) -> bool {
        let sent = self.stream.write_all(b"PING\r\n");
        sent.and_then(|()| self.try_line())
            .is_ok_and(|line| line == "PONG\r\n")
    }

    /// What comes until the end, which is a proper one.
    pub(crate) fn rest(mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.received)?;
        Ok(self.received)
    }

    /// The certificate that the server has shown.
    pub(crate) fn seen(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates();
        chain.expect("a certificate")[0].to_vec()
    }
}
