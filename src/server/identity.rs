//! Who this run of the server is.

use crate::config::Config;
use midge_proto::ServerInfo;
#[cfg(feature = "tls")]
use midge_proto::TlsOffer;
use ring::rand::{SecureRandom, SystemRandom};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;

/// What INFO says of this server.
pub(crate) fn server_info(config: &Config, address: SocketAddr) -> ServerInfo {
    let host = config.host.clone();
    let mut info = ServerInfo::new(server_id(), host, address.port());
    if !config.name.is_empty() {
        info.server_name.clone_from(&config.name);
    }
    info.headers = !config.limits.is_headerless;
    info.auth_required = config.auth.is_required();
    #[cfg(feature = "tls")]
    if let Some(tls) = &config.tls {
        info.tls_verify = tls.verify;
        info.tls = match config.allow_non_tls {
            true => TlsOffer::Available,
            false => TlsOffer::Required,
        };
    }
    info.max_payload = config.limits.frame.max_payload;
    info
}

/// Base 32.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A name for this run, in the form that NATS tools expect: an N and 55
/// letters and digits of base 32.
fn server_id() -> String {
    let mut id = String::from("N");
    while id.len() < 56 {
        let letter = ALPHABET[(entropy() >> 59) as usize];
        id.push(char::from(letter));
    }
    id
}

/// Something to be signed: letters that cannot be guessed, 110 bits of them.
/// Nothing if the system has none to give.
pub(crate) fn nonce() -> Option<Box<str>> {
    const LETTERS: usize = 22;
    let mut bytes = [0; LETTERS];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte >> 3)]);
    Some(bytes.iter().map(letter).collect())
}

/// A random number, from the source that seeds the standard hash maps.
pub(crate) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
