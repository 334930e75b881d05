//! What rustls can do, by the names that nats-server's files use.

use rustls::crypto::ring::{cipher_suite as suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

const SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

const CURVES: [(&str, &'static dyn SupportedKxGroup); 3] = [
    ("X25519", kx_group::X25519),
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
];

static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Names of suites had these words at their end left out.
const LEFT_OUT: &str = "_SHA256";

fn is_suite(name: &str, wanted: &str) -> bool {
    let is_short = || name.strip_suffix(LEFT_OUT) == Some(wanted);
    name == wanted || (wanted.ends_with("POLY1305") && is_short())
}

/// Whether there is a suite of this name.
pub fn has_suite(wanted: &str) -> bool {
    SUITES.iter().any(|(name, _)| is_suite(name, wanted))
}

/// Whether there is a key exchange of this name.
pub fn has_curve(wanted: &str) -> bool {
    CURVES.iter().any(|(name, _)| *name == wanted)
}

/// What a suite is called.
pub(crate) fn suite_name(suite: SupportedCipherSuite) -> &'static str {
    let found = SUITES.iter().find(|(_, known)| *known == suite);
    found.map_or("", |(name, _)| name)
}

/// rustls with these suites and key exchanges, or with all it has.
pub(crate) fn provider(suites: &[String], curves: &[String]) -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    if !suites.is_empty() {
        let wanted = |name: &str| suites.iter().any(|suite| is_suite(name, suite));
        provider.cipher_suites = SUITES
            .iter()
            .filter(|(name, suite)| suite.tls13().is_some() || wanted(name))
            .map(|(_, suite)| *suite)
            .collect();
    }
    if !curves.is_empty() {
        // In the order in which they are preferred.
        let find = |wanted: &String| CURVES.iter().find(|(name, _)| name == wanted);
        let found = curves.iter().filter_map(find);
        provider.kx_groups = found.map(|(_, group)| *group).collect();
    }
    provider
}

/// Both versions, or the newer one.
pub(crate) fn versions(only_13: bool) -> &'static [&'static SupportedProtocolVersion] {
    let both = &VERSIONS;
    if only_13 { &both[..1] } else { both }
}
