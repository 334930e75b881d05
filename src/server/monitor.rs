//! The monitoring pages: which there are, and what they are made from.

use crate::config::Config;
use crate::connections::Connections;
use crate::http::{Request, RequestError, Response, Status};
use crate::process::Usage;
use crate::timestamp::Clock;
use crate::{connz, metrics, subsz, varz};
use midge_engine::{Engine, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Answers that wait for one monitoring connection; one that asks faster than
/// it reads is told to come back.
const ANSWERS_MAX: usize = 4 * 1024 * 1024;

/// The longest JSONP callback name.
const CALLBACK_MAX: usize = 64;

const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>midge</title></head><body><h1>midge</h1><ul>
<li><a href=\"/varz\">varz</a>: the server</li>
<li><a href=\"/connz\">connz</a>: its connections (?subs=1&amp;state=any)</li>
<li><a href=\"/subsz\">subsz</a>: routing (?subs=1)</li>
<li><a href=\"/healthz\">healthz</a>: is it well</li>
<li><a href=\"/metrics\">metrics</a>: for Prometheus</li>
</ul></body></html>
";

/// What monitoring remembers between requests.
pub(crate) struct Monitor {
    clock: Clock,
    pub(crate) http_address: Option<SocketAddr>,
    pub(crate) started: Time,
    pub(crate) write_deadline_nanos: u64,
    /// How often each page was asked for.
    requests: BTreeMap<&'static str, u64>,
    /// The processor time when it was last looked at.
    last_usage: (Time, Usage),
    /// The share of a core used between the last two looks, in percent.
    cpu_percent: f64,
}

/// What a page is made from.
pub(crate) struct View<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) connections: &'a Connections,
    pub(crate) monitor: &'a Monitor,
    pub(crate) now: Time,
    pub(crate) usage: Usage,
}

/// What goes back to a monitoring connection.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// The connection is to be closed behind it.
    pub(crate) ends: bool,
}

impl Monitor {
    pub(crate) fn new(clock: Clock, config: &Config, http_address: Option<SocketAddr>) -> Self {
        let started = clock.now();
        Monitor {
            clock,
            http_address,
            started,
            write_deadline_nanos: config.write_deadline.as_nanos() as u64,
            requests: BTreeMap::new(),
            last_usage: (started, Usage::now()),
            cpu_percent: 0.0,
        }
    }

    /// Answers every request that is whole.
    pub(crate) fn answer(
        &mut self,
        received: &mut Vec<u8>,
        engine: &Engine,
        connections: &Connections,
        now: Time,
    ) -> Answer {
        let mut bytes = Vec::new();
        loop {
            let (response, with_body, keep_alive) = match Request::take(received) {
                Ok(None) => return Answer { bytes, ends: false },
                Ok(Some(request)) => {
                    let keep_alive = request.keep_alive && bytes.len() < ANSWERS_MAX;
                    let response = self.page(&request, engine, connections, now);
                    (response, !request.is_head, keep_alive)
                }
                Err(error) => (refusal(&error), true, false),
            };
            response.encode(with_body, keep_alive, &mut bytes);
            if !keep_alive {
                return Answer { bytes, ends: true };
            }
        }
    }

    fn page(
        &mut self,
        request: &Request,
        engine: &Engine,
        connections: &Connections,
        now: Time,
    ) -> Response {
        let Some(page) = PAGES.iter().find(|(path, _)| *path == request.path) else {
            return Response::text(Status::NotFound, "404 page not found\n");
        };
        *self.requests.entry(page.0).or_default() += 1;
        let usage = self.look(now);
        let view = View {
            engine,
            connections,
            monitor: self,
            now,
            usage,
        };
        with_callback(request, (page.1)(&view, request))
    }

    /// Reads the process's use of the machine.
    fn look(&mut self, now: Time) -> Usage {
        let usage = Usage::now();
        let (then, before) = self.last_usage;
        let elapsed = (now - then).as_secs_f64();
        // Processor time comes in hundredths of a second; over less than a
        // second the share would be noise.
        if elapsed >= 1.0 {
            let used = usage.cpu.saturating_sub(before.cpu).as_secs_f64();
            self.cpu_percent = used / elapsed * 100.0;
            self.last_usage = (now, usage);
        }
        usage
    }

    pub(crate) fn cpu_percent(&self) -> f64 {
        self.cpu_percent
    }

    pub(crate) fn requests(&self) -> &BTreeMap<&'static str, u64> {
        &self.requests
    }
}

impl View<'_> {
    /// A point in time as JSON has it.
    pub(crate) fn timestamp(&self, time: Time) -> String {
        self.monitor.clock.rfc3339(time)
    }
}

type Page = fn(&View<'_>, &Request) -> Response;

const PAGES: [(&str, Page); 9] = [
    ("/", |_, _| Response {
        status: Status::Ok,
        content_type: "text/html; charset=utf-8",
        body: INDEX.into(),
    }),
    ("/varz", |view, _| varz::page(view)),
    ("/connz", connz::page),
    ("/subsz", subsz::page),
    ("/subscriptionsz", subsz::page),
    ("/healthz", |_, _| {
        Response::json(br#"{"status":"ok"}"#.to_vec())
    }),
    ("/metrics", |view, _| metrics::page(view)),
    ("/routez", |view, _| {
        nothing_of(view, "num_routes", "routes")
    }),
    ("/leafz", |view, _| nothing_of(view, "leafnodes", "leafs")),
];

/// A page about a kind of link that this server does not have.
fn nothing_of(view: &View<'_>, count: &str, list: &str) -> Response {
    json_page(&serde_json::json!({
        "server_id": view.engine.info().server_id,
        "now": view.timestamp(view.now),
        count: 0,
        list: [],
    }))
}

/// A page of JSON, laid out for people.
pub(crate) fn json_page(value: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => Response::json(body),
        Err(error) => Response::text(Status::Unavailable, error.to_string()),
    }
}

fn refusal(error: &RequestError) -> Response {
    match error {
        RequestError::TooLong => Response::text(Status::HeadTooLong, "request head too long\n"),
        RequestError::Malformed => Response::text(Status::BadRequest, "malformed request\n"),
        RequestError::Method => {
            Response::text(Status::MethodNotAllowed, "only GET and HEAD are served\n")
        }
    }
}

/// Wraps JSON into a call, for pages that load it as a script.
fn with_callback(request: &Request, mut response: Response) -> Response {
    let Some(callback) = request.get("callback") else {
        return response;
    };
    if response.content_type != "application/json" {
        return response;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    if callback.is_empty() || callback.len() > CALLBACK_MAX || !callback.chars().all(is_name) {
        return Response::text(Status::BadRequest, "callback is no name\n");
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
