//! What a server says of messages, in lines and tables.

use super::message::push_payload;
use super::remote::{array, string};
use super::table::{cell, push_clean, write_table};
use midge_proto::from_base64;
use serde_json::Value;

/// What is said of the whole, as far as it is there.
const FACTS: &str = "id stream seq state subject time size matched redriven to_consumer \
                     to_subject failed died dropped unparked why";

/// What is known of a dead letter.
const LETTER: &str = "seq time stream source_seq consumer subject deliveries reason redrives size";
/// What is known of a delivery that led to nothing.
const ATTEMPT: &str = "n time client ended after_ms reason";
/// What is known of a message's way through a consumer.
const CONSUMER: &str = "name state deliveries delivered_at client due_ms";

/// An answer for people.
pub(crate) fn describe(answer: &Value) -> String {
    let mut out = String::new();
    for key in FACTS.split_ascii_whitespace() {
        if answer.get(key).is_some() {
            if !out.is_empty() {
                out.push_str(", ");
            }
            for part in [key, " ", &cell(answer, key)] {
                out.push_str(part);
            }
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if let Some(letter) = answer.get("letter") {
        write_table(&mut out, std::slice::from_ref(letter), LETTER);
    }
    write_titled(&mut out, answer, "letters", LETTER);
    write_titled(&mut out, answer, "consumers", CONSUMER);
    write_titled(&mut out, answer, "attempts", ATTEMPT);
    for consumer in array(answer, "consumers") {
        let start = out.len();
        write_titled(&mut out, consumer, "attempts", ATTEMPT);
        if out.len() > start {
            out.insert_str(start, &cell(consumer, "name"));
            out.insert(start, '\n');
        }
    }
    write_titled(&mut out, answer, "dead_letters", LETTER);
    for key in ["hdrs", "data"] {
        if answer.get(key).is_some() {
            write_title(&mut out, key);
            write_text(&mut out, string(answer, key));
        }
    }
    out
}

/// Appends the items under a key as a table; nothing if there are none.
fn write_titled(out: &mut String, answer: &Value, key: &str, columns: &str) {
    let items = array(answer, key);
    if !items.is_empty() {
        write_title(out, key);
        write_table(out, items, columns);
    }
}

/// Appends what the following is, unless it is the first.
fn write_title(out: &mut String, title: &str) {
    if !out.is_empty() {
        for part in ["\n", title, "\n"] {
            out.push_str(part);
        }
    }
}

/// Appends text that came in base64, or the base64 if it is no text.
fn write_text(out: &mut String, base64: &str) {
    match from_base64(base64) {
        Some(bytes) => push_payload(out, &bytes),
        None => {
            out.push_str("no base64: ");
            push_clean(out, base64);
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_terminal_is_told_nothing_to_obey() {
        for (data, wanted) in [
            ("G1sybWhpCg==", "\u{fffd}[2mhi\n"),
            ("/w==", "no text, in base64: /w==\n"),
            ("\u{7}", "no base64: \u{fffd}\n"),
            ("", ""),
        ] {
            assert_eq!(describe(&json!({ "data": data })), wanted);
        }
    }

    #[test]
    fn a_message_is_told_from_its_storing_to_its_end() {
        let answer = json!({
            "type": "io.midge.api.v1.why_response", "stream": "S", "seq": 7, "state": "stored",
            "subject": "a.b", "size": 3,
            "consumers": [
                {"name": "c", "state": "held", "deliveries": 0},
                {"name": "d", "state": "dead", "deliveries": 1, "client": "w", "client_id": 4,
                 "due_ms": 250, "attempts": [{"n": 1, "ended": "nak", "after_ms": 12,
                 "reason": "db down"}]},
            ],
            "dead_letters": [{"seq": 1, "source_seq": 7, "reason": "max_deliver"}],
        });
        let wanted = "stream S, seq 7, state stored, subject a.b, size 3\n\
            \nconsumers\n\
            NAME  STATE  DELIVERIES  DELIVERED_AT  CLIENT  DUE_MS\n\
            c     held   0           -             -       -\n\
            d     dead   1           -             w #4    250ms\n\
            \nd\nattempts\n\
            N  TIME  CLIENT  ENDED  AFTER_MS  REASON\n\
            1  -     -       nak    12ms      db down\n\
            \ndead_letters\n\
            SEQ  TIME  STREAM  SOURCE_SEQ  CONSUMER  SUBJECT  DELIVERIES  REASON       REDRIVES  SIZE\n\
            1    -     -       7           -         -        -           max_deliver  -         -\n";
        assert_eq!(describe(&answer), wanted);
    }

    #[test]
    fn what_is_not_as_expected_is_shown_as_far_as_it_goes() {
        for answer in [
            json!(null),
            json!([]),
            json!({"letters": 3, "consumers": {}}),
        ] {
            assert_eq!(describe(&answer), "");
        }
        assert_eq!(
            describe(&json!({"letters": [3], "data": 4}))
                .lines()
                .count(),
            4
        );
    }
}
