//! Messages from one part of the server to another.

use crate::account::Sink;
use crate::publish::Origin;
use bytes::Bytes;

/// A message of the streams' own that has met a part of the server.
#[derive(Debug)]
pub(crate) struct Internal {
    pub(crate) origin: Origin,
    pub(crate) sink: Sink,
    pub(crate) subject: Box<[u8]>,
    pub(crate) reply: Option<Box<[u8]>>,
    pub(crate) payload: Bytes,
    pub(crate) header_len: usize,
}
