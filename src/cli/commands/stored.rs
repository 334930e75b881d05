//! `midge stream get` and `view`: messages as a stream has them, without a
//! consumer that would remember it.

use super::age;
use super::message::push_message;
use super::remote::{Answer, NO_MESSAGE_FOUND, QUESTION_TIMEOUT, Remote, nothing, number, string};
use super::stream::subject;
use super::table::cell;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;
use midge_api::{JsonWriter, Timestamp};
use midge_proto::from_base64;
use midge_proto::headers::HeaderBlock;
use serde_json::Value;

/// Messages that are shown where nothing else is said: some screens.
const VIEWED: u64 = 10;

/// What every subject matches.
const ALL: &str = ">";

pub(crate) fn get(arguments: &Arguments) -> Result<(), Failure> {
    let subject = subject(arguments, "MSG.GET")?;
    if arguments.has("seq") == arguments.has("last") {
        return Err(Failure::usage("get takes a sequence, or --last SUBJECT"));
    }
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, "seq last=last_by_subj");
    json.close_object();
    let remote = Remote::connect(arguments)?;
    let answer = remote.ask(&subject, json, QUESTION_TIMEOUT)?;
    if arguments.has("raw") {
        return output::write(&payload(&answer.value));
    }
    let mut out = String::new();
    push_stored(&mut out, &answer.value);
    remote.show_as(&answer, &out)
}

pub(crate) fn view(arguments: &Arguments) -> Result<(), Failure> {
    let asked = subject(arguments, "MSG.GET")?;
    if arguments.has("from-seq") && arguments.has("since") {
        return Err(Failure::usage("--from-seq goes without --since"));
    }
    let remote = Remote::connect(arguments)?;
    let filter = arguments.text("subject").unwrap_or(ALL);
    let mut seq = match arguments.duration("since") {
        Some(since) => {
            let info = remote.ask(&subject(arguments, "INFO")?, nothing(), QUESTION_TIMEOUT)?;
            first_since(&remote, &asked, &info.value["state"], age::ago(since))?
        }
        None => arguments.number("from-seq").unwrap_or(1),
    };
    let count = match arguments.number("count") {
        Some(0) => u64::MAX,
        count => count.unwrap_or(VIEWED),
    };
    for shown in 0..count {
        let Some(answer) = next(&remote, &asked, seq, filter)? else {
            return match shown {
                0 => remote.tell("no messages"),
                _ => Ok(()),
            };
        };
        seq = number(&answer.value["message"], "seq") + 1;
        if arguments.has("raw") {
            let mut line = payload(&answer.value);
            line.push(b'\n');
            output::write(&line)?;
            continue;
        }
        let mut out = String::new();
        if shown > 0 {
            out.push('\n');
        }
        push_stored(&mut out, &answer.value);
        remote.show_as(&answer, &out)?;
    }
    if !arguments.has("raw") && next(&remote, &asked, seq, filter)?.is_some() {
        remote.tell(&format!("\nthere are more: --from-seq {seq} goes on"))?;
    }
    Ok(())
}

/// The first message from a sequence on.
pub(crate) fn next(
    remote: &Remote,
    subject: &str,
    seq: u64,
    filter: &str,
) -> Result<Option<Answer>, Failure> {
    let mut json = JsonWriter::new();
    json.open_object();
    json.uint_field("seq", seq);
    json.string_field("next_by_subj", filter);
    json.close_object();
    remote.find(subject, json, NO_MESSAGE_FOUND)
}

/// The sequence of the first message that was stored since then: times grow
/// with sequences, so that halving finds it.
fn first_since(
    remote: &Remote,
    subject: &str,
    state: &Value,
    since: Timestamp,
) -> Result<u64, Failure> {
    let mut first = number(state, "first_seq");
    let mut end = number(state, "last_seq").saturating_add(1);
    while first < end {
        let middle = first + (end - first) / 2;
        let found = next(remote, subject, middle, ALL)?;
        let found = found.as_ref().map(|answer| &answer.value["message"]);
        match found {
            Some(message) if Timestamp::parse(string(message, "time")) < Some(since) => {
                first = number(message, "seq").max(middle) + 1;
            }
            _ => end = middle,
        }
    }
    Ok(first)
}

/// Appends a message that was asked for.
fn push_stored(out: &mut String, answer: &Value) {
    let message = &answer["message"];
    let head = format!(
        "{}, {}, {}",
        cell(message, "seq"),
        cell(message, "subject"),
        cell(message, "time"),
    );
    let block = from_base64(string(message, "hdrs")).unwrap_or_default();
    push_message(out, &head, HeaderBlock::new(&block), &payload(answer));
}

/// What a message says that was asked for.
pub(crate) fn payload(answer: &Value) -> Vec<u8> {
    from_base64(string(&answer["message"], "data")).unwrap_or_default()
}
