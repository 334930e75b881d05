//! The time zones that schedules may name, from the system's files.
//!
//! They are read by the helper thread when the first stream with schedules is
//! made, or before the loop begins where there are some already: whoever has
//! none does without. What changes on the disk later is seen after the next
//! start.

use crate::event_loop::EventLoop;
use crate::helper::Task;
use midge_engine::{Zone, Zones};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Where the files are.
const DIRECTORY: &str = "/usr/share/zoneinfo";

/// The zone of this machine.
const LOCAL: &str = "/etc/localtime";

/// The same zones again, with and without leap seconds.
const DOUBLES: [&str; 2] = ["posix", "right"];

/// Zones that are read: some times as many as there are.
const ZONES_MAX: usize = 4096;

/// How far names go down: `America/Argentina/Salta`.
const DEPTH_MAX: u32 = 3;

/// The longest file, some times as long as they are.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// Reads all there are. What is no zone among the files is passed over.
pub(crate) fn read() -> Zones {
    let mut zones = Vec::new();
    if let Some(local) = read_zone(Path::new(LOCAL)) {
        zones.push(("Local".into(), local));
    }
    walk(Path::new(DIRECTORY), "", DEPTH_MAX, &mut zones);
    if zones.len() <= 1 {
        log::warn!("{DIRECTORY} has no time zones: schedules know UTC alone");
    }
    Zones::new(zones)
}

fn walk(directory: &Path, prefix: &str, depth: u32, zones: &mut Vec<(Box<str>, Arc<Zone>)>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|name| !DOUBLES.contains(name)) else {
            continue;
        };
        if zones.len() >= ZONES_MAX {
            return;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            if depth > 0 {
                walk(&path, &format!("{name}/"), depth - 1, zones);
            }
        } else if let Some(zone) = read_zone(&path) {
            zones.push((name.into(), zone));
        }
    }
}

fn read_zone(path: &Path) -> Option<Arc<Zone>> {
    let is_file = |file: &fs::Metadata| file.is_file() && file.len() <= FILE_LEN_MAX;
    fs::metadata(path).ok().filter(is_file)?;
    Zone::parse(&fs::read(path).ok()?).map(Arc::new)
}

impl EventLoop {
    /// Has the zones read if somebody waits for them.
    pub(crate) fn ask_for_zones(&mut self) {
        if !self.engine.wants_zones() {
            return;
        }
        let Some(disk) = self.disk.as_mut().filter(|disk| !disk.has_asked_for_zones) else {
            return;
        };
        disk.has_asked_for_zones = true;
        if let Err(error) = self.helper.give(Task::Zones) {
            log::error!("cannot start the thread that reads time zones: {error}");
            self.zones_read(Zones::new(Vec::new()));
        }
    }

    pub(crate) fn zones_read(&mut self, zones: Zones) {
        let now = self.connections.now;
        self.engine.zones_read(now, zones, &mut self.connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zones_of_this_machine_can_be_read() {
        let zones = read();
        let text = format!("{zones:?}");
        assert!(text.contains("\"UTC\"") && text.contains("\"Local\""));
        if Path::new(DIRECTORY).join("America/New_York").exists() {
            assert!(text.contains("\"America/New_York\""));
            assert!(!text.contains("\"posix/"));
        }
    }
}
