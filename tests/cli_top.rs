//! `midge top`: what it measures, and what it does to a terminal; and what
//! others ask on one.

use crate::cli_util::{done, done_json, lasting_port, refused, run, serve_at, served};
use crate::stream_util::{Dir, End};
use crate::util::{PATIENCE, midge};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the screen is taken with and given back with.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// `midge` on a terminal of a given size.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(url: &str, lines: u16, args: &str) -> Terminal {
        let line = format!("stty rows {lines} cols 200; exec {} {args}", midge());
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("MIDGE_URL", url)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is part of util-linux");
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let tail = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                tail.lock().unwrap().push_str(&text);
            }
        });
        Terminal {
            keys: child.stdin.take().unwrap(),
            child,
            shown,
        }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for a drawing that is as wanted, and returns it without what only
    /// a terminal needs.
    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            // The last one may not be whole.
            let mut drawings = shown.rsplit("\x1b[H");
            let whole = drawings.find(|drawing| drawing.contains("\x1b[J"));
            if let Some(drawing) = whole {
                let plain = drawing.replace("\x1b[K", "").replace("\r", "");
                let plain = plain.split("\x1b[J").next().unwrap_or_default();
                if wanted(plain) {
                    return plain.to_owned();
                }
            }
            assert!(Instant::now() < deadline, "{what}: {shown:?}");
            std::thread::yield_now();
        }
    }

    /// Waits for words.
    #[track_caller]
    fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown().contains(words) {
            assert!(Instant::now() < deadline, "{words}: {:?}", self.shown());
            std::thread::yield_now();
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// How it ended.
    fn end(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().expect("it ends by itself")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_is_measured_what_is_there() {
    let (_dir, server, url) = served();
    done(&url, "stream add ORDERS --subjects orders.>");
    done(&url, "stream add EMPTY");
    done(
        &url,
        "consumer add ORDERS packer --max-deliver 1 --ack-wait 1h",
    );
    done(&url, "consumer add ORDERS billing");
    let mut client = server.client();
    for number in 1..=5 {
        client.store(&format!("orders.{number}"), "a box");
    }
    done(&url, "consumer next ORDERS packer --nak broken");
    done(&url, "consumer next ORDERS packer --count 2 --no-ack");
    let told = done_json(&url, "top --interval 100ms --sort messages");
    assert_eq!(told["server"], server.address.to_string());
    let [orders, dlq, empty] = &told["streams"].as_array().unwrap()[..] else {
        panic!("{told}");
    };
    for (stream, name, messages, consumers, ack_pending, dead) in [
        (orders, "ORDERS", 5, 2, 2, 1),
        (dlq, "DLQ", 1, 0, 0, 0),
        (empty, "EMPTY", 0, 0, 0, 0),
    ] {
        assert_eq!(stream["stream"], name);
        assert_eq!(stream["messages"], messages, "{name}");
        assert_eq!(stream["consumers"], consumers, "{name}");
        assert_eq!(stream["ack_pending"], ack_pending, "{name}");
        assert_eq!(stream["dead"], dead, "{name}");
        assert_eq!(stream["in_per_s"], 0, "{name}");
        assert_eq!(stream["oldest_ms"].is_u64(), messages > 0, "{name}");
    }
    let packer = &told["consumers"][1];
    for (key, wanted) in [
        ("pending", 2),
        ("ack_pending", 2),
        ("dead", 1),
        ("out_per_s", 0),
    ] {
        assert_eq!(packer[key], wanted, "{key}");
    }
    let (code, out, said) = run(&url, "top --interval 100ms");
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(out.starts_with("STREAM  IN/S  OUT/S  MESSAGES"), "{out}");
    assert!(out.contains("\nORDERS  0     0      5  "), "{out}");
    assert!(out.contains("\n\nSTREAM  CONSUMER  OUT/S"), "{out}");
    refused(
        &url,
        "top --sort size",
        2,
        "\"size\" is not one of name, in, out",
    );
    refused(
        "127.0.0.1:1",
        "top --once",
        2,
        "--server or MIDGE_URL names another server",
    );
}

#[test]
fn a_terminal_is_redrawn_and_given_back() {
    let dir = Dir::new();
    let port = lasting_port();
    let server = serve_at(&dir, port);
    let url = server.address.to_string();
    done(&url, "stream add ORDERS --subjects orders.>");
    done(&url, "stream add ZEBRAS");
    server.client().store("orders.new", "a box");
    let mut top = Terminal::start(&url, 24, "top --interval 100ms");
    top.wait("a message", |drawing| {
        drawing.contains("\nORDERS  0     0      1  ")
    });
    server.client().store("orders.new", "a box");
    top.wait("another one", |drawing| {
        drawing.contains("  2  ") && drawing.contains("by name")
    });
    // By what comes in, by what goes out, by messages.
    server.client().store("ZEBRAS", "stripes");
    top.press(b"sss");
    let drawing = top.wait("another order", |drawing| drawing.contains("by messages"));
    assert!(drawing.contains("\n\nSTREAM  IN/S"), "{drawing}");
    End::Killed.bring(server);
    top.wait("trouble", |drawing| drawing.contains("; looking again\n"));
    let server = serve_at(&dir, port);
    server.client().store("orders.new", "a box");
    top.wait("its end", |drawing| {
        drawing.contains("\n\nSTREAM") && drawing.contains("\nORDERS") && drawing.contains("  3  ")
    });
    top.press(b"q");
    assert_eq!(top.end(), 0, "{}", top.shown());
    top.wait_for(LEAVE);
    assert!(top.shown().starts_with(ENTER) && top.shown().ends_with(LEAVE));
}

#[test]
fn what_fits_is_drawn_and_ctrl_c_ends_it() {
    let (_dir, server, url) = served();
    let mut client = server.client();
    for number in 0..40 {
        client.make_stream(&format!("S{number}"), &format!("s.{number}"), "");
        client.make_durable("S0", &format!("c{number}"), "");
    }
    let mut top = Terminal::start(&url, 14, "top --interval 100ms");
    let drawing = top.wait("all of them", |drawing| {
        drawing.contains("streams 40, consumers 40")
    });
    let drawing = match drawing.contains("\nS0") {
        true => drawing,
        false => top.wait("rows", |drawing| drawing.contains("\nS0")),
    };
    assert_eq!(drawing.lines().count(), 14, "{drawing}");
    assert_eq!(drawing.matches(" more").count(), 2, "{drawing}");
    top.press(b"\x03");
    assert_eq!(top.end(), 0, "{}", top.shown());
    top.wait_for(LEAVE);
}

#[test]
fn a_person_is_asked_before_something_is_gone() {
    let (_dir, _server, url) = served();
    done(&url, "stream add ORDERS");
    for (answer, code, left) in [(&b"no\r"[..], 1, 1), (b"yes\r", 0, 0)] {
        let mut asked = Terminal::start(&url, 24, "stream rm ORDERS");
        asked.wait_for("delete ORDERS with 0 messages? yes or no: ");
        asked.press(answer);
        assert_eq!(asked.end(), code, "{}", asked.shown());
        assert_eq!(done_json(&url, "stream ls")["total"], left);
    }
}
