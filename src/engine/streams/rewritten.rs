//! Messages that are stored, or sent, with other headers than they came with.

use super::intake::Incoming;

/// Header block and body of such a message.
pub(super) struct Rewritten {
    pub(super) payload: Vec<u8>,
    pub(super) header_len: usize,
}

impl Rewritten {
    /// A body behind another header block.
    pub(super) fn of(header: Vec<u8>, body: &[u8]) -> Rewritten {
        let header_len = header.len();
        let mut payload = header;
        payload.extend_from_slice(body);
        Rewritten {
            payload,
            header_len,
        }
    }
}

impl<'a> Incoming<'a> {
    /// The message as it was rewritten, if it was.
    pub(super) fn rewritten(self, changed: Option<&'a Rewritten>) -> Incoming<'a> {
        let Some(changed) = changed else {
            return self;
        };
        Incoming {
            subject: self.subject,
            payload: &changed.payload,
            header_len: changed.header_len,
        }
    }
}
