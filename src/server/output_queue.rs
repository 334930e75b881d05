//! What waits to be written to one connection.
//!
//! Small things are copied to a tail buffer; large payloads are queued as
//! they are, shared with their other receivers. A connection with nothing to
//! say owns no buffer.

use crate::buffer_pool::{BUFFER_SIZE, BufferPool};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Message tails from this size on are shared instead of copied: about where a
/// copy starts to cost more than the bookkeeping and the extra vector.
pub(crate) const SHARE_MIN: usize = 16 * 1024;

/// Pieces handed to the kernel at once.
const SLICES_MAX: usize = 64;

/// A queue that has been longer than this gives its ring back when it is empty.
const RING_KEPT: usize = 8;

#[derive(Debug)]
enum Chunk {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct OutputQueue {
    /// Older than the tail, in order.
    chunks: VecDeque<Chunk>,
    tail: Vec<u8>,
    /// Bytes of the oldest piece that are already written.
    written: usize,
    /// Bytes still to be written.
    len: usize,
}

/// How far a write got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    All,
    /// The socket takes no more for now; whether it took anything.
    Blocked { progress: bool },
}

impl OutputQueue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffer to append at most `len` bytes to. What was appended must
    /// be reported with [`OutputQueue::appended`].
    #[inline]
    pub(crate) fn tail(&mut self, len: usize, pool: &mut BufferPool) -> &mut Vec<u8> {
        if self.tail.capacity() - self.tail.len() < len {
            self.make_room(len, pool);
        }
        &mut self.tail
    }

    #[cold]
    fn make_room(&mut self, len: usize, pool: &mut BufferPool) {
        if self.tail.len() + len > BUFFER_SIZE && !self.tail.is_empty() {
            self.seal_tail(pool);
        } else if self.tail.capacity() == 0 {
            self.tail = pool.take();
        }
        if self.tail.capacity() < BUFFER_SIZE {
            // Doubles, but never past the size that the pool takes back.
            let target = (self.tail.capacity() * 2)
                .max(self.tail.len() + len)
                .min(BUFFER_SIZE);
            self.tail.reserve_exact(target - self.tail.len());
        }
        // A line longer than a whole buffer gets its own allocation.
        self.tail.reserve(len);
    }

    fn seal_tail(&mut self, pool: &mut BufferPool) {
        let sealed = std::mem::replace(&mut self.tail, pool.take());
        self.chunks.push_back(Chunk::Owned(sealed));
    }

    #[inline]
    pub(crate) fn appended(&mut self, len: usize) {
        self.len += len;
    }

    pub(crate) fn push(&mut self, bytes: &[u8], pool: &mut BufferPool) {
        self.tail(bytes.len(), pool).extend_from_slice(bytes);
        self.appended(bytes.len());
    }

    /// Queues bytes without copying them.
    pub(crate) fn push_shared(&mut self, bytes: Bytes, pool: &mut BufferPool) {
        if !self.tail.is_empty() {
            self.seal_tail(pool);
        }
        self.len += bytes.len();
        self.chunks.push_back(Chunk::Shared(bytes));
    }

    /// Writes as much as the socket takes.
    ///
    /// # Errors
    /// Those of the socket, but for `WouldBlock` and `Interrupted`.
    pub(crate) fn flush(
        &mut self,
        socket: &mut impl Write,
        pool: &mut BufferPool,
    ) -> io::Result<Flushed> {
        let mut progress = false;
        while !self.is_empty() {
            match self.write_some(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    progress = true;
                    self.consume(count, pool);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked { progress });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }

    fn write_some(&self, socket: &mut impl Write) -> io::Result<usize> {
        if self.chunks.is_empty() {
            return socket.write(&self.tail[self.written..]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let pieces = self
            .chunks
            .iter()
            .map(Chunk::bytes)
            .chain(std::iter::once(&self.tail[..]));
        let mut count = 0;
        let mut skip = self.written;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(&piece[skip..]);
            skip = 0;
            count += 1;
        }
        socket.write_vectored(&slices[..count])
    }

    fn consume(&mut self, count: usize, pool: &mut BufferPool) {
        self.len -= count;
        let mut rest = self.written + count;
        while let Some(chunk) = self.chunks.front() {
            let chunk_len = chunk.bytes().len();
            if rest < chunk_len {
                break;
            }
            rest -= chunk_len;
            if let Some(Chunk::Owned(buffer)) = self.chunks.pop_front() {
                pool.give(buffer);
            }
        }
        self.written = rest;
        if self.len == 0 {
            self.written = 0;
            pool.give(std::mem::take(&mut self.tail));
            if self.chunks.capacity() > RING_KEPT {
                self.chunks = VecDeque::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, and blocks in between.
    struct Drip {
        taken: Vec<u8>,
        sizes: Vec<usize>,
    }

    impl Write for Drip {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.sizes.pop() {
                Some(0) | None => Err(io::ErrorKind::WouldBlock.into()),
                Some(size) => {
                    let count = size.min(bytes.len());
                    self.taken.extend_from_slice(&bytes[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_leaves_in_order_however_the_socket_takes_it() {
        let mut pool = BufferPool::default();
        let mut queue = OutputQueue::default();
        let mut want = Vec::new();
        for round in 0..200u32 {
            let piece = vec![round as u8; (round as usize * 977) % 5000];
            want.extend_from_slice(&piece);
            if round % 7 == 0 {
                queue.push_shared(Bytes::from(piece), &mut pool);
            } else {
                queue.push(&piece, &mut pool);
            }
        }
        assert_eq!(queue.len(), want.len());
        let mut drip = Drip {
            taken: Vec::new(),
            sizes: Vec::new(),
        };
        let mut turns: usize = 0;
        loop {
            turns += 1;
            drip.sizes = vec![turns % 3, 1 + turns * 31 % 9000, turns % 70];
            if queue.flush(&mut drip, &mut pool).expect("no error") == Flushed::All {
                break;
            }
        }
        assert_eq!(drip.taken, want);
        assert!(queue.is_empty() && queue.tail.capacity() == 0);
    }

    #[test]
    fn a_long_queue_is_made_of_buffers_of_the_usual_size() {
        let mut pool = BufferPool::default();
        let mut queue = OutputQueue::default();
        for _ in 0..10_000 {
            queue.push(&[7; 100], &mut pool);
        }
        assert_eq!(queue.len(), 1_000_000);
        assert!(
            queue
                .chunks
                .iter()
                .all(|chunk| chunk.bytes().len() <= BUFFER_SIZE)
        );
        assert!(queue.tail.capacity() <= BUFFER_SIZE);
    }
}
