//! TLS between a client and a server, by rustls.
//!
//! One thread reads while another writes, and both need the keys. So what goes
//! over the socket goes over it outside the lock of the session: nobody who
//! waits for the network keeps the other one from working.

use crate::deadline::Deadline;
use crate::sync::lock;
use crate::transport::is_passing;
use crate::{Error, Options};
use rustls::client::ClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Read from the socket at a time: as much as a record has.
const RECORD_SIZE: usize = 16 * 1024;

/// Whom to trust, and what to show.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The certificates that servers' certificates have to come from, in PEM.
    /// Without it, those that the system trusts.
    pub roots: Option<PathBuf>,
    /// The client's own certificate and those that it comes from, in PEM, and
    /// its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Begin with the handshake, before the server says anything. Only for
    /// servers that are set up for it.
    pub is_first: bool,
}

/// A session with a server.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Mutex<ClientConnection>,
    /// Held while records go out, so that they do in the order of their
    /// numbers. Taken before `connection`. The buffer of who holds it.
    outgoing: Mutex<Vec<u8>>,
    /// What has come out of records before there was a buffer for it: rustls
    /// takes no more before that is taken from it. Only the reader looks here.
    ahead: Mutex<Vec<u8>>,
}

impl Session {
    /// Shakes hands over a socket.
    pub(crate) fn start(
        stream: &mut TcpStream,
        host: &str,
        options: &Options,
        deadline: &Deadline,
    ) -> Result<Session, Error> {
        let config = config(&options.tls.clone().unwrap_or_default())?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls(format!("\"{host}\" is no name for a certificate")))?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(wrong)?;
        while connection.is_handshaking() {
            if connection.wants_write() {
                connection.write_tls(stream).map_err(Error::Io)?;
                continue;
            }
            let left = deadline.left().ok_or(Error::Timeout)?;
            let read = stream
                .set_read_timeout(Some(left))
                .and_then(|()| connection.read_tls(stream));
            match read {
                Ok(0) => return Err(Error::Hangup),
                Ok(_) => {}
                // The deadline decides whether it is too late.
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(Error::Io(error)),
            }
            if let Err(error) = connection.process_new_packets() {
                // It is told why, if it still listens.
                let _ = connection.write_tls(stream);
                return Err(wrong(error));
            }
        }
        while connection.wants_write() {
            connection.write_tls(stream).map_err(Error::Io)?;
        }
        Ok(Session {
            connection: Mutex::new(connection),
            outgoing: Mutex::default(),
            ahead: Mutex::default(),
        })
    }

    /// Reads some bytes of what the server says; none at the end.
    pub(crate) fn read(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut record = [0; RECORD_SIZE];
        let mut ahead = lock(&self.ahead);
        loop {
            if !ahead.is_empty() {
                let count = ahead.len().min(buffer.len());
                buffer[..count].copy_from_slice(&ahead[..count]);
                ahead.drain(..count);
                return Ok(count);
            }
            match lock(&self.connection).reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            let mut stream = stream;
            let count = stream.read(&mut record)?;
            let mut rest = record.get(..count).unwrap_or_default();
            let mut connection = lock(&self.connection);
            loop {
                // At the end as well: it tells a proper end from a cut.
                connection.read_tls(&mut rest)?;
                connection
                    .process_new_packets()
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                if rest.is_empty() {
                    break;
                }
                // It ends with there being no more for now.
                let _ = connection.reader().read_to_end(&mut ahead);
            }
        }
    }

    /// Writes some bytes, and returns how many. All of them are on their way
    /// then, or the session is at its end.
    pub(crate) fn write(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = lock(&self.outgoing);
        outgoing.clear();
        let count = {
            let mut connection = lock(&self.connection);
            let chunk = bytes.get(..RECORD_SIZE).unwrap_or(bytes);
            let count = connection.writer().write(chunk)?;
            while connection.wants_write() {
                connection.write_tls(&mut *outgoing)?;
            }
            count
        };
        stream.write_all(&outgoing)?;
        Ok(count)
    }
}

fn wrong(error: rustls::Error) -> Error {
    Error::Tls(error.to_string())
}

fn config(tls: &Tls) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match &tls.roots {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(wrong)?;
            }
        }
        None => {
            // Some of what a system trusts may be unreadable; the rest serves.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = "the system names no certificates to trust; name some by Tls::roots";
                return Err(Error::Tls(why.to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(wrong)
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(path, &error))?
        .collect();
    match found.map_err(|error| unreadable(path, &error))? {
        none if none.is_empty() => Err(Error::Tls(format!(
            "{}: there is no certificate in it",
            path.display()
        ))),
        some => Ok(some),
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Tls(format!("{}: {error}", path.display()))
}
