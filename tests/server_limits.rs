//! What the configuration allows the streams of all accounts, in
//! `jetstream { … }`. The answers are those of nats-server 2.14.0.

use crate::stream_util::{Dir, End};
use crate::util::{Client, File, Server};

const BYTES: &str = "jetstream { max_mem: 1000, max_file: 2000 }";

const ASKED: &str = r#"jetstream { limits {
    max_ack_pending: 10, max_request_batch: 3, duplicate_window: "5s", max_ha_assets: 2
} }"#;

fn serve(dir: &Dir, conf: &str) -> (Server, File) {
    let file = File::new("server-limits", conf);
    let server = dir.serve_with(&["--config", file.path()]);
    (server, file)
}

/// The error code of a stream's creation or update; 0 if there is none.
fn stream(client: &mut Client, verb: &str, name: &str, more: &str) -> u64 {
    let body = format!("{{\"name\":\"{name}\",\"subjects\":[\"{name}\"]{more}}}");
    let answer = client.ask(&format!("$JS.API.STREAM.{verb}.{name}"), body);
    answer.json()["error"]["err_code"].as_u64().unwrap_or(0)
}

fn stored(client: &mut Client, subject: &str, len: usize) -> u64 {
    let answer = client.ask(subject, "x".repeat(len)).json();
    answer["error"]["err_code"].as_u64().unwrap_or(0)
}

#[test]
fn streams_take_no_more_than_the_server_has() {
    for end in End::BOTH {
        let dir = Dir::new();
        let (server, _file) = serve(&dir, BYTES);
        let mut client = server.client();
        for (verb, name, more, code) in [
            (
                "CREATE",
                "X",
                r#","max_bytes":1001,"storage":"memory""#,
                10028,
            ),
            ("CREATE", "X", r#","max_bytes":2001"#, 10047),
            ("CREATE", "M", r#","max_bytes":600,"storage":"memory""#, 0),
            (
                "CREATE",
                "X",
                r#","max_bytes":401,"storage":"memory""#,
                10028,
            ),
            ("CREATE", "F", r#","max_bytes":1500"#, 0),
            ("UPDATE", "F", r#","max_bytes":2001"#, 10047),
            ("UPDATE", "F", r#","max_bytes":2000"#, 0),
            // One byte is what a stream takes at least.
            ("CREATE", "G", "", 10047),
            ("UPDATE", "F", r#","max_bytes":1900"#, 0),
            ("CREATE", "G", "", 0),
        ] {
            assert_eq!(
                stream(&mut client, verb, name, more),
                code,
                "{verb} {name}{more}"
            );
        }
        while stored(&mut client, "G", 600) == 0 {}
        assert_eq!(stored(&mut client, "G", 1), 10023);
        assert_eq!(stored(&mut client, "F", 1), 10023);
        assert_eq!(stored(&mut client, "M", 1), 0, "memory is another thing");
        let taken = client.state("G")["bytes"].as_u64().unwrap();
        assert!((2000..2700).contains(&taken), "{taken}");
        end.bring(server);
        let (server, _file) = serve(&dir, BYTES);
        let mut client = server.client();
        assert_eq!(stored(&mut client, "G", 1), 10023, "{end:?}");
        client.api("STREAM.PURGE.G", "{\"keep\":1}");
        assert_eq!(stored(&mut client, "F", 1), 0);
    }
}

#[test]
fn streams_and_consumers_ask_for_no_more_than_the_server_allows() {
    let dir = Dir::new();
    let (server, _file) = serve(&dir, ASKED);
    let mut client = server.client();
    let window = r#","duplicate_window":6000000000"#;
    assert_eq!(stream(&mut client, "CREATE", "S", window), 10052);
    assert_eq!(stream(&mut client, "CREATE", "S", ""), 0);
    assert_eq!(stream(&mut client, "UPDATE", "S", window), 10052);
    let config = client.api("STREAM.INFO.S", "")["config"].clone();
    assert_eq!(config["duplicate_window"], 5_000_000_000_u64);
    let make = |client: &mut Client, more: &str| {
        let body = format!(
            r#"{{"stream_name":"S","config":{{"durable_name":"c","ack_policy":"explicit"{more}}}}}"#
        );
        client.ask("$JS.API.CONSUMER.CREATE.S.c", body).json()
    };
    for (more, code) in [
        (r#","max_ack_pending":11"#, 10121),
        (r#","max_batch":4"#, 10125),
    ] {
        let refused = make(&mut client, more);
        assert_eq!(refused["error"]["err_code"], code, "{more}");
    }
    let made = make(&mut client, "");
    assert_eq!(made["config"]["max_ack_pending"], 10);
    assert_eq!(made["config"]["max_batch"], 3);
}
