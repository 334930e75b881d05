//! Doors that a nats-server may have beside the one for clients: for other
//! servers, for browsers and for MQTT.
//!
//! Nobody comes in where none is, so a file that only opens them is served without
//! them, with a warning. One that tells whom to connect to counts on being a part
//! of something, and is refused.

use super::read::Item;
use super::tree::{ConfError, Value};

/// The warning that such a block does nothing.
///
/// # Errors
/// It tells of other servers to connect to.
pub(crate) fn pass_over(item: Item<'_>) -> Result<String, ConfError> {
    let name = item.name;
    if counts_on_others(item) {
        let what = format!("{name}: midge is one server and connects to no others; leave it out");
        return Err(ConfError::new(item.place, what));
    }
    Ok(format!("{}: {name} is not served here", item.place))
}

/// Whether others are named, and not just a door for them.
fn counts_on_others(item: Item<'_>) -> bool {
    let names_some = |item: Item<'_>| !matches!(item.value, Value::List(list) if list.is_empty());
    match item.block() {
        Ok(entries) => entries.iter().any(|entry| {
            let key = entry.key.to_ascii_lowercase();
            matches!(&*key, "routes" | "remotes" | "gateways") && names_some(Item::from(entry))
        }),
        Err(_) => names_some(item),
    }
}
