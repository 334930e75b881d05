//! Short byte strings without a heap block each.

use std::ops::Deref;

/// Bytes kept in place up to `N` of them, else on the heap.
///
/// Subscription ids and subject tokens are nearly always short, and there can
/// be a million of either: the allocator's bookkeeping would cost more than
/// the bytes.
#[derive(Debug, Clone)]
pub(crate) enum SmallBytes<const N: usize> {
    Inline { len: u8, bytes: [u8; N] },
    // The second box keeps the pointer thin, and the whole thing small.
    Heap(Box<Box<[u8]>>),
}

impl<const N: usize> SmallBytes<N> {
    const LEN_FITS: () = assert!(N <= u8::MAX as usize);

    pub(crate) fn new(source: &[u8]) -> Self {
        let () = Self::LEN_FITS;
        if source.len() > N {
            return SmallBytes::Heap(Box::new(source.into()));
        }
        let mut bytes = [0; N];
        bytes[..source.len()].copy_from_slice(source);
        SmallBytes::Inline {
            len: source.len() as u8,
            bytes,
        }
    }
}

impl<const N: usize> Deref for SmallBytes<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            SmallBytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            SmallBytes::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_every_length() {
        for len in 0..40 {
            let source: Vec<u8> = (0..len).collect();
            assert_eq!(&*SmallBytes::<14>::new(&source), &source[..]);
        }
    }

    #[test]
    fn the_sizes_are_what_the_memory_budget_assumes() {
        assert_eq!(size_of::<SmallBytes<14>>(), 16);
        assert_eq!(size_of::<SmallBytes<22>>(), 24);
    }
}
