//! Where servers keep what they store: one folder for the run, in it one for
//! each server, and nothing left of either afterwards.
//!
//! Stores can be large, so they must go whichever way the generator ends. A
//! sweeper process sees to that as the [guard](crate::guard) does for
//! servers: it removes the folder of the run once its input ends.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The hidden subcommand that makes the executable a sweeper.
pub(crate) const SUBCOMMAND: &str = "sweep";

/// A server that is being killed may still be making files; how often, and
/// how far apart, removing is tried again.
const TRIES: u32 = 50;
const TRY_EVERY: Duration = Duration::from_millis(100);

/// How many writes tell how long the disk takes for one.
const PROBES: usize = 31;

/// The folder of a run.
pub(crate) struct Place {
    path: PathBuf,
    sweeper: Child,
    count: AtomicU32,
}

impl Place {
    /// Makes the folder within `parent`.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let name = format!("midge-bench-{}", std::process::id());
        let path = std::path::absolute(parent)?.join(name);
        fs::create_dir(&path).map_err(|error| {
            io::Error::other(format!(
                "cannot make the folder {}: {error}",
                path.display()
            ))
        })?;
        let sweeper = Command::new(std::env::current_exe()?)
            .arg(SUBCOMMAND)
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Place {
            path,
            sweeper,
            count: AtomicU32::new(0),
        })
    }

    /// A new folder for one server.
    pub(crate) fn folder(&self) -> io::Result<Folder> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(number.to_string());
        fs::create_dir(&path)?;
        Ok(Folder { path })
    }

    /// What kind of filesystem it is on, as the kernel calls it.
    pub(crate) fn filesystem(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        filesystem_of(&self.path, &mounts)
            .unwrap_or("an unknown filesystem")
            .to_owned()
    }

    /// The median time to append 128 bytes to a file and have them on disk:
    /// no server that keeps its word acknowledges a lone message sooner.
    pub(crate) fn time_of_a_sync(&self) -> io::Result<Duration> {
        let folder = self.folder()?;
        let mut file = File::create(folder.path().join("probe"))?;
        let mut times = Vec::new();
        for _ in 0..PROBES {
            let begun = Instant::now();
            file.write_all(&[b'x'; 128])?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        times.sort();
        Ok(times[PROBES / 2])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        // Nothing can be done about a sweeper that cannot be waited for.
        let _ = self.sweeper.wait();
    }
}

/// The folder of one server, gone when dropped.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that the files in it occupy on the disk. Files may end in,
    /// or have within them, space that is not there yet; it does not count.
    pub(crate) fn occupied(&self) -> io::Result<u64> {
        occupied(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is left to the sweeper.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The sweeper's side: waits until stdin ends and removes the folder.
pub(crate) fn run(args: &[OsString]) -> io::Result<()> {
    let path = args
        .first()
        .ok_or_else(|| io::Error::other("sweep: no folder given"))?;
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    for _ in 0..TRIES {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(TRY_EVERY),
            _ => return Ok(()),
        }
    }
    Err(io::Error::other("sweep: the folder could not be removed"))
}

fn occupied(path: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        total += match entry.metadata() {
            Ok(data) if data.is_dir() => occupied(&entry.path())?,
            Ok(data) => data.blocks() * 512,
            // The server renamed or removed it this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(total)
}

/// The type of the mount whose point is the longest that leads to the path.
fn filesystem_of<'m>(path: &Path, mounts: &'m str) -> Option<&'m str> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfoo xfs rw 0 0\n";
        let kind = |path| filesystem_of(Path::new(path), mounts);
        assert_eq!(kind("/tmp/x"), Some("tmpfs"));
        assert_eq!(kind("/tmpfoo"), Some("xfs"));
        assert_eq!(kind("/home"), Some("ext4"));
    }
}
