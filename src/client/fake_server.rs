//! A server that does what a test tells it to.

use crate::{Client, Options};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything takes that works, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const INFO: &str = "INFO {\"server_id\":\"fake\"}\r\n";

/// The server's side of a connection.
pub(crate) struct Peer(pub(crate) BufReader<TcpStream>);

impl Peer {
    pub(crate) fn say(&mut self, words: impl AsRef<[u8]>) {
        let _ = self.0.get_mut().write_all(words.as_ref());
    }

    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// What a server does until requests come; returns the CONNECT.
    pub(crate) fn greet(&mut self) -> String {
        self.say(INFO);
        let connect = self.hear();
        assert_eq!(self.hear(), "PING");
        self.say("PONG\r\n");
        connect
    }

    /// Hears a request: subject, reply subject, body.
    pub(crate) fn asked(&mut self) -> (String, String, String) {
        let mut line = self.hear();
        if line.starts_with("SUB _INBOX.") {
            assert!(line.ends_with(".* 1"), "{line}");
            line = self.hear();
        }
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words[0] == "PUB" && words.len() == 4, "{line}");
        let mut body = vec![0; words[3].parse::<usize>().expect("a size") + 2];
        self.0.read_exact(&mut body).expect("the body");
        let body = String::from_utf8(body).expect("text");
        (words[1].into(), words[2].into(), body.trim_end().into())
    }

    pub(crate) fn answer(&mut self, reply: &str, body: &str) {
        self.say(format!("MSG {reply} 1 {}\r\n{body}\r\n", body.len()));
    }
}

/// A place where clients connect to.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) fn new() -> (Listener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("bound"));
        (Listener(listener), url)
    }

    pub(crate) fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Peer(BufReader::new(stream))
    }
}

/// Serves one connection as told; its URL and its end.
pub(crate) fn serve(told: impl FnOnce(&mut Peer) + Send + 'static) -> (String, JoinHandle<()>) {
    let (listener, url) = Listener::new();
    let thread = std::thread::spawn(move || told(&mut listener.accept()));
    (url, thread)
}

pub(crate) fn options() -> Options {
    Options {
        timeout: PATIENCE,
        ..Options::default()
    }
}

/// Connects to a server that greets and then does as told.
pub(crate) fn client(told: impl FnOnce(&mut Peer) + Send + 'static) -> (Client, JoinHandle<()>) {
    let (url, thread) = serve(|peer| {
        peer.greet();
        told(peer);
    });
    (Client::connect(&url, options()).expect("connected"), thread)
}
