//! Who this run of the server is.

use crate::config::Config;
use midge_proto::ServerInfo;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;

/// What INFO says of this server.
pub(crate) fn server_info(config: &Config, address: SocketAddr) -> ServerInfo {
    let host = config.host.clone();
    let mut info = ServerInfo::new(server_id(), crate::NATS_VERSION, host, address.port());
    if !config.name.is_empty() {
        info.server_name.clone_from(&config.name);
    }
    info.auth_required = config.auth.is_required();
    info.max_payload = config.limits.frame.max_payload;
    info
}

/// A name for this run, in the form that NATS tools expect: an N and 55
/// letters and digits of base 32.
fn server_id() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::from("N");
    while id.len() < 56 {
        let letter = ALPHABET[(entropy() >> 59) as usize];
        id.push(char::from(letter));
    }
    id
}

/// A random number, from the source that seeds the standard hash maps.
pub(crate) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
