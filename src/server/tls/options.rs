//! What is to be set about TLS.

use std::path::PathBuf;
use std::time::Duration;

/// How long a handshake may take if nothing else is said: nats-server's.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// How long a client may take to begin by itself where that is only tried:
/// nats-server's.
const FIRST_AUTO: Duration = Duration::from_millis(50);

/// The certificate that clients see, and what they have to show themselves.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The certificate and those it comes from, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// What clients' certificates have to come from, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Clients have to show a certificate. Whether it says which user they are
    /// is for [`Auth`](crate::Auth) to say.
    pub verify: bool,
    /// How long a handshake may take.
    pub timeout: Duration,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether the handshake comes before INFO.
    pub first: HandshakeFirst,
    /// Of the suites of TLS 1.2 only these, by their names; all if there are
    /// none here. Those of TLS 1.3 are always there.
    pub cipher_suites: Vec<String>,
    /// Only these key exchanges, by nats-server's names; all if there are none
    /// here.
    pub curve_preferences: Vec<String>,
    /// SHA-256, in hex, of the public keys that clients may have; any if there
    /// are none here.
    pub pinned_certs: Vec<String>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// 1.2 and what is newer.
    #[default]
    V12,
    /// 1.3 alone.
    V13,
}

/// Whether TLS begins before the server has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandshakeFirst {
    /// INFO comes first, in the clear.
    #[default]
    Never,
    /// The handshake does.
    Always,
    /// Whoever begins in this time; INFO in the clear for the others.
    Within(Duration),
}

impl HandshakeFirst {
    /// As nats-server's `auto` has it.
    pub fn auto() -> Self {
        HandshakeFirst::Within(FIRST_AUTO)
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        TlsConfig {
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            ca_file: None,
            verify: false,
            timeout: TIMEOUT_DEFAULT,
            min_version: TlsVersion::default(),
            first: HandshakeFirst::default(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            pinned_certs: Vec::new(),
        }
    }
}
