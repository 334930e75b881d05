//! `midge req`: a question and its answers.

use super::connection::{complaint, connect, timeout};
use super::payload::Payload;
use super::printer::{self, Printer};
use super::publish::{fill, headers};
use super::table::push_clean;
use super::template::{Filling, GAPS, Template};
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use midge_client::{Client, Error, Publish, Subscription};
use std::time::{Duration, Instant};

pub(crate) const COMMAND: Command = Command {
    name: "req",
    about: "ask, and show the answers",
    actions: &[Action {
        name: "",
        places: "SUBJECT [PAYLOAD]",
        about: "Ask, and show the answers. Without a PAYLOAD, or where it is -, it comes from
stdin. Exits with 1 if nobody listens, if the service says that it failed, or
if fewer answers come than asked for.",
        options: &[
            "  --replies N            answers to wait for, 0 for all that come before the
                         timeout (default: 1)
  --header NAME:VALUE... goes with it; may be there again and again",
            printer::OPTIONS,
            GAPS,
        ],
        example: "midge req time.now 'in UTC please'
midge req service.ping '' --replies 0 --timeout 1s
midge req '$JS.API.STREAM.NAMES' '' --raw",
        run,
    }],
};

/// The status of a message that says that nobody listens.
const NO_RESPONDERS: u16 = 503;

/// The header of an answer that says what went wrong instead.
pub(crate) const SERVICE_ERROR: &str = "Nats-Service-Error";

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let printer = Printer::new(arguments)?;
    let payload = Payload::given(arguments)?;
    let headers = headers(arguments)?;
    let client = connect(arguments)?;
    let filling = Filling {
        seq: 1,
        request: None,
    };
    let subject = Template::new(arguments.text("subject").unwrap_or_default()).text(filling);
    let mut bytes = Vec::new();
    let payload = payload.read(client.info().payload_max_bytes)?;
    payload.fill(&mut bytes, filling);
    let inbox = client.new_inbox();
    let answers = client.subscribe(&inbox)?;
    let headers = fill(&headers, filling);
    let message = Publish::new(&subject, &bytes).headers(&headers);
    client.send(&message.reply(&inbox))?;
    let wanted = arguments.number("replies").unwrap_or(1);
    let wait = timeout(arguments);
    match show(&client, answers, printer, wanted, wait)? {
        None => Err(Error::NoResponders(subject).into()),
        Some(0) => Err(Failure::refused(format!(
            "no answer in {}",
            humantime::format_duration(wait)
        ))),
        Some(came) if came < wanted => {
            Err(Failure::refused(format!("{came} of {wanted} answers came")))
        }
        Some(_) => Ok(()),
    }
}

/// Shows the answers that come; how many they are, or none if nobody listens.
fn show(
    client: &Client,
    mut answers: Subscription,
    mut printer: Printer,
    wanted: u64,
    wait: Duration,
) -> Result<Option<u64>, Failure> {
    let end = Instant::now().checked_add(wait);
    let mut came = 0;
    while wanted == 0 || came < wanted {
        let left = end.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        });
        let answer = match answers.next_timeout(left) {
            Ok(answer) => answer,
            Err(Error::Timeout) => {
                complaint(client)?;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let is_empty = answer.payload().is_empty();
        if came == 0 && is_empty && answer.status() == Some(NO_RESPONDERS) {
            return Ok(None);
        }
        came += 1;
        printer.show(&answer, None)?;
        printer.flush()?;
        if let Some(why) = answer.header(SERVICE_ERROR) {
            let mut words = "the service failed: ".to_owned();
            push_clean(&mut words, why);
            return Err(Failure::refused(words));
        }
    }
    Ok(Some(came))
}
