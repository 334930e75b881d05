//! What the operating system says of this process.

use std::fs;
use std::time::Duration;

/// Clock ticks a second in `/proc`; fixed on every Linux there is.
const TICKS_PER_SECOND: u64 = 100;

/// Memory and processor time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
    /// Processor time since the start, user and system.
    pub(crate) cpu: Duration,
}

impl Usage {
    /// Reads `/proc`; what is not there stays zero.
    pub(crate) fn now() -> Self {
        Usage {
            resident_bytes: resident_bytes().unwrap_or_default(),
            cpu: cpu().unwrap_or_default(),
        }
    }
}

/// Open descriptors. They are counted one by one, so this is for those alone
/// who want to know.
pub(crate) fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold blanks: count from behind it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}
