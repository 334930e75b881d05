//! Publishing into streams: what was stored where, in the order in which it
//! was published.

use super::connection::timeout;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_client::streams::{JsonWriter, Pending, PubAck, Publisher, PublisherOptions};
use midge_client::{Client, Error, Publish};
use std::collections::VecDeque;

/// Messages that may be under way where nothing else is said: with more even a
/// stream on a slow disk is not much faster.
const WINDOW: u64 = 100;

/// A publisher whose acks are shown.
pub(crate) struct Acks {
    publisher: Publisher,
    under_way: VecDeque<Pending>,
    window: usize,
    json: bool,
}

impl Acks {
    pub(crate) fn new(client: &Client, arguments: &Arguments) -> Result<Acks, Failure> {
        // Who publishes slowly wants to see each at once.
        let usual = if arguments.has("rate") { 1 } else { WINDOW };
        let window = arguments.number("window").unwrap_or(usual).max(1) as usize;
        let options = PublisherOptions {
            window_max: window,
            timeout: Some(timeout(arguments)),
            ..PublisherOptions::default()
        };
        Ok(Acks {
            publisher: client.streams().publisher(options)?,
            under_way: VecDeque::new(),
            window,
            json: arguments.has("json"),
        })
    }

    /// Publishes one more, and shows what is stored before it if the window is
    /// full.
    pub(crate) fn publish(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        self.under_way.push_back(self.publisher.publish(message)?);
        while self.under_way.len() >= self.window {
            self.show_next()?;
        }
        Ok(())
    }

    /// Shows all that are under way.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        while !self.under_way.is_empty() {
            self.show_next()?;
        }
        Ok(())
    }

    fn show_next(&mut self) -> Result<(), Failure> {
        match self.under_way.pop_front().map(Pending::wait) {
            None => Ok(()),
            Some(Ok(ack)) => self.show(&ack),
            Some(Err(Error::NoResponders(subject))) => Err(Failure::refused(format!(
                "not stored: no stream takes {subject}"
            ))),
            Some(Err(error)) => Err(Failure::refused(format!("not stored: {error}"))),
        }
    }

    fn show(&self, ack: &PubAck) -> Result<(), Failure> {
        if self.json {
            let mut json = JsonWriter::new();
            json.open_object();
            json.string_field("stream", &ack.stream);
            json.uint_field("seq", ack.seq);
            if ack.is_duplicate {
                json.key("duplicate");
                json.boolean(true);
            }
            json.close_object();
            return output::print_json(json);
        }
        let after = if ack.is_duplicate { ", as before" } else { "" };
        output::print(&format!("{} {}{after}", ack.stream, ack.seq))
    }
}
