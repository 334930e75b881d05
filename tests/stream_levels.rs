//! The level of the API: that of nats-server 2.14, told wherever clients look.

use crate::stream_util::Dir;
use crate::util::Client;
use serde_json::{Value, json};

/// What the server adds to the metadata: who it is, and what the asset needs.
fn noted(required: &str) -> Value {
    json!({"_nats.level": "4", "_nats.req.level": required, "_nats.ver": "2.14.0"})
}

fn metadata(client: &mut Client, words: &str) -> Value {
    client.api(words, "")["config"]["metadata"].clone()
}

#[test]
fn the_level_is_told_wherever_clients_look() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    for told in [r#""version":"2.14.0""#, r#""api_lvl":4"#] {
        assert!(client.info.contains(told), "{}", client.info);
    }
    assert_eq!(client.api("INFO", "")["api"]["level"], 4);
}

#[test]
fn a_stream_tells_which_level_it_needs() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    for (name, fields, required) in [
        ("A", "", "0"),
        ("B", r#","allow_msg_ttl":true"#, "1"),
        ("C", r#","allow_atomic":true"#, "2"),
        (
            "D",
            r#","allow_msg_ttl":true,"allow_msg_schedules":true"#,
            "2",
        ),
        ("E", r#","allow_msg_counter":true"#, "2"),
    ] {
        let config = format!(r#"{{"name":"{name}","subjects":["{name}"]{fields}}}"#);
        let made = client.api(&format!("STREAM.CREATE.{name}"), &config);
        assert_eq!(made["config"]["metadata"], noted(required), "{name}");
        let info = metadata(&mut client, &format!("STREAM.INFO.{name}"));
        assert_eq!(info, noted(required), "{name}");
        let listed = client.api("STREAM.LIST", format!(r#"{{"subject":"{name}"}}"#));
        assert_eq!(
            listed["streams"][0]["config"]["metadata"],
            json!({"_nats.req.level": required}),
            "{name}"
        );
    }
}

#[test]
fn notes_of_the_server_are_not_the_clients_to_write() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    let config = |level: &str| {
        let metadata = json!({"a": "b", "_nats.req.level": level, "_nats.ver": "9"});
        json!({"name": "S", "subjects": ["s"], "metadata": metadata}).to_string()
    };
    let mut wanted = noted("0");
    wanted["a"] = "b".into();
    let made = client.api("STREAM.CREATE.S", config("7"));
    assert_eq!(made["config"]["metadata"], wanted);
    // The same stream again, whatever is said of levels.
    let again = client.api("STREAM.CREATE.S", config("8"));
    assert_eq!(again["config"]["metadata"], wanted);
    let updated = client.api("STREAM.UPDATE.S", config("9"));
    assert_eq!(updated["config"]["metadata"], wanted);
    drop(server);
    let server = dir.serve();
    assert_eq!(metadata(&mut server.client(), "STREAM.INFO.S"), wanted);
}

#[test]
fn a_consumer_tells_which_level_it_needs() {
    let dir = Dir::new();
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_durable("S", "c", "");
    assert_eq!(metadata(&mut client, "CONSUMER.INFO.S.c"), noted("0"));
    let grouped = r#""priority_groups":["g"],"priority_policy":"overflow""#;
    client.make_durable("S", "d", grouped);
    assert_eq!(metadata(&mut client, "CONSUMER.INFO.S.d"), noted("1"));
    // A pause asks for a level as long as it is there.
    let until = r#"{"pause_until":"2100-01-01T00:00:00Z"}"#;
    client.api("CONSUMER.PAUSE.S.c", until);
    assert_eq!(metadata(&mut client, "CONSUMER.INFO.S.c"), noted("1"));
    client.api("CONSUMER.PAUSE.S.c", "");
    assert_eq!(metadata(&mut client, "CONSUMER.INFO.S.c"), noted("0"));
    let listed = client.api("CONSUMER.LIST.S", "");
    let levels: Vec<&Value> = listed["consumers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|consumer| &consumer["config"]["metadata"])
        .collect();
    assert_eq!(
        levels,
        [
            &json!({"_nats.req.level": "0"}),
            &json!({"_nats.req.level": "1"})
        ]
    );
}
