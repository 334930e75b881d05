//! What stands where the streams are, in a build without them.
//!
//! There are none: nothing in here is ever made, so that the engine's seams
//! stay where they are and lead nowhere.

use crate::account::Sink;
use crate::accounts::Accounts;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::publish::{Origin, Routed};
use crate::session::Session;
use crate::stats::StreamsTotals;
use crate::{AccountId, ConsumerId, StreamId, Time};
use midge_api::ServerLimits;
use midge_api::json::Strictness;
use midge_proto::Publish;
use midge_proto::encode::Decimal;

/// The streams, which there are none of.
pub(crate) enum Streams {}

/// A message of the streams' own, which there are none of.
pub(crate) enum Internal {}

impl Streams {
    pub(crate) fn set_limits(&mut self, _: &mut Engine, _: &Accounts) {
        match *self {}
    }

    pub(crate) fn has_work(&self) -> bool {
        match *self {}
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        match *self {}
    }

    pub(crate) fn stream_due<O: Outbox>(
        &mut self,
        _: &mut Engine,
        _: StreamId,
        _: Time,
        _: &mut O,
    ) {
        match *self {}
    }

    pub(crate) fn consumer_due<O: Outbox>(
        &mut self,
        _: &mut Engine,
        _: StreamId,
        _: ConsumerId,
        _: Time,
        _: &mut O,
    ) {
        match *self {}
    }

    pub(crate) fn work<O: Outbox>(&mut self, _: &mut Engine, _: Time, _: &mut O) {
        match *self {}
    }
}

impl Engine {
    /// Whether streams are offered: not in this build.
    pub fn has_streams(&self) -> bool {
        false
    }

    /// What all streams may use together, and how requests are read, if streams
    /// are offered.
    pub fn stream_rules(&self) -> Option<(&ServerLimits, Strictness)> {
        None
    }

    /// What all streams come to, if they are offered.
    pub fn streams_totals(&self) -> Option<StreamsTotals> {
        None
    }

    pub(crate) fn is_api(&self, _: Sink, _: &[u8]) -> bool {
        false
    }

    pub(crate) fn stream_name(&self, _: StreamId) -> Option<&str> {
        None
    }

    pub(crate) fn feed_traced<O: Outbox>(
        &mut self,
        _: Time,
        _: Origin,
        _: &Publish<'_>,
        _: &mut Routed,
        _: &mut O,
    ) -> u64 {
        self.hits.clear();
        0
    }

    pub(crate) fn is_congested(&self) -> bool {
        false
    }

    pub(crate) fn keep_internal(&mut self, _: Sink, _: Origin, _: &Publish<'_>) -> bool {
        false
    }

    pub(crate) fn with_streams(&mut self, _: impl FnOnce(&mut Streams, &mut Engine)) {}

    pub(crate) fn interest_changed(&mut self) {}

    pub(crate) fn client_left(&mut self, _: &Session) {}

    pub(crate) fn answer<O: Outbox>(
        &mut self,
        account: AccountId,
        reply: &[u8],
        body: &[u8],
        out: &mut O,
    ) {
        let size = Decimal::new(body.len());
        let publish = Publish {
            subject: reply,
            reply: None,
            header: None,
            payload: body,
            size_digits: size.as_bytes(),
            tail: None,
        };
        self.route(account, reply, &publish, None, None, out);
        self.hits.clear();
    }

    pub(crate) fn feed_internal<O: Outbox>(&mut self, _: Time, _: &mut O) {}

    pub(crate) fn feed<O: Outbox>(
        &mut self,
        _: Time,
        _: Origin,
        _: &Publish<'_>,
        _: &mut Routed,
        _: &mut O,
    ) {
    }
}
