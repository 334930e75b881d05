//! The thread that writes what others have left, and keeps the connection
//! alive.

use crate::deadline::Deadline;
use crate::shared::Shared;

/// Runs until the client is closed.
pub(crate) fn run(shared: &Shared) {
    let interval = shared.options.ping_interval;
    let mut next = Deadline::after(interval);
    loop {
        let Some(left) = next.left() else {
            shared.ping();
            next = Deadline::after(interval);
            continue;
        };
        if !shared.outbox.serve(left) {
            return;
        }
    }
}
