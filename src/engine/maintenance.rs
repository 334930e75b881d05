//! Requests that NATS has no subject for: `$MIDGE.API.>`.
//!
//! Looking after what is stored is not the engine's to do. It sees who asks,
//! hands the wish out once, and passes on what came of it; those who ask
//! meanwhile get the same answer. What nobody knows is answered as well:
//! silence would look like a server that is slow.

use crate::Time;
use crate::engine::Engine;
use crate::ids::StreamId;
use crate::outbox::Outbox;

/// The subjects of these requests.
pub(crate) const FILTER: &[u8] = b"$MIDGE.API.>";
const VERIFY: &[u8] = b"$MIDGE.API.VERIFY";

/// Requests that may wait for one answer.
const WAITING_MAX: usize = 64;

const UNKNOWN: &[u8] = b"{\"type\":\"io.midge.api.v1.error\",\"error\":{\"code\":404,\
    \"err_code\":20010,\"description\":\"no such request; there are $MIDGE.API.VERIFY, $MIDGE.API.WHY and \
    $MIDGE.API.DLQ.LIST, SHOW, REDRIVE, DROP, UNPARK\"}}";
const TOO_MANY: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":429,\
    \"description\":\"too many wait for the answer already\"}}";
const STOPPING: &[u8] = b"{\"type\":\"io.midge.api.v1.verify_response\",\"error\":{\"code\":503,\
    \"description\":\"the server stops\"}}";

/// Something that whoever holds the store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// Look at everything that is stored.
    Verify,
}

/// Who asked for what. One thing is done at a time.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Where the answer goes.
    waiting: Vec<Box<[u8]>>,
    /// Asked for and not handed out yet.
    is_wanted: bool,
    /// Handed out and not answered yet.
    is_under_way: bool,
}

impl Engine {
    /// What is to be done, if that is something new. To be answered with
    /// [`Engine::maintained`].
    pub fn take_maintenance(&mut self) -> Option<Maintenance> {
        if !std::mem::take(&mut self.desk.is_wanted) {
            return None;
        }
        self.desk.is_under_way = true;
        Some(Maintenance::Verify)
    }

    /// What was asked for is done; this is the answer for all who wait.
    pub fn maintained<O: Outbox>(&mut self, now: Time, answer: &[u8], out: &mut O) {
        self.desk.is_under_way = false;
        for reply in std::mem::take(&mut self.desk.waiting) {
            self.answer(&reply, answer, out);
        }
        self.feed_internal(now, out);
        self.clean_up(out);
    }

    /// What a stream is called.
    pub fn stream_name(&self, id: StreamId) -> Option<&str> {
        let streams = &self.streams.as_ref()?.streams;
        streams.get(&id).map(|stream| stream.config.name.as_str())
    }

    /// A request. Without somewhere to answer to it is done all the same.
    pub(crate) fn ask_for_maintenance<O: Outbox>(
        &mut self,
        subject: &[u8],
        reply: Option<&[u8]>,
        out: &mut O,
    ) {
        let refusal = if subject != VERIFY {
            UNKNOWN
        } else if reply.is_some() && self.desk.waiting.len() >= WAITING_MAX {
            TOO_MANY
        } else {
            self.desk.waiting.extend(reply.map(Into::into));
            self.desk.is_wanted |= !self.desk.is_under_way;
            return;
        };
        if let Some(reply) = reply {
            self.answer(reply, refusal, out);
        }
    }

    /// Nothing that is under way will be finished.
    pub(crate) fn close_desk<O: Outbox>(&mut self, out: &mut O) {
        for reply in std::mem::take(&mut self.desk.waiting) {
            self.answer(&reply, STOPPING, out);
        }
    }
}
