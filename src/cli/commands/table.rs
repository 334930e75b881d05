//! Columns for people, and what stands in them.

use super::age::{push_exact, push_span, with_age};
use super::size::push_size;
use serde_json::Value;

/// Go's way to say that there is no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A list for people: a table, or the names alone, a line each.
pub(crate) fn list_of(items: &[Value], name: &str, columns: Option<&str>) -> String {
    let mut out = String::new();
    match columns {
        Some(columns) => write_table(&mut out, items, columns),
        None => {
            for item in items {
                out.push_str(&cell(item, name));
                out.push('\n');
            }
        }
    }
    out
}

/// Appends a line for each item, below the names of its columns.
///
/// The columns have a blank between them; each is what [`cell`] takes.
pub(crate) fn write_table(out: &mut String, items: &[Value], columns: &str) {
    let mut cells: Vec<String> = Vec::new();
    let mut widths: Vec<usize> = Vec::new();
    for column in columns.split_ascii_whitespace() {
        widths.push(0);
        let (title, _) = title_and_path(column);
        cells.push(title.to_ascii_uppercase());
    }
    for item in items {
        for column in columns.split_ascii_whitespace() {
            cells.push(cell(item, column));
        }
    }
    for row in cells.chunks(widths.len()) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in cells.chunks(widths.len()) {
        let mut blanks = 0;
        for (width, cell) in widths.iter().zip(row) {
            for _ in 0..blanks {
                out.push(' ');
            }
            out.push_str(cell);
            blanks = width + 2 - cell.chars().count();
        }
        out.push('\n');
    }
}

/// `title=path`; a path alone is its own title.
fn title_and_path(column: &str) -> (&str, &str) {
    column.split_once('=').unwrap_or((column, column))
}

/// What stands under a key, fit for a terminal: `key`, or `title=path`, where
/// a path is keys with dots between them. The title tells how it is shown, see
/// [`push_value`]; with `client` goes its number.
pub(crate) fn cell(item: &Value, column: &str) -> String {
    let (title, path) = title_and_path(column);
    let mut out = String::new();
    let found = path.split('.').try_fold(item, |value, key| value.get(key));
    push_value(&mut out, title, found.unwrap_or(&Value::Null));
    if title == "client" && item.get("client_id").is_some() {
        out.push_str(" #");
        out.push_str(&cell(item, "client_id"));
    }
    out
}

/// Appends a value, as what it is called tells: some are times, spans or sizes.
pub(crate) fn push_value(out: &mut String, title: &str, value: &Value) {
    match value {
        Value::String(text) if text == NO_TIME => out.push('-'),
        Value::String(text) => {
            let mut clean = String::new();
            push_clean(&mut clean, text);
            if is_time(title) {
                with_age(&mut clean);
            }
            out.push_str(&clean);
        }
        Value::Number(number) => match number.as_u64() {
            Some(number) => push_number(out, title, number),
            None => out.push_str(&number.to_string()),
        },
        Value::Bool(true) => out.push_str("yes"),
        Value::Bool(false) => out.push_str("no"),
        Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                push_value(out, title, item);
            }
        }
        Value::Object(entries) if !entries.is_empty() => {
            for (place, (key, item)) in entries.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                push_clean(out, key);
                out.push_str(": ");
                push_value(out, key, item);
            }
        }
        _ => out.push('-'),
    }
}

fn push_number(out: &mut String, title: &str, number: u64) {
    match title {
        "bytes" | "max_bytes" | "max_msg_size" => push_size(out, number),
        "max_age"
        | "duplicate_window"
        | "ack_wait"
        | "backoff"
        | "inactive_threshold"
        | "idle_heartbeat"
        | "max_expires"
        | "subject_delete_marker_ttl" => push_exact(out, number),
        "pause_remaining" => push_span(out, number / 1_000_000),
        "oldest" | "idle" => push_span(out, number),
        _ if title.ends_with("_ms") => push_span(out, number),
        _ => out.push_str(&number.to_string()),
    }
}

fn is_time(title: &str) -> bool {
    matches!(title, "time" | "created" | "opt_start_time")
        || title.ends_with("_at")
        || title.ends_with("_ts")
}

/// Characters that turn the direction of a line, so that it reads as another.
const TURNS: [char; 9] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

/// Appends text that anybody may have sent, without what a terminal would
/// obey.
pub(crate) fn push_clean(out: &mut String, text: &str) {
    for char in text.chars() {
        let is_obeyed = char.is_control() || TURNS.contains(&char);
        out.push(if is_obeyed { '\u{fffd}' } else { char });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_stand_below_each_other() {
        let mut out = String::new();
        let items = [
            json!({"seq": 1, "name": "größer", "size": 7}),
            json!({"size": 9, "seq": 1000, "name": "x\u{1b}[2m\t", "more": {}}),
            json!({"name": null, "seq": []}),
            json!(3),
        ];
        write_table(&mut out, &items, "seq name size");
        let wanted = "SEQ   NAME    SIZE\n\
                      1     größer  7\n\
                      1000  x\u{fffd}[2m\u{fffd}  9\n\
                      -     -       -\n\
                      -     -       -\n";
        assert_eq!(out, wanted);
    }

    #[test]
    fn keys_tell_how_they_are_shown() {
        let item = json!({"after_ms": 61000, "client": "w", "client_id": 7, "seen_at": "x"});
        assert_eq!(cell(&item, "after_ms"), "1m");
        assert_eq!(cell(&item, "client"), "w #7");
        assert_eq!(cell(&item, "seen_at"), "x", "no time is shown as it is");
        let item = json!({
            "config": {"subjects": ["a.>", "b"], "max_age": 90_000_000_000u64, "max_bytes": -1},
            "state": {"bytes": 2048, "first_ts": "0001-01-01T00:00:00Z"},
            "is": true, "metadata": {"a": "b\u{7}", "c": "d"}, "none": [],
        });
        for (column, wanted) in [
            ("subjects=config.subjects", "a.>, b"),
            ("max_age=config.max_age", "1m30s"),
            ("max_bytes=config.max_bytes", "-1"),
            ("bytes=state.bytes", "2 KB"),
            ("first_ts=state.first_ts", "-"),
            ("is", "yes"),
            ("metadata", "a: b\u{fffd}, c: d"),
            ("none", "-"),
            ("config.none.none", "-"),
        ] {
            assert_eq!(cell(&item, column), wanted, "{column}");
        }
    }
}
