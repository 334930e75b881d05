//! The options of commands that ask a running server: from words to the
//! fields of a request.
//!
//! Nearly each option is a field of the request under its own name, and the
//! commands share most of them. So they are a table here; as structures of the
//! argument parser, one for each command, they took more room in the program
//! than all else about dead letters.

use crate::remote::Failure;
use crate::units::Period;
use midge_proto::api::JsonWriter;
use std::time::Duration;

/// What a server can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Ls,
    Show,
    Redrive,
    Drop,
    Unpark,
    Why,
}

/// Each action: its name, the request, the options that need not be named and
/// how many of these there have to be.
const ACTIONS: [(Action, &str, &str, &str, usize); 6] = [
    (Action::Ls, "ls", "DLQ.LIST", "", 0),
    (Action::Show, "show", "DLQ.SHOW", "seq", 1),
    (Action::Redrive, "redrive", "DLQ.REDRIVE", "", 0),
    (Action::Drop, "drop", "DLQ.DROP", "", 0),
    (Action::Unpark, "unpark", "DLQ.UNPARK", "stream consumer", 2),
    (Action::Why, "why", "WHY", "stream seq consumer", 2),
];

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Age,
    Flag,
}

/// Where an option may stand, a bit for each action.
const LS: u8 = 1 << Action::Ls as u8;
const SHOW: u8 = 1 << Action::Show as u8;
const REDRIVE: u8 = 1 << Action::Redrive as u8;
const DROP: u8 = 1 << Action::Drop as u8;
const UNPARK: u8 = 1 << Action::Unpark as u8;
const WHY: u8 = 1 << Action::Why as u8;
const MANY: u8 = LS | REDRIVE | DROP;
const ANY: u8 = MANY | SHOW | UNPARK | WHY;

/// The options that choose among dead letters come first.
const FILTERS: usize = 8;
const OPTIONS: [(&str, Kind, u8); 20] = [
    ("stream", Kind::Text, MANY | UNPARK | WHY),
    ("consumer", Kind::Text, MANY | UNPARK | WHY),
    ("subject", Kind::Text, MANY),
    ("seq", Kind::Number, MANY | SHOW | WHY),
    ("source-seq", Kind::Number, MANY | UNPARK),
    ("reason", Kind::Text, MANY),
    ("older-than", Kind::Age, MANY),
    ("newer-than", Kind::Age, MANY),
    ("dlq", Kind::Text, MANY | SHOW),
    ("limit", Kind::Number, MANY),
    ("from-seq", Kind::Number, LS),
    ("rate", Kind::Number, REDRIVE),
    ("died-max", Kind::Number, REDRIVE),
    ("id", Kind::Number, REDRIVE),
    ("stop", Kind::Flag, REDRIVE),
    ("dry-run", Kind::Flag, REDRIVE | DROP),
    ("all", Kind::Flag, DROP),
    ("json", Kind::Flag, ANY),
    ("server", Kind::Text, ANY),
    ("help", Kind::Flag, ANY),
];

/// Options that are not the server's business.
const LOCAL: [&str; 3] = ["json", "server", "help"];

/// An option that was given.
#[derive(Debug)]
struct Given {
    /// Its place in the table.
    place: usize,
    text: String,
    number: u64,
}

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) action: Action,
    /// What the request's subject ends with.
    pub(crate) subject: &'static str,
    given: Vec<Given>,
}

impl Options {
    /// Reads a command line: what to do, and how.
    pub(crate) fn parse(words: &[String]) -> Result<Options, Failure> {
        let mut words = words.iter();
        let name = words.next().map_or("", String::as_str);
        let Some(&(action, _, subject, places, needed)) = ACTIONS.iter().find(|it| it.1 == name)
        else {
            return Err(bad(format!("there is no \"{name}\"")));
        };
        let mut options = Options {
            action,
            subject,
            given: Vec::new(),
        };
        let mut places = places.split_ascii_whitespace();
        let mut needed = places.clone().take(needed);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(option) => options.add(name, option, None, &mut words)?,
                None => match places.next() {
                    Some(place) => options.add(name, place, Some(word), &mut words)?,
                    None => return Err(bad(format!("{name} does not take \"{word}\""))),
                },
            }
        }
        match needed.find(|place| !options.has(place) && !options.has("help")) {
            Some(place) => Err(bad(format!("{name} needs a {place}"))),
            None => Ok(options),
        }
    }

    /// Adds an option with its value, which is the next word if it takes one
    /// and has none yet.
    fn add(
        &mut self,
        action: &str,
        name: &str,
        value: Option<&String>,
        words: &mut std::slice::Iter<'_, String>,
    ) -> Result<(), Failure> {
        let found = OPTIONS.iter().zip(0..).find(|(option, _)| option.0 == name);
        let Some((&(_, kind, actions), place)) = found else {
            return Err(bad(format!("there is no --{name}")));
        };
        if actions >> self.action as u8 & 1 == 0 {
            return Err(bad(format!("--{name} does not go with {action}")));
        }
        if self.has(name) {
            return Err(bad(format!("{name} is there twice")));
        }
        let mut text = String::new();
        if kind != Kind::Flag {
            if let Some(value) = value.or_else(|| words.next()) {
                text.push_str(value);
            }
            // A script's variable that is not set must not mean all.
            if text.is_empty() {
                return Err(bad(format!("{name} says nothing")));
            }
        }
        let number = match kind {
            Kind::Number => text.parse().ok(),
            Kind::Age => text.parse().ok().map(|period: Period| {
                let millis = Duration::from(period).as_millis();
                millis.min(u128::from(u64::MAX)) as u64
            }),
            Kind::Text | Kind::Flag => Some(0),
        };
        let Some(number) = number else {
            return Err(bad(format!(
                "{name}: \"{text}\" is not a {}",
                if kind == Kind::Age {
                    "duration; write 500ms, or 10s, or 2m"
                } else {
                    "number"
                }
            )));
        };
        self.given.push(Given {
            place,
            text,
            number,
        });
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Given> {
        self.given
            .iter()
            .find(|given| option(given).is_some_and(|option| option.0 == name))
    }

    /// Whether it was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The number that was given.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|given| given.number)
    }

    /// The words that were given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|given| given.text.as_str())
    }

    /// Whether something chooses among the dead letters.
    pub(crate) fn has_filter(&self) -> bool {
        self.given.iter().any(|given| given.place < FILTERS)
    }

    /// Whether nothing but these was given, and what is not for the server.
    pub(crate) fn has_only(&self, names: &[&str]) -> bool {
        self.given.iter().all(|given| {
            option(given).is_some_and(|(name, ..)| LOCAL.contains(name) || names.contains(name))
        })
    }

    /// The request, open for more.
    pub(crate) fn request(&self) -> JsonWriter {
        let mut json = JsonWriter::new();
        json.open_object();
        for given in &self.given {
            let Some((name, kind, _)) = option(given) else {
                continue;
            };
            // What is listed is asked for page by page.
            let is_paged = self.action == Action::Ls && ["limit", "from-seq"].contains(name);
            if is_paged || LOCAL.contains(name) {
                continue;
            }
            json.key(match *name {
                "older-than" => "age_min_ms",
                "newer-than" => "age_max_ms",
                "source-seq" => "source_seq",
                "died-max" => "died_max",
                "dry-run" => "dry_run",
                name => name,
            });
            match kind {
                Kind::Text => json.string(&given.text),
                Kind::Number | Kind::Age => json.uint(given.number),
                Kind::Flag => json.boolean(true),
            }
        }
        json
    }
}

fn option(given: &Given) -> Option<&'static (&'static str, Kind, u8)> {
    OPTIONS.get(given.place)
}

fn bad(words: String) -> Failure {
    Failure::usage(words).but("--help says what there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        let words = line.split(' ').map(|word| word.replace('_', " "));
        Options::parse(&words.collect::<Vec<_>>())
    }

    fn request(line: &str) -> String {
        let mut json = parse(line).expect(line).request();
        json.close_object();
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn options_become_fields() {
        for (line, wanted) in [
            ("ls --limit 3 --from-seq 4", "{}"),
            ("show 12 --json --server x", r#"{"seq":12}"#),
            ("unpark S c", r#"{"stream":"S","consumer":"c"}"#),
            ("why S 7", r#"{"stream":"S","seq":7}"#),
            ("why S 7 c", r#"{"stream":"S","seq":7,"consumer":"c"}"#),
            (
                "drop --subject a.\" --older-than 1h --dry-run --seq 0",
                r#"{"subject":"a.\"","age_min_ms":3600000,"dry_run":true,"seq":0}"#,
            ),
            (
                "redrive --reason terminated:_x --newer-than 1d --died-max 3 --source-seq 7",
                r#"{"reason":"terminated: x","age_max_ms":86400000,"died_max":3,"source_seq":7}"#,
            ),
        ] {
            assert_eq!(request(line), wanted, "{line}");
        }
    }

    #[test]
    fn fields_are_called_as_options_are() {
        for (name, kind, actions) in OPTIONS {
            if actions & REDRIVE == 0 || LOCAL.contains(&name) || kind == Kind::Age {
                continue;
            }
            let value = if kind == Kind::Flag { "" } else { " 1" };
            let request = request(&format!("redrive --{name}{value}"));
            let field = format!("{{\"{}\":", name.replace('-', "_"));
            assert!(request.starts_with(&field), "{name}: {request}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, wanted) in [
            ("", "there is no \"\""),
            ("list", "there is no \"list\""),
            ("ls x", "ls does not take \"x\""),
            ("ls -x", "ls does not take \"-x\""),
            ("ls --", "there is no --"),
            ("ls --strea S", "there is no --strea"),
            ("ls --rate 1", "--rate does not go with ls"),
            ("drop --stop", "--stop does not go with drop"),
            ("ls --stream", "stream says nothing"),
            ("ls --stream S --stream T", "stream is there twice"),
            ("ls --limit x", "limit: \"x\" is not a number"),
            ("ls --limit -1", "limit: \"-1\" is not a number"),
            ("ls --older-than 1", "older-than: \"1\" is not a duration"),
            ("show", "show needs a seq"),
            ("show 1 2", "show does not take \"2\""),
            ("show one", "seq: \"one\" is not a number"),
            ("unpark S", "unpark needs a consumer"),
            ("why S", "why needs a seq"),
            ("why S 1 c d", "why does not take \"d\""),
        ] {
            let said = parse(line).expect_err(line).to_string();
            assert!(said.starts_with(wanted), "{line}: {said}");
        }
        let empty = ["drop", "--stream", ""].map(str::to_owned);
        assert!(Options::parse(&empty).is_err(), "nothing is not all");
    }

    #[test]
    fn filters_are_told_from_the_rest() {
        let options = parse("drop --dlq D --limit 3 --json").unwrap();
        assert!(!options.has_filter());
        assert!(options.has_only(&["limit", "dlq"]) && !options.has_only(&["dlq"]));
        for (name, kind, actions) in OPTIONS {
            if actions & DROP != 0 {
                let value = match kind {
                    Kind::Flag => "",
                    Kind::Age => " 1h",
                    _ => " 1",
                };
                let options = parse(&format!("drop --{name}{value}")).unwrap();
                let others = ["dlq", "limit", "dry-run", "all", "json", "server", "help"];
                assert_eq!(options.has_filter(), !others.contains(&name), "{name}");
            }
        }
    }
}
