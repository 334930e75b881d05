//! From files to what accepts clients. It reads the disk and does arithmetic,
//! so a running server has it done off the loop.

use super::TlsConfig;
use super::certificate::Certificate;
use super::options::TlsVersion;
use super::suites::{provider, versions};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// With fewer days left than this the log has a warning: time enough for a
/// person to do something about it.
const WARN_DAYS: i64 = 30;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Tickets that a client of TLS 1.3 gets to come back with. It comes back
/// once at a time.
const TICKETS: usize = 1;

/// What accepts clients, with one certificate.
pub(crate) struct Acceptor {
    pub(crate) clients: Arc<ServerConfig>,
    /// For monitoring: nobody has to show a certificate.
    pub(crate) pages: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
}

/// Reads what a configuration names.
///
/// # Errors
/// What is wrong, and with which file.
pub(crate) fn load(config: &TlsConfig) -> Result<Acceptor, String> {
    let chain = certificates(&config.cert_file)?;
    let leaf = chain.first().and_then(Certificate::read);
    let not_after = leaf.and_then(|leaf| leaf.not_after);
    let provider = Arc::new(provider(&config.cipher_suites, &config.curve_preferences));
    let pages = accept(config, &provider, chain.clone(), None)?;
    let roots = match (config.verify, &config.ca_file) {
        (false, _) => None,
        (true, Some(file)) => Some(roots(file)?),
        (true, None) => return Err("tls: verify takes a ca_file".to_owned()),
    };
    let clients = match roots {
        None => pages.clone(),
        roots => accept(config, &provider, chain, roots)?,
    };
    if let Some(not_after) = not_after {
        warn_of_end(&config.cert_file, not_after);
    }
    Ok(Acceptor {
        clients,
        pages,
        not_after,
    })
}

fn accept(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    roots: Option<RootCertStore>,
) -> Result<Arc<ServerConfig>, String> {
    let wrong = |error: Error| format!("tls: {error}");
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(config.min_version == TlsVersion::V13))
        .map_err(wrong)?;
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| format!("tls: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| unreadable(&config.key_file, "private key", &error))?;
    let mut accept = builder
        .with_single_cert(chain, key)
        .map_err(|error| unfit(config, &error))?;
    // Coming back is for the client to remember: nothing is kept here.
    accept.session_storage = Arc::new(NoServerSessionStorage {});
    accept.ticketer = Ticketer::new().map_err(wrong)?;
    accept.send_tls13_tickets = TICKETS;
    Ok(Arc::new(accept))
}

/// Why a certificate and a key are no pair.
fn unfit(config: &TlsConfig, error: &Error) -> String {
    let (certificate, key) = (config.cert_file.display(), config.key_file.display());
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("tls: the key in {key} is not that of the certificate in {certificate}")
        }
        Error::InvalidCertificate(why) => {
            format!("tls: {certificate}: the certificate cannot be used: {why:?}")
        }
        error => format!("tls: {key}: {error}"),
    }
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("tls: {}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: pem::Error| unreadable(file, "certificate", &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(wrong)?
        .collect();
    match found.map_err(wrong)? {
        none if none.is_empty() => Err(missing(file, "certificate")),
        some => Ok(some),
    }
}

fn unreadable(file: &Path, wanted: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => missing(file, wanted),
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("tls: {}: there is no such file", file.display())
        }
        pem::Error::Io(error) => format!("tls: {}: {error}", file.display()),
        error => format!("tls: {}: {error}", file.display()),
    }
}

fn missing(file: &Path, wanted: &str) -> String {
    format!("tls: {}: there is no {wanted} in it", file.display())
}

/// Says so if a certificate ends soon, or has ended.
pub(crate) fn warn_of_end(file: &Path, not_after: i64) {
    let left = not_after - unix_now();
    let file = file.display();
    if left < 0 {
        log::warn!("the certificate in {file} has expired: clients will refuse it");
    } else if left < WARN_DAYS * DAY_SECONDS {
        let days = left / DAY_SECONDS;
        log::warn!("the certificate in {file} expires in {days} days");
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
