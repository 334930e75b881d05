//! Starts the server under test, and waits for things with a deadline.

use std::collections::HashSet;
use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};

/// How long anything may take before the test gives up. Never waited out in a run that passes.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(5);

/// Ports that a test of this run has had: a port released by one test and handed to another
/// could otherwise lead a reconnecting client of the first to the server of the second.
static USED_PORTS: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A running server, killed and reaped when dropped.
pub struct Server {
    child: Child,
    port: u16,
    flags: Vec<String>,
    /// Where a server that keeps streams keeps them.
    store: Option<TempDir>,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// Starts a server with more flags than the address.
    pub async fn start_with(flags: &[&str]) -> Server {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let mut refusals = Vec::new();
        // Another process may take the port between the look-up and the start.
        for _ in 0..5 {
            let port = free_port();
            match launch(port, &flags).await {
                Ok(child) => {
                    return Server {
                        child,
                        port,
                        flags,
                        store: None,
                    };
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        panic!("the server did not start: {refusals:?}");
    }

    /// Starts a server that keeps streams, in a directory of its own.
    pub async fn start_with_store() -> Server {
        let store = TempDir::new().expect("a temporary directory");
        let path = store.path().to_str().expect("a plain path");
        let mut server = if is_reference() {
            Server::start_with(&["-js", "-sd", path]).await
        } else {
            Server::start_with(&["--store", &format!("{path}/midge.redb")]).await
        };
        server.store = Some(store);
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn connect(&self) -> Client {
        self.connect_with(ConnectOptions::new()).await
    }

    pub async fn connect_with(&self, options: ConnectOptions) -> Client {
        options
            .connect(self.url())
            .await
            .expect("the client connects")
    }

    /// Sends a signal by name, as `kill -NAME` does.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("kill runs");
        assert!(sent.success(), "kill -{name} failed: {sent}");
    }

    /// Asks the server to end and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the server did not end on SIGTERM"
            );
            sleep(POLL).await;
        }
    }

    /// Ends the server without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be reaped");
    }

    /// Starts a stopped server again, on the same port and with the same flags.
    pub async fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match launch(self.port, &self.flags).await {
                Ok(child) => {
                    self.child = child;
                    return;
                }
                // A client that keeps dialing can hold the port for an instant.
                Err(refusal) => assert!(Instant::now() < deadline, "no restart: {refusal}"),
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail for a server that a test has stopped and reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    if let Some(named) = env::var_os("MIDGE_BIN") {
        return PathBuf::from(named);
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("midge"))
        .find(|path| path.exists())
        .expect("build midge, or name a server in MIDGE_BIN")
}

/// Whether the server under test is the original.
pub fn is_reference() -> bool {
    binary()
        .file_name()
        .is_some_and(|name| name.to_string_lossy().contains("nats-server"))
}

/// Starts the server on a port and waits until it greets.
async fn launch(port: u16, flags: &[String]) -> Result<Child, String> {
    let binary = binary();
    let (host_flag, port_flag) = if is_reference() {
        ("-a", "-p")
    } else {
        ("--host", "--port")
    };
    let output = || match env::var_os("MIDGE_SERVER_OUTPUT") {
        Some(_) => Stdio::inherit(),
        None => Stdio::null(),
    };
    // Where no test asks for streams, servers must not share the store of this directory.
    let is_plain = !is_reference() && !flags.iter().any(|flag| flag == "--store");
    let mut child = Command::new(&binary)
        .args([host_flag, "127.0.0.1", port_flag, &port.to_string()])
        .args(flags)
        .args(is_plain.then_some("--no-store"))
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));

    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        let greeted = greets(port).await;
        // Looked at after the greeting, which may have come from another process on the port.
        match child.try_wait() {
            Ok(None) if greeted => return Ok(child),
            Ok(None) if Instant::now() < deadline => sleep(POLL).await,
            Ok(None) => break "no INFO in time".to_owned(),
            Ok(Some(status)) => break format!("the server ended: {status}"),
            Err(error) => break error.to_string(),
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(refusal)
}

async fn greets(port: u16) -> bool {
    let greeting = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        std::io::Result::Ok(line)
    };
    matches!(timeout(Duration::from_secs(2), greeting).await, Ok(Ok(line)) if line.starts_with("INFO "))
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        if USED_PORTS.lock().expect("no panic in here").insert(port) {
            return port;
        }
    }
}

/// What a client reported to its event callback.
pub struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    pub fn of(options: ConnectOptions) -> (ConnectOptions, Events) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let options = options.event_callback(move |event| {
            // The receiver is gone once a test has seen enough.
            let _ = sender.send(event);
            std::future::ready(())
        });
        (options, Events(receiver))
    }

    /// Waits for an event, and gives back those that came before it.
    pub async fn until(&mut self, wanted: Event) -> Vec<Event> {
        let mut before = Vec::new();
        // One deadline for all: a client that keeps dialing has something to tell forever.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, self.0.recv()).await {
                Ok(Some(event)) if event == wanted => return before,
                Ok(Some(event)) => before.push(event),
                Ok(None) | Err(_) => panic!("no {wanted:?}, but {before:?}"),
            }
        }
    }

    /// What has come by now and was not looked at yet.
    pub fn so_far(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Waits for the next message.
pub async fn next(subscriber: &mut Subscriber) -> Message {
    timeout(PATIENCE, subscriber.next())
        .await
        .expect("a message in time")
        .expect("the subscription is open")
}

/// Waits for the next message and gives back its payload as text.
pub async fn next_text(subscriber: &mut Subscriber) -> String {
    let message = next(subscriber).await;
    String::from_utf8(message.payload.to_vec()).expect("a text payload")
}

/// Asserts that the subscription ends without another message.
pub async fn assert_ended(subscriber: &mut Subscriber) {
    let end = timeout(PATIENCE, subscriber.next())
        .await
        .expect("the subscription ends in time");
    assert!(end.is_none(), "one message too many: {end:?}");
}

/// Asserts that no message waits. Only means something after [`settle`] on the same client.
pub fn assert_quiet(subscriber: &mut Subscriber) {
    // Unconstrained, since a task that has read a lot would be told that nothing waits.
    let waiting = tokio::task::unconstrained(subscriber.next()).now_or_never();
    assert!(waiting.is_none(), "one message too many: {waiting:?}");
}

/// Waits until the server has handled all that the client has sent, and the client all that the
/// server had sent it by then. The client's `flush` only hands the bytes to the socket.
pub async fn settle(client: &Client) {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.expect("subscribes");
    client
        .publish(inbox, "settled".into())
        .await
        .expect("publishes");
    next(&mut echo).await;
}
