//! What is known of one thing, a line for each.

use super::table::{cell, push_value};
use serde_json::Value;

/// Columns between the margin and what a line is about.
const INDENT: &str = "  ";

/// What nats-server's own notes in the metadata begin with.
const THEIRS: &str = "_nats.";

/// Appends a title and the columns of an item below each other, see
/// [`cell`]; those that say nothing are left out.
pub(crate) fn write_facts(out: &mut String, title: &str, item: &Value, columns: &str) {
    let mut lines = Vec::new();
    for column in columns.split_ascii_whitespace() {
        let (name, _) = column.split_once('=').unwrap_or((column, column));
        let shown = cell(item, column);
        if shown != "-" {
            lines.push((name, shown));
        }
    }
    write_lines(out, title, &lines);
}

/// Appends a title and all settings that say something: what is off, or has
/// no limit, is left out, and so is what stands in the headline.
pub(crate) fn write_settings(out: &mut String, title: &str, config: Option<&Value>, known: &str) {
    let mut lines = Vec::new();
    let entries = config.and_then(Value::as_object);
    for (key, value) in entries.into_iter().flatten() {
        let is_known = known.split(' ').any(|name| name == key);
        if is_known || key == "metadata" || says_nothing(value) {
            continue;
        }
        let mut shown = String::new();
        push_value(&mut shown, key, value);
        lines.push((key.as_str(), shown));
    }
    let metadata = config.and_then(|config| config.get("metadata")?.as_object());
    for (key, value) in metadata.into_iter().flatten() {
        if key.starts_with(THEIRS) {
            continue;
        }
        let mut shown = String::new();
        push_value(&mut shown, "", value);
        lines.push((key.as_str(), shown));
    }
    write_lines(out, title, &lines);
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.values().all(says_nothing),
    }
}

fn write_lines(out: &mut String, title: &str, lines: &[(&str, String)]) {
    if lines.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(title);
    out.push('\n');
    let width = lines.iter().map(|(name, _)| name.chars().count()).max();
    for (name, shown) in lines {
        out.push_str(INDENT);
        let blanks = width.unwrap_or_default() + INDENT.len() - name.chars().count();
        super::table::push_clean(out, name);
        out.extend(std::iter::repeat_n(' ', blanks));
        out.push_str(shown);
        out.push('\n');
    }
}
