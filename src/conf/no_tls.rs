//! In place of `tls` where it is left out.

use super::read::Item;
use super::settings::Settings;
use super::tree::ConfError;

/// There is none in this program.
pub(crate) fn read(_: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    // Passed over, it would leave everything readable.
    let what = format!("{}: this program was built without TLS", item.name);
    Err(ConfError::new(item.place, what))
}

pub(crate) fn option(settings: &mut Settings, item: Item<'_>) -> Result<(), ConfError> {
    read(settings, item)
}

pub(crate) fn settle(_: &mut Settings) {}
