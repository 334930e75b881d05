//! The file that streams are kept in: who may have it, what else may lie
//! there, what is said at the start, and what is done about damage.

use crate::stream_util::{Dir, End};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn midge(args: &[&str]) -> Output {
    let mut command = Command::new(crate::util::midge());
    command.args(args).env_remove("RUST_LOG").output().unwrap()
}

/// Runs a server that cannot start; returns what it said.
fn refused(store: &Path) -> String {
    let output = midge(&["--port", "0", "--store", store.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("Server is ready"), "{text}");
    text
}

#[test]
fn a_second_server_leaves_the_file_to_the_first() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let said = refused(Path::new(&dir.store()));
    assert!(
        said.contains(&format!("{} is in use by another process", dir.store())),
        "{said}"
    );
    assert_eq!(client.store("s", "still here"), 1);
    for words in ["verify", "compact"] {
        let output = midge(&[words, "--store", &dir.store()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(
            said.contains("is in use by another process"),
            "{words}: {said}"
        );
        assert!(
            said.contains("stop the server that has it open first"),
            "{words}: {said}"
        );
    }
}

#[test]
fn what_is_no_store_is_left_as_it_is() {
    let dir = Dir::new();
    let said = refused(dir.path());
    assert!(
        said.contains("is a directory") || said.contains("Is a directory"),
        "{said}"
    );
    let path = dir.path().join("notes.txt");
    for text in ["", "x", "These are my notes, and not a store of streams.\n"] {
        std::fs::write(&path, text.repeat(100)).unwrap();
        if text.is_empty() {
            continue;
        }
        let said = refused(&path);
        assert!(said.contains("notes.txt is not a midge store"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text.repeat(100));
        let output = midge(&["verify", "--store", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
    }
    let said = refused(&dir.path().join("none/here.redb"));
    assert!(said.contains("No such file or directory"), "{said}");
}

#[test]
fn without_permission_it_says_so() {
    // Root may do everything, so this asks for a file that cannot be made by
    // anybody.
    let said = refused(Path::new("/proc/midge.redb"));
    assert!(said.contains("/proc/midge.redb: "), "{said}");
    assert!(said.contains("cannot open"), "{said}");
}

#[test]
fn the_log_tells_what_was_found() {
    let dir = Dir::new();
    let server = dir.serve();
    let found = |log: &str, words: &str| {
        let wanted = format!("[INF] Store {}: {words}, opened in ", dir.store());
        assert!(log.contains(&wanted), "{wanted:?} is not in {log}");
    };
    found(&server.log(), "0 streams, 0 messages");
    let mut client = server.client();
    client.make_stream("A", "a", "");
    client.make_stream("B", "b", "");
    for _ in 0..3 {
        client.store("a", "x");
    }
    client.store("b", "x");
    End::Stopped.bring(server);
    let server = dir.serve();
    found(&server.log(), "2 streams, 4 messages");
    assert!(
        !server.log().contains("from its journal"),
        "{}",
        server.log()
    );
    server.client().store("a", "x");
    End::Killed.bring(server);
    let server = dir.serve();
    found(&server.log(), "2 streams, 5 messages");
    assert!(
        server.log().contains(", with 1 commit from its journal"),
        "{}",
        server.log()
    );
}

#[test]
fn a_sound_store_is_found_sound() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    for _ in 0..10 {
        client.store("s", "x");
    }
    End::Stopped.bring(server);
    let output = midge(&["verify", "--store", &dir.store()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("1 stream, 10 messages in "), "{said}");
    assert!(said.contains("everything is as it was written"), "{said}");
    let output = midge(&["verify", "--json", "--store", &dir.store()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["type"], "io.midge.api.v1.verify_response");
    assert_eq!(
        (&report["is_sound"], &report["records"]),
        (&true.into(), &10.into())
    );
    assert_eq!(report["pages_are_sound"], true);
    for words in ["verify", "compact"] {
        let output = midge(&[words, "--store", "/nowhere/at.all"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot open /nowhere/at.all"));
        assert_eq!(midge(&[words, "--nonsense"]).status.code(), Some(2));
    }
}

#[test]
fn looking_leaves_the_file_as_it_is() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    for _ in 0..10 {
        client.store("s", "x");
    }
    // What it holds is in its journal.
    End::Killed.bring(server);
    let before = std::fs::read(dir.store()).unwrap();
    let copy = dir.path().join("copy.redb");
    let copy = copy.to_str().unwrap();
    for (words, wanted) in [
        (vec!["verify"], "1 stream, 10 messages in "),
        (vec!["recover", "--to", copy], "10 messages in "),
    ] {
        let output = midge(&[&words[..], &["--store", &dir.store()]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(said.contains(wanted), "{said}");
        assert!(before == std::fs::read(dir.store()).unwrap(), "{words:?}");
    }
    let output = midge(&["verify", "--store", copy]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let server = dir.serve();
    assert_eq!(server.client().store("s", "y"), 11);
}

#[test]
fn compacting_gives_room_back_and_takes_nothing_else() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let body = "x".repeat(100_000);
    for _ in 0..120 {
        client.store("s", &body);
    }
    client.api("STREAM.PURGE.S", "{\"keep\":1}");
    End::Stopped.bring(server);
    let before = std::fs::metadata(dir.store()).unwrap().len();
    let output = midge(&["compact", "--store", &dir.store()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let after = std::fs::metadata(dir.store()).unwrap().len();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("{before} bytes before, {after} bytes now")),
        "{said}"
    );
    assert!(after < before / 2, "{said}");
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(client.state("S")["messages"], 1);
    assert!(client.stored("S", 120).is_ok());
    assert_eq!(client.store("s", "x"), 121);
}

/// Changes a byte of a message where it lies.
fn damage(store: &str, payload: &str) {
    let mut bytes = std::fs::read(store).unwrap();
    let places: Vec<usize> = bytes
        .windows(payload.len())
        .enumerate()
        .filter(|(_, window)| *window == payload.as_bytes())
        .map(|(at, _)| at)
        .collect();
    // Pages that were given up may hold it as well.
    assert!(!places.is_empty(), "{payload} is not in the file");
    for at in places {
        bytes[at + 3] ^= 1;
    }
    std::fs::write(store, bytes).unwrap();
}

/// A stopped server's nine orders, of which the fifth has been hit.
pub(crate) fn with_a_damaged_order() -> Dir {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("ORDERS", "o", "");
    for number in 1..=9 {
        client.store("o", format!("payload-number-{number}"));
    }
    End::Stopped.bring(server);
    damage(&dir.store(), "payload-number-5");
    dir
}

#[test]
fn a_damaged_message_is_named_and_its_neighbours_are_served() {
    let dir = with_a_damaged_order();
    let output = midge(&["verify", "--store", &dir.store()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let named = "stream ORDERS, sequence 5: a record is damaged\n";
    assert!(said.contains(named), "{said}");
    assert!(
        said.contains("some pages of the file are not as they were written\n"),
        "{said}"
    );

    // The file does not have to be looked at before it is used: what is
    // damaged shows when it is read.
    let server = dir.serve();
    let mut client = server.client();
    client.make_durable("ORDERS", "d", "");
    client.listen_for_pulls();
    client.pull("ORDERS", "d", "{\"batch\":10,\"no_wait\":true}");
    for number in [1, 2, 3, 4, 6, 7, 8, 9] {
        let message = client.message();
        assert_eq!(
            (message.text(), message.sequence()),
            (format!("payload-number-{number}"), number)
        );
    }
    assert!(client.message().header.starts_with("NATS/1.0 404"));
    assert_eq!(client.stored("ORDERS", 5), Err(10037));
    server.wait_log("[ERR] stream ORDERS, sequence 5: a record is damaged");

    // Asked, the running server says so too.
    let report = client.ask("$MIDGE.API.VERIFY", "").json();
    assert_eq!(
        (&report["is_sound"], &report["damaged"]),
        (&false.into(), &1.into()),
        "{report}"
    );
    let found = &report["damage"][0];
    assert_eq!(
        (&found["stream"], &found["first_seq"]),
        (&"ORDERS".into(), &5.into()),
        "{report}"
    );
    assert_eq!(client.store("o", "new"), 10);
    assert_eq!(client.next("ORDERS", "d").told(), (1, 10, 9, 0));
}

#[test]
fn a_running_server_looks_at_its_store_when_asked() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s", "");
    let body = "x".repeat(5000);
    client.send("SUB _I 1\r\n");
    client.send(format!("PUB s _I 5000\r\n{body}\r\n").repeat(400));
    for _ in 0..400 {
        client.message();
    }
    // Many ask at once, and nobody else has to wait for it.
    client.send("UNSUB 1\r\nSUB _V v\r\n");
    for _ in 0..10 {
        client.publish("$MIDGE.API.VERIFY", Some("_V"), "", "");
    }
    let mut other = server.client();
    assert_eq!(other.store("s", "meanwhile"), 401);
    for _ in 0..10 {
        let report = client.message().json();
        assert_eq!(report["is_sound"], true, "{report}");
        let records = report["records"].as_u64().unwrap();
        assert!(records == 400 || records == 401, "{report}");
    }
    // And what nobody knows is answered too.
    let unknown = client.ask("$MIDGE.API.MAKE.COFFEE", "").json();
    assert_eq!(unknown["error"]["code"], 404, "{unknown}");
    // No stream may answer in its place.
    assert_eq!(
        client.api_error(
            "STREAM.CREATE.M",
            "{\"name\":\"M\",\"subjects\":[\"$MIDGE.API.>\"]}"
        ),
        10052
    );
}

/// As redb leaves a file whose every page it wants to look at: a crash in
/// another version's time, or a header that was hit.
fn make_redb_look(store: &str) {
    let mut image = std::fs::read(store).unwrap();
    let tables_at = u64::from_le_bytes(image[16..24].try_into().unwrap()) as usize;
    image[tables_at + 9] = (image[tables_at + 9] | 2) & !4;
    std::fs::write(store, image).unwrap();
}

#[test]
fn what_is_whole_is_got_out_of_a_file_that_cannot_be_opened() {
    let dir = with_a_damaged_order();
    make_redb_look(&dir.store());
    let said = refused(Path::new(&dir.store()));
    assert!(
        said.contains("it is damaged") && said.contains("midge recover"),
        "{said}"
    );
    let to = dir.path().join("recovered.redb");
    let to = to.to_str().unwrap();
    let output = midge(&["recover", "--store", &dir.store(), "--to", to]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("8 messages in 1 block"), "{said}");
    assert!(said.contains("lost to damage: 1 message, 0 rows"), "{said}");
    let output = midge(&["recover", "--store", &dir.store(), "--to", to]);
    assert_eq!(output.status.code(), Some(2), "there is a file");
    std::fs::rename(to, dir.store()).unwrap();
    let server = dir.serve();
    let mut client = server.client();
    assert_eq!(client.stored("ORDERS", 5), Err(10037));
    assert!(client.stored("ORDERS", 6).is_ok());
    assert_eq!(client.store("o", "next"), 10);
}
