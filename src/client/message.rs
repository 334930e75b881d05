//! What a subscriber gets.

use crate::frame::Delivery;
use midge_proto::headers::HeaderBlock;

/// The lengths that stand before a message in a queue.
const LENGTHS: usize = 4;
const LENGTHS_SIZE: usize = LENGTHS * size_of::<u32>();

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Subject, reply subject, header block and payload behind one another.
    bytes: Box<[u8]>,
    subject_end: usize,
    reply_end: usize,
    header_end: usize,
}

impl Message {
    /// What it was published to.
    pub fn subject(&self) -> &str {
        text(self.bytes.get(..self.subject_end))
    }

    /// Where an answer goes; empty if nowhere.
    pub fn reply(&self) -> &str {
        text(self.bytes.get(self.subject_end..self.reply_end))
    }

    /// Its headers; empty if it has none.
    pub fn headers(&self) -> HeaderBlock<'_> {
        let block = self.bytes.get(self.reply_end..self.header_end);
        HeaderBlock::new(block.unwrap_or_default())
    }

    /// The first header of this name, upper and lower case apart, as text.
    /// `None` as well where its value is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers().get(name.as_bytes())?).ok()
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.header_end..).unwrap_or_default()
    }

    /// The number that a server begins its own messages with, such as 503
    /// where nobody listens; `None` for all that clients publish.
    pub fn status(&self) -> Option<u16> {
        let status = self.headers().status();
        std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()
    }

    /// Whether this says, in place of an answer, that nobody listens.
    pub(crate) fn is_no_responders(&self) -> bool {
        self.payload().is_empty() && self.status() == Some(503)
    }

    pub(crate) fn from_delivery(delivery: &Delivery<'_>) -> Message {
        let mut record = Vec::with_capacity(record_len(delivery));
        push_record(&mut record, delivery);
        let (message, _) = read_record(&record).unwrap_or_else(|| (Message::empty(), 0));
        message
    }

    fn empty() -> Message {
        Message {
            bytes: Box::default(),
            subject_end: 0,
            reply_end: 0,
            header_end: 0,
        }
    }
}

/// Subjects may be any bytes; nobody uses such that are no text.
fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

/// The room that a message takes in a queue.
pub(crate) fn record_len(delivery: &Delivery<'_>) -> usize {
    LENGTHS_SIZE + parts(delivery).iter().map(|part| part.len()).sum::<usize>()
}

fn parts<'a>(delivery: &Delivery<'a>) -> [&'a [u8]; LENGTHS] {
    [
        delivery.subject,
        delivery.reply,
        delivery.header,
        delivery.payload,
    ]
}

/// Appends a message to a queue: the lengths of its parts, then these.
pub(crate) fn push_record(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    let parts = parts(delivery);
    for part in parts {
        // A frame is never so long that this would be cut short.
        out.extend_from_slice(&(part.len() as u32).to_ne_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The first message of a queue, and the room that it took.
pub(crate) fn read_record(queue: &[u8]) -> Option<(Message, usize)> {
    let (lengths, rest) = queue.split_first_chunk::<LENGTHS_SIZE>()?;
    let mut ends = [0; LENGTHS];
    let mut end = 0;
    for (place, length) in ends.iter_mut().zip(lengths.chunks_exact(size_of::<u32>())) {
        end += u32::from_ne_bytes(length.try_into().ok()?) as usize;
        *place = end;
    }
    let [subject_end, reply_end, header_end, end] = ends;
    let message = Message {
        bytes: rest.get(..end)?.into(),
        subject_end,
        reply_end,
        header_end,
    };
    Some((message, LENGTHS_SIZE + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_comes_out() {
        let deliveries = [
            Delivery {
                sid: 1,
                subject: b"a.b",
                reply: b"r",
                header: b"NATS/1.0\r\nA: b\r\n\r\n",
                payload: b"hi",
            },
            Delivery {
                sid: 1,
                subject: b"c",
                reply: b"",
                header: b"",
                payload: b"",
            },
        ];
        let mut queue = Vec::new();
        for delivery in &deliveries {
            let before = queue.len();
            push_record(&mut queue, delivery);
            assert_eq!(queue.len() - before, record_len(delivery));
        }
        let (first, used) = read_record(&queue).unwrap();
        assert_eq!((first.subject(), first.reply()), ("a.b", "r"));
        assert_eq!(first.header("A"), Some("b"));
        assert_eq!(first.payload(), b"hi");
        assert_eq!(first, Message::from_delivery(&deliveries[0]));
        let (second, used_then) = read_record(&queue[used..]).unwrap();
        assert_eq!((second.subject(), second.payload()), ("c", &b""[..]));
        assert_eq!(used + used_then, queue.len());
        assert_eq!(read_record(&[]), None);
        assert_eq!(read_record(&queue[..used - 1]), None);
    }

    #[test]
    fn a_status_is_a_number() {
        let status = |header: &'static str| {
            Message::from_delivery(&Delivery {
                sid: 1,
                subject: b"a",
                reply: b"",
                header: header.as_bytes(),
                payload: b"",
            })
            .status()
        };
        assert_eq!(status("NATS/1.0 503\r\n\r\n"), Some(503));
        assert_eq!(status("NATS/1.0 100 Idle Heartbeat\r\n\r\n"), Some(100));
        assert_eq!(status("NATS/1.0\r\nA: 503\r\n\r\n"), None);
        assert_eq!(status(""), None);
    }
}
