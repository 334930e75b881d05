//! A program that makes an answer of a request.
//!
//! Owns the program while it runs, and leaves nothing of it behind: no thread
//! waits for its pipes, which something that it has started may hold for
//! ever.

use midge_client::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What it may say where the server does not say what it takes.
const BYTES_MAX: usize = 1 << 20;

/// How often it is looked whether it has ended, once it says no more.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What is read at a time: what a pipe holds.
const CHUNK_LEN: usize = 64 << 10;

/// How long it may take.
struct Limit {
    start: Instant,
    timeout: Duration,
}

/// Starts it in a shell, hands it the request and returns what it says; or
/// why that is no answer.
pub(super) fn run(
    command: &str,
    request: &Message,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let bytes_max = if bytes_max == 0 { BYTES_MAX } else { bytes_max };
    let limit = Limit {
        start: Instant::now(),
        timeout,
    };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("MIDGE_SUBJECT", request.subject())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What it starts can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start a shell: {error}"))?;
    let said = talk(&mut child, request.payload(), bytes_max, &limit);
    let ended = said.and_then(|said| Ok((said, wait(&mut child, &limit)?)));
    if ended.is_err() {
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }
    let (said, status) = ended?;
    if !status.success() {
        return Err(format!("the program failed: {status}"));
    }
    Ok(said)
}

/// Writes and reads at the same time: a program may do either first.
fn talk(
    child: &mut Child,
    mut request: &[u8],
    bytes_max: usize,
    limit: &Limit,
) -> Result<Vec<u8>, String> {
    let (mut stdin, mut stdout) = pipes(child).map_err(|error| lost(&error))?;
    let (mut said, mut chunk) = (Vec::new(), vec![0; CHUNK_LEN]);
    loop {
        stdin = stdin.filter(|_| !request.is_empty());
        if stdin.is_none() && stdout.is_none() {
            return Ok(said);
        }
        wait_for_pipes(stdin.as_ref(), stdout.as_ref(), limit)?;
        if let Some(pipe) = &mut stdin {
            match pipe.write(request) {
                Ok(count) => request = &request[count..],
                Err(error) if is_for_now(&error) => {}
                // One that does not read all it is given is none the worse.
                Err(_) => request = &[],
            }
        }
        if let Some(pipe) = &mut stdout {
            match pipe.read(&mut chunk) {
                Ok(0) => stdout = None,
                Ok(count) => said.extend_from_slice(&chunk[..count]),
                Err(error) if is_for_now(&error) => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        if said.len() > bytes_max {
            return Err(format!("the program says more than {bytes_max} bytes"));
        }
    }
}

/// Its pipes, which wait for nothing.
fn pipes(child: &mut Child) -> io::Result<(Option<ChildStdin>, Option<ChildStdout>)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(pipe) = &stdin {
        ioctl_fionbio(pipe, true)?;
    }
    if let Some(pipe) = &stdout {
        ioctl_fionbio(pipe, true)?;
    }
    Ok((stdin, stdout))
}

fn wait_for_pipes(
    stdin: Option<&ChildStdin>,
    stdout: Option<&ChildStdout>,
    limit: &Limit,
) -> Result<(), String> {
    let mut pipes = Vec::new();
    pipes.extend(stdin.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    pipes.extend(stdout.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    // One that is too long for the kernel is no limit.
    let left = Timespec::try_from(limit.left()?).ok();
    match poll(&mut pipes, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(lost(&error.into())),
    }
}

fn wait(child: &mut Child, limit: &Limit) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => thread::sleep(LOOK_EVERY.min(limit.left()?)),
            Err(error) => return Err(lost(&error)),
        }
    }
}

impl Limit {
    fn left(&self) -> Result<Duration, String> {
        let left = self.timeout.checked_sub(self.start.elapsed());
        left.filter(|left| !left.is_zero()).ok_or_else(|| {
            format!(
                "the program took longer than {}",
                humantime::format_duration(self.timeout)
            )
        })
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn lost(error: &io::Error) -> String {
    format!("the program is lost: {error}")
}
