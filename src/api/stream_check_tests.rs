//! Stream configurations as nats-server 2.15.1 answered them.

use super::json::Strictness;
use super::{ApiError, Nanos, StreamConfig};

fn parsed(body: &str) -> StreamConfig {
    match StreamConfig::from_json(body.as_bytes(), Strictness::Strict) {
        Ok((config, _)) => config,
        Err(error) => panic!("{body}: {error}"),
    }
}

fn checked(fields: &str) -> Result<StreamConfig, ApiError> {
    let comma = if fields.is_empty() { "" } else { "," };
    let mut config = parsed(&format!("{{\"name\":\"X\"{comma}{fields}}}"));
    config.check(false).map(|()| config)
}

fn json(config: &StreamConfig) -> String {
    String::from_utf8_lossy(&config.to_json()).into_owned()
}

#[test]
fn defaults_are_filled_in() {
    let config = checked("").expect("a name is enough");
    assert_eq!(
        json(&config),
        r#"{"name":"X","subjects":["X"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false}"#
    );
}

#[test]
fn every_field_is_read_and_written_in_order() {
    let text = r#"{"name":"S","description":"d\u003c\u003e\u0026","subjects":["s.\u003e","t"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":100,"discard":"old","storage":"file","num_replicas":1,"no_ack":true,"placement":{"cluster":"x","tags":["a"]},"sources":[{"name":"O","opt_start_seq":1,"filter_subject":"a","external":{"api":"$JS.x.API","deliver":"hh"}}],"compression":"s2","first_seq":5,"subject_transform":{"src":"s.\u003e","dest":"q.\u003e"},"republish":{"src":"s.\u003e","dest":"r.\u003e","headers_only":true},"allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":true,"consumer_limits":{"inactive_threshold":5000000000,"max_ack_pending":10},"allow_msg_ttl":true,"subject_delete_marker_ttl":2000000000,"allow_atomic":true,"allow_batched":true,"metadata":{"_nats.req.level":"4","a":"2","b":"1"}}"#;
    assert_eq!(json(&parsed(text)), text);
    let text = r#"{"name":"P","subjects":["P"],"retention":"workqueue","max_consumers":1,"max_msgs":2,"max_bytes":3,"max_age":4,"max_msgs_per_subject":5,"discard":"new","storage":"memory","num_replicas":1,"duplicate_window":7,"mirror":{"name":"M","opt_start_time":"2020-01-01T00:00:00Z","subject_transforms":[{"src":"a","dest":"b"}],"consumer":{"name":"c","deliver_subject":"d"}},"compression":"none","allow_direct":true,"mirror_direct":true,"discard_new_per_subject":true,"sealed":true,"deny_delete":true,"deny_purge":true,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"allow_msg_counter":true,"allow_msg_schedules":true,"persist_mode":"async"}"#;
    assert_eq!(json(&parsed(text)), text);
}

#[test]
fn keys_are_read_as_go_reads_them() {
    let (config, pedantic) = StreamConfig::from_json(
        br#"{"NAME":"a","no_ack":null,"Max_Msgs":3,"pedantic":true,"persist_mode":""}"#,
        Strictness::Strict,
    )
    .expect("any case");
    assert!(config.name == "a" && config.max_msgs == 3 && pedantic);
    for body in ["", "null", "{}"] {
        assert_eq!(parsed(body), StreamConfig::default());
    }
    for (body, want) in [
        (r#"{"x":1}"#, "invalid JSON: json: unknown field \"x\""),
        (
            r#"{"placement":{"x":1}}"#,
            "invalid JSON: json: unknown field \"x\"",
        ),
        (
            r#"{"retention":"foo"}"#,
            "invalid JSON: can not unmarshal \"\\\"foo\\\"\"",
        ),
        (
            r#"{"retention":1}"#,
            "invalid JSON: can not unmarshal \"1\"",
        ),
        (
            r#"{"compression":""}"#,
            "invalid JSON: unknown compression algorithm",
        ),
    ] {
        let error = StreamConfig::from_json(body.as_bytes(), Strictness::Strict).expect_err(body);
        assert_eq!((error.err_code, error.description.as_ref()), (10025, want));
    }
    for body in [
        "[]",
        "{",
        "{} x",
        r#"{"name":1}"#,
        r#"{"max_msgs":1.5}"#,
        r#"{"first_seq":-1}"#,
        r#"{"max_msg_size":99999999999}"#,
        r#"{"metadata":{"a":1}}"#,
        r#"{"sources":[{"opt_start_time":"x"}]}"#,
        r#"{"sources":[3]}"#,
    ] {
        let error = StreamConfig::from_json(body.as_bytes(), Strictness::Strict).expect_err(body);
        assert_eq!(error.err_code, 10025, "{body}");
    }
}

/// Fields beside the name, and the error that they give.
const REFUSED: &[(&str, u16, &str)] = &[
    // Of two faults the one that nats-server tells.
    (
        r#""allow_msg_counter":true,"retention":"interest","discard":"new""#,
        10052,
        "counter stream cannot use discard new",
    ),
    (
        r#""allow_msg_counter":true,"allow_msg_ttl":true,"discard_new_per_subject":true"#,
        10052,
        "counter stream cannot use message TTLs",
    ),
    (
        r#""subject_delete_marker_ttl":5,"persist_mode":"async","storage":"memory""#,
        10052,
        "subject delete marker TTL must be at least 1 second",
    ),
    (
        r#""subjects":["a","a"]"#,
        10052,
        "subject \"a\" overlaps with \"a\"",
    ),
    (
        r#""subjects":["a.*","a.b"]"#,
        10052,
        "subject \"a.*\" overlaps with \"a.b\"",
    ),
    (r#""subjects":["a..b"]"#, 10052, "invalid subject"),
    (r#""subjects":["a b"]"#, 10052, "invalid subject"),
    (
        r#""subjects":[">"]"#,
        10052,
        "capturing all subjects requires no-ack to be true",
    ),
    (
        r#""subjects":["*.x"]"#,
        10052,
        "subjects that overlap with jetstream api require no-ack to be true",
    ),
    (
        r#""subjects":["$SYS.>"]"#,
        10052,
        "subjects that overlap with system api require no-ack to be true",
    ),
    (r#""max_age":5"#, 10052, "max age needs to be >= 100ms"),
    (r#""max_age":-1"#, 10052, "max age can not be negative"),
    (
        r#""duplicate_window":5"#,
        10052,
        "duplicates window needs to be >= 100ms",
    ),
    (
        r#""duplicate_window":-5"#,
        10052,
        "duplicates window can not be negative",
    ),
    (
        r#""duplicate_window":10000000000,"max_age":5000000000"#,
        10052,
        "duplicates window can not be larger then max age",
    ),
    (
        r#""num_replicas":-1"#,
        10133,
        "replicas count cannot be negative",
    ),
    (
        r#""num_replicas":3"#,
        10074,
        "replicas > 1 not supported in non-clustered mode",
    ),
    (r#""num_replicas":6"#, 10052, "maximum replicas is 5"),
    (
        r#""discard_new_per_subject":true"#,
        10052,
        "discard new per subject requires discard new policy to be set",
    ),
    (
        r#""discard_new_per_subject":true,"discard":"new""#,
        10052,
        "discard new per subject requires max msgs per subject > 0",
    ),
    (
        r#""sealed":true"#,
        10052,
        "stream configuration for create can not be sealed",
    ),
    (
        r#""deny_purge":true,"allow_rollup_hdrs":true"#,
        10052,
        "roll-ups require the purge permission",
    ),
    (
        r#""mirror_direct":true"#,
        10052,
        "stream has no mirror but does have mirror direct",
    ),
    (
        r#""persist_mode":"async","storage":"memory""#,
        10052,
        "async persist mode is only supported on file storage",
    ),
    (
        r#""placement":{"preferred":"x"}"#,
        10052,
        "preferred server not permitted in placement",
    ),
    (
        r#""mirror":{"name":"a.b"}"#,
        10142,
        "mirrored stream name is invalid",
    ),
    (
        r#""subject_transform":{"src":"a..b","dest":"c"}"#,
        10155,
        "stream transform source: invalid subject a..b",
    ),
    (
        r#""subject_transform":{"src":"a.*","dest":"c.$2"}"#,
        10156,
        "stream transform: invalid mapping destination: wildcard index out of range in $2: [2]",
    ),
    (
        r#""subjects":["r.>"],"republish":{"src":"r.>","dest":"r.x.>"}"#,
        10052,
        "stream configuration for republish destination forms a cycle",
    ),
    (
        r#""republish":{"src":"r.>","dest":"rep"}"#,
        10052,
        "stream configuration for republish with transform from 'r.>' to 'rep' not valid",
    ),
    (
        r#""allow_msg_schedules":true,"discard":"new""#,
        10052,
        "message scheduling cannot use discard new",
    ),
    (
        r#""subject_delete_marker_ttl":-1"#,
        10052,
        "subject delete marker TTL must not be negative",
    ),
    (
        r#""subject_delete_marker_ttl":500000000"#,
        10052,
        "subject delete marker TTL must be at least 1 second",
    ),
    (
        r#""subject_delete_marker_ttl":1000000000,"deny_purge":true,"allow_rollup_hdrs":true"#,
        10052,
        "roll-ups require the purge permission",
    ),
];

#[test]
fn schedules_bring_what_they_need() {
    let asked = r#""allow_msg_schedules":true,"deny_purge":true"#;
    let config = checked(asked).expect("it is what nats-server takes");
    assert!(config.allow_rollup_hdrs && !config.deny_purge && !config.allow_msg_ttl);
    let mut config = parsed(&format!("{{\"name\":\"X\",{asked}}}"));
    let error = config
        .check(true)
        .expect_err("it says that it would change");
    assert_eq!(
        error.description,
        "message scheduling cannot be set if roll-ups are disabled"
    );
}

#[test]
fn delete_markers_bring_what_they_need() {
    let asked = r#""subject_delete_marker_ttl":1500000000,"deny_purge":true"#;
    let config = checked(asked).expect("it is what nats-server takes");
    assert!(config.allow_msg_ttl && config.allow_rollup_hdrs && !config.deny_purge);
    let mut config = parsed(&format!("{{\"name\":\"X\",{asked}}}"));
    let error = config
        .check(true)
        .expect_err("it says that it would change");
    assert_eq!(
        error.description,
        "subject delete marker cannot be set if message TTLs are disabled"
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_the_known_texts() {
    for &(fields, code, text) in REFUSED {
        let error = checked(fields).expect_err(fields);
        assert_eq!((error.err_code, error.description.as_ref()), (code, text));
    }
    let long = format!("\"description\":\"{}\"", "x".repeat(4097));
    assert_eq!(checked(&long).map_err(|error| error.err_code), Err(10052));
    let long = format!("\"metadata\":{{\"a\":\"{}\"}}", "x".repeat(131_072));
    assert_eq!(
        checked(&long).map_err(|error| error.into_description()),
        Err("stream metadata exceeds maximum size of 131072 bytes".to_owned())
    );
}

#[test]
fn what_makes_sense_is_taken() {
    for fields in [
        r#""subjects":[">"],"no_ack":true"#,
        r#""subjects":["$JS.EVENT.>"]"#,
        r#""subjects":["$SYS.ACCOUNT.>"]"#,
        r#""subjects":["$SYS.a"],"no_ack":true"#,
        r#""subjects":["$*.x"]"#,
        r#""discard_new_per_subject":true,"discard":"new","max_msgs_per_subject":1"#,
        r#""placement":{"cluster":"x"}"#,
        r#""storage":"memory","compression":"s2""#,
        r#""first_seq":5,"persist_mode":"async""#,
    ] {
        assert!(checked(fields).is_ok(), "{fields}");
    }
    let config = checked(r#""max_msgs":-7,"max_msg_size":-5,"max_bytes":0,"max_age":100000000"#)
        .expect("adjusted");
    assert_eq!(
        (config.max_msgs, config.max_msg_size, config.max_bytes),
        (-1, -1, -1)
    );
    assert_eq!(config.duplicate_window, Nanos(100_000_000));
}

#[test]
fn pedants_want_no_adjustment() {
    for (fields, text) in [
        (
            r#""max_msgs":-2"#,
            "pedantic mode: max_msgs must be set to -1",
        ),
        (
            r#""max_msg_size":-2"#,
            "pedantic mode: max_msg_size must be set to -1",
        ),
        (
            r#""max_age":1000000000"#,
            "pedantic mode: duplicate window cannot be bigger than max age",
        ),
    ] {
        let mut config = parsed(&format!("{{\"name\":\"X\",{fields}}}"));
        let error = config.check(true).expect_err(fields);
        assert_eq!((error.err_code, error.description.as_ref()), (10157, text));
    }
    assert_eq!(parsed("{\"name\":\"X\"}").check(true), Ok(()));
}

fn updated(before: &str, after: &str) -> Result<StreamConfig, ApiError> {
    let before = checked(before).expect(before);
    let comma = if after.is_empty() { "" } else { "," };
    let mut after = parsed(&format!("{{\"name\":\"X\"{comma}{after}}}"));
    before.check_update(&mut after, false).map(|()| after)
}

#[test]
fn updates_keep_to_what_can_change() {
    for (before, after, code, text) in [
        (
            "",
            r#""storage":"memory""#,
            10052,
            "stream configuration update can not change storage type",
        ),
        (
            r#""retention":"workqueue""#,
            "",
            10052,
            "stream configuration update can not change retention policy to/from workqueue",
        ),
        (
            r#""deny_delete":true"#,
            "",
            10052,
            "stream configuration update can not cancel deny message deletes",
        ),
        (
            r#""deny_purge":true"#,
            "",
            10052,
            "stream configuration update can not cancel deny purge",
        ),
        (
            "",
            r#""persist_mode":"async""#,
            10052,
            "stream configuration update can not change persist mode",
        ),
        (
            "",
            r#""mirror":{"name":"D"}"#,
            10055,
            "stream mirror configuration can not be updated",
        ),
        (
            r#""allow_rollup_hdrs":true"#,
            r#""allow_rollup_hdrs":true,"deny_purge":true"#,
            10052,
            "roll-ups require the purge permission",
        ),
    ] {
        let error = updated(before, after).expect_err(after);
        assert_eq!((error.err_code, error.description.as_ref()), (code, text));
    }
    for (before, after) in [
        ("", r#""retention":"interest""#),
        ("", r#""max_consumers":5,"subjects":["b"],"discard":"new""#),
        ("", r#""compression":"s2","allow_direct":true"#),
    ] {
        assert!(updated(before, after).is_ok(), "{after}");
    }
}

#[test]
fn a_seal_is_for_ever() {
    let sealed = updated("\"max_age\":5000000000", "\"sealed\":true").expect("sealed");
    assert!(sealed.deny_delete && sealed.deny_purge && sealed.max_age.is_zero());
    let mut open = parsed("{\"name\":\"X\"}");
    let error = sealed.check_update(&mut open, false).expect_err("unseal");
    assert_eq!(
        error.description,
        "stream configuration update can not unseal a sealed stream"
    );
}

#[test]
fn a_server_may_limit_how_long_ids_are_remembered() {
    let limited = |json: &str, limit: i64, pedantic: bool| {
        let read = StreamConfig::from_json(json.as_bytes(), Strictness::Strict);
        let (mut config, _) = read.expect(json);
        let limited = config.limit_duplicates(Nanos::from_secs(limit), pedantic);
        limited.map(|()| config.duplicate_window)
    };
    let secs = |count| Ok(Nanos::from_secs(count));
    assert_eq!(limited(r#"{"name":"S"}"#, 0, true), secs(0));
    assert_eq!(limited(r#"{"name":"S"}"#, 5, false), secs(5));
    assert_eq!(limited(r#"{"name":"S"}"#, 500, true), secs(0));
    let young = r#"{"name":"S","max_age":3000000000}"#;
    assert_eq!(limited(young, 5, false), secs(3));
    let copy = r#"{"name":"S","sources":[{"name":"O"}]}"#;
    assert_eq!(limited(copy, 5, true), secs(0));
    assert_eq!(
        limited(r#"{"name":"S"}"#, 5, true).unwrap_err().err_code,
        10157
    );
    let long = r#"{"name":"S","duplicate_window":6000000000}"#;
    let error = limited(long, 5, false).unwrap_err();
    assert_eq!(
        error.description,
        "duplicates window can not be larger then server limit of 5s"
    );
    assert_eq!(limited(long, 6, true), secs(6));
}
