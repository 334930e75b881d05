//! Each request, field, header, ack and status of the stream API has a test
//! over a raw socket that names it: `coverage.txt` says which.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// Rows of the list: what kind, which, and its tests or why there is none.
fn rows() -> Vec<(String, String, String)> {
    let list = include_str!("coverage.txt");
    let lines = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split('|').map(|part| part.trim().to_owned());
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(kind), Some(row), Some(tests), None) => (kind, row, tests),
                _ => panic!("no row: {line}"),
            }
        })
        .collect()
}

/// What is wrong with a row; nothing if that is nothing.
fn fault(row: &str, tests: &str) -> Option<String> {
    if let Some(reason) = tests.strip_prefix("never:").or(tests.strip_prefix("open:")) {
        return reason
            .trim()
            .is_empty()
            .then(|| "it has no reason".to_owned());
    }
    if tests.is_empty() {
        return Some("it has no test".to_owned());
    }
    let mut is_named = false;
    for test in tests.split(',').map(str::trim) {
        let Some((file, name)) = test.split_once("::") else {
            return Some(format!("{test} is no test"));
        };
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{file}.rs"));
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        if !source.contains(&format!("#[test]\nfn {name}()")) {
            return Some(format!("there is no {test}"));
        }
        is_named |= row.split(' ').all(|word| source.contains(word));
    }
    (!is_named).then(|| "none of its tests names it".to_owned())
}

#[test]
fn every_row_has_a_test_that_names_it() {
    let faults: Vec<String> = rows()
        .iter()
        .filter_map(|(kind, row, tests)| Some(format!("{kind} | {row}: {}", fault(row, tests)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_row_is_there_twice() {
    let mut seen = BTreeSet::new();
    for (kind, row, _) in rows() {
        assert!(seen.insert((kind.clone(), row.clone())), "{kind} | {row}");
    }
}

#[test]
fn a_row_without_a_test_is_found() {
    assert!(fault("max_msgs", "").is_some());
    assert!(fault("max_msgs", "streams::nothing_is_called_so").is_some());
    assert!(
        fault(
            "a_field_nobody_knows",
            "streams::a_message_id_is_stored_once"
        )
        .is_some()
    );
    assert!(fault("max_msgs", "never:").is_some());
    assert!(fault("Nats-Msg-Id", "streams::a_message_id_is_stored_once").is_none());
}
