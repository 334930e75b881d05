//! What of the program stays resident once it serves.
//!
//! The kernel maps the pages around each one that is touched, so a start, which
//! goes through the configuration, recovery and much else that is never needed
//! again, leaves two thirds of the program and of the C library resident. This
//! gives such pages back once; those that serving needs come again one by one,
//! out of the page cache. On a small machine the rest is free for others then,
//! without the kernel having to find that nobody uses it.

/// Gives back the pages of the program and its libraries that are as they are in
/// their files. Nothing is said if that cannot be: nothing depends on it.
#[cfg(target_os = "linux")]
pub(crate) fn give_back() {
    let Ok(mappings) = std::fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for mapping in unwritten(&mappings) {
        give_back_mapping(mapping);
    }
}

/// Elsewhere it is not known which they are.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_back() {}

/// The addresses of the mappings that show a file, cannot be written to, never could
/// ("ac": what can be is accounted for), and have no page of their own, in memory or
/// swapped out.
#[cfg(target_os = "linux")]
fn unwritten(smaps: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        match first {
            "Anonymous:" | "Swap:" => candidate = candidate.filter(|_| second == "0"),
            "VmFlags:" if second == "ac" || words.any(|flag| flag == "ac") => candidate = None,
            "VmFlags:" => found.extend(candidate.take()),
            range if !range.ends_with(':') => {
                let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
                let is_fixed = matches!(second, "r-xp" | "r--p");
                candidate = addresses(range).filter(|_| is_of_file && is_fixed);
            }
            _ => {}
        }
    }
    found
}

#[cfg(target_os = "linux")]
fn addresses(range: &str) -> Option<std::ops::Range<usize>> {
    let (from, to) = range.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    Some(parse(from)?..parse(to)?)
}

/// The benchmark that needs it is that of idle memory (`--only idle`): 5.1 MB without,
/// 3.7 MB with it.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn give_back_mapping(mapping: std::ops::Range<usize>) {
    use rustix::mm::{Advice, madvise};
    let start = std::ptr::with_exposed_provenance_mut(mapping.start);
    // SAFETY: the kernel lets go of the pages of this mapping, and gives whoever
    // touches one of them again what the file holds there. That is what the page
    // held before: the mapping is private and cannot be written to, so nothing in
    // this process changes it, and it never could be and has no page of its own, so
    // nothing has, such as the loader before it took the right to write away.
    // Nobody else changes it either: what is mapped is the program and the
    // libraries it is linked to, and a page of theirs that was never touched would
    // show a change of the file just so. Should the mapping have gone meanwhile,
    // which no thread of ours does to one of these, an error is all that happens.
    let given_back = unsafe { madvise(start, mapping.len(), Advice::LinuxDontNeed) };
    // Locked in memory, for example: then it stays.
    let _ = given_back;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r-xp 00001000 fe:00 77                         /usr/bin/midge
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
3000-4000 r--p 00003000 fe:00 77                         /usr/bin/midge
Rss:                   4 kB
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
4000-5000 rw-p 00004000 fe:00 77                         /usr/bin/midge
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac sd
5000-6000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
6000-7000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
VmFlags: rd ex mr mw me de sd
7000-8000 r--s 00000000 fe:00 78                         /etc/shared
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr me ms sd
8000-a000 r--p 00000000 fe:00 79                         /lib/lib c.so
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
a000-b000 r--p 00002000 fe:00 79                         /lib/lib c.so
Anonymous:             0 kB
Swap:                  4 kB
VmFlags: rd mr mw me sd
b000-c000 r--p 00003000 fe:00 79                         /lib/lib c.so
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me ac sd
";

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        assert_eq!(unwritten(SMAPS), [0x1000..0x3000, 0x8000..0xa000]);
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        let code = |smaps: &str| -> usize {
            let mut lines = smaps.lines().skip_while(|line| !line.contains("r-xp"));
            let rss = lines.find_map(|line| line.strip_prefix("Rss:"));
            let kib = rss.and_then(|rss| rss.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse().ok())
                .expect("code is resident")
        };
        let smaps = || std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        let before = code(&smaps());
        give_back();
        let after = code(&smaps());
        assert!(after < before, "{after} KiB of {before}");
    }
}
