//! What a subscriber gets.

use midge_proto::headers::HeaderBlock;
use std::ops::Range;

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The whole frame; the rest says what is where in it.
    pub(crate) frame: Vec<u8>,
    pub(crate) subject: Range<usize>,
    pub(crate) reply: Range<usize>,
    pub(crate) header: Range<usize>,
    pub(crate) payload: Range<usize>,
}

impl Message {
    /// What it was published to.
    pub fn subject(&self) -> &[u8] {
        self.part(&self.subject)
    }

    /// Where an answer goes; empty if nowhere.
    pub fn reply(&self) -> &[u8] {
        self.part(&self.reply)
    }

    /// Its headers; empty if it has none.
    pub fn headers(&self) -> HeaderBlock<'_> {
        HeaderBlock::new(self.part(&self.header))
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        self.part(&self.payload)
    }

    /// Whether this says, in place of an answer, that nobody listens.
    pub(crate) fn is_no_responders(&self) -> bool {
        self.payload.is_empty() && self.headers().status().starts_with(b"503")
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.frame.get(range.clone()).unwrap_or_default()
    }
}
