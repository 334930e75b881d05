//! The project's own client, `midge-client`, against midge and against nats-server.
//!
//! Every test runs against both, and asks of both the same. Where there is no nats-server, or the
//! server under test is one anyway, the half that is left is enough; `MIDGE_NEEDS_REFERENCE` makes
//! it an error that there is none.

#[macro_use]
mod harness;
#[path = "../keys.rs"]
mod keys;

mod acks;
mod buckets;
mod core;
mod management;
mod ordered;
mod publisher;
mod pull;
mod reconnect;
mod tls;
