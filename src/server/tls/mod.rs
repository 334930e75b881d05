//! TLS between a socket and what it carries, by rustls.
//!
//! `load` makes of files what is needed to accept, off the loop; `session` is
//! one client's state, which holds no more than unfinished records;
//! `handshakes` is the loop's part: whose turn it is, how much of a turn it may
//! cost, and how many there may be.

mod certificate;
mod handshakes;
mod layer;
mod load;
mod options;
mod pages;
mod places;
mod session;
mod suites;

pub(crate) use handshakes::Handshakes;
pub(crate) use layer::Layer;
pub(crate) use load::{Acceptor, load};
pub use options::{HandshakeFirst, TlsConfig, TlsVersion};
pub(crate) use pages::{about, write_connz, write_varz};
pub(crate) use session::Session;
pub use suites::{has_curve, has_suite};
