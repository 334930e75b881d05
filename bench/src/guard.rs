//! The keeper of one server process, itself a process.
//!
//! A server under test must not outlive the generator, whichever way that
//! ends: by return, by panic, by Ctrl-C or by a kill which runs no destructor.
//! So the generator never owns a server directly. It starts this guard and
//! holds the other end of its standard input; the guard starts the server,
//! reports it, and kills it when that pipe ends, which the kernel sees to.
//! The guard sits in a process group of its own so that a Ctrl-C in the
//! terminal cannot end it before its server.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The hidden subcommand that makes the executable a guard.
pub(crate) const SUBCOMMAND: &str = "guard";

/// What the guard reports once the server runs.
pub(crate) struct Report {
    /// The server's process id.
    pub(crate) pid: u32,
    /// The moment just before the server was spawned. Wall clock, because
    /// that is the clock which two processes can share through `std`.
    pub(crate) spawned: SystemTime,
}

/// The guard's side: starts `command` and keeps it until stdin ends.
pub(crate) fn run(command: &[OsString]) -> io::Result<()> {
    let (program, args) = command
        .split_first()
        .ok_or_else(|| io::Error::other("guard: no command given"))?;
    let spawned = SystemTime::now();
    // Our stdout carries the report, so the server's goes where errors go.
    let mut server = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .spawn()?;
    let outcome = report(&server, spawned).and_then(|()| until_stdin_ends());
    server.kill()?;
    server.wait()?;
    outcome
}

fn report(server: &Child, spawned: SystemTime) -> io::Result<()> {
    let nanos = spawned
        .duration_since(UNIX_EPOCH)
        .map_err(io::Error::other)?
        .as_nanos();
    let mut out = io::stdout();
    writeln!(out, "{} {nanos}", server.id())?;
    out.flush()
}

fn until_stdin_ends() -> io::Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

/// The generator's side: starts a guard for `program`, which runs in `folder`
/// and whose output goes to `log`.
pub(crate) fn start(
    program: &Path,
    args: &[OsString],
    folder: &Path,
    log: std::fs::File,
) -> io::Result<(Child, Report)> {
    let mut guard = Command::new(std::env::current_exe()?)
        .arg(SUBCOMMAND)
        .arg(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let out = guard.stdout.take();
    match out.map(read_report) {
        Some(Ok(report)) => Ok((guard, report)),
        failed => {
            stop(&mut guard);
            Err(match failed {
                Some(Err(error)) => error,
                _ => io::Error::other("the guard has no stdout"),
            })
        }
    }
}

/// Ends a guard, and with it its server; both are gone on return.
pub(crate) fn stop(guard: &mut Child) {
    drop(guard.stdin.take());
    // Nothing can be done about a guard that cannot be waited for.
    let _ = guard.wait();
}

fn read_report(mut out: ChildStdout) -> io::Result<Report> {
    let mut line = Vec::new();
    let mut byte = [0];
    while out.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    parse_report(&String::from_utf8_lossy(&line))
        .ok_or_else(|| io::Error::other("the server could not be spawned"))
}

fn parse_report(line: &str) -> Option<Report> {
    let (pid, nanos) = line.split_once(' ')?;
    Some(Report {
        pid: pid.parse().ok()?,
        spawned: UNIX_EPOCH + Duration::from_nanos(nanos.parse().ok()?),
    })
}
