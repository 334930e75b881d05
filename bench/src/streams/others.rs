//! Taking messages from servers that are not NATS servers: a consumer group
//! on a redis stream, and jobs of beanstalkd.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::connection::Connection;
use crate::server::Server;
use crate::streams::api::{CONSUMER, STREAM};
use crate::streams::scan::{Inbound, line_of, number, unexpected};
use crate::traffic::payload;
use crate::wire::resp_array;

/// How redis is read from.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// How many entries are asked for at once.
    pub(crate) batch: u64,
    /// Whether entries go once acknowledged.
    pub(crate) deleting: bool,
    /// How many to take, if there is an end to them. There are so many then,
    /// and the next are asked for before the last have come; otherwise the
    /// question could wait, and what is acknowledged after it with it.
    pub(crate) count: Option<u64>,
}

/// Takes entries of the group and acknowledges them, with one command for
/// those that came together, sent with the one that asks for more.
pub(crate) fn redis(
    connection: &Connection,
    reading: Reading,
    size: usize,
    name: &str,
    taken: &AtomicU64,
) -> io::Result<()> {
    let payload = payload(size);
    let count = reading.count.unwrap_or(u64::MAX);
    let ask = ask_redis(reading.batch, name);
    let verbs: &[&str] = match reading.deleting {
        true => &["XACK", "XDEL"],
        false => &["XACK"],
    };
    let mut inbound = Inbound::new();
    let mut out = ask.clone();
    let mut asked = reading.batch;
    if asked < count && reading.count.is_some() {
        out.extend_from_slice(&ask);
        asked += reading.batch;
    }
    // What the commands that acknowledge must answer, and whether that is the
    // last word on those entries.
    let mut owed: VecDeque<(u64, bool)> = VecDeque::new();
    let mut done = 0;
    while done < count {
        connection.send(&out)?;
        out.clear();
        match next_reply(connection, &mut inbound, &payload)? {
            Reply::Integer(found) => match owed.pop_front() {
                Some((wanted, last)) if wanted == found => {
                    let all = if last { found } else { 0 };
                    done += all;
                    taken.fetch_add(all, SeqCst);
                }
                _ => return Err(io::Error::other("an entry was not acknowledged")),
            },
            Reply::Entries(ids) => {
                for verb in verbs.iter().filter(|_| !ids.is_empty()) {
                    acknowledge(&mut out, verb, &ids);
                    owed.push_back((ids.len() as u64, Some(verb) == verbs.last()));
                }
                if asked < count {
                    out.extend_from_slice(&ask);
                    asked = asked.saturating_add(reading.batch);
                }
            }
        }
    }
    Ok(())
}

fn ask_redis(batch: u64, name: &str) -> Vec<u8> {
    let batch = batch.to_string();
    let words = [
        "XREADGROUP",
        "GROUP",
        CONSUMER,
        name,
        "COUNT",
        &batch,
        "BLOCK",
        "1000",
        "STREAMS",
        STREAM,
        ">",
    ];
    let mut out = Vec::new();
    resp_array(&mut out, &words.map(str::as_bytes));
    out
}

fn acknowledge(out: &mut Vec<u8>, verb: &str, ids: &[Vec<u8>]) {
    let mut words = vec![verb.as_bytes(), STREAM.as_bytes()];
    if verb == "XACK" {
        words.push(CONSUMER.as_bytes());
    }
    words.extend(ids.iter().map(Vec::as_slice));
    resp_array(out, &words);
}

/// An answer of redis.
enum Reply {
    /// To an acknowledgement: how many there were.
    Integer(u64),
    /// To a question for entries: their ids.
    Entries(Vec<Vec<u8>>),
}

/// The next answer; entries must have that payload.
fn next_reply(connection: &Connection, inbound: &mut Inbound, payload: &[u8]) -> io::Result<Reply> {
    loop {
        let bytes = inbound.bytes();
        let mut strings = Vec::new();
        let Some(length) = value(bytes, 0, &mut strings)? else {
            inbound.fill(connection)?;
            continue;
        };
        let line = bytes[..length].strip_suffix(b"\r\n").unwrap_or(bytes);
        let reply = match line.strip_prefix(b":") {
            Some(digits) => {
                let found = number(digits).ok_or_else(|| unexpected(line))?;
                Reply::Integer(found as u64)
            }
            None => Reply::Entries(entries(bytes, &strings, payload)?),
        };
        inbound.consume(length);
        return Ok(reply);
    }
}

/// The ids in the strings of an answer: the name of the stream, and for each
/// entry its id, the name of its field and the field.
fn entries(bytes: &[u8], strings: &[Range<usize>], payload: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let right = |entry: &[Range<usize>]| match entry {
        [id, _, field] if bytes[field.clone()] == *payload => Some(bytes[id.clone()].to_vec()),
        _ => None,
    };
    strings
        .get(1..)
        .unwrap_or_default()
        .chunks(3)
        .map(right)
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other("an entry is not what was stored"))
}

/// Finds the end of the value that begins at `at`, if it is there, and where
/// the strings in it are.
fn value(bytes: &[u8], at: usize, strings: &mut Vec<Range<usize>>) -> io::Result<Option<usize>> {
    let Some((line, length)) = line_of(&bytes[at..]) else {
        return Ok(None);
    };
    let after = at + length;
    let (kind, rest) = line.split_first().ok_or_else(|| unexpected(line))?;
    if rest == b"-1" {
        return Ok(Some(after));
    }
    let count = number(rest).ok_or_else(|| unexpected(line))?;
    match kind {
        b':' => Ok(Some(after)),
        b'$' => {
            let end = after + count;
            strings.push(after..end);
            Ok((bytes.len() >= end + 2).then_some(end + 2))
        }
        b'*' => {
            let mut next = after;
            for _ in 0..count {
                match value(bytes, next, strings)? {
                    Some(end) => next = end,
                    None => return Ok(None),
                }
            }
            Ok(Some(next))
        }
        _ => Err(unexpected(line)),
    }
}

/// Reserves jobs of beanstalkd, `in_flight` at a time, and deletes each. With
/// a count, no more than that are asked for: a connection that waits for a
/// job has nothing else done for it.
pub(crate) fn beanstalkd(
    connection: &Connection,
    in_flight: u64,
    count: Option<u64>,
    size: usize,
    taken: &AtomicU64,
) -> io::Result<()> {
    let payload = payload(size);
    let count = count.unwrap_or(u64::MAX);
    let mut inbound = Inbound::new();
    let mut asked = in_flight.min(count);
    let mut out = b"reserve\r\n".repeat(asked as usize);
    let mut deleted = 0;
    loop {
        connection.send(&out)?;
        out.clear();
        inbound.fill(connection)?;
        let before = deleted;
        while let Some((line, length)) = line_of(inbound.bytes()) {
            if line == b"DELETED" {
                deleted += 1;
                inbound.consume(length);
                continue;
            }
            let (id, size) = reserved(line).ok_or_else(|| unexpected(line))?;
            let whole = length + size + 2;
            let Some(frame) = inbound.bytes().get(length..whole) else {
                break;
            };
            if frame[..size] != payload {
                return Err(io::Error::other("a job is not what was stored"));
            }
            out.extend_from_slice(b"delete ");
            out.extend_from_slice(id);
            out.extend_from_slice(b"\r\n");
            if asked < count {
                out.extend_from_slice(b"reserve\r\n");
                asked += 1;
            }
            inbound.consume(whole);
        }
        taken.fetch_add(deleted - before, SeqCst);
        if deleted == count {
            return Ok(());
        }
    }
}

/// The id of a job and its size.
fn reserved(line: &[u8]) -> Option<(&[u8], usize)> {
    let words = line.strip_prefix(b"RESERVED ")?;
    let space = words.iter().position(|byte| *byte == b' ')?;
    Some((&words[..space], number(&words[space + 1..])?))
}

/// Makes the group on redis.
pub(crate) fn create_group(server: &Server) -> io::Result<()> {
    let mut api = crate::streams::api::Api::open(server)?;
    let said = api.ask(&format!("XGROUP CREATE {STREAM} {CONSUMER} 0 MKSTREAM"))?;
    match said.as_str() {
        "+OK" => Ok(()),
        other => Err(unexpected(other.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_redis_is_read_when_it_is_whole() {
        let text = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$2\r\nid\r\n*2\r\n$1\r\nd\r\n$2\r\nhi\r\n";
        for length in 0..text.len() {
            let found = value(&text[..length], 0, &mut Vec::new()).unwrap();
            assert_eq!(found, None, "{length}");
        }
        let mut strings = Vec::new();
        assert_eq!(value(text, 0, &mut strings).unwrap(), Some(text.len()));
        let words: Vec<&[u8]> = strings.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(words, [&b"s"[..], b"id", b"d", b"hi"]);
        assert_eq!(value(b"*-1\r\n", 0, &mut strings).unwrap(), Some(5));
        assert_eq!(value(b":17\r\n:18", 0, &mut strings).unwrap(), Some(5));
        assert!(value(b"-ERR x\r\n", 0, &mut strings).is_err());
    }

    #[test]
    fn a_job_has_an_id_and_a_size() {
        assert_eq!(reserved(b"RESERVED 17 128"), Some((&b"17"[..], 128)));
        assert_eq!(reserved(b"TIMED_OUT"), None);
    }
}
