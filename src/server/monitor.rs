//! The monitoring pages: which there are, and what they are made from.

use crate::config::Config;
use crate::connections::Connections;
use crate::disk::Disk;
use crate::fraction::Fraction;
use crate::http::{JSON, Request, RequestError, Response, Status};
use crate::memory::Memory;
use crate::process::Usage;
use crate::query::{Query, refusal};
use crate::timestamp::Clock;
use crate::tls::Handshakes;
use crate::turn::TurnWatch;
use crate::{accountz, connz, healthz, jsz, metrics, subsz, varz};
use midge_engine::{Engine, Time};
use midge_proto::{JsonWriter, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Processor time comes in hundredths of a second; over less than this the
/// share of it would be noise.
const CPU_SHARE_OVER: Duration = Duration::from_secs(1);

/// The one page of JSON that is read by programs alone, and stays compact.
const HEALTHZ: &str = "/healthz";

/// The longest JSONP callback name.
const CALLBACK_MAX: usize = 64;

const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>midge</title></head><body><h1>midge</h1><ul>
<li><a href=\"/varz\">varz</a>: the server</li>
<li><a href=\"/connz\">connz</a>: its connections (?subs=1&amp;state=any)</li>
<li><a href=\"/subsz\">subsz</a>: routing (?subs=1)</li>
<li><a href=\"/jsz\">jsz</a>: streams (?consumers=1&amp;config=1)</li>
<li><a href=\"/healthz\">healthz</a>: is it well</li>
<li><a href=\"/accountz\">accountz</a>: its accounts (<a href=\"/accstatz\">accstatz</a>: their traffic)</li>
<li><a href=\"/metrics\">metrics</a>: for Prometheus</li>
</ul></body></html>
";

/// What monitoring remembers between requests.
pub(crate) struct Monitor {
    clock: Clock,
    pub(crate) http_address: Option<SocketAddr>,
    pub(crate) is_https: bool,
    pub(crate) started: Time,
    pub(crate) write_deadline_nanos: u64,
    /// How often each page was asked for.
    requests: BTreeMap<&'static str, u64>,
    /// What the process used when a page last wanted to know.
    usage: Usage,
    /// The processor time that the share is counted from.
    counted_from: (Time, Duration),
    /// The share of a core used between the last two looks, in percent.
    cpu_percent: f64,
}

/// What there is to be shown.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) connections: &'a Connections,
    pub(crate) disk: Option<&'a Disk>,
    pub(crate) turn: &'a TurnWatch,
    pub(crate) handshakes: &'a Handshakes,
    pub(crate) memory: &'a Memory,
}

/// What a page is made from.
pub(crate) struct View<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) connections: &'a Connections,
    pub(crate) disk: Option<&'a Disk>,
    pub(crate) turn: &'a TurnWatch,
    pub(crate) handshakes: &'a Handshakes,
    pub(crate) memory: &'a Memory,
    pub(crate) monitor: &'a Monitor,
    pub(crate) now: Time,
}

/// What goes back to a monitoring connection.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// The connection is to be closed behind it.
    pub(crate) is_last: bool,
}

impl Monitor {
    pub(crate) fn new(clock: Clock, config: &Config, http_address: Option<SocketAddr>) -> Self {
        let started = clock.now();
        Monitor {
            clock,
            http_address,
            is_https: config.https,
            started,
            write_deadline_nanos: config.write_deadline.as_nanos() as u64,
            requests: BTreeMap::new(),
            usage: Usage::default(),
            counted_from: (started, Usage::now().cpu),
            cpu_percent: 0.0,
        }
    }

    /// Shows another configuration from now on.
    pub(crate) fn reloaded(&mut self, config: &Config) {
        self.write_deadline_nanos = config.write_deadline.as_nanos() as u64;
    }

    /// Answers the first request, if it is whole.
    pub(crate) fn answer(&mut self, received: &mut Vec<u8>, world: World<'_>) -> Option<Answer> {
        let mut bytes = Vec::new();
        let (response, with_body, keep_alive) = match Request::take(received) {
            Ok(None) => return None,
            Ok(Some(request)) => {
                let response = self.page(&request, world);
                (response, !request.is_head, request.keep_alive)
            }
            Err(error) => (malformed(&error), true, false),
        };
        response.encode(with_body, keep_alive, &mut bytes);
        Some(Answer {
            bytes,
            is_last: !keep_alive,
        })
    }

    fn page(&mut self, request: &Request, world: World<'_>) -> Response {
        let Some(page) = PAGES.iter().find(|page| page.path == request.path) else {
            return Response::text(Status::NotFound, "404 page not found\n");
        };
        *self.requests.entry(page.path).or_default() += 1;
        let query = &request.query;
        let (Ok(mut made) | Err(mut made)) = self.view(world, |view| (page.make)(view, query));
        if made.content_type == JSON && page.path != HEALTHZ {
            made.body = lay_out(&made.body);
        }
        with_callback(query, made)
    }

    /// Has something made from what there is.
    pub(crate) fn view<T>(&mut self, world: World<'_>, make: impl FnOnce(&View<'_>) -> T) -> T {
        self.look(world.connections.now);
        make(&self.glance(world))
    }

    /// The same without a look at what the process uses, which costs more than
    /// a page.
    pub(crate) fn glance<'a>(&'a self, world: World<'a>) -> View<'a> {
        View {
            engine: world.engine,
            connections: world.connections,
            disk: world.disk,
            turn: world.turn,
            handshakes: world.handshakes,
            memory: world.memory,
            monitor: self,
            now: world.connections.now,
        }
    }

    /// Reads the process's use of the machine.
    fn look(&mut self, now: Time) {
        self.usage = Usage::now();
        let (then, cpu_then) = self.counted_from;
        let elapsed = now - then;
        if elapsed >= CPU_SHARE_OVER {
            let used = self.usage.cpu.saturating_sub(cpu_then);
            self.cpu_percent = used.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
            self.counted_from = (now, self.usage.cpu);
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn cpu_percent(&self) -> f64 {
        self.cpu_percent
    }

    pub(crate) fn requests(&self) -> &BTreeMap<&'static str, u64> {
        &self.requests
    }
}

impl View<'_> {
    /// When that was by the wall's clock.
    pub(crate) fn timestamp(&self, time: Time) -> Timestamp {
        self.monitor.clock.wall(time)
    }
}

/// What comes of an attempt to make a page: the page, or why there is none.
pub(crate) type Made = Result<Response, Response>;

/// A page and how it is made. Its JSON is compact; it is laid out for those
/// who look at it in a browser.
pub(crate) struct Page {
    pub(crate) path: &'static str,
    pub(crate) make: fn(&View<'_>, &Query) -> Made,
}

const fn page(path: &'static str, make: fn(&View<'_>, &Query) -> Made) -> Page {
    Page { path, make }
}

pub(crate) const PAGES: [Page; 13] = [
    page("/", |_, _| {
        Ok(Response {
            status: Status::Ok,
            content_type: "text/html; charset=utf-8",
            body: INDEX.into(),
        })
    }),
    page(HEALTHZ, healthz::page),
    page("/metrics", |view, _| Ok(metrics::page(view))),
    page("/varz", |view, _| Ok(varz::page(view))),
    page("/connz", connz::page),
    page("/subsz", subsz::page),
    page("/subscriptionsz", subsz::page),
    page("/jsz", jsz::page),
    page("/accountz", accountz::page),
    page("/accstatz", accountz::statistics),
    page("/routez", |view, _| {
        let mut json = begin_page(view);
        json.string_field("server_name", &view.engine.info().server_name);
        Ok(nothing_of(json, "num_routes", "routes"))
    }),
    page("/leafz", |view, _| {
        Ok(nothing_of(begin_page(view), "leafnodes", "leafs"))
    }),
    page("/gatewayz", |view, _| {
        let mut json = begin_page(view);
        for key in ["outbound_gateways", "inbound_gateways"] {
            json.key(key);
            json.open_object();
            json.close_object();
        }
        Ok(end_page(json))
    }),
];

/// A page about a kind of link that this server does not have.
fn nothing_of(mut json: JsonWriter, count: &str, list: &str) -> Response {
    json.uint_field(count, 0);
    json.key(list);
    json.open_array();
    json.close_array();
    end_page(json)
}

/// Begins a page of JSON with what every page has.
pub(crate) fn begin_page(view: &View<'_>) -> JsonWriter {
    let mut json = JsonWriter::new();
    json.open_object();
    json.string_field("server_id", &view.engine.info().server_id);
    json.time_field("now", view.timestamp(view.now));
    json
}

/// Ends a page of JSON.
pub(crate) fn end_page(mut json: JsonWriter) -> Response {
    json.close_object();
    Response::json(json.into_bytes())
}

/// A key with a number that may have a fraction and is finite.
pub(crate) fn float_field(json: &mut JsonWriter, key: &str, value: f64) {
    json.key(key);
    json.raw(Fraction(value).to_string().as_bytes());
}

fn malformed(error: &RequestError) -> Response {
    match error {
        RequestError::TooLong => Response::text(Status::HeadTooLong, "request head too long\n"),
        RequestError::Malformed => Response::text(Status::BadRequest, "malformed request\n"),
        RequestError::Method => {
            Response::text(Status::MethodNotAllowed, "only GET and HEAD are served\n")
        }
    }
}

/// Wraps JSON into a call, for pages that load it as a script.
fn with_callback(query: &Query, mut response: Response) -> Response {
    let Some(callback) = query.get("callback") else {
        return response;
    };
    if response.content_type != JSON {
        return response;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    if callback.is_empty() || callback.len() > CALLBACK_MAX || !callback.chars().all(is_name) {
        return refusal("callback is no name\n");
    }
    let mut body = format!("{callback}(").into_bytes();
    body.append(&mut response.body);
    body.push(b')');
    Response {
        content_type: "application/javascript",
        body,
        ..response
    }
}

/// Compact JSON with lines and indents, for people.
fn lay_out(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 2);
    let mut depth = 0;
    let (mut in_string, mut is_escaped) = (false, false);
    let mut before = 0;
    for &byte in json {
        if in_string {
            out.push(byte);
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else {
            let closes = matches!(byte, b'}' | b']');
            let is_empty = closes && matches!(before, b'{' | b'[');
            if closes {
                depth -= 1;
            }
            if matches!(before, b'{' | b'[' | b',') || closes {
                if !is_empty {
                    out.push(b'\n');
                    out.resize(out.len() + 2 * depth, b' ');
                }
            } else if before == b':' {
                out.push(b' ');
            }
            out.push(byte);
            if matches!(byte, b'{' | b'[') {
                depth += 1;
            }
            in_string = byte == b'"';
        }
        before = if in_string { 0 } else { byte };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_as_serde_does() {
        let compact = r#"{"a":{},"b":[],"c":[1,-2,{"d":"x\\\",{]: }"}],"e":"","f":{"g":null}}"#;
        let value: serde_json::Value = serde_json::from_str(compact).expect("valid");
        let wanted = serde_json::to_vec_pretty(&value).expect("no failing case");
        assert_eq!(
            String::from_utf8_lossy(&lay_out(compact.as_bytes())),
            String::from_utf8_lossy(&wanted)
        );
    }
}
