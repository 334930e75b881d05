//! A command line that makes sense: from words to the values that were given.

use crate::command::{Action, Command, Kind, Parameter, SHARED, option};
use crate::failure::Failure;
use crate::spelling::nearest;
use crate::units::{Period, Size};
use midge_proto::JsonWriter;
use std::time::Duration;

/// A value that was given.
#[derive(Debug, Clone)]
struct Given {
    name: &'static str,
    kind: Kind,
    text: String,
    /// Of a duration, its nanoseconds.
    number: u64,
}

impl Given {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// What was given for an action.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) action: &'static Action,
    given: Vec<Given>,
}

/// Finds the action that a command line asks for, and takes its name out of
/// the words. Shared options may stand before it. `None` where
/// there is no name.
pub(crate) fn take_action(
    command: &Command,
    words: &mut Vec<String>,
) -> Result<Option<&'static Action>, Failure> {
    if let Some(only) = command.action("") {
        return Ok(Some(only));
    }
    let mut place = 0;
    while let Some(name) = words.get(place).and_then(|word| word.strip_prefix("--")) {
        let (name, has_value) = match name.split_once('=') {
            Some((name, _)) => (name, true),
            None => (name, false),
        };
        let mut known = SHARED
            .iter()
            .flat_map(|block| block.lines())
            .filter_map(option);
        let Some(known) = known.find(|option| option.is_called(name)) else {
            break;
        };
        place += if has_value || known.kind == Kind::Flag {
            1
        } else {
            2
        };
    }
    if place >= words.len() {
        return Ok(None);
    }
    let name = words.remove(place);
    match command.action(&name) {
        Some(action) => Ok(Some(action)),
        None => {
            let names = command.actions.iter().map(|action| action.name);
            let about = format!("midge {} has no \"{name}\"", command.name);
            Err(Failure::usage(about + &nearest(&name, "", names)))
        }
    }
}

impl Arguments {
    /// Reads what follows the action's name.
    pub(crate) fn parse(action: &'static Action, words: &[String]) -> Result<Self, Failure> {
        let mut arguments = Arguments {
            action,
            given: Vec::new(),
        };
        let mut places = action.places();
        let mut last = None;
        let mut are_plain = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some("") if !are_plain => are_plain = true,
                Some(option) if !are_plain => arguments.add_option(option, &mut words)?,
                _ if !are_plain && let Some(option) = action.short(word) => {
                    arguments.add_option(option, &mut words)?;
                }
                _ => {
                    last = places
                        .next()
                        .or(last.filter(|last: &Parameter| last.is_repeated));
                    let Some(place) = last else {
                        // It may be a URL whose option was forgotten.
                        let shown = match word.rsplit_once('@') {
                            Some((_, place)) => format!("…@{place}"),
                            None => word.clone(),
                        };
                        return Err(Failure::usage(format!("\"{shown}\" is too much")));
                    };
                    arguments.add(place, word)?;
                }
            }
        }
        let missing = action
            .places()
            .find(|place| !place.is_optional && !arguments.has(place.name));
        match missing {
            Some(place) => Err(Failure::usage(format!(
                "a {} is missing",
                place.name.to_ascii_lowercase()
            ))),
            None => Ok(arguments),
        }
    }

    /// Adds an option, whose value is behind `=` or the next word.
    fn add_option(
        &mut self,
        option: &str,
        words: &mut std::slice::Iter<'_, String>,
    ) -> Result<(), Failure> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let mut all = self.action.parameters();
        let Some(parameter) = all.find(|parameter| parameter.is_called(name)) else {
            let names = self.action.parameters().map(|parameter| parameter.name);
            return Err(Failure::usage(
                format!("there is no --{name} here") + &nearest(name, "--", names),
            ));
        };
        if parameter.kind != Kind::Flag {
            let next = value.or_else(|| words.next().map(String::as_str));
            return self.add(parameter, next.unwrap_or_default());
        }
        match value {
            None => self.add(parameter, ""),
            Some(_) => Err(Failure::usage(format!("--{name} takes no value"))),
        }
    }

    fn add(&mut self, parameter: Parameter, text: &str) -> Result<(), Failure> {
        let Parameter { name, kind, .. } = parameter;
        let called = name.to_ascii_lowercase();
        // A flag means the same again.
        if !parameter.is_repeated && kind != Kind::Flag && self.has(name) {
            return Err(Failure::usage(format!("{called} is there twice")));
        }
        // A script's variable that is not set must not mean all. Saying
        // nothing is a message all the same.
        if text.is_empty() && !matches!((kind, name), (Kind::Flag, _) | (_, "PAYLOAD" | "VALUE")) {
            return Err(Failure::usage(format!("{called} says nothing")));
        }
        let number = match kind {
            Kind::Choice(words) if words.split('|').all(|word| word != text) => Err(format!(
                "\"{text}\" is not one of {}",
                words.replace('|', ", ")
            )),
            Kind::Text | Kind::Flag | Kind::Choice(_) => Ok(0),
            Kind::Number => text
                .parse()
                .map_err(|_| format!("\"{text}\" is not a number")),
            Kind::Size => text
                .parse()
                .map(|size: Size| usize::from(size) as u64)
                .map_err(|error| error.to_string()),
            Kind::Duration => text
                .parse()
                .map(|period: Period| nanos(period.into()))
                .map_err(|error| error.to_string()),
        };
        let number = number.map_err(|error| Failure::usage(format!("{called}: {error}")))?;
        self.given.push(Given {
            name,
            kind,
            text: text.to_owned(),
            number,
        });
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.is_called(name))
    }

    /// Whether it was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether one of these was given; there are blanks between the names.
    pub(crate) fn has_any(&self, names: &str) -> bool {
        names.split_ascii_whitespace().any(|name| self.has(name))
    }

    /// The number, or the size in bytes, that was given.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|given| given.number)
    }

    /// The duration that was given.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_nanos)
    }

    /// The words that were given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|given| given.text.as_str())
    }

    /// All that was given for what may be repeated.
    pub(crate) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let given = self.given.iter().filter(|given| given.is_called(name));
        given.map(|given| given.text.as_str())
    }

    /// Writes fields for what was given, into an object that is open. The
    /// fields are called as the options, but for the dashes, or `option=field`;
    /// there are blanks between them. A duration is in nanoseconds, unless the
    /// field's name ends in `_ms`. What may be repeated is an array.
    pub(crate) fn write_fields(&self, json: &mut JsonWriter, fields: &str) {
        for field in fields.split_ascii_whitespace() {
            let (name, field) = field.split_once('=').unwrap_or((field, field));
            let Some(given) = self.get(name) else {
                continue;
            };
            json.key(&field.replace('-', "_"));
            let mut parameters = self.action.parameters();
            if parameters.any(|parameter| parameter.is_called(name) && parameter.is_repeated) {
                json.open_array();
                self.texts(name).for_each(|text| json.string(text));
                json.close_array();
                continue;
            }
            match given.kind {
                Kind::Text | Kind::Choice(_) => json.string(&given.text),
                Kind::Flag => json.boolean(true),
                Kind::Duration if field.ends_with("_ms") => json.uint(given.number / 1_000_000),
                Kind::Number | Kind::Size | Kind::Duration => json.uint(given.number),
            }
        }
    }
}

/// Five hundred years are long enough.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTION: Action = Action {
        name: "try",
        places: "STREAM SEQ [PAYLOAD]",
        about: "",
        options: &["  --limit N              at most so many
                         --not an option
  --older-than DURATION  that long
  --size SIZE            so large
  --discard old|new      one of these
  --header NAME:VALUE... and
                         again
  --dry-run              only look"],
        example: "",
        run: |_| Ok(()),
    };

    fn parse(line: &str) -> Result<Arguments, Failure> {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
        Arguments::parse(&ACTION, &words)
    }

    #[test]
    fn what_is_given_is_found() {
        let given = parse("S --limit 3 7 --header a:b --header=c:_d --size=1KB --dry-run").unwrap();
        assert_eq!(given.text("stream"), Some("S"));
        assert_eq!(
            (given.number("seq"), given.number("limit")),
            (Some(7), Some(3))
        );
        assert_eq!(
            (given.text("payload"), given.number("size")),
            (None, Some(1024))
        );
        assert!(given.texts("header").eq(["a:b", "c: d"]));
        assert!(given.has("dry-run") && given.has_any("x dry-run") && !given.has_any("x y"));
        let given = parse("--seq 7 --stream S -- -- --older-than");
        assert!(given.is_err(), "{given:?}");
        let given = parse("S 7 --older-than 2m -- --json").unwrap();
        assert_eq!(given.duration("older-than"), Some(Duration::from_secs(120)));
        assert_eq!(given.text("payload"), Some("--json"));
        assert!(!given.has("json"));
        let nothing = ["S", "7", ""].map(str::to_owned);
        let given = Arguments::parse(&ACTION, &nothing).unwrap();
        assert_eq!(given.text("payload"), Some(""), "is a payload");
    }

    #[test]
    fn what_is_given_becomes_fields() {
        let fields = |line: &str, fields: &str| {
            let mut json = JsonWriter::new();
            json.open_object();
            parse(line).expect(line).write_fields(&mut json, fields);
            json.close_object();
            String::from_utf8(json.into_bytes()).unwrap()
        };
        let all = "seq dry-run older-than=age_ms stream=name header size payload";
        for (line, wanted) in [
            ("S 7", r#"{"seq":7,"name":"S"}"#),
            (
                "S 7 --dry-run --older-than 1s",
                r#"{"seq":7,"dry_run":true,"age_ms":1000,"name":"S"}"#,
            ),
            (
                "\"S 0 --header a:b",
                r#"{"seq":0,"name":"\"S","header":["a:b"]}"#,
            ),
            (
                "S 7 c --size 1",
                r#"{"seq":7,"name":"S","size":1,"payload":"c"}"#,
            ),
        ] {
            assert_eq!(fields(line, all), wanted, "{line}");
        }
        assert_eq!(
            fields("S 7 --older-than 2us", "older-than=age"),
            r#"{"age":2000}"#
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, wanted) in [
            ("S", "a seq is missing"),
            ("S 7 c d", "\"d\" is too much"),
            ("S one", "seq: \"one\" is not a number"),
            (
                "S 1 --limt 3",
                "there is no --limt here: did you mean --limit?",
            ),
            (
                "S 1 --xyz",
                "there is no --xyz here; there is --limit, --older-than",
            ),
            ("S 1 --limit", "limit says nothing"),
            ("S 1 --limit=", "limit says nothing"),
            ("S 1 --limit -1", "limit: \"-1\" is not a number"),
            ("S 1 --limit 1 --limit 2", "limit is there twice"),
            ("S 1 --seq 1", "seq is there twice"),
            ("S 1 --older-than 1", "older-than: \"1\" is not a duration"),
            ("S 1 --size x", "size: \"x\" is not a size"),
            (
                "S 1 --discard all",
                "discard: \"all\" is not one of old, new",
            ),
            ("S 1 --dry-run=yes", "--dry-run takes no value"),
            ("--stream  --seq 1", "stream says nothing"),
        ] {
            let said = parse(line).expect_err(line).to_string();
            assert!(said.starts_with(wanted), "{line}: {said}");
        }
    }

    // The commands with actions come with streams.
    #[cfg(feature = "streams")]
    #[test]
    fn an_action_may_stand_behind_the_server() {
        let dlq = crate::COMMANDS
            .iter()
            .find(|command| command.name == "dlq")
            .unwrap();
        for (line, wanted, rest) in [
            ("ls --limit 1", Some("ls"), "--limit 1"),
            ("--server ls show 1", Some("show"), "--server ls 1"),
            (
                "--json --server=x show 1",
                Some("show"),
                "--json --server=x 1",
            ),
            ("--server x", None, "--server x"),
            ("--server", None, "--server"),
            ("", None, ""),
        ] {
            let mut words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
            let action = take_action(dlq, &mut words).expect(line);
            assert_eq!(action.map(|action| action.name), wanted, "{line}");
            assert_eq!(words.join(" "), rest, "{line}");
        }
        let said = take_action(dlq, &mut vec!["shwo".to_owned()]).unwrap_err();
        assert_eq!(
            said.to_string(),
            "midge dlq has no \"shwo\": did you mean show?"
        );
    }
}
