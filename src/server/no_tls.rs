//! In place of `tls` where it is left out: every connection is plain.

use crate::config::Config;
use crate::connection::Connection;
use crate::event_loop::EventLoop;
use crate::metrics::Page;
use crate::monitor::View;
use midge_engine::ConnId;
use midge_proto::JsonWriter;
use std::net::SocketAddr;

/// Nothing lies between a socket and its connection.
pub(crate) enum Layer {
    Plain,
}

impl Layer {
    pub(crate) fn is_shaking(&self) -> bool {
        false
    }

    pub(crate) fn is_held(&self) -> bool {
        false
    }

    pub(crate) fn wants_flush(&self) -> bool {
        false
    }

    pub(crate) fn held(&self) -> usize {
        0
    }

    pub(crate) fn forget_bytes(&mut self) {}
}

pub(crate) struct Handshakes;

impl Handshakes {
    pub(crate) fn new(_: &Config) -> Result<Handshakes, String> {
        Ok(Handshakes)
    }

    pub(crate) fn is_on(&self) -> bool {
        false
    }

    pub(crate) fn adopt(&mut self, _: Handshakes) {}

    pub(crate) fn is_due(&self) -> bool {
        false
    }

    pub(crate) fn note_end(&mut self, _: &Connection) {}
}

impl EventLoop {
    pub(crate) fn greet(&mut self, id: ConnId, peer: SocketAddr) {
        self.open_session(id, peer);
    }

    pub(crate) fn expect_page_request(&mut self, _: ConnId) {}

    pub(crate) fn queue_handshake(&mut self, _: ConnId) {}

    pub(crate) fn shake_hands(&mut self) {}

    pub(crate) fn handshake_due(&mut self, _: ConnId) {}

    pub(crate) fn note_hang_up(&mut self, _: ConnId) {}
}

pub(crate) fn write_varz(_: &mut JsonWriter, _: &Handshakes) {}

pub(crate) fn write_connz(_: &mut JsonWriter, _: &View<'_>, _: ConnId) {}

pub(crate) fn about(_: &Handshakes, _: &mut Page) {}
