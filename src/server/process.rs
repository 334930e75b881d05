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

/// Processors that this process may run on, as the system lets it; a quota on
/// their time does not count.
pub(crate) fn cores() -> u64 {
    let mask = status("Cpus_allowed:").unwrap_or_default();
    let digits = mask.chars().filter_map(|digit| digit.to_digit(16));
    let cores: u32 = digits.map(u32::count_ones).sum();
    cores.max(1).into()
}

fn resident_bytes() -> Option<u64> {
    let kib: u64 = status("VmRSS:")?.parse().ok()?;
    Some(kib * 1024)
}

/// The first word behind this one in the process's status.
fn status(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1).map(str::to_owned)
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

#[cfg(test)]
mod tests {
    #[test]
    fn cores_are_those_that_std_finds() {
        // std counts a quota as well, where there is one.
        let found = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(super::cores() >= found as u64);
        let all = std::fs::read_to_string("/proc/cpuinfo").expect("Linux");
        let all = all.lines().filter(|line| line.starts_with("processor"));
        assert!(super::cores() <= all.count() as u64);
    }
}
