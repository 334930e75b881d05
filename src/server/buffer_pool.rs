//! Output buffers that wait for the next connection with something to say.

/// Buffers kept. Each loop turn needs as many as connections are written to
/// in it; beyond this many, allocating costs little beside the writing.
const BUFFERS_MAX: usize = 32;

/// A buffer that has grown beyond this is given back to the allocator.
pub(crate) const BUFFER_SIZE: usize = 64 * 1024;

/// A new buffer starts this large: most hold one small message.
const BUFFER_SIZE_START: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
}

impl BufferPool {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE_START))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let is_usual = (1..=BUFFER_SIZE).contains(&buffer.capacity());
        if is_usual && self.buffers.len() < BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
