//! A program that makes an answer of a request.

use midge_client::Message;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What it may say where the server does not say what it takes.
const BYTES_MAX: usize = 1 << 20;

/// How often it is looked whether it has ended, once it says no more.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Starts it in a shell, hands it the request and returns what it says; or
/// why that is no answer.
pub(super) fn run(
    command: &str,
    request: &Message,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let bytes_max = if bytes_max == 0 { BYTES_MAX } else { bytes_max };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("MIDGE_SUBJECT", request.subject())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start a shell: {error}"))?;
    let said = talk(&mut child, request.payload().to_vec(), bytes_max);
    let ended = wait(&mut child, &said, timeout);
    if ended.is_err() {
        // What it has started may live on; nobody listens to that.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (said, status) = ended?;
    if said.len() > bytes_max {
        return Err(format!("the program says more than {bytes_max} bytes"));
    }
    if !status.success() {
        return Err(format!("the program failed: {status}"));
    }
    Ok(said)
}

/// Writes and reads at the same time: a program may do either first.
fn talk(child: &mut Child, request: Vec<u8>, bytes_max: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read all it is given is none the worse.
        thread::spawn(move || stdin.write_all(&request));
    }
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stdout.take(bytes_max as u64 + 1).read_to_end(&mut said);
            sender.send(said)
        });
    }
    receiver
}

fn wait(
    child: &mut Child,
    said: &Receiver<Vec<u8>>,
    timeout: Duration,
) -> Result<(Vec<u8>, ExitStatus), String> {
    let late = || {
        format!(
            "the program took longer than {}",
            humantime::format_duration(timeout)
        )
    };
    let start = Instant::now();
    let said = said.recv_timeout(timeout).map_err(|_| late())?;
    while start.elapsed() < timeout {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((said, status)),
            Ok(None) => thread::sleep(LOOK_EVERY),
            Err(error) => return Err(format!("the program is lost: {error}")),
        }
    }
    Err(late())
}
