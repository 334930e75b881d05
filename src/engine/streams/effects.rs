//! What a step of a consumer leads to beside its own change.

use crate::ids::{DeliverySeq, Seq};

/// What became of a message with a consumer, or of a puller, for those who
/// watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// It was delivered as often as it may be.
    MaxDeliveries { seq: Seq, deliveries: u32 },
    /// It was refused.
    Naked {
        delivery: DeliverySeq,
        seq: Seq,
        deliveries: u32,
    },
    /// It is not to be delivered again.
    Terminated {
        delivery: DeliverySeq,
        seq: Seq,
        deliveries: u32,
        reason: String,
    },
    /// Its pause is over.
    Resumed,
    /// A puller is served alone from now on.
    Pinned { group: Box<str>, id: Box<str> },
    /// It is not any more.
    Unpinned {
        group: Box<str>,
        reason: &'static str,
    },
    /// It was acknowledged, and this one is reported.
    Acked {
        delivery: DeliverySeq,
        seq: Seq,
        deliveries: u32,
        after_ns: i64,
    },
}

/// What a pull request is told at its end, or while it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    NoMessages,
    RequestTimeout { wanted: i64, bytes_left: i64 },
    TooLarge { wanted: i64, bytes_left: i64 },
    BatchCompleted { wanted: i64, bytes_left: i64 },
    ServerShutdown { wanted: i64, bytes_left: i64 },
    WrongPin { wanted: i64, bytes_left: i64 },
    ConsumerDeleted,
    Heartbeat { delivery: DeliverySeq, seq: Seq },
}

/// Gathered while a consumer takes a step; the streams carry it out.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) notes: Vec<Note>,
    /// To this subject.
    pub(crate) statuses: Vec<(Box<[u8]>, Status)>,
    /// Messages this consumer is through with.
    pub(crate) settled: Vec<Seq>,
    /// Messages that waited for acks went away.
    pub(crate) is_cleared: bool,
    /// Messages are dying: see `Consumer::dying`.
    pub(crate) has_deaths: bool,
}

impl Effects {
    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
            && self.statuses.is_empty()
            && self.settled.is_empty()
            && !self.is_cleared
            && !self.has_deaths
    }
}
