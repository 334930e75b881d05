//! What Linux tells about a process in `/proc`: processor time, resident
//! memory, bytes written, whether it lives, how many files it may open; and
//! how busy the machine is.

use std::fs;
use std::io;
use std::time::Duration;

/// The length of a tick in `/proc/<pid>/stat`. The kernel scales them to
/// `USER_HZ`, which is 100 on every architecture anybody runs this on.
const TICK: Duration = Duration::from_millis(10);

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that ever was resident.
    pub(crate) peak: u64,
}

/// User and system time the process has used, all threads together.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_cpu(&stat).ok_or_else(|| unreadable(pid, "stat"))
}

/// The memory the process occupies.
pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_memory(&status).ok_or_else(|| unreadable(pid, "status"))
}

/// The bytes which the process has caused to be written to a disk, now or
/// later. A filesystem in memory counts none.
pub(crate) fn written(pid: u32) -> io::Result<u64> {
    let counts = fs::read_to_string(format!("/proc/{pid}/io"))?;
    parse_written(&counts).ok_or_else(|| unreadable(pid, "io"))
}

/// Whether the process still runs; one that ended but was not yet waited for
/// does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(fields(&stat)?.next()? != "Z"))
        .unwrap_or(false)
}

/// How many files this process, and every server it starts, may open.
pub(crate) fn open_file_limit() -> io::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    parse_open_files(&limits).ok_or_else(|| io::Error::other("cannot read /proc/self/limits"))
}

/// The name of the processor, if the kernel tells it.
pub(crate) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// How many threads wanted a processor during the last minute, on average.
pub(crate) fn load_average() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split_whitespace()
        .next()
        .and_then(|minute| minute.parse().ok())
        .ok_or_else(|| io::Error::other("cannot read /proc/loadavg"))
}

fn unreadable(pid: u32, file: &str) -> io::Error {
    io::Error::other(format!("cannot read /proc/{pid}/{file}"))
}

/// The fields of a stat line from the state on. The command name before it
/// may hold spaces and parentheses, so the last parenthesis is what counts.
fn fields(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.get(stat.rfind(')')? + 1..)?.split_whitespace())
}

fn parse_cpu(stat: &str) -> Option<Duration> {
    // utime and stime are fields 14 and 15, counted from 1; the state is 3.
    let mut times = fields(stat)?.skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |key: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(key))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
    })
}

fn parse_written(counts: &str) -> Option<u64> {
    counts
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))?
        .parse()
        .ok()
}

fn parse_open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_user_plus_system_whatever_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0";
        assert_eq!(parse_cpu(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = parse_memory(status).unwrap();
        assert_eq!((memory.resident, memory.peak), (1 << 20, 2 << 20));
    }

    #[test]
    fn written_is_one_line_of_several() {
        let counts = "wchar: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n";
        assert_eq!(parse_written(counts), Some(4096));
    }

    #[test]
    fn the_soft_limit_counts() {
        let limits =
            "Limit  Soft  Hard  Units\nMax open files            1024      4096      files\n";
        assert_eq!(parse_open_files(limits), Some(1024));
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(cpu(pid).is_ok() && memory(pid).unwrap().resident > 0 && is_alive(pid));
        assert!(open_file_limit().unwrap() > 0 && load_average().unwrap() >= 0.0);
    }
}
