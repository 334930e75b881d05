//! Consumer configurations as nats-server 2.15.1 answered them.

use super::json::Strictness;
use super::{ApiError, ConsumerAction, ConsumerConfig, CreateConsumerRequest, CreateForm, Nanos};
use super::{Retention, StreamConfig};

fn parsed(body: &str) -> ConsumerConfig {
    match ConsumerConfig::from_json(body.as_bytes()) {
        Ok(config) => config,
        Err(error) => panic!("{body}: {error}"),
    }
}

fn stream() -> StreamConfig {
    StreamConfig {
        name: "CS".to_owned(),
        subjects: vec!["cs.>".to_owned()],
        ..StreamConfig::default()
    }
}

fn checked_on(stream: &StreamConfig, body: &str) -> Result<ConsumerConfig, ApiError> {
    let mut config = parsed(body);
    config.check(stream, false)?;
    config.fill_threshold(config.is_durable());
    Ok(config)
}

fn json(config: &ConsumerConfig) -> String {
    String::from_utf8_lossy(&config.to_json()).into_owned()
}

#[test]
fn filters_may_meet_but_not_hold_each_other() {
    let two = |one: &str, other: &str| {
        checked_on(
            &stream(),
            &format!(r#"{{"filter_subjects":["{one}","{other}"]}}"#),
        )
        .map(|_| ())
        .map_err(|error| error.err_code)
    };
    assert_eq!(two("cs.*.b", "cs.a.*"), Ok(()));
    assert_eq!(two("cs.a.b", "cs.a.*"), Err(10138));
    assert_eq!(two("cs.a", "cs.a"), Err(10138));
}

#[test]
fn a_durable_name_in_the_subject_is_the_name() {
    let mut request = CreateConsumerRequest::from_json(
        br#"{"stream_name":"CS","config":{"durable_name":"c","name":"d","deliver_policy":"undefined"}}"#,
        Strictness::Strict,
    )
    .expect("valid");
    let form = CreateForm::Durable { name: "c" };
    assert_eq!(request.settle("CS", form), Ok(()));
    assert_eq!(request.config.name, "c");
}

#[test]
fn defaults_are_filled_in() {
    for (body, want) in [
        (
            "{}",
            r#"{"deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"d","ack_policy":"explicit"}"#,
            r#"{"durable_name":"d","name":"d","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0}"#,
        ),
        (
            r#"{"ack_policy":"explicit","backoff":[2000000000,1000000000],"ack_wait":5000000000}"#,
            r#"{"deliver_policy":"all","ack_policy":"explicit","ack_wait":2000000000,"max_deliver":-1,"backoff":[2000000000,1000000000],"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"ack_policy":"explicit","backoff":[2000000000],"ack_wait":-1}"#,
            r#"{"deliver_policy":"all","ack_policy":"explicit","ack_wait":2000000000,"max_deliver":-1,"backoff":[2000000000],"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"max_ack_pending":-5,"max_waiting":-5,"idle_heartbeat":-5,"deliver_subject":"dd"}"#,
            r#"{"deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_ack_pending":-1,"deliver_subject":"dd","inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
    ] {
        assert_eq!(
            checked_on(&stream(), body).map(|config| json(&config)),
            Ok(want.to_owned())
        );
    }
}

#[test]
fn every_field_is_read_and_written_in_order() {
    for text in [
        r#"{"durable_name":"c1","name":"c1","description":"x","deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00.5Z","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":5,"backoff":[1000000000,2000000000],"filter_subjects":["T","u"],"replay_policy":"instant","sample_freq":"50%","max_waiting":512,"max_ack_pending":1000,"headers_only":true,"max_batch":5,"max_expires":1000000000,"max_bytes":100,"inactive_threshold":1000000000000,"num_replicas":0,"mem_storage":true,"metadata":{"_nats.level":"5","_nats.req.level":"1","_nats.ver":"2.15.1","a":"b"},"pause_until":"2030-01-01T00:00:00Z","priority_groups":["A"],"priority_policy":"pinned_client","priority_timeout":120000000000}"#,
        r#"{"name":"c2","deliver_policy":"by_start_sequence","opt_start_seq":7,"ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"filter_subject":"T","replay_policy":"original","rate_limit_bps":1000,"max_ack_pending":1000,"flow_control":true,"deliver_subject":"ddd","deliver_group":"g","idle_heartbeat":1000000000,"inactive_threshold":5000000000,"num_replicas":0}"#,
    ] {
        assert_eq!(json(&parsed(text)), text);
    }
}

/// Requests, and the errors that they give; the text where it is not always the same.
const REFUSED: &[(&str, u16, &str)] = &[
    (r#"{"durable_name":"a","name":"b"}"#, 10132, ""),
    (
        r#"{"name":"a.b"}"#,
        10052,
        r"consumer name can not contain '.', '*', '>', '\', '/'",
    ),
    (r#"{"name":"a/b"}"#, 10127, ""),
    (
        r#"{"deliver_policy":"by_start_sequence"}"#,
        10094,
        "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
    ),
    (
        r#"{"deliver_policy":"by_start_time","opt_start_seq":1,"opt_start_time":"2020-01-01T00:00:00Z"}"#,
        10094,
        "consumer delivery policy is deliver by start time, but optional start start sequence is also set",
    ),
    (
        r#"{"opt_start_time":"2020-01-01T00:00:00Z"}"#,
        10094,
        "consumer delivery policy is deliver all, but optional start time is also set",
    ),
    (
        r#"{"deliver_policy":"last_per_subject"}"#,
        10094,
        "consumer delivery policy is deliver last per subject, but optional filter subject is not set",
    ),
    (r#"{"ack_wait":-1}"#, 10183, ""),
    (r#"{"backoff":[-1]}"#, 10184, ""),
    (r#"{"backoff":[1,1],"max_deliver":1}"#, 10116, ""),
    (r#"{"filter_subject":"a..b"}"#, 10052, "invalid subject"),
    (r#"{"filter_subject":" "}"#, 10052, "invalid subject"),
    (
        r#"{"filter_subject":"a","filter_subjects":["b"]}"#,
        10136,
        "",
    ),
    (r#"{"filter_subjects":[""]}"#, 10139, ""),
    (r#"{"filter_subjects":["cs.a","cs.*"]}"#, 10138, ""),
    (r#"{"rate_limit_bps":5}"#, 10086, ""),
    (
        r#"{"sample_freq":"5%%"}"#,
        10095,
        "failed to parse consumer sampling configuration: strconv.Atoi: parsing \"5%\": invalid syntax",
    ),
    (
        r#"{"sample_freq":"-5"}"#,
        10095,
        "failed to parse consumer sampling configuration: <nil>",
    ),
    (r#"{"max_waiting":5,"deliver_subject":"dd"}"#, 10080, ""),
    (r#"{"max_ack_pending":5,"deliver_subject":"dd"}"#, 10082, ""),
    (r#"{"max_expires":5}"#, 10115, ""),
    (r#"{"deliver_subject":"a.*"}"#, 10079, ""),
    (r#"{"deliver_subject":"a..b"}"#, 10112, ""),
    (r#"{"deliver_subject":"a b"}"#, 10112, ""),
    (r#"{"deliver_subject":"cs.x"}"#, 10081, ""),
    (r#"{"flow_control":true}"#, 10089, ""),
    (r#"{"flow_control":true,"deliver_subject":"dd"}"#, 10108, ""),
    // The start is looked at first.
    (
        r#"{"flow_control":true,"deliver_subject":"dd","opt_start_seq":2}"#,
        10094,
        "consumer delivery policy is deliver all, but optional start sequence is also set",
    ),
    (r#"{"idle_heartbeat":1000000000}"#, 10088, ""),
    (r#"{"idle_heartbeat":5,"deliver_subject":"dd"}"#, 10083, ""),
    (r#"{"num_replicas":-1}"#, 10133, ""),
    (r#"{"num_replicas":2}"#, 10074, ""),
    (r#"{"priority_groups":["a"]}"#, 10196, ""),
    (r#"{"priority_timeout":1}"#, 10197, ""),
    (r#"{"priority_policy":"overflow"}"#, 10159, ""),
    (
        r#"{"priority_policy":"overflow","deliver_subject":"dd"}"#,
        10178,
        "",
    ),
    (
        r#"{"priority_policy":"overflow","priority_groups":["a",""]}"#,
        10161,
        "",
    ),
    (
        r#"{"priority_policy":"overflow","priority_groups":["a."]}"#,
        10162,
        "",
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","max_ack_pending":-1}"#,
        10220,
        "flow control ack policy requires max ack pending",
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","backoff":[1000000000]}"#,
        10221,
        "flow control ack policy requires unset ack wait",
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","max_deliver":2}"#,
        10222,
        "flow control ack policy requires unset max deliver",
    ),
    (r#"{"ack_policy":"flow_control"}"#, 10218, ""),
    (r#"{"direct":true}"#, 10090, ""),
    (
        r#"{"direct":true,"deliver_subject":"dd"}"#,
        10012,
        "direct is not supported",
    ),
];

#[test]
fn what_makes_no_sense_is_refused_with_the_known_texts() {
    for &(body, code, text) in REFUSED {
        let error = checked_on(&stream(), body).expect_err(body);
        assert_eq!(error.err_code, code, "{body}");
        assert!(text.is_empty() || error.description == text, "{error}");
    }
}

#[test]
fn what_makes_sense_is_taken() {
    for body in [
        r#"{"backoff":[1,1],"max_deliver":2}"#,
        r#"{"filter_subject":"zz"}"#,
        r#"{"sample_freq":"150"}"#,
        r#"{"max_batch":-5,"max_expires":-5,"max_bytes":-5,"inactive_threshold":-5}"#,
        r#"{"deliver_group":"g"}"#,
        r#"{"deliver_policy":"last_per_subject","filter_subjects":["cs.a"]}"#,
        r#"{"num_replicas":1,"pause_until":"2020-01-01T00:00:00Z"}"#,
    ] {
        assert!(checked_on(&stream(), body).is_ok(), "{body}");
    }
    assert_eq!(parsed(r#"{"sample_freq":"150"}"#).sample_percent(), 100);
    assert_eq!(parsed(r#"{"sample_freq":"50%"}"#).sample_percent(), 50);
}

#[test]
fn work_queues_have_rules_of_their_own() {
    let queue = StreamConfig {
        retention: Retention::WorkQueue,
        ..stream()
    };
    for body in ["{}", r#"{"idle_heartbeat":1000000000}"#] {
        let error = checked_on(&queue, body).expect_err(body);
        assert_eq!(error.err_code, 10084, "{body}");
    }
    // This is told of new consumers only.
    for (body, is_refused) in [
        (r#"{"ack_policy":"all"}"#, true),
        (r#"{"deliver_subject":"dd"}"#, true),
        (r#"{"ack_policy":"explicit"}"#, false),
        (
            r#"{"ack_policy":"flow_control","deliver_subject":"dd"}"#,
            false,
        ),
    ] {
        let config = checked_on(&queue, body).expect(body);
        let checked = config.check_acks_of_work_queue();
        assert_eq!(checked.is_err(), is_refused, "{body}");
    }
}

#[test]
fn a_stream_may_limit_its_consumers() {
    let mut limited = stream();
    limited.consumer_limits.inactive_threshold = Nanos::from_secs(10);
    limited.consumer_limits.max_ack_pending = 10;
    let config = checked_on(&limited, r#"{"durable_name":"d"}"#).expect("limits as defaults");
    assert_eq!(config.max_ack_pending, 10);
    assert_eq!(config.inactive_threshold, Nanos::from_secs(10));
    for (body, text) in [
        (
            r#"{"ack_policy":"explicit","max_ack_pending":11}"#,
            "consumer max ack pending exceeds system limit of 10",
        ),
        (
            r#"{"inactive_threshold":11000000000}"#,
            "consumer inactive threshold exceeds system limit of 10s",
        ),
    ] {
        assert_eq!(
            checked_on(&limited, body)
                .expect_err(body)
                .description
                .as_ref(),
            text
        );
    }
    let mut config = parsed("{}");
    let error = config.check(&limited, true).expect_err("pedantic");
    assert_eq!(error.err_code, 10157);
}

#[test]
fn updates_keep_to_what_can_change() {
    let durable = r#""durable_name":"u","ack_policy":"explicit""#;
    let push = r#""durable_name":"u","ack_policy":"explicit","deliver_subject":"dd","idle_heartbeat":1000000000"#;
    let update = |before: &str, after: &str| {
        let before = checked_on(&stream(), &format!("{{{before}}}")).expect(before);
        let mut after = checked_on(&stream(), &format!("{{{after}}}")).expect(after);
        before
            .check_update(&mut after)
            .map_err(|error| (error.err_code, error.into_description()))
    };
    for (before, after, text) in [
        (
            durable,
            format!("{durable},\"deliver_policy\":\"new\""),
            "deliver policy can not be updated",
        ),
        (
            durable,
            r#""durable_name":"u","ack_policy":"all""#.to_owned(),
            "ack policy can not be updated",
        ),
        (
            durable,
            format!("{durable},\"max_waiting\":5"),
            "max waiting can not be updated",
        ),
        (
            durable,
            format!("{durable},\"deliver_subject\":\"dd\""),
            "can not update pull consumer to push based",
        ),
        (
            push,
            format!("{push},\"flow_control\":true"),
            "flow control can not be updated",
        ),
        (
            durable,
            format!("{durable},\"mem_storage\":true"),
            "storage type can not be updated",
        ),
    ] {
        assert_eq!(update(before, &after), Err((10012, text.to_owned())));
    }
    for after in [
        r#""ack_wait":1000000000"#,
        r#""max_deliver":5,"backoff":[1000000000]"#,
        r#""filter_subject":"cs.a""#,
        r#""max_ack_pending":5,"headers_only":true,"max_batch":5"#,
        r#""pause_until":"2030-01-01T00:00:00Z""#,
    ] {
        assert_eq!(
            update(durable, &format!("{durable},{after}")),
            Ok(()),
            "{after}"
        );
    }
}

#[test]
fn a_request_has_to_fit_its_subject() {
    let named = |name| CreateForm::Named { name, filter: None };
    let filtered = CreateForm::Named {
        name: "f",
        filter: Some("cs.a"),
    };
    let settle = |config: &str, form| {
        let body = format!("{{\"stream_name\":\"CS\",\"config\":{{{config}}}}}");
        let mut request =
            CreateConsumerRequest::from_json(body.as_bytes(), Strictness::Strict).expect(&body);
        request
            .settle("CS", form)
            .map(|()| request.config.name)
            .map_err(|error| error.err_code)
    };
    assert_eq!(settle("", CreateForm::Unnamed), Ok(String::new()));
    assert_eq!(settle("\"name\":\"zz\"", named("a")), Ok("a".to_owned()));
    assert_eq!(
        settle("\"durable_name\":\"a\",\"name\":\"b\"", named("a")),
        Ok("a".to_owned())
    );
    for (config, form, code) in [
        ("\"durable_name\":\"q\"", CreateForm::Unnamed, 10020),
        ("\"durable_name\":\"zz\"", named("a"), 10017),
        ("\"name\":\"a/b\"", named("a/b"), 10127),
        ("\"name\":\"q\"", CreateForm::Durable { name: "q" }, 10018),
        (
            "\"durable_name\":\"r\"",
            CreateForm::Durable { name: "q" },
            10017,
        ),
        ("\"filter_subject\":\"cs.b\"", filtered, 10131),
        ("", filtered, 10131),
        ("\"filter_subjects\":[\"cs.b\"]", filtered, 10137),
    ] {
        assert_eq!(settle(config, form), Err(code), "{config}");
    }
    let mut request = CreateConsumerRequest::default();
    let mismatch = request.settle("CS", CreateForm::Unnamed);
    assert_eq!(mismatch, Err(ApiError::STREAM_MISMATCH));
    let request = CreateConsumerRequest::from_json(
        br#"{"action":"update","pedantic":true}"#,
        Strictness::Strict,
    );
    assert!(request.is_ok_and(|request| request.action == ConsumerAction::Update));
}
