//! Streams: messages that are kept.

mod block;
mod summary;
mod varint;

pub use block::{BLOCK_LEN_MAX, BLOCK_SEQS_MAX, Block, Record};
pub use summary::summarize;
