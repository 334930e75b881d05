//! What the receivers of push consumers are asked under flow control, and what
//! their answers say.
//!
//! An answer says that what was sent before the question has been processed.
//! With `ack_policy: flow_control` it acknowledges as well, up to the message
//! that its headers name; then a question is also asked when no more messages
//! may be out, and with the heartbeat while some are.

use super::acks::Applied;
use super::consumer::Consumer;
use super::expectations::number;
use super::intake::Incoming;
use super::streams::{Health, Streams};
use crate::Time;
use crate::engine::Engine;
use crate::ids::{AccountId, DeliverySeq, Seq};
use crate::outbox::Outbox;
use midge_api::FlowControlSubject;
use midge_proto::headers::{HeaderBlock, HeaderWriter, name};

impl Consumer {
    /// So many bytes were sent: whether the receiver is to be asked how far
    /// it has come.
    pub(super) fn needs_answer(&mut self, sent: usize) -> bool {
        let may_be_full = self.is_acked_by_flow();
        let Some(flow) = &mut self.flow else {
            return false;
        };
        let is_enough = flow.sent(sent as u64);
        is_enough || (may_be_full && !flow.is_asking() && self.is_full())
    }

    /// The same when nothing was sent for a while.
    pub(super) fn needs_answer_at_rest(&self) -> bool {
        self.is_acked_by_flow()
            && !self.cursor.unacked.is_empty()
            && self.flow.as_ref().is_some_and(|flow| !flow.is_asking())
    }
}

/// Asks the receiver how far it has come.
pub(super) fn ask_flow<O: Outbox>(engine: &mut Engine, consumer: &mut Consumer, out: &mut O) {
    let Some(flow) = &mut consumer.flow else {
        return;
    };
    // The same words as for acks, under another prefix.
    let names = consumer
        .ack_prefix
        .strip_prefix(midge_api::ACK_PREFIX)
        .unwrap_or_default();
    let question = flow.ask(|number| {
        let mut subject = midge_api::FLOW_CONTROL_PREFIX.to_vec();
        subject.extend_from_slice(names);
        subject.extend_from_slice(number.to_string().as_bytes());
        subject
    });
    debug_assert!(FlowControlSubject::parse(question).is_some());
    let mut header = Vec::new();
    HeaderWriter::status(&mut header, 100, "FlowControl Request").finish();
    let to = consumer.config.deliver_subject.as_bytes();
    engine.send_status(consumer.account, to, Some(question), &header, out);
}

/// The message up to which an answer acknowledges, if it says so.
fn acknowledged(answer: Incoming<'_>) -> Option<(DeliverySeq, Seq)> {
    let header = HeaderBlock::new(&answer.payload[..answer.header_len]);
    let told = |name| header.get(name).and_then(number).filter(|told| *told > 0);
    let delivery = told(name::LAST_CONSUMER)?;
    Some((DeliverySeq(delivery), Seq(told(name::LAST_STREAM)?)))
}

impl Streams {
    /// A receiver of a push consumer has come as far as it was asked about.
    pub(super) fn take_flow_answer<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        account: AccountId,
        message: Incoming<'_>,
        now: Time,
        out: &mut O,
    ) {
        let Some(answer) = FlowControlSubject::parse(message.subject) else {
            return;
        };
        let Some((stream_id, id)) = self.find_consumer(account, answer.stream, answer.consumer)
        else {
            return;
        };
        let (wall, health) = (self.wall, self.health);
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let is_readable = health == Health::Good || stream.is_volatile();
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        let is_answer = match &mut consumer.flow {
            Some(flow) => flow.answered(message.subject),
            None => false,
        };
        if !is_answer {
            return;
        }
        if consumer.is_acked_by_flow()
            && is_readable
            && let Some((delivery, seq)) = acknowledged(message)
        {
            consumer.last_used = now;
            consumer.ack(delivery, seq, wall, &mut self.effects);
        }
        if consumer.is_dirty {
            self.cursor_changed(stream_id, now);
        }
        let applied = Applied {
            wakes: true,
            ..Applied::default()
        };
        self.after_ack(engine, (stream_id, id), applied, now, out);
    }
}
