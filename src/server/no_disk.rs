//! What stands where the store is, in a build without streams.

use crate::config::Config;
use crate::connections::Connections;
use crate::event_loop::EventLoop;
use crate::server::{Shared, StartError};
use midge_engine::Engine;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The store, which there is none of.
pub(crate) enum Disk {}

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        match *self {}
    }
}

/// Opens nothing.
pub(crate) fn open_configured(
    _: &Config,
    _: &Arc<Shared>,
    _: &mut Engine,
    _: &mut Connections,
) -> Result<Option<Disk>, StartError> {
    Ok(None)
}

impl EventLoop {
    pub(crate) fn tell_wall(&mut self) {}

    pub(crate) fn completions(&mut self) {}

    pub(crate) fn hand_to_store(&mut self) {}

    pub(crate) fn settle_store(&mut self) {}

    pub(crate) fn close_store(&mut self) -> io::Result<()> {
        Ok(())
    }
}
