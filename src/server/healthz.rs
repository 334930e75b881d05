//! `/healthz`: whether the server does what it is there for.
//!
//! As nats-server has it: well unless something is wrong that was asked
//! about, and what is unknown is a 404. Two answers differ from it. A server
//! that offers no streams is well, but not for a probe that asks about
//! streams; and while the store has failed it is not well, but for a probe
//! that names a stream which is in memory alone.

use crate::http::{Response, Status};
use crate::monitor::{Made, View};
use crate::query::Query;
use midge_api::{ApiError, JsonWriter};
#[cfg(feature = "streams")]
use midge_engine::AccountId;
use std::fmt;

/// What is wrong.
enum Ailment<'a> {
    /// A part of the question is missing.
    Incomplete {
        missing: &'static str,
        of: &'static str,
    },
    NoStreams,
    StoreFailed,
    NoAccount(&'a str),
    #[cfg(feature = "streams")]
    NoStream(Place<'a>),
    #[cfg(feature = "streams")]
    NoConsumer(Place<'a>),
}

/// What was asked about; empty is not.
#[derive(Clone, Copy)]
struct Place<'a> {
    account: &'a str,
    stream: &'a str,
    consumer: &'a str,
}

impl Ailment<'_> {
    fn status(&self) -> Status {
        match self {
            Ailment::Incomplete { .. } => Status::BadRequest,
            Ailment::NoStreams | Ailment::StoreFailed => Status::Unavailable,
            _ => Status::NotFound,
        }
    }

    /// As the detailed answer calls it.
    fn kind(&self) -> &'static str {
        match self {
            Ailment::Incomplete { .. } => "BAD_REQUEST",
            Ailment::NoStreams | Ailment::StoreFailed => "JETSTREAM",
            Ailment::NoAccount(_) => "ACCOUNT",
            #[cfg(feature = "streams")]
            Ailment::NoStream(_) => "STREAM",
            #[cfg(feature = "streams")]
            Ailment::NoConsumer(_) => "CONSUMER",
        }
    }
}

impl fmt::Display for Ailment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ailment::Incomplete { missing, of } => {
                write!(
                    f,
                    "\"{missing}\" must not be empty when checking {of} health"
                )
            }
            Ailment::NoStreams => ApiError::NOT_ENABLED.fmt(f),
            Ailment::StoreFailed => ApiError::CLUSTER_NOT_AVAIL.fmt(f),
            Ailment::NoAccount(account) => write!(f, "JetStream account \"{account}\" not found"),
            #[cfg(feature = "streams")]
            Ailment::NoStream(at) => {
                let Place {
                    account, stream, ..
                } = at;
                write!(
                    f,
                    "JetStream stream \"{stream}\" not found on account \"{account}\""
                )
            }
            #[cfg(feature = "streams")]
            Ailment::NoConsumer(at) => write!(
                f,
                "JetStream consumer \"{}\" not found for stream \"{}\" on account \"{}\"",
                at.consumer, at.stream, at.account
            ),
        }
    }
}

pub(crate) fn page(view: &View<'_>, query: &Query) -> Made {
    let needs_streams = query.flag("js-enabled-only")? | query.flag("js-enabled")?;
    let is_shallow = query.flag("js-server-only")? | query.flag("js-meta-only")?;
    let with_details = query.flag("details")?;
    let place = Place {
        account: query.text("account"),
        stream: query.text("stream"),
        consumer: query.text("consumer"),
    };
    Ok(match look(view, needs_streams, is_shallow, place) {
        Ok(()) => Response::json(br#"{"status":"ok"}"#.to_vec()),
        Err(ailment) => unwell(&ailment, with_details, place),
    })
}

fn look<'a>(
    view: &View<'_>,
    needs_streams: bool,
    is_shallow: bool,
    place: Place<'a>,
) -> Result<(), Ailment<'a>> {
    let incomplete = |missing, of| Err(Ailment::Incomplete { missing, of });
    if !place.consumer.is_empty() && place.stream.is_empty() {
        return incomplete("stream", "consumer");
    }
    if !place.stream.is_empty() && place.account.is_empty() {
        return incomplete("account", "stream");
    }
    let Some(totals) = view.engine.streams_totals() else {
        return if needs_streams || !place.account.is_empty() {
            Err(Ailment::NoStreams)
        } else {
            Ok(())
        };
    };
    let is_deep = !needs_streams && !is_shallow && !place.account.is_empty();
    let account = view.engine.account_named(place.account);
    let account = account.filter(|account| view.engine.has_streams_in(*account));
    if is_deep && account.is_none() {
        return Err(Ailment::NoAccount(place.account));
    }
    #[cfg(feature = "streams")]
    if let Some(account) = account
        && is_deep
        && !place.stream.is_empty()
    {
        return look_at_stream(view, account, place, totals.is_available);
    }
    if totals.is_available {
        Ok(())
    } else {
        Err(Ailment::StoreFailed)
    }
}

#[cfg(feature = "streams")]
fn look_at_stream<'a>(
    view: &View<'_>,
    account: AccountId,
    place: Place<'a>,
    is_available: bool,
) -> Result<(), Ailment<'a>> {
    use midge_api::Storage;
    let streams = view.engine.streams();
    let Some(stream) = streams.and_then(|streams| streams.named(account, place.stream)) else {
        return Err(Ailment::NoStream(place));
    };
    if !place.consumer.is_empty() && stream.consumer(place.consumer).is_none() {
        return Err(Ailment::NoConsumer(place));
    }
    if is_available || stream.config().storage == Storage::Memory {
        Ok(())
    } else {
        Err(Ailment::StoreFailed)
    }
}

fn unwell(ailment: &Ailment<'_>, with_details: bool, place: Place<'_>) -> Response {
    let status = ailment.status();
    let mut json = JsonWriter::new();
    json.open_object();
    if with_details {
        json.string_field("status", "error");
        json.key("errors");
        json.open_array();
        json.open_object();
        json.string_field("type", ailment.kind());
        if status == Status::NotFound {
            json.string_unless_empty("account", place.account);
            json.string_unless_empty("stream", place.stream);
            json.string_unless_empty("consumer", place.consumer);
        }
        json.key("error");
        json.display(ailment);
        json.close_object();
        json.close_array();
    } else {
        let is_question = status == Status::BadRequest;
        json.string_field("status", if is_question { "error" } else { "unavailable" });
        json.key("error");
        json.display(ailment);
    }
    json.close_object();
    Response {
        status,
        ..Response::json(json.into_bytes())
    }
}
