//! Events as they are told.

use super::advisory::*;
use super::info::StreamState;
use midge_proto::{Nanos, Timestamp};

const TIME: &str = "2026-11-22T11:32:52.587292696Z";

fn shown(event: Event<'_>) -> (String, String) {
    let mut subject = Vec::new();
    event.write_subject(&mut subject);
    let time = Timestamp::parse(TIME).expect(TIME);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&subject),
        text(&event.to_json("NdGLeFXbSW0xaOin9v1UVM", time, "")),
    )
}

fn expect(event: Event<'_>, subject: &str, kind: &str, fields: &str) {
    assert_eq!(
        shown(event),
        (
            format!("$JS.EVENT.{subject}"),
            format!(
                r#"{{"type":"io.nats.jetstream.{kind}","id":"NdGLeFXbSW0xaOin9v1UVM","timestamp":"{TIME}",{fields}}}"#
            )
        )
    );
}

#[test]
fn changes_are_told_as_seen_on_the_wire() {
    let (stream, consumer) = ("EV", "c");
    let until = Timestamp::parse("2030-01-01T00:00:00Z");
    for (event, subject, kind, fields) in [
        (
            Event::Stream {
                stream,
                action: Action::Create,
            },
            "ADVISORY.STREAM.CREATED.EV",
            "advisory.v1.stream_action",
            r#""stream":"EV","action":"create""#,
        ),
        (
            Event::Stream {
                stream,
                action: Action::Modify,
            },
            "ADVISORY.STREAM.UPDATED.EV",
            "advisory.v1.stream_action",
            r#""stream":"EV","action":"modify""#,
        ),
        (
            Event::Consumer {
                stream,
                consumer,
                action: Action::Delete,
            },
            "ADVISORY.CONSUMER.DELETED.EV.c",
            "advisory.v1.consumer_action",
            r#""stream":"EV","consumer":"c","action":"delete""#,
        ),
        (
            Event::Pause {
                stream,
                consumer,
                is_paused: true,
                until,
            },
            "ADVISORY.CONSUMER.PAUSE.EV.c",
            "advisory.v1.consumer_pause",
            r#""stream":"EV","consumer":"c","paused":true,"pause_until":"2030-01-01T00:00:00Z""#,
        ),
        (
            Event::Pause {
                stream,
                consumer,
                is_paused: false,
                until: None,
            },
            "ADVISORY.CONSUMER.PAUSE.EV.c",
            "advisory.v1.consumer_pause",
            r#""stream":"EV","consumer":"c","paused":false,"pause_until":"0001-01-01T00:00:00Z""#,
        ),
    ] {
        expect(event, subject, kind, fields);
    }
}

#[test]
fn deliveries_are_told_as_seen_on_the_wire() {
    let of = Delivery {
        stream: "EV",
        consumer: "c",
        consumer_seq: 4,
        stream_seq: 3,
        deliveries: 1,
    };
    for (event, subject, kind, fields) in [
        (
            Event::MaxDeliver(of),
            "ADVISORY.CONSUMER.MAX_DELIVERIES.EV.c",
            "advisory.v1.max_deliver",
            r#""stream":"EV","consumer":"c","stream_seq":3,"deliveries":1"#,
        ),
        (
            Event::Nak(of),
            "ADVISORY.CONSUMER.MSG_NAKED.EV.c",
            "advisory.v1.nak",
            r#""stream":"EV","consumer":"c","consumer_seq":4,"stream_seq":3,"deliveries":1"#,
        ),
        (
            Event::Terminated(of, "because"),
            "ADVISORY.CONSUMER.MSG_TERMINATED.EV.c",
            "advisory.v1.terminated",
            r#""stream":"EV","consumer":"c","consumer_seq":4,"stream_seq":3,"deliveries":1,"reason":"because""#,
        ),
        (
            Event::Ack(of, Nanos(199_830)),
            "METRIC.CONSUMER.ACK.EV.c",
            "metric.v1.consumer_ack",
            r#""stream":"EV","consumer":"c","consumer_seq":4,"stream_seq":3,"ack_time":199830,"deliveries":1"#,
        ),
    ] {
        expect(event, subject, kind, fields);
    }
}

#[test]
fn backups_are_told_as_seen_on_the_wire() {
    let mut of = Transfer {
        stream: "S",
        is_snapshot: true,
        client: ClientInfo {
            id: 5,
            account: "$G",
            ..ClientInfo::default()
        },
        server: "NBX",
    };
    let client =
        r#""client":{"id":5,"acc":"$G","server":"NBX","kind":"Client","client_type":"nats"}"#;
    let state = StreamState::default();
    expect(
        Event::TransferBegun(of, Some(&state)),
        "ADVISORY.STREAM.SNAPSHOT_CREATE.S",
        "advisory.v1.snapshot_create",
        &format!(
            r#""stream":"S","state":{{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0}},{client}"#
        ),
    );
    let start = Timestamp::parse("2026-11-23T03:06:51.938561786Z").expect("a time");
    let end = Timestamp::parse("2026-11-23T03:06:53.940762496Z").expect("a time");
    let mut how = TransferEnd {
        start,
        end,
        bytes: 0,
        error: "no flow response",
    };
    let times =
        r#""start":"2026-11-23T03:06:51.938561786Z","end":"2026-11-23T03:06:53.940762496Z""#;
    expect(
        Event::TransferEnded(of, how),
        "ADVISORY.STREAM.SNAPSHOT_COMPLETE.S",
        "advisory.v1.snapshot_complete",
        &format!(r#""stream":"S",{times},{client},"error":"no flow response""#),
    );
    of.is_snapshot = false;
    expect(
        Event::TransferBegun(of, None),
        "ADVISORY.STREAM.RESTORE_CREATE.S",
        "advisory.v1.restore_create",
        &format!(r#""stream":"S",{client}"#),
    );
    (how.bytes, how.error) = (600_827, "");
    expect(
        Event::TransferEnded(of, how),
        "ADVISORY.STREAM.RESTORE_COMPLETE.S",
        "advisory.v1.restore_complete",
        &format!(r#""stream":"S",{times},"bytes":600827,{client}"#),
    );
}

#[test]
fn an_audit_names_who_asked() {
    let (subject, body) = shown(Event::ApiAudit {
        server: "NBX",
        client: ClientInfo {
            start: Timestamp::parse("2026-11-22T11:32:52.574681125Z").expect("time"),
            host: "127.0.0.1",
            id: 483,
            account: "$G",
            rtt: Nanos(658_141),
            ..ClientInfo::default()
        },
        subject: "$JS.API.CONSUMER.PAUSE.EV.c",
        request: "{\"pause_until\": \"2030-01-01T00:00:00Z\"}",
        response: "{\"paused\":true}",
    });
    assert_eq!(subject, "$JS.EVENT.ADVISORY.API");
    assert!(
        body.ends_with(
            r#","server":"NBX","client":{"start":"2026-11-22T11:32:52.574681125Z","host":"127.0.0.1","id":483,"acc":"$G","rtt":658141,"server":"NBX","kind":"Client","client_type":"nats"},"subject":"$JS.API.CONSUMER.PAUSE.EV.c","request":"{\"pause_until\": \"2030-01-01T00:00:00Z\"}","response":"{\"paused\":true}"}"#
        ),
        "{body}"
    );
}
