//! Who this run of the server is.

use crate::config::Config;
use midge_proto::ServerInfo;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;

/// What INFO says of this server.
pub(crate) fn server_info(config: &Config, address: SocketAddr) -> ServerInfo {
    let server_id = server_id();
    ServerInfo {
        server_name: if config.name.is_empty() {
            server_id.clone()
        } else {
            config.name.clone()
        },
        server_id,
        version: crate::NATS_VERSION,
        proto: 1,
        host: config.host.clone(),
        port: address.port(),
        headers: true,
        auth_required: config.auth.is_required(),
        max_payload: config.limits.frame.max_payload,
        jetstream: false,
        client_id: 0,
        client_ip: String::new(),
        lame_duck: false,
        connect_info: false,
        remote_account: None,
    }
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
