//! `midge why`: what became of one message.

use crate::dlq::act;
use crate::options::Options;
use crate::remote::finish;
use argh::FromArgs;
use std::process::ExitCode;

/// what became of a message: stored, delivered to whom and when, dead
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "why",
    note = "midge why STREAM SEQ [CONSUMER] [--json] [--server URL]
The sequence is the one in the stream. Without a consumer all are asked about.",
    example = "midge why ORDERS 7
midge why ORDERS 7 billing --json"
)]
pub(crate) struct Why {
    /// which message
    #[argh(positional, greedy)]
    words: Vec<String>,
}

impl Why {
    pub(crate) fn run(mut self) -> ExitCode {
        self.words.insert(0, "why".to_owned());
        match Options::parse(&self.words) {
            Ok(options) if options.has("help") => {
                crate::run(["midge", "why", "--help"].map(str::to_owned).into())
            }
            parsed => finish(parsed.and_then(|options| act(&options))),
        }
    }
}
