//! What monitoring tells about TLS.

use super::handshakes::{Failure, Handshakes};
use super::load::unix_now;
use crate::metrics::{Page, labels};
use crate::monitor::{View, float_field};
use midge_engine::ConnId;
use midge_proto::{JsonWriter, Timestamp};

const NANOS: i64 = 1_000_000_000;

/// What nats-server says of itself.
pub(crate) fn write_varz(json: &mut JsonWriter, handshakes: &Handshakes) {
    float_field(json, "tls_timeout", handshakes.timeout.as_secs_f64());
    // What ends after 2262 does not fit, and is not worth telling.
    let end = handshakes
        .not_after()
        .and_then(|end| end.checked_mul(NANOS));
    if let Some(end) = end {
        json.time_field("tls_cert_not_after", Timestamp(end));
    }
}

/// What it says of a connection.
pub(crate) fn write_connz(json: &mut JsonWriter, view: &View<'_>, id: ConnId) {
    let connection = view.connections.get(id);
    let session = connection.and_then(|connection| connection.transport.layer.session());
    if let Some(session) = session.filter(|session| session.is_open()) {
        json.string_field("tls_version", session.version());
        json.string_field("tls_cipher_suite", session.suite());
        json.flag("tls_first", session.is_first);
    }
}

pub(crate) fn about(handshakes: &Handshakes, page: &mut Page) {
    if !handshakes.is_on() {
        return;
    }
    page.families(
        "counter midge_tls_handshakes_total Handshakes of TLS that came to their end.\n\
         gauge midge_tls_handshakes_in_progress Handshakes that have begun.",
        &[handshakes.done as f64, handshakes.in_progress() as f64],
    );
    let failed = "midge_tls_handshake_errors_total";
    page.family(
        "counter",
        failed,
        "Connections without the TLS they needed.",
    );
    for (reason, count) in Failure::REASONS.iter().zip(handshakes.failed) {
        page.sample(failed, &labels(&[("reason", reason)]), count as f64);
    }
    if let Some(end) = handshakes.not_after() {
        page.families(
            "gauge midge_tls_certificate_expiry_seconds Time until the certificate expires.",
            &[(end - unix_now()) as f64],
        );
    }
}
