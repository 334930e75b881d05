//! What every command says of itself, and what shells are told of all of them.

use crate::cli_util::{done, refused};
use std::process::{Command, Output};

/// Asks a server that is not there.
const NOWHERE: &str = "127.0.0.1:1";

/// What may stand behind which words, as the completions have it.
fn lists() -> Vec<(String, Vec<String>)> {
    let script = done(NOWHERE, "completions bash");
    let mut lists = Vec::new();
    for line in script.lines() {
        let entry = line.trim().strip_prefix('\'');
        let Some((at, words)) = entry.and_then(|entry| entry.split_once("') echo '")) else {
            continue;
        };
        let words = words.trim_end_matches("' ;;").split(' ');
        lists.push((at.to_owned(), words.map(str::to_owned).collect()));
    }
    lists
}

#[test]
fn every_page_has_an_example_and_the_exit_codes() {
    let lists = lists();
    assert!(lists.len() > 30, "{lists:?}");
    for (at, words) in &lists {
        let page = done(NOWHERE, format!("{at} --help").trim_start());
        if at.is_empty() {
            let commands = words.iter().filter(|word| !word.starts_with('-'));
            for command in commands.filter(|word| *word != "help") {
                assert!(page.contains(&format!("\n  {command} ")), "{command}");
            }
            continue;
        }
        let example = format!("midge {at}");
        let (_, examples) = page.split_once("\nExamples:\n").expect(at);
        assert!(examples.contains(&example), "{at}: {page}");
        assert!(at == "serve" || page.contains("Exits with 0"), "{at}");
        for option in words.iter().filter(|word| word.starts_with('-')) {
            assert!(page.contains(option), "{at} {option}");
        }
        for action in words.iter().filter(|word| !word.starts_with('-')) {
            assert!(page.contains(&format!("\n  {action}")), "{at} {action}");
        }
    }
}

#[test]
fn bash_finishes_what_is_typed() {
    let script = done(NOWHERE, "completions bash");
    for (words, wanted) in [
        ("midge ver", "verify"),
        ("midge dlq --server x r", "redrive"),
        ("midge --json dlq ls --str", "--stream"),
        ("midge serve --no", "--no-store"),
        ("midge stream add ORDERS --dup", "--dupe-window"),
    ] {
        let last = words.split(' ').count() - 1;
        let line = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}; _midge; echo \"${{COMPREPLY[@]}}\""
        );
        let Ok(Output { stdout, .. }) = Command::new("bash").args(["-c", &line]).output() else {
            // There is no such shell here.
            return;
        };
        assert_eq!(String::from_utf8(stdout).unwrap().trim(), wanted, "{words}");
    }
}

#[test]
fn other_shells_have_the_same_lists() {
    for shell in ["zsh", "fish"] {
        let script = done(NOWHERE, &format!("completions {shell}"));
        for (at, words) in lists() {
            assert!(script.contains(&format!("'{at}'")), "{shell} {at}");
            assert!(script.contains(&words.join(" ")), "{shell} {at}");
        }
    }
    refused(NOWHERE, "completions csh", 2, "there are bash, zsh, fish");
}
