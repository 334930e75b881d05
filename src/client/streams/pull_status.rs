//! What a server says of a request for messages, in place of one.

use super::fetch::End;
use crate::{Error, Message};
use midge_api::ApiError;
use midge_proto::headers::name;

/// A status that came where messages do.
#[derive(Debug)]
pub(super) enum PullStatus {
    /// The request still waits. The number of the consumer's last delivery,
    /// if that is said.
    Beat(Option<u64>),
    /// The request ended as it may. Messages that it still asked for, if that
    /// is said.
    Ended(End, Option<u64>),
    /// Nobody was there to take the request.
    Unheard,
    /// The request ended otherwise.
    Failed(Error),
}

impl PullStatus {
    /// What a message says if it is a status. Messages of a stream have none:
    /// a server does not keep it.
    pub(super) fn read(message: &Message) -> Option<PullStatus> {
        let code = message.status()?;
        let words = message.headers().status();
        let words = words.get(3..).unwrap_or_default().trim_ascii();
        let number = |name: &[u8]| {
            let digits = message.headers().get(name)?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        };
        let ended = |end| PullStatus::Ended(end, number(name::PENDING_MESSAGES));
        Some(match (code, words) {
            (100, _) => PullStatus::Beat(number(name::LAST_CONSUMER)),
            (404, _) => ended(End::NoMessages),
            (408, _) => ended(End::Expired),
            (409, b"Message Size Exceeds MaxBytes") => ended(End::Bytes),
            (409, b"Batch Completed") => ended(End::Complete),
            (409, b"Consumer Deleted") => {
                PullStatus::Failed(Error::Api(ApiError::CONSUMER_NOT_FOUND))
            }
            (503, _) => PullStatus::Unheard,
            _ => PullStatus::Failed(Error::Status {
                code,
                words: String::from_utf8_lossy(words).into_owned(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Delivery;

    fn read(header: &str) -> Option<PullStatus> {
        PullStatus::read(&Message::from_delivery(&Delivery {
            sid: 1,
            subject: b"_INBOX.1",
            reply: b"",
            header: header.as_bytes(),
            payload: b"",
        }))
    }

    #[test]
    fn statuses_are_told_apart() {
        assert!(read("").is_none() && read("NATS/1.0\r\nA: 100\r\n\r\n").is_none());
        let beat = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n";
        assert!(matches!(read(beat), Some(PullStatus::Beat(Some(7)))));
        let late = "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n";
        let status = read(late);
        assert!(matches!(
            status,
            Some(PullStatus::Ended(End::Expired, Some(3)))
        ));
        let empty = read("NATS/1.0 404 No Messages\r\n\r\n");
        assert!(matches!(
            empty,
            Some(PullStatus::Ended(End::NoMessages, None))
        ));
        let unheard = read("NATS/1.0 503\r\n\r\n");
        assert!(matches!(unheard, Some(PullStatus::Unheard)));
        for (words, is_passing) in [
            ("409 Consumer Deleted", false),
            ("409 Consumer is push based", false),
            ("409 Exceeded MaxRequestBatch of 5", false),
            ("409 Exceeded MaxWaiting", true),
            ("409 Leadership Change", true),
            ("409 Server Shutdown", true),
            ("400 Bad Request", false),
            ("999", false),
        ] {
            match read(&format!("NATS/1.0 {words}\r\n\r\n")) {
                Some(PullStatus::Failed(error)) => {
                    assert_eq!(error.is_passing(), is_passing, "{words}");
                }
                other => panic!("{words}: {other:?}"),
            }
        }
    }
}
