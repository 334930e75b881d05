//! What a command is: its names, what it takes, what it says of itself.
//!
//! A command is declared by the text of its help. From the lines that people
//! read come the options that are understood, so that the two cannot differ;
//! and a command takes a few hundred bytes in the program, where a structure
//! of an argument parser's derive took thousands.

use crate::arguments::Arguments;
use crate::failure::Failure;

/// The options of all commands that talk to a server; see [`Action::options`].
pub(crate) const SHARED: &[&str] = &[
    "  --server URL           nats://[user:password@]host[:4222]; of several, with
                         commas between them, the first that answers
                         (default: $MIDGE_URL or 127.0.0.1:4222)
  --user NAME            who asks, if the URL does not say
  --password TEXT        with which password
  --token TEXT           in place of user and password",
    #[cfg(feature = "tls")]
    "  --tlsca FILE           encrypt, and trust what comes from these certificates
                         (default: as the server wants, and the machine's)
  --tlscert FILE         with a certificate of one's own
  --tlskey FILE          and its key",
    "  --timeout DURATION     how long to wait for the server (default: 5s; longer
                         where it has work to do)
  --json                 print JSON, for programs
  --help                 show this",
];

/// A dash and a letter.
const SHORT_LEN: usize = 2;

/// Something that `midge` does: `midge pub`, or all of `midge dlq …`.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What it is for, in a line.
    pub(crate) about: &'static str,
    /// The only one of a command that does one thing has no name.
    pub(crate) actions: &'static [Action],
}

/// One thing that a command does.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    /// Values that are given without a name, as `SUBJECT [PAYLOAD]`. The last
    /// one may end in `...` and takes all that come, each not empty.
    pub(crate) places: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// Options as the help shows them, a line each:
    ///
    /// ```text
    ///   --limit N              at most so many
    ///                          and further lines
    ///   --header NAME:VALUE... may be there again and again
    ///   --all                  is a flag
    ///   -s, --store FILE       has a short name
    /// ```
    ///
    /// [`SHARED`] are added; one of these here that has the name of one of
    /// those is shown in its place. A block that has `--help` itself is of a
    /// command that needs no server, and takes no more than it says; after the
    /// options it may say how the command ends.
    pub(crate) options: &'static [&'static str],
    /// Command lines that make sense, the most useful one first.
    pub(crate) example: &'static str,
    pub(crate) run: fn(&Arguments) -> Result<(), Failure>,
}

/// What an option takes. The word that stands for the value in the help says
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it is there or not.
    Flag,
    /// `N`, `SEQ`: a whole number.
    Number,
    /// `SIZE`: bytes, with or without a unit.
    Size,
    /// `DURATION`: `500ms`, `2m`.
    Duration,
    /// `one|another`: one of these.
    Choice(&'static str),
    /// Any other word.
    Text,
}

/// An option or a place, as its declaration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Without dashes. That of a place is in upper case.
    pub(crate) name: &'static str,
    /// What may be written for it, as `-s`; or nothing.
    pub(crate) short: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_repeated: bool,
    pub(crate) is_optional: bool,
}

impl Parameter {
    /// One whose value is called so; a flag's is not called anything.
    fn new(name: &'static str, value: &'static str) -> Parameter {
        let is_optional = value.starts_with('[');
        let value = value.trim_matches(['[', ']']);
        let kind = match value.trim_end_matches('.') {
            "" => Kind::Flag,
            "N" | "SEQ" => Kind::Number,
            "SIZE" => Kind::Size,
            "DURATION" => Kind::Duration,
            words if words.contains('|') => Kind::Choice(words),
            _ => Kind::Text,
        };
        Parameter {
            name,
            short: "",
            kind,
            is_repeated: value.ends_with("..."),
            is_optional,
        }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Command {
    pub(crate) fn action(&self, name: &str) -> Option<&'static Action> {
        self.actions.iter().find(|action| action.name == name)
    }
}

impl Action {
    /// Whether it needs no server, and so takes no [`SHARED`] options.
    pub(crate) fn is_local(&self) -> bool {
        let mut lines = self.options.iter().flat_map(|block| block.lines());
        lines.any(|line| line.starts_with("  --help"))
    }

    /// The blocks of its options, those that are shared last.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &'static str> {
        let shared = if self.is_local() { &[] } else { SHARED };
        self.options.iter().chain(shared).copied()
    }

    /// Its options and those that are shared.
    pub(crate) fn named(&self) -> impl Iterator<Item = Parameter> {
        self.blocks().flat_map(str::lines).filter_map(option)
    }

    /// What may be given by name: options, then places.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.named().chain(self.places())
    }

    /// The option whose short name this is.
    pub(crate) fn short(&self, word: &str) -> Option<&'static str> {
        let mut all = self.named();
        let found = all.find(|option| !word.is_empty() && option.short == word);
        found.map(|option| option.name)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Parameter> + use<> {
        self.places
            .split_ascii_whitespace()
            .map(|place| Parameter::new(place.trim_matches(['[', ']', '.']), place))
    }
}

/// The option that a line of help declares, if it does.
pub(crate) fn option(line: &'static str) -> Option<Parameter> {
    let line = line.strip_prefix("  ")?;
    let (short, line) = match line.split_once(", ") {
        Some((short, rest)) if short.len() == SHORT_LEN && short.starts_with('-') => (short, rest),
        _ => ("", line),
    };
    let mut words = line.strip_prefix("--")?.split(' ');
    let name = words.next()?;
    Some(Parameter {
        short,
        ..Parameter::new(name, words.next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::COMMANDS;

    /// As wide as a terminal is at least.
    const WIDTH: usize = 80;

    #[test]
    fn every_declaration_is_well_formed() {
        for command in COMMANDS {
            assert!(!command.about.is_empty() && !command.actions.is_empty());
            for action in command.actions {
                let name = format!("{} {}", command.name, action.name);
                let name = name.trim_end();
                assert_eq!(action.name.is_empty(), command.actions.len() == 1, "{name}");
                assert!(!action.about.is_empty(), "{name}");
                for line in action.example.lines() {
                    let rest = line.contains(&format!("midge {name} "));
                    assert!(rest || line.ends_with(name), "{name}: {line}");
                }
                assert!(!action.example.is_empty(), "{name}");
                let lines = action.blocks().flat_map(str::lines);
                for line in lines.chain(action.about.lines()) {
                    assert!(line.chars().count() <= WIDTH, "{name}: {line}");
                    assert_eq!(line, line.trim_end(), "{name}: {line}");
                }
                check_names(name, action);
            }
        }
    }

    fn check_names(name: &str, action: &Action) {
        let own = action
            .options
            .iter()
            .copied()
            .flat_map(str::lines)
            .filter_map(option);
        let mut names: Vec<_> = own.chain(action.places()).map(|own| own.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        assert_eq!(names.len(), count, "{name}: {names:?}");
        let places: Vec<_> = action.places().collect();
        for pair in places.windows(2) {
            assert!(!pair[0].is_repeated, "{name}: the last one is repeated");
            assert!(
                !pair[0].is_optional || pair[1].is_optional,
                "{name}: optional ones are last"
            );
        }
    }
}
