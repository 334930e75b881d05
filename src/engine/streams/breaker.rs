//! Pausing a consumer with which too many messages die.
//!
//! An outage behind the workers makes every message fail; without this the
//! whole queue would end among the dead.

use super::streams::Streams;
use crate::Time;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::ids::{ConsumerId, StreamId};
use crate::outbox::Outbox;
use midge_api::JsonWriter;
use midge_api::advisory::Event;

impl Streams {
    /// A breaker has paused its consumer: that is stored, and told.
    pub(super) fn tell_tripped<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream_id: StreamId,
        id: ConsumerId,
        now: Time,
        out: &mut O,
    ) {
        let wall = self.wall;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&id) else {
            return;
        };
        consumer.time_pause(now, wall);
        let account = consumer.account;
        let name = consumer.name().to_owned();
        let until = consumer.config.pause_until;
        let (breaker, stream) = (consumer.options.breaker, stream.name().to_owned());
        if self.is_stored(stream_id, id) {
            self.consumer_rows.push((stream_id, id));
            self.changed(stream_id);
        }
        self.arm(engine, stream_id, id);
        let event = Event::Pause {
            stream: &stream,
            consumer: &name,
            is_paused: true,
            until,
        };
        self.publish_event(engine, account, &event, out);
        let subject = format!("$MIDGE.EVENT.BREAKER.{stream}.{name}");
        if !engine.is_heard(account, subject.as_bytes()) {
            return;
        }
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("type", "io.midge.event.v1.breaker");
        json.time_field("timestamp", wall);
        json.string_field("stream", &stream);
        json.string_field("consumer", &name);
        if let Some(breaker) = breaker {
            json.uint_field("deaths", u64::from(breaker.deaths));
            json.int_field("within_ms", breaker.within.0 / 1_000_000);
        }
        if let Some(until) = until {
            json.time_field("paused_until", until);
        }
        json.close_object();
        let event = Outgoing {
            account,
            subject: subject.as_bytes(),
            reply: None,
            payload: &json.into_bytes(),
            header_len: 0,
        };
        engine.send_out(event.subject, &event, out);
    }
}
