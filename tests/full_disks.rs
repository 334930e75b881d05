//! A disk that is full, or refuses in other ways: publishers are told, the
//! rest of the server goes on, and the streams come back by themselves.
//!
//! A small file system has to be mounted for it, which takes root; without
//! that the test says so and does nothing. Errors at every single operation
//! are the store's own tests, on a disk that is made up.

use crate::stream_util::{Dir, End};
use crate::util::{Client, PATIENCE, Server, midge};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// A file system of a few megabytes that goes with the test.
struct SmallDisk {
    dir: Dir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = Dir::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "midge-test"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk { dir }),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                println!("skipped: no small disk can be mounted: {}", said.trim());
                None
            }
            Err(error) => {
                println!("skipped: no small disk can be mounted: {error}");
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still be closing its file.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .output();
    }
}

/// Publishes until it is refused; returns the bodies that were acknowledged,
/// the first of them under sequence `from`.
fn fill(client: &mut Client, from: u64) -> Vec<String> {
    let mut stored = Vec::new();
    for number in from.. {
        let body = format!("{number}-{}", "x".repeat(20_000));
        let ack = client.ask("s", &body).json();
        if ack["error"].is_null() {
            assert_eq!(ack["seq"], number);
            stored.push(body);
            assert!(stored.len() < 5000, "the disk is never full");
            continue;
        }
        assert_eq!(ack["error"]["code"], 503, "{ack}");
        assert_eq!(ack["stream"], "S");
        break;
    }
    stored
}

/// What works without a disk.
fn check_core(server: &Server) {
    let mut client = server.client();
    client.send("SUB core 1\r\nPUB core 2\r\nhi\r\n");
    client.expect("MSG core 1 2\r\nhi\r\n");
}

/// Waits until the streams take messages again; returns the sequence that the
/// first one got.
fn wait_for_streams(client: &mut Client) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ack = client.ask("s", "back").json();
        if ack["error"].is_null() {
            return ack["seq"].as_u64().unwrap();
        }
        assert!(Instant::now() < deadline, "still refused: {ack}");
    }
}

fn check_stored(client: &mut Client, bodies: &[String]) {
    for (seq, body) in (1..).zip(bodies) {
        let message = client.ask("$JS.API.DIRECT.GET.S", format!("{{\"seq\":{seq}}}"));
        assert!(message.text() == *body, "{seq}: {}", message.header);
    }
}

#[test]
fn a_full_disk_stops_the_streams_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("12m") else {
        return;
    };
    // What can be taken away later.
    std::fs::write(disk.ballast(), vec![0; 2 << 20]).unwrap();
    let server = disk.dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "\"allow_direct\":true");
    client.make_durable("S", "d", "");
    let bodies = fill(&mut client, 1);
    assert!(!bodies.is_empty());
    check_core(&server);
    server.wait_log("No space left on device");
    // Further ones are refused as well, and so is the API.
    assert_eq!(client.ask("s", "more").json()["error"]["code"], 503);
    assert_eq!(
        client.api_error("STREAM.CREATE.T", "{\"name\":\"T\"}"),
        10008
    );
    std::fs::remove_file(disk.ballast()).unwrap();
    let seq = wait_for_streams(&mut client);
    assert!(seq > bodies.len() as u64, "{seq} was acknowledged before");
    check_stored(&mut client, &bodies);
    assert_eq!(client.next("S", "d").text(), bodies[0]);
    check_core(&server);
    // And all of it once more after a restart.
    End::Killed.bring(server);
    let server = disk.dir.serve();
    let mut client = server.client();
    check_stored(&mut client, &bodies);
    assert_eq!(client.stored("S", seq).unwrap()["data"], "YmFjaw==");
    assert!(client.store("s", "x") > seq);
}

#[test]
fn a_store_on_a_full_disk_can_be_looked_at() {
    let Some(disk) = SmallDisk::mount("12m") else {
        return;
    };
    let server = disk.dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let stored = fill(&mut client, 1).len();
    End::Killed.bring(server);
    // To the last page of it.
    let mut rest = std::fs::File::create(disk.ballast()).unwrap();
    while rest.write_all(&[1; 4096]).is_ok() {}
    let output = Command::new(midge())
        .args(["verify", "--store", &disk.dir.store()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.contains(&format!("1 stream, {stored} messages in ")),
        "{said}"
    );
}

#[test]
fn a_full_disk_can_be_emptied_by_deleting() {
    let Some(disk) = SmallDisk::mount("12m") else {
        return;
    };
    std::fs::write(disk.ballast(), vec![0; 1 << 20]).unwrap();
    let server = disk.dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let stored = fill(&mut client, 1).len();
    // A little room lets it open again; what a purge frees does the rest.
    std::fs::remove_file(disk.ballast()).unwrap();
    wait_for_streams(&mut client);
    client.api("STREAM.PURGE.S", "");
    for _ in 0..stored / 2 {
        client.store("s", "x".repeat(20_000));
    }
}

/// A limit on the size of files stands in for a disk that refuses to write
/// with something other than "full". It needs no root.
#[test]
fn a_disk_that_refuses_to_write_stops_the_streams_and_nothing_else() {
    let dir = Dir::new();
    let mut command = Command::new("sh");
    // Ignored signals stay ignored in the program that takes the shell's
    // place, so that writing too much is an error instead of an end. The
    // limit is the soft one, in blocks of 512 bytes.
    let script = "trap '' XFSZ; ulimit -S -f 15000; exec \"$0\" \"$@\"";
    command.args([
        "-c",
        script,
        &midge(),
        "--port",
        "0",
        "--store",
        &dir.store(),
    ]);
    let server = Server::spawn(command);
    let mut client = server.client();
    client.make_stream("S", "s", "\"allow_direct\":true");
    let bodies = fill(&mut client, 1);
    assert!(!bodies.is_empty());
    check_core(&server);
    server.wait_log("File too large");
    let pid = server.pid().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    if raised.is_ok_and(|status| status.success()) {
        assert!(wait_for_streams(&mut client) > bodies.len() as u64);
        check_stored(&mut client, &bodies);
    } else {
        println!("not looked at: how the streams come back, for want of prlimit");
    }
    End::Killed.bring(server);
    let server = dir.serve();
    check_stored(&mut server.client(), &bodies);
}
