//! What a stream's configuration asks for beyond storing what comes.
//!
//! A message for a stream without any of it must not pay for this: there is
//! one flag on its way, [`Stream::is_special`](super::stream::Stream). Only
//! the end of its reply is looked at beside that, as who sends batches to a
//! stream that takes none has to be told.

use super::stream::Stream;
use midge_api::{Compression, Transform, keeps_overflow};

/// Made of the configuration whenever that changes.
#[derive(Debug, Default)]
pub(super) struct Features {
    /// How subjects change on the way in.
    pub(super) transform: Option<Transform>,
    /// Where what was stored is published again.
    pub(super) republish: Option<Republisher>,
}

#[derive(Debug)]
pub(super) struct Republisher {
    pub(super) transform: Transform,
    /// Bodies are left out.
    pub(super) headers_only: bool,
}

impl Stream {
    /// Takes note of what the configuration asks for.
    pub(super) fn configured(&mut self) {
        let config = &self.config;
        self.config_json = config.to_json().into();
        self.keeps_overflow = keeps_overflow(config).unwrap_or(false);
        self.log.is_compressed = config.compression != Compression::None;
        // A configuration was checked before it came here.
        let transform = config.subject_transform.as_ref();
        self.features.transform = transform.and_then(|asked| Transform::new(asked).ok());
        // Without a destination there is nowhere to publish to.
        let republish = config.republish.as_ref();
        let republish = republish.filter(|asked| !asked.dest.is_empty());
        self.features.republish = republish.and_then(|asked| {
            Some(Republisher {
                transform: asked.transform().ok()?,
                headers_only: asked.headers_only,
            })
        });
        self.configure_copies();
        self.mark_special();
    }

    /// Sees whether messages can just be stored.
    pub(super) fn mark_special(&mut self) {
        let features = &self.features;
        self.is_special = features.transform.is_some()
            || features.republish.is_some()
            || self.config.allow_msg_counter
            || self.config.allow_atomic
            || self.config.allow_batched
            || !self.waiting.is_empty();
    }
}
