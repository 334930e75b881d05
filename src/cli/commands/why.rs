//! `midge why`: what became of one message.

use super::remote::ask;
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use midge_api::JsonWriter;

pub(crate) const COMMAND: Command = Command {
    name: "why",
    about: "what became of a message: stored, delivered to whom and when, dead",
    actions: &[Action {
        name: "",
        places: "STREAM SEQ [CONSUMER]",
        about: "What became of a message: stored, delivered to whom and when, dead. The
sequence is the one in the stream. Without a consumer all are asked about.",
        options: &[],
        example: "midge why ORDERS 7
midge why ORDERS 7 billing --json",
        run,
    }],
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut json = JsonWriter::new();
    json.open_object();
    arguments.write_fields(&mut json, "stream seq consumer");
    ask(arguments, "$MIDGE.API.WHY", json)
}
