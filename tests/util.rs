//! What the tests share: a server of one's own, and clients that say and
//! expect bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes that works, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// CONNECT as most clients send it: no `+OK`, no checks, headers and 503s; but
/// of protocol 0, so that no INFO comes in between.
pub(crate) const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// The program under test: the one that was built with the tests, or the one
/// that `MIDGE_BIN` names.
pub(crate) fn midge() -> String {
    std::env::var("MIDGE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_midge").to_owned())
}

/// A midge of one's own, on a free port; it ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Server::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let mut command = Command::new(midge());
        command.args(["--port", "0"]).args(args);
        if cfg!(feature = "streams") && !args.contains(&"--store") {
            command.arg("--no-store");
        }
        Server::spawn(command)
    }

    /// Starts a prepared command and waits until it listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("midge starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (mut address, mut http) = (None, None);
        let log = Arc::new(Mutex::new(String::new()));
        loop {
            let mut line = String::new();
            let count = stderr.read_line(&mut line).expect("the log is text");
            assert!(count > 0, "midge ended: {}", log.lock().unwrap());
            log.lock().unwrap().push_str(&line);
            // It may be JSON.
            let words = line.trim_end().trim_end_matches("\"}");
            if let Some((_, at)) = words.split_once("Listening for client connections on ") {
                address = at.to_socket_addrs().ok().and_then(|mut all| all.next());
            } else if let Some((_, at)) = words.split_once(" monitor on ") {
                http = at.parse().ok();
            } else if words.ends_with("Server is ready") {
                break;
            }
        }
        let tail = log.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
                tail.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Server {
            child,
            address: address.expect("the log names the address"),
            http,
            log,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log says this.
    #[track_caller]
    pub(crate) fn wait_log(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(
                Instant::now() < deadline,
                "{words:?} is not in {}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// A connection that has read its INFO.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A connection that has entered as a user.
    #[track_caller]
    pub(crate) fn enter(&self, user: &str, pass: &str) -> Client {
        let mut client = self.connect();
        client.send(format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\
            \"user\":\"{user}\",\"pass\":\"{pass}\"}}\r\n"
        ));
        assert_eq!(client.sync(), "");
        client
    }

    /// A connection that has sent [`CONNECT`] as well.
    pub(crate) fn client(&self) -> Client {
        let mut client = self.connect();
        client.send(CONNECT);
        client
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "midge does not end: {}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// Resident memory without the pages of files, in KiB.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        self.memory_kib("RssAnon:")
    }

    /// The most that was ever resident, in KiB.
    pub(crate) fn resident_peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("midge runs");
        let line = status.lines().find(|line| line.starts_with(what));
        line.and_then(|line| line.split_whitespace().nth(1))
            .and_then(|kib| kib.parse().ok())
            .expect("it has a number")
    }

    /// A monitoring page: status line and body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.http.expect("--http-port was given"))
            .expect("the monitor listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the page is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.lines().next().unwrap_or_default();
        (status.to_owned(), body.to_owned())
    }

    /// A monitoring page of JSON.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert!(status.contains("200"), "{path}: {status}");
        serde_json::from_str(&body).expect(path)
    }

    /// Waits until a page's JSON is as wanted.
    pub(crate) fn wait_json(&self, path: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let json = self.json(path);
            if wanted(&json) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} stays {json}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw socket that says and expects bytes.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) info: String,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("midge listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client {
            stream,
            info: String::new(),
            received: Vec::new(),
        };
        client.info = client.line();
        assert!(client.info.starts_with("INFO {"), "{}", client.info);
        client
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("midge reads");
    }

    /// Sends what the other side may refuse to read.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.fill(), "closed after {:?}", self.text());
        }
    }

    /// The next bytes, so many.
    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(
                self.fill(),
                "closed {} bytes early",
                count - self.received.len()
            );
        }
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }

    /// Expects exactly these bytes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: impl AsRef<[u8]>) {
        let wanted = wanted.as_ref();
        while self.received.len() < wanted.len() && wanted.starts_with(&self.received) {
            assert!(self.fill(), "closed after {:?}", self.text());
        }
        assert!(
            self.received.starts_with(wanted),
            "expected {:?}, got {:?}",
            String::from_utf8_lossy(wanted),
            self.text()
        );
        self.received.drain(..wanted.len());
    }

    /// Everything up to the PONG of a PING sent now, the PONG excluded.
    /// Nothing can be on its way to this client any more when it returns.
    #[track_caller]
    pub(crate) fn sync(&mut self) -> String {
        self.send("PING\r\n");
        loop {
            if let Some(end) = self
                .received
                .windows(6)
                .position(|bytes| bytes == b"PONG\r\n")
            {
                let before: Vec<u8> = self.received.drain(..end + 6).collect();
                return String::from_utf8_lossy(&before[..end]).into_owned();
            }
            assert!(self.fill(), "closed after {:?}", self.text());
        }
    }

    /// Expects exactly these bytes and then the end.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, wanted: impl AsRef<[u8]>) {
        while self.fill() {}
        assert_eq!(
            self.text(),
            String::from_utf8_lossy(wanted.as_ref()),
            "before the end"
        );
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.received)
    }

    pub(crate) fn shut_write(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads some more; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let read = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {:?}", self.text()),
        }
    }
}

/// A configuration file that is gone with the test.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> File {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("midge-{name}-{}-{number}.conf", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("written");
        File(path)
    }

    /// Says something else from now on, all at once.
    pub(crate) fn replace(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, &self.0).expect("renamed");
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Random numbers for tests: printed seeds, replayable runs.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Dice(seed)
    }

    /// One that another one's seed leads to.
    pub(crate) fn quiet(seed: u64) -> Self {
        Dice(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
