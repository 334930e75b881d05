//! Words with gaps that are filled anew for each message.

use midge_client::Message;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

/// What the help says of them.
pub(crate) const GAPS: &str = "\nFilled in for each message, in SUBJECT, PAYLOAD and headers:
  {{seq}}, {{Count}}     its number, from 1 on
  {{time}}               the time: 2026-11-22T17:15:29.123Z; also {{TimeStamp}}
  {{unix}}               the time in seconds since 1970
  {{random}}, {{ID}}     16 digits that no other message has";

/// Text with gaps.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    random: RandomState,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Seq,
    Time,
    Unix,
    Random,
    Subject,
    Request,
}

/// What the gaps are filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    /// The message's number.
    pub(crate) seq: u64,
    /// What is answered, if something is.
    pub(crate) request: Option<&'a Message>,
}

impl Template {
    /// Reads text; what looks like a gap and is none stays as it is.
    pub(crate) fn new(text: &str) -> Template {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            plain.push_str(before);
            let gap = behind.split_once("}}");
            match gap.and_then(|(name, _)| part(name.trim())).zip(gap) {
                Some((part, (_, behind))) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(part);
                    rest = behind;
                }
                None => {
                    plain.push_str("{{");
                    rest = behind;
                }
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Template {
            parts,
            random: RandomState::new(),
        }
    }

    /// Appends the text with its gaps filled.
    pub(crate) fn fill(&self, out: &mut Vec<u8>, filling: Filling<'_>) {
        let Filling { seq, request } = filling;
        for (part, place) in self.parts.iter().zip(0u8..) {
            let text = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Request => {
                    out.extend_from_slice(request.map_or(&[], Message::payload));
                    continue;
                }
                Part::Subject => request.map_or("", Message::subject).to_owned(),
                Part::Seq => seq.to_string(),
                Part::Time => humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
                Part::Unix => unix_seconds().to_string(),
                Part::Random => format!("{:016x}", self.random.hash_one((seq, place))),
            };
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// The text with its gaps filled; what is no text is left out of it.
    pub(crate) fn text(&self, filling: Filling<'_>) -> String {
        let mut out = Vec::new();
        self.fill(&mut out, filling);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn part(name: &str) -> Option<Part> {
    Some(match name.to_ascii_lowercase().as_str() {
        "seq" | "count" => Part::Seq,
        "time" | "timestamp" => Part::Time,
        "unix" => Part::Unix,
        "random" | "id" => Part::Random,
        "subject" => Part::Subject,
        "request" => Part::Request,
        _ => return None,
    })
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, seq: u64) -> String {
        Template::new(text).text(Filling { seq, request: None })
    }

    #[test]
    fn gaps_are_filled_and_the_rest_stays() {
        for (text, wanted) in [
            ("", ""),
            ("hello", "hello"),
            ("{{seq}}", "7"),
            ("a {{ Count }}, b {{seq}}.", "a 7, b 7."),
            ("{{nothing}} {{ {{seq}} }}", "{{nothing}} {{ 7 }}"),
            ("{{seq", "{{seq"),
            ("{{request}}{{subject}}", ""),
            ("{{{seq}}}", "{{{seq}}}"),
        ] {
            assert_eq!(filled(text, 7), wanted, "{text}");
        }
    }

    #[test]
    fn times_and_random_digits_look_like_it() {
        let time = filled("{{TimeStamp}}", 1);
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        assert!(filled("{{unix}}", 1).parse::<u64>().unwrap() > 1_700_000_000);
        let template = Template::new("{{random}} {{ID}}");
        let text = |seq| template.text(Filling { seq, request: None });
        let all = format!("{} {}", text(1), text(2));
        let mut words: Vec<&str> = all.split(' ').collect();
        assert!(words.iter().all(|word| word.len() == 16));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 4);
    }
}
