//! The command line of the load generator.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
midge-bench runs midge and the peers found on this machine in turn and prints
what each did and what it cost.

  --quick            small counts and one round: a smoke test of under a minute
  --seconds N        how long each load runs (default 2; 0.05 to 60)
  --rounds N         rounds of each case, median taken (default 3; 1 to 99)
  --only A,B         only these cases; A* for all whose names begin with A
  --servers A,B      only these of midge, midge-async, nats-server, nats-sync,
                     redis-server, beanstalkd, relay
  --messages N       messages stored to be consumed, and to see the memory they
                     take (default 1000000; with --quick 10000)
  --stored N         messages stored to start with (default 10000000; with
                     --quick 20000)
  --dir PATH         where servers store, each in a folder of its own that is
                     removed in the end (default: the directory for temporary
                     files); on a disk, or figures of streams mean nothing
  --markdown         print the tables as markdown
  --midge PATH       midge (default ../target/release/midge)
  --nats PATH        nats-server (default: from $PATH)
  --redis PATH       redis-server (default: from $PATH)
  --beanstalkd PATH  beanstalkd (default: from $PATH)
  --list             list the cases
  --help             this text

The exit code is not zero when a case failed or lost a message.
";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// Run cases and print tables.
    Run(Box<Options>),
    /// Print the names of the cases.
    List,
    /// Print [`HELP`].
    Help,
}

/// The options of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// Small counts, one round.
    pub(crate) quick: bool,
    /// How long each load publishes.
    pub(crate) duration: Duration,
    /// How often each case is repeated.
    pub(crate) rounds: usize,
    /// Names of the cases to run; empty means all.
    pub(crate) only: Vec<String>,
    /// Names of the servers to run; empty means all that are found.
    pub(crate) servers: Vec<String>,
    /// How many messages are stored to be consumed.
    pub(crate) messages: Option<u64>,
    /// How many messages are stored to start with.
    pub(crate) stored: Option<u64>,
    /// Where servers store.
    pub(crate) dir: PathBuf,
    /// Print markdown instead of plain text.
    pub(crate) markdown: bool,
    /// Where midge is, when said explicitly.
    pub(crate) midge: Option<PathBuf>,
    /// Where nats-server is, when said explicitly.
    pub(crate) nats: Option<PathBuf>,
    /// Where redis-server is, when said explicitly.
    pub(crate) redis: Option<PathBuf>,
    /// Where beanstalkd is, when said explicitly.
    pub(crate) beanstalkd: Option<PathBuf>,
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(args: &[OsString]) -> Result<Request, String> {
    let mut options = Options {
        quick: false,
        duration: Duration::ZERO,
        rounds: 0,
        only: Vec::new(),
        servers: Vec::new(),
        messages: None,
        stored: None,
        dir: std::env::temp_dir(),
        markdown: false,
        midge: None,
        nats: None,
        redis: None,
        beanstalkd: None,
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let name = arg.to_str().ok_or("an option is not utf-8")?;
        let mut value = || rest.next().ok_or(format!("{name} needs a value"));
        match name {
            "--help" | "-h" => return Ok(Request::Help),
            "--list" => return Ok(Request::List),
            "--quick" => options.quick = true,
            "--markdown" => options.markdown = true,
            "--seconds" => options.duration = seconds(value()?)?,
            "--rounds" => options.rounds = rounds(value()?)?,
            "--only" => options.only = names(value()?)?,
            "--servers" => options.servers = names(value()?)?,
            "--messages" => options.messages = Some(count(name, value()?)?),
            "--stored" => options.stored = Some(count(name, value()?)?),
            "--dir" => options.dir = value()?.into(),
            "--midge" => options.midge = Some(value()?.into()),
            "--nats" => options.nats = Some(value()?.into()),
            "--redis" => options.redis = Some(value()?.into()),
            "--beanstalkd" => options.beanstalkd = Some(value()?.into()),
            _ => return Err(format!("unknown option {name}; --help lists them")),
        }
    }
    if options.duration.is_zero() {
        options.duration = Duration::from_millis(if options.quick { 100 } else { 2000 });
    }
    if options.rounds == 0 {
        options.rounds = if options.quick { 1 } else { 3 };
    }
    Ok(Request::Run(Box::new(options)))
}

/// Runs stay below the four minutes after which a NATS server drops a client
/// that answers no PING: the generator never answers one.
fn seconds(value: &OsString) -> Result<Duration, String> {
    value
        .to_str()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|seconds| (0.05..=60.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or("--seconds takes a number from 0.05 to 60".to_owned())
}

fn rounds(value: &OsString) -> Result<usize, String> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|rounds| (1..=99).contains(rounds))
        .ok_or("--rounds takes a number from 1 to 99".to_owned())
}

/// Enough to be in the middle of something, and few enough for any disk.
fn count(name: &str, value: &OsString) -> Result<u64, String> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|count| (1_000..=1_000_000_000).contains(count))
        .ok_or(format!("{name} takes a number from 1000 to 1000000000"))
}

fn names(value: &OsString) -> Result<Vec<String>, String> {
    let text = value.to_str().ok_or("a name is not utf-8")?;
    Ok(text.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&args)
    }

    fn run(line: &str) -> Options {
        match parsed(line) {
            Ok(Request::Run(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_depend_on_quick() {
        let full = run("");
        assert_eq!((full.duration.as_millis(), full.rounds), (2000, 3));
        let quick = run("--quick");
        assert_eq!((quick.duration.as_millis(), quick.rounds), (100, 1));
        let asked = run("--seconds 0.5 --quick --rounds 2");
        assert_eq!((asked.duration.as_millis(), asked.rounds), (500, 2));
    }

    #[test]
    fn lists_are_split() {
        assert_eq!(run("--only a,b").only, ["a", "b"]);
    }

    #[test]
    fn mistakes_are_named() {
        for line in [
            "--seconds",
            "--seconds 0",
            "--rounds x",
            "--stored 9",
            "--what",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
