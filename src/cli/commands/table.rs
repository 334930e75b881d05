//! Columns for people, and what stands in them.

use super::age::{push_span, with_age};
use serde_json::Value;

/// Appends a line for each item, below the names of its columns.
///
/// The columns are keys of the items with a blank between them. What a key is
/// called tells how it is shown: `…_ms` is a span, `time` and `…_at` are times,
/// and with `client` goes its number.
pub(crate) fn write_table(out: &mut String, items: &[Value], columns: &str) {
    let mut cells: Vec<String> = Vec::new();
    let mut widths: Vec<usize> = Vec::new();
    for key in columns.split_ascii_whitespace() {
        widths.push(0);
        cells.push(key.to_ascii_uppercase());
    }
    for item in items {
        for key in columns.split_ascii_whitespace() {
            cells.push(cell(item, key));
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

/// What stands under a key, fit for a terminal.
pub(crate) fn cell(item: &Value, key: &str) -> String {
    let mut out = String::new();
    match item.get(key) {
        Some(Value::String(text)) => push_clean(&mut out, text),
        Some(Value::Number(number)) => {
            let number = number.as_u64().unwrap_or_default();
            if key.ends_with("_ms") {
                push_span(&mut out, number);
            } else {
                out = format!("{number}");
            }
        }
        _ => out.push('-'),
    }
    if key == "time" || key.ends_with("_at") {
        with_age(&mut out);
    }
    if key == "client" && item.get("client_id").is_some() {
        out.push_str(" #");
        out.push_str(&cell(item, "client_id"));
    }
    out
}

/// Appends text that anybody may have sent, without what a terminal would
/// obey.
pub(crate) fn push_clean(out: &mut String, text: &str) {
    for char in text.chars() {
        out.push(if char.is_control() { '\u{fffd}' } else { char });
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
    }
}
