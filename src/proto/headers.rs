//! A stand-in for the header block reader, until that is merged.

/// The header that names a message for deduplication.
pub const MSG_ID: &str = "Nats-Msg-Id";

/// A header block.
#[derive(Debug, Clone, Copy)]
pub struct HeaderBlock<'a>(&'a [u8]);

impl<'a> HeaderBlock<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        HeaderBlock(bytes)
    }

    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.split(|byte| *byte == b'\n').find_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            found
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| value.strip_prefix(b":").map(<[u8]>::trim_ascii))?
        })
    }
}
