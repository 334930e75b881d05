//! Every field of the configurations of streams and consumers: as it is kept
//! and shown, and with what it is refused. What a field does has tests of its
//! own.

use crate::stream_util::Dir;
use crate::util::{Client, Server};
use serde_json::Value;

fn start(dir: &Dir) -> (Server, Client) {
    let server = dir.serve();
    let mut client = server.client();
    client.make_stream("S", "s.>", "");
    client.make_stream("W", "w.>", "\"retention\":\"workqueue\"");
    (server, client)
}

/// A field as a configuration shows it, without what a server adds to
/// metadata.
fn shown(made: &Value, field: &str) -> Value {
    let mut value = made["config"][field].clone();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !key.starts_with("_nats."));
    }
    value
}

/// Fields of a stream with their values, and further fields that they need.
const STREAM: &[(&str, &str, &str)] = &[
    ("description", "\"x\"", ""),
    ("subjects", "[\"t.a\",\"t.b\"]", ""),
    ("retention", "\"interest\"", ""),
    ("max_consumers", "3", ""),
    ("max_msgs", "3", ""),
    ("max_bytes", "300", ""),
    ("max_msgs_per_subject", "3", ""),
    ("max_age", "100000000", ""),
    ("max_msg_size", "3", ""),
    ("discard", "\"new\"", ""),
    (
        "discard_new_per_subject",
        "true",
        "\"discard\":\"new\",\"max_msgs_per_subject\":1",
    ),
    ("storage", "\"memory\"", ""),
    ("num_replicas", "1", ""),
    ("no_ack", "true", ""),
    ("duplicate_window", "100000000", ""),
    ("placement", "{\"cluster\":\"c\",\"tags\":[\"t\"]}", ""),
    ("compression", "\"s2\"", ""),
    ("first_seq", "7", ""),
    ("allow_direct", "true", ""),
    ("deny_delete", "true", ""),
    ("deny_purge", "true", ""),
    ("allow_rollup_hdrs", "true", ""),
    (
        "consumer_limits",
        "{\"inactive_threshold\":1000000000,\"max_ack_pending\":5}",
        "",
    ),
    ("metadata", "{\"a\":\"b\"}", ""),
    ("persist_mode", "\"async\"", ""),
];

/// The same with values that are refused, the error and its text if that is
/// one of its own.
const STREAM_REFUSED: &[(&str, &str, &str, u64, &str)] = &[
    ("name", "\"U\"", "", 10056, ""),
    (
        "subjects",
        "[\"t.*\",\"t.a\"]",
        "",
        10052,
        "subject \"t.*\" overlaps with \"t.a\"",
    ),
    ("retention", "\"x\"", "", 10025, ""),
    ("max_age", "1", "", 10052, "max age needs to be >= 100ms"),
    ("discard", "\"x\"", "", 10025, ""),
    (
        "discard_new_per_subject",
        "true",
        "",
        10052,
        "discard new per subject requires discard new policy to be set",
    ),
    (
        "discard_new_per_subject",
        "true",
        "\"discard\":\"new\"",
        10052,
        "discard new per subject requires max msgs per subject > 0",
    ),
    ("storage", "\"x\"", "", 10025, ""),
    ("num_replicas", "2", "", 10074, ""),
    ("num_replicas", "-1", "", 10133, ""),
    (
        "duplicate_window",
        "200000000",
        "\"max_age\":100000000",
        10052,
        "duplicates window can not be larger then max age",
    ),
    (
        "sealed",
        "true",
        "",
        10052,
        "stream configuration for create can not be sealed",
    ),
    (
        "mirror_direct",
        "true",
        "",
        10052,
        "stream has no mirror but does have mirror direct",
    ),
    ("compression", "\"x\"", "", 10025, ""),
    ("first_seq", "-1", "", 10025, ""),
    (
        "deny_purge",
        "true",
        "\"allow_rollup_hdrs\":true",
        10052,
        "roll-ups require the purge permission",
    ),
];

#[track_caller]
fn create(client: &mut Client, field: &str, value: &str, more: &str) -> Value {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(",{more}")
    };
    let fields = format!("\"{field}\":{value}{more}");
    let fixed: String = [("name", "\"T\""), ("subjects", "[\"t.>\"]")]
        .into_iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("\"{name}\":{value},"))
        .collect();
    client
        .ask("$JS.API.STREAM.CREATE.T", format!("{{{fixed}{fields}}}"))
        .json()
}

#[test]
fn fields_of_a_stream_are_kept_and_shown() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    for (field, value, more) in STREAM {
        let made = create(&mut client, field, value, more);
        let want: Value = serde_json::from_str(value).expect(value);
        assert_eq!(shown(&made, field), want, "{field}: {made}");
        let info = client.api("STREAM.INFO.T", "");
        assert_eq!(info["config"], made["config"], "{field}");
        client.api("STREAM.DELETE.T", "");
    }
}

#[test]
fn fields_of_a_stream_that_cannot_be_are_refused() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    for (field, value, more, code, text) in STREAM_REFUSED {
        let error = create(&mut client, field, value, more)["error"].clone();
        assert_eq!(error["err_code"], *code, "{field} {value}: {error}");
        if !text.is_empty() {
            assert_eq!(error["description"], *text, "{field}");
        }
    }
}

#[test]
fn what_is_not_said_of_a_stream_has_its_default() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    let config = client.api("STREAM.CREATE.D", "{\"name\":\"D\"}")["config"].clone();
    let mut config = config.as_object().cloned().expect("a configuration");
    config.remove("metadata");
    let want = serde_json::json!({
        "name": "D", "subjects": ["D"], "retention": "limits", "max_consumers": -1,
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
        "max_msg_size": -1, "discard": "old", "storage": "file", "num_replicas": 1,
        "duplicate_window": 120_000_000_000_u64, "compression": "none", "allow_direct": false,
        "mirror_direct": false, "sealed": false, "deny_delete": false, "deny_purge": false,
        "allow_rollup_hdrs": false, "consumer_limits": {}, "allow_msg_ttl": false,
    });
    for (field, value) in want.as_object().expect("an object") {
        assert_eq!(config.get(field), Some(value), "{field}");
    }
}

/// `sealed` stays, and nothing is written or removed any more.
#[test]
fn a_sealed_stream_changes_no_more() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    client.store("s.x", "1");
    let sealed = client.api(
        "STREAM.UPDATE.S",
        r#"{"name":"S","subjects":["s.>"],"sealed":true}"#,
    );
    assert_eq!(
        (
            &sealed["config"]["sealed"],
            &sealed["config"]["deny_delete"]
        ),
        (&true.into(), &true.into())
    );
    assert_eq!(client.ask("s.x", "2").json()["error"]["err_code"], 10109);
    assert_eq!(client.api_error("STREAM.PURGE.S", ""), 10109);
    assert_eq!(
        client.api_error("STREAM.MSG.DELETE.S", r#"{"seq":1}"#),
        10109
    );
    let open = r#"{"name":"S","subjects":["s.>"],"sealed":false}"#;
    assert_eq!(client.api_error("STREAM.UPDATE.S", open), 10052);
}

/// `discard_new_per_subject`: a subject that is full takes no more.
#[test]
fn a_full_subject_takes_no_more() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    client.make_stream(
        "F",
        "f.>",
        "\"discard\":\"new\",\"max_msgs_per_subject\":1,\"discard_new_per_subject\":true",
    );
    client.store("f.a", "1");
    let full = client.ask("f.a", "2").json();
    assert_eq!(
        full["error"],
        serde_json::json!({"code": 503, "err_code": 10077, "description": "maximum messages per subject exceeded"})
    );
    assert_eq!(client.store("f.b", "1"), 2);
}

/// `consumer_limits`: what consumers do not say, and what they may.
#[test]
fn a_stream_limits_its_consumers() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    client.make_stream(
        "L",
        "l",
        "\"max_consumers\":1,\"consumer_limits\":{\"inactive_threshold\":60000000000,\"max_ack_pending\":5}",
    );
    let ask = |client: &mut Client, more: &str| {
        let body = format!(
            "{{\"stream_name\":\"L\",\"config\":{{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"{more}}}}}"
        );
        client.ask("$JS.API.CONSUMER.CREATE.L.c", body).json()
    };
    assert_eq!(
        ask(&mut client, ",\"max_ack_pending\":6")["error"]["err_code"],
        10121
    );
    let long = ",\"inactive_threshold\":61000000000";
    assert_eq!(ask(&mut client, long)["error"]["err_code"], 10153);
    let config = ask(&mut client, "")["config"].clone();
    assert_eq!(config["max_ack_pending"], 5);
    assert_eq!(config["inactive_threshold"], 60_000_000_000_u64);
    let second =
        "{\"stream_name\":\"L\",\"config\":{\"durable_name\":\"d\",\"ack_policy\":\"explicit\"}}";
    assert_eq!(client.api_error("CONSUMER.CREATE.L.d", second), 10026);
}

#[test]
fn without_acks_a_publisher_hears_nothing() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    client.make_stream("Q", "q", "\"no_ack\":true");
    client.send("SUB _X x\r\n");
    client.publish("q", Some("_X"), "", "1");
    client.publish("q", Some("_X"), "Nats-Expected-Stream: Z\r\n", "2");
    assert_eq!(client.sync(), "");
    assert_eq!(client.state("Q")["messages"], 1);
}

/// Fields of a consumer with their values, and further fields that they need.
const CONSUMER: &[(&str, &str, &str)] = &[
    ("durable_name", "\"c\"", ""),
    ("description", "\"x\"", ""),
    (
        "deliver_policy",
        "\"last_per_subject\"",
        "\"filter_subject\":\"s.>\"",
    ),
    (
        "opt_start_seq",
        "7",
        "\"deliver_policy\":\"by_start_sequence\"",
    ),
    (
        "opt_start_time",
        "\"2030-01-01T00:00:00Z\"",
        "\"deliver_policy\":\"by_start_time\"",
    ),
    ("ack_policy", "\"all\"", ""),
    ("ack_wait", "5000000000", ""),
    ("max_deliver", "5", ""),
    ("backoff", "[1000000000,2000000000]", ""),
    ("filter_subject", "\"s.a\"", ""),
    ("filter_subjects", "[\"s.a\",\"s.b\"]", ""),
    ("replay_policy", "\"original\"", ""),
    ("rate_limit_bps", "8000", "\"deliver_subject\":\"d\""),
    ("sample_freq", "\"50%\"", ""),
    ("max_waiting", "7", ""),
    ("max_ack_pending", "7", ""),
    ("headers_only", "true", ""),
    ("max_batch", "7", ""),
    ("max_expires", "1000000", ""),
    ("max_bytes", "7", ""),
    ("deliver_subject", "\"d\"", ""),
    ("deliver_group", "\"g\"", "\"deliver_subject\":\"d\""),
    (
        "flow_control",
        "true",
        "\"deliver_subject\":\"d\",\"idle_heartbeat\":1000000000",
    ),
    ("idle_heartbeat", "100000000", "\"deliver_subject\":\"d\""),
    ("inactive_threshold", "7000000000", ""),
    ("num_replicas", "1", ""),
    ("mem_storage", "true", ""),
    ("metadata", "{\"a\":\"b\"}", ""),
    ("pause_until", "\"2050-01-01T00:00:00Z\"", ""),
    (
        "priority_groups",
        "[\"g\"]",
        "\"priority_policy\":\"overflow\"",
    ),
    (
        "priority_policy",
        "\"prioritized\"",
        "\"priority_groups\":[\"g\"]",
    ),
    (
        "priority_timeout",
        "7000000000",
        "\"priority_policy\":\"pinned_client\",\"priority_groups\":[\"g\"]",
    ),
];

/// The same with values that are refused, and the error.
const CONSUMER_REFUSED: &[(&str, &str, &str, u64)] = &[
    ("durable_name", "\"d\"", "", 10017),
    ("deliver_policy", "\"last_per_subject\"", "", 10094),
    ("deliver_policy", "\"x\"", "", 10025),
    ("opt_start_seq", "7", "", 10094),
    ("opt_start_time", "\"2030-01-01T00:00:00Z\"", "", 10094),
    ("ack_policy", "\"x\"", "", 10025),
    ("ack_wait", "-1", "", 10183),
    ("max_deliver", "1", "\"backoff\":[1,2]", 10116),
    ("backoff", "[-1]", "", 10184),
    ("filter_subject", "\"s..a\"", "", 10052),
    (
        "filter_subject",
        "\"s.a\"",
        "\"filter_subjects\":[\"s.b\"]",
        10136,
    ),
    ("filter_subjects", "[\"\"]", "", 10139),
    ("filter_subjects", "[\"s.>\",\"s.a\"]", "", 10138),
    ("replay_policy", "\"x\"", "", 10025),
    ("rate_limit_bps", "8000", "", 10086),
    ("sample_freq", "\"x\"", "", 10095),
    ("max_waiting", "7", "\"deliver_subject\":\"d\"", 10080),
    (
        "max_ack_pending",
        "7",
        "\"deliver_subject\":\"d\",\"ack_policy\":\"none\"",
        10082,
    ),
    ("max_expires", "999999", "", 10115),
    ("deliver_subject", "\"d.*\"", "", 10079),
    ("deliver_subject", "\"d..x\"", "", 10112),
    ("deliver_subject", "\"s.x\"", "", 10081),
    ("flow_control", "true", "", 10089),
    ("flow_control", "true", "\"deliver_subject\":\"d\"", 10108),
    ("idle_heartbeat", "1000000000", "", 10088),
    ("idle_heartbeat", "1", "\"deliver_subject\":\"d\"", 10083),
    ("num_replicas", "-1", "", 10133),
    ("direct", "true", "", 10090),
    ("priority_groups", "[\"g\"]", "", 10196),
    ("priority_policy", "\"overflow\"", "", 10159),
    ("priority_timeout", "1", "", 10197),
];

#[track_caller]
fn create_consumer(client: &mut Client, field: &str, value: &str, more: &str) -> Value {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(",{more}")
    };
    let name = if field == "durable_name" {
        ""
    } else {
        "\"name\":\"c\","
    };
    let policy = if field == "ack_policy" || more.contains("ack_policy") {
        ""
    } else {
        "\"ack_policy\":\"explicit\","
    };
    let config = format!("{{{name}{policy}\"{field}\":{value}{more}}}");
    let body = format!("{{\"stream_name\":\"S\",\"config\":{config}}}");
    client.ask("$JS.API.CONSUMER.CREATE.S.c", body).json()
}

#[test]
fn fields_of_a_consumer_are_kept_and_shown() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    for (field, value, more) in CONSUMER {
        let made = create_consumer(&mut client, field, value, more);
        let want: Value = serde_json::from_str(value).expect(value);
        assert_eq!(shown(&made, field), want, "{field}: {made}");
        let info = client.api("CONSUMER.INFO.S.c", "");
        assert_eq!(info["config"], made["config"], "{field}");
        client.api("CONSUMER.DELETE.S.c", "");
    }
}

#[test]
fn fields_of_a_consumer_that_cannot_be_are_refused() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    for (field, value, more, code) in CONSUMER_REFUSED {
        let answer = create_consumer(&mut client, field, value, more);
        assert_eq!(
            answer["error"]["err_code"], *code,
            "{field} {value}: {answer}"
        );
    }
    for (config, code) in [
        ("\"name\":\"c\",\"ack_policy\":\"none\"", 10084),
        ("\"name\":\"c\",\"ack_policy\":\"all\"", 10098),
        (
            "\"name\":\"c\",\"ack_policy\":\"explicit\",\"deliver_policy\":\"new\"",
            10101,
        ),
    ] {
        let body = format!("{{\"stream_name\":\"W\",\"config\":{{{config}}}}}");
        assert_eq!(
            client.api_error("CONSUMER.CREATE.W.c", body),
            code,
            "{config}"
        );
    }
}

#[test]
fn what_a_consumer_is_stays() {
    let dir = Dir::new();
    let (_server, mut client) = start(&dir);
    let update = |client: &mut Client, more: &str| {
        let body = format!(
            "{{\"stream_name\":\"S\",\"action\":\"update\",\"config\":{{\"durable_name\":\"c\",{more}}}}}"
        );
        client.ask("$JS.API.CONSUMER.CREATE.S.c", body).json()["error"].clone()
    };
    client.make_durable("S", "c", "");
    let explicit = "\"ack_policy\":\"explicit\"";
    for (field, text) in [
        (
            "\"deliver_policy\":\"new\"",
            "deliver policy can not be updated",
        ),
        (
            "\"replay_policy\":\"original\"",
            "replay policy can not be updated",
        ),
        ("\"max_waiting\":7", "max waiting can not be updated"),
        ("\"mem_storage\":true", "storage type can not be updated"),
    ] {
        let error = update(&mut client, &format!("{explicit},{field}"));
        assert_eq!(
            (&error["err_code"], &error["description"]),
            (&10012.into(), &text.into()),
            "{field}"
        );
    }
    let error = update(&mut client, "\"ack_policy\":\"all\"");
    assert_eq!(error["description"], "ack policy can not be updated");
    assert!(
        update(
            &mut client,
            &format!("{explicit},\"max_deliver\":3,\"max_batch\":2")
        )
        .is_null()
    );
}
