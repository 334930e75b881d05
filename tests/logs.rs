//! What the log looks like, and what does not get into it.

use crate::util::{PATIENCE, Server, midge};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

#[test]
fn a_line_can_be_an_object_of_json() {
    let server = Server::start_with(&["--log-format", "json"]);
    let mut client = server.client();
    client.sync();
    let log = server.log();
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert_eq!(line["level"], "info");
        assert_eq!(line["pid"], server.pid());
        let time = line["time"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert!(
            line["message"]
                .as_str()
                .is_some_and(|words| !words.is_empty())
        );
    }
}

/// A configuration, and what is logged under it; both go with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, config: &str) -> Place {
        let name = format!("midge-logs-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let config = config.replace("FOLDER", folder.to_str().unwrap());
        fs::write(folder.join("midge.conf"), config).unwrap();
        Place(folder)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(midge());
        let config = self.0.join("midge.conf");
        command
            .args(["serve", "--port", "0", "--config"])
            .arg(config);
        if cfg!(feature = "streams") {
            command.arg("--no-store");
        }
        command
    }

    /// The files that the log was moved away to, and the one that is written.
    fn logs(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap().path());
        let is_log = |path: &PathBuf| path.to_str().unwrap().contains("midge.log");
        let mut logs: Vec<PathBuf> = files.filter(is_log).collect();
        logs.sort();
        logs
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn each_line_of_the_protocol_is_logged_without_secrets() {
    let place = Place::new(
        "trace",
        "trace: true, authorization { user: joe, password: hush }",
    );
    let server = Server::spawn(place.command());
    let mut client = server.connect();
    client.send(
        "CONNECT {\"user\":\"joe\",\"pass\":\"hush\",\"auth_token\":\"t0k\",\"sig\":\"s1g\",\"name\":\"n\"}\r\n",
    );
    client.send("SUB foo 1\r\nPUB foo back 5\r\nhello\r\nPUB no\x1bbody 0\r\n\r\n");
    client.sync();
    let id = "cid:1 - \"v::n\" - \"$G/user:joe\"";
    for words in [
        "<<- [CONNECT {\"auth_token\":\"[REDACTED]\",\"name\":\"n\",\"pass\":\"[REDACTED]\""
            .to_owned(),
        format!("{id} - <<- [SUB foo 1]"),
        format!("{id} - <<- [PUB foo back 5]"),
        format!("{id} - <<- MSG_PAYLOAD: [\"hello\"]"),
        format!("{id} - ->> [MSG foo 1 back 5]"),
        format!("{id} - ->> MSG_PAYLOAD: [\"hello\"]"),
        format!("{id} - <<- [PUB no?body 0]"),
        format!("{id} - ->> [PONG]"),
    ] {
        server.wait_log(&words);
    }
    for said in [
        "{\"pass\":{\"is\":\"hush\"}}",
        "{\"pasword\":\"hush\"}",
        "{\"user\":\"t0k\"}",
        "{\"user\":\"joe\",\"pass\":\"hush",
        "hush",
    ] {
        let mut client = server.connect();
        client.send(format!("CONNECT {said}\r\n"));
        client.rest();
    }
    let log = server.log();
    for secret in ["hush", "t0k", "s1g"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[test]
fn without_trace_no_line_is_logged() {
    let server = Server::start_with(&["--debug"]);
    let mut client = server.client();
    client.send("SUB foo 1\r\n");
    client.sync();
    drop(client);
    server.wait_log("closed: Client Closed");
    assert!(!server.log().contains("SUB foo"), "{}", server.log());
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_long_log_is_moved_away_and_the_oldest_are_forgotten() {
    let place = Place::new(
        "size",
        "log_file: FOLDER/midge.log, log_size_limit: 300, log_max_num: 2",
    );
    // Each start says something.
    let deadline = Instant::now() + PATIENCE;
    let written = |place: &Place| {
        let texts = place
            .logs()
            .into_iter()
            // It may be moved away or forgotten by now.
            .filter_map(|path| fs::read_to_string(path).ok());
        texts.collect::<Vec<String>>()
    };
    let mut starts = 0;
    while place.logs().len() < 3 || starts < 8 {
        let running = Running(place.command().spawn().expect("midge starts"));
        starts += 1;
        let pid = format!("[{}]", running.0.id());
        // Its own line: who is ended before it may be about to remove a file.
        let says = |line: &str| line.starts_with(&pid) && line.contains("Server is ready");
        let is_ready = |text: &String| text.lines().any(says);
        while !written(&place).iter().any(is_ready) {
            assert!(Instant::now() < deadline, "{:?}", written(&place));
            std::thread::yield_now();
        }
    }
    let logs = written(&place);
    assert_eq!(logs.len(), 3, "{logs:?}");
    assert!(logs.iter().all(|text| text.len() <= 300), "{logs:?}");
}
