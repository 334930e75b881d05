//! The server that a command talks to: which one, as whom, for how long.

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::warn;
#[cfg(feature = "tls")]
use midge_client::Tls;
use midge_client::{Client, Error, Event, Events, Options, TIMEOUT_DEFAULT};
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::time::Duration;

/// The variable that names the server where no option does.
const URL_VARIABLE: &str = "MIDGE_URL";
const URL_DEFAULT: &str = "127.0.0.1:4222";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            // That is how somebody wrote it.
            Error::Subject(_) | Error::Filter(_) | Error::Header(_) | Error::Key(_) => {
                Failure::usage(words)
            }
            _ => Failure::refused(words),
        }
    }
}

/// Connects once: a command that asks something ends when its server is gone.
pub(crate) fn connect(arguments: &Arguments) -> Result<Client, Failure> {
    open(arguments, timeout(arguments), false)
}

/// Connects for long: a connection that breaks is made again; see
/// [`tell_events`]. Where `--timeout` means something else the command says how
/// long to wait.
pub(crate) fn connect_lasting(arguments: &Arguments, timeout: Duration) -> Result<Client, Failure> {
    open(arguments, timeout, true)
}

/// From now on what happens to the connection is said on stderr.
pub(crate) fn tell_events(client: &Client) -> Result<(), Failure> {
    let events = client.events();
    // It ends with the client.
    let teller = std::thread::Builder::new().spawn(move || tell(events));
    match teller {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::thread(&error)),
    }
}

/// How long to wait for an answer, unless something else is said.
pub(crate) fn timeout(arguments: &Arguments) -> Duration {
    arguments.duration("timeout").unwrap_or(TIMEOUT_DEFAULT)
}

/// What the server has complained of since the last time. It does so a moment
/// later: after [`Client::flush`] everything is here.
pub(crate) fn complaint(client: &Client) -> Result<(), Failure> {
    let events = client.events();
    while let Ok(event) = events.next_timeout(Duration::ZERO) {
        if let Event::ServerError(words) = event {
            return Err(Failure::refused(format!("the server refuses: {words}")));
        }
    }
    Ok(())
}

fn open(arguments: &Arguments, timeout: Duration, reconnects: bool) -> Result<Client, Failure> {
    let variable = std::env::var_os(URL_VARIABLE);
    let variable = variable.map(|url| url.to_string_lossy().into_owned());
    let url = arguments.text("server").map(str::to_owned);
    let url = url
        .or(variable.filter(|url| !url.is_empty()))
        .unwrap_or_else(|| URL_DEFAULT.to_owned());
    let text = |name| arguments.text(name).map(str::to_owned);
    if arguments.has("password") && !arguments.has("user") {
        return Err(Failure::usage("--password goes with --user"));
    }
    if arguments.has("token") && arguments.has("user") {
        return Err(Failure::usage("--token goes without --user"));
    }
    let options = Options {
        name: "midge command line".to_owned(),
        timeout,
        user: text("user"),
        pass: text("password"),
        token: text("token"),
        reconnects,
        #[cfg(feature = "tls")]
        tls: tls(arguments)?,
        ..Options::default()
    };
    Client::connect(&url, options).map_err(|error| {
        // What is before it may be a password.
        let place = url
            .rsplit_once('@')
            .map_or(url.as_str(), |(_, place)| place);
        Failure::usage(format!(
            "{place}: {error}\n--server or MIDGE_URL names another server"
        ))
    })
}

/// What is said about TLS, if anything is.
#[cfg(feature = "tls")]
fn tls(arguments: &Arguments) -> Result<Option<Tls>, Failure> {
    let path = |name| arguments.text(name).map(PathBuf::from);
    let roots = path("tlsca");
    let identity = match (path("tlscert"), path("tlskey")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(Failure::usage("--tlscert and --tlskey go together")),
    };
    if roots.is_none() && identity.is_none() {
        return Ok(None);
    }
    Ok(Some(Tls {
        roots,
        identity,
        is_first: false,
    }))
}

/// Tells a person what happens to the connection, from its first break on.
fn tell(events: Events) {
    let mut is_broken = false;
    for event in events {
        match event {
            Event::Connected(address) if is_broken => {
                is_broken = false;
                warn(&format!("connected again, to {address}"));
            }
            Event::Disconnected(why) => {
                is_broken = true;
                warn(&format!("the connection broke: {why}; trying again"));
            }
            Event::ServerError(words) => warn(&format!("the server refuses: {words}")),
            Event::Slow(subject) => warn(&format!(
                "messages for {subject} are dropped: they come faster than they are taken"
            )),
            Event::LameDuck => warn("the server is about to leave"),
            Event::Closed(Some(why)) => warn(&format!("the connection is closed: {why}")),
            _ => {}
        }
    }
}
