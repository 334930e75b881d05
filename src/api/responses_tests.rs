//! Answers as nats-server 2.15.1 gave them.

use super::responses::{self, Page, ResponseKind, StoredMessage};
use super::{
    AccountInfo, ApiError, ConsumerConfig, ConsumerInfo, SequenceInfo, StreamConfig, StreamInfo,
    StreamState, Timestamp,
};
use super::{LostMessages, Nanos};
use std::borrow::Cow;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

#[test]
fn errors_keep_the_shape_of_their_answers() {
    use ResponseKind as Kind;
    let error = r#""error":{"code":404,"err_code":10059,"description":"stream not found"}"#;
    for (kind, name, rest) in [
        (Kind::StreamCreate, "stream_create", ""),
        (Kind::StreamDelete, "stream_delete", ""),
        (
            Kind::StreamInfo,
            "stream_info",
            r#","total":0,"offset":0,"limit":0"#,
        ),
        (
            Kind::StreamNames,
            "stream_names",
            r#","total":0,"offset":0,"limit":0,"streams":null"#,
        ),
        (
            Kind::StreamList,
            "stream_list",
            r#","total":0,"offset":0,"limit":0,"streams":[]"#,
        ),
        (
            Kind::ConsumerNames,
            "consumer_names",
            r#","total":0,"offset":0,"limit":0,"consumers":[]"#,
        ),
        (
            Kind::ConsumerList,
            "consumer_list",
            r#","total":0,"offset":0,"limit":0,"consumers":[]"#,
        ),
        (Kind::StreamPurge, "stream_purge", r#","purged":0"#),
        (
            Kind::StreamRestore,
            "stream_restore",
            r#","deliver_subject":"""#,
        ),
        (
            Kind::ConsumerPause,
            "consumer_pause",
            r#","paused":false,"pause_until":"0001-01-01T00:00:00Z""#,
        ),
    ] {
        assert_eq!(
            text(&responses::error(kind, &ApiError::STREAM_NOT_FOUND)),
            format!(r#"{{"type":"io.nats.jetstream.api.v1.{name}_response",{error}{rest}}}"#)
        );
    }
}

#[test]
fn short_answers_are_short() {
    let page = Page {
        total: 4,
        offset: 4,
        limit: responses::NAMES_LIMIT,
    };
    for (answer, want) in [
        (
            responses::success(ResponseKind::StreamDelete),
            r#"stream_delete_response","success":true}"#,
        ),
        (
            responses::success(ResponseKind::ConsumerUnpin),
            r#"consumer_unpin_response"}"#,
        ),
        (
            responses::purged(3),
            r#"stream_purge_response","success":true,"purged":3}"#,
        ),
        (
            responses::stream_names(page, []),
            r#"stream_names_response","total":4,"offset":4,"limit":1024,"streams":null}"#,
        ),
        (
            responses::stream_names(page, ["P", "S"]),
            r#"stream_names_response","total":4,"offset":4,"limit":1024,"streams":["P","S"]}"#,
        ),
        (
            responses::consumer_names(page, []),
            r#"consumer_names_response","total":4,"offset":4,"limit":1024,"consumers":[]}"#,
        ),
        (
            responses::stream_list(page, []),
            r#"stream_list_response","total":4,"offset":4,"limit":1024,"streams":[]}"#,
        ),
        (
            responses::consumer_paused(Some((time("2030-01-01T00:00:00Z"), Nanos(5)))),
            r#"consumer_pause_response","paused":true,"pause_until":"2030-01-01T00:00:00Z","pause_remaining":5}"#,
        ),
    ] {
        assert_eq!(
            text(&answer),
            format!(r#"{{"type":"io.nats.jetstream.api.v1.{want}"#)
        );
    }
}

#[test]
fn a_message_is_told_in_base64() {
    let message = StoredMessage {
        subject: "RS",
        seq: 2,
        headers: b"NATS/1.0\r\nA: b\r\n\r\n",
        data: b"hi",
        time: time("2026-11-22T11:36:43.648376808Z"),
    };
    assert_eq!(
        text(&responses::message(&message)),
        r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"RS","seq":2,"hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"aGk=","time":"2026-11-22T11:36:43.648376808Z"}}"#
    );
}

fn config() -> StreamConfig {
    let mut config = StreamConfig {
        name: "EV".to_owned(),
        ..StreamConfig::default()
    };
    assert_eq!(config.check(false), Ok(()));
    config
}

#[test]
fn a_stream_is_told_in_order() {
    let info = StreamInfo {
        config: Cow::Owned(config()),
        created: time("2026-11-22T11:32:52.578055288Z"),
        state: Cow::Owned(StreamState {
            messages: 4,
            bytes: 140,
            first_seq: 1,
            first_ts: time("2026-11-22T11:32:52.583441793Z"),
            last_seq: 5,
            last_ts: time("2026-11-22T11:32:52.593365011Z"),
            num_subjects: 4,
            subjects: vec![("ev.1".to_owned(), 1), ("ev.2".to_owned(), 3)],
            num_deleted: 1,
            deleted: vec![3],
            lost: None,
            consumer_count: 1,
        }),
        domain: "",
        leader: "NBX",
        copies: Vec::new(),
        ts: time("2026-11-22T11:32:53.615806841Z"),
    };
    let answer = text(&responses::stream_info(
        &info,
        Page {
            total: 4,
            offset: 0,
            limit: responses::SUBJECTS_LIMIT,
        },
    ));
    assert!(
        answer.starts_with(
            r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","total":4,"offset":0,"limit":100000,"config":{"name":"EV","#
        ),
        "{answer}"
    );
    assert!(
        answer.ends_with(
            r#"},"created":"2026-11-22T11:32:52.578055288Z","state":{"messages":4,"bytes":140,"first_seq":1,"first_ts":"2026-11-22T11:32:52.583441793Z","last_seq":5,"last_ts":"2026-11-22T11:32:52.593365011Z","num_subjects":4,"subjects":{"ev.1":1,"ev.2":3},"num_deleted":1,"deleted":[3],"consumer_count":1},"cluster":{"leader":"NBX"},"ts":"2026-11-22T11:32:53.615806841Z"}"#
        ),
        "{answer}"
    );
}

#[test]
fn a_new_stream_is_empty() {
    let info = StreamInfo {
        config: Cow::Owned(config()),
        created: time("2026-11-22T11:32:52.578055288Z"),
        state: Cow::Owned(StreamState {
            lost: Some(LostMessages::default()),
            ..StreamState::default()
        }),
        domain: "",
        leader: "",
        copies: Vec::new(),
        ts: time("2026-11-22T11:32:52.580882651Z"),
    };
    let answer = text(&responses::stream_created(&info));
    assert!(
        answer.ends_with(
            r#""created":"2026-11-22T11:32:52.578055288Z","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","lost":{"msgs":[],"bytes":0},"consumer_count":0},"ts":"2026-11-22T11:32:52.580882651Z","did_create":true}"#
        ),
        "{answer}"
    );
}

#[test]
fn a_consumer_is_told_in_order() {
    let info = ConsumerInfo {
        stream_name: "EV",
        name: "c",
        created: time("2026-11-22T11:32:52.582123812Z"),
        config: Cow::Owned(ConsumerConfig::default()),
        delivered: SequenceInfo {
            consumer_seq: 5,
            stream_seq: 5,
            last_active: time("2026-11-22T11:32:52.794587568Z"),
        },
        ack_floor: SequenceInfo::default(),
        num_ack_pending: 0,
        num_redelivered: 0,
        num_waiting: 1,
        num_pending: 0,
        push_bound: false,
        paused: Some(Nanos(7)),
        ts: time("2026-11-22T11:32:53.612216127Z"),
        priority_group: None,
    };
    let fields = r#""stream_name":"EV","name":"c","created":"2026-11-22T11:32:52.582123812Z","config":{"deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":0,"metadata":{"_nats.level":"4","_nats.req.level":"0","_nats.ver":"2.14.0"}},"delivered":{"consumer_seq":5,"stream_seq":5,"last_active":"2026-11-22T11:32:52.794587568Z"},"ack_floor":{"consumer_seq":0,"stream_seq":0},"num_ack_pending":0,"num_redelivered":0,"num_waiting":1,"num_pending":0,"paused":true,"pause_remaining":7,"ts":"2026-11-22T11:32:53.612216127Z""#;
    assert_eq!(
        text(&responses::consumer_info(&info)),
        format!(r#"{{"type":"io.nats.jetstream.api.v1.consumer_info_response",{fields}}}"#)
    );
    assert_eq!(
        text(&responses::consumer_reset(&info, 2)),
        format!(
            r#"{{"type":"io.nats.jetstream.api.v1.consumer_reset_response",{fields},"reset_seq":2}}"#
        )
    );
}

#[test]
fn an_account_is_told_in_order() {
    let info = AccountInfo {
        streams: 4,
        consumers: 3,
        api_level: 5,
        api_total: 11,
        api_errors: 3,
        ..AccountInfo::default()
    };
    assert_eq!(
        text(&responses::account_info(&info)),
        r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":4,"consumers":3,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"api":{"level":5,"total":11,"errors":3}}"#
    );
}
