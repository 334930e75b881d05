//! Answers to what clients ask of the server itself: `$SYS.REQ.>`.
//!
//! They are the monitoring pages in an envelope, with options in JSON in place
//! of a query. One is made in a turn of the loop, as with HTTP.

use crate::accountz::{self, write_amount};
use crate::event_loop::EventLoop;
use crate::http::{JSON, Response};
use crate::jsz;
use crate::monitor::{PAGES, View, float_field};
use crate::process::cores;
use crate::query::{Query, refusal};
use midge_engine::{AccountId, CloseReason, Permissions, Question, Rules, Session};
use midge_proto::{JsonWriter, Nanos};

/// The code of what was understood and could not be done.
const FAILED: u64 = 500;

impl EventLoop {
    /// Answers one question, if there are some.
    pub(crate) fn answer_question(&mut self) {
        let Some(question) = self.engine.take_question() else {
            return;
        };
        let done = self.obey(&question);
        let (monitor, world) = self.look_around();
        let answer = monitor.view(world, |view| match done {
            None => answer(view, &question),
            Some(done) => Some(answer_order(view, done)),
        });
        if let Some(answer) = answer {
            let now = self.connections.now;
            let out = &mut self.connections;
            self.engine.answer_question(now, &question, &answer, out);
        }
    }
}

impl EventLoop {
    /// Does what a question wants done, if it is one of that kind: what has come
    /// of it.
    fn obey(&mut self, question: &Question) -> Option<Result<(), &'static str>> {
        let order = question.subject.rsplit(|byte| *byte == b'.').next()?;
        if order == b"RELOAD" {
            self.reload();
            return Some(Ok(()));
        }
        let is_kick = order == b"KICK";
        if !is_kick && order != b"LDM" {
            return None;
        }
        let query = Query::from_json(&question.body).ok();
        let cid = query.and_then(|query| query.id("cid").ok().flatten());
        let is_meant = |session: &&Session| Some(session.client_id()) == cid;
        let conn = self.engine.sessions().find(is_meant).map(Session::conn);
        Some(match conn {
            None if is_kick => Err("no such client or leafnode id"),
            None => Err("no such client id"),
            Some(conn) if is_kick => {
                self.close(conn, CloseReason::Kicked);
                Ok(())
            }
            Some(conn) => {
                self.engine.ask_to_leave(conn, &mut self.connections);
                Ok(())
            }
        })
    }
}

/// What is said of something that was to be done.
fn answer_order(view: &View<'_>, done: Result<(), &'static str>) -> Vec<u8> {
    let mut json = JsonWriter::new();
    json.open_object();
    write_server(&mut json, view);
    if let Err(why) = done {
        write_error(&mut json, FAILED, why);
    }
    json.close_object();
    json.into_bytes()
}

/// The answer; `None` if the question is for other servers.
fn answer(view: &View<'_>, question: &Question) -> Option<Vec<u8>> {
    let subject = String::from_utf8_lossy(&question.subject);
    let mut words = subject.split('.').skip(2);
    let (about, whom) = (words.next()?, words.next()?);
    let page = words.next().unwrap_or("STATSZ");
    let query = Query::from_json(&question.body);
    if let Ok(query) = &query
        && !is_for_us(view, query)
    {
        return None;
    }
    let mut json = JsonWriter::new();
    json.open_object();
    match (about, page) {
        ("SERVER", "IDZ") => write_id(&mut json, view),
        ("SERVER", "STATSZ") => write_statistics(&mut json, view),
        ("USER", _) => {
            write_server(&mut json, view);
            json.key("data");
            write_user(&mut json, view, question);
        }
        _ => {
            write_server(&mut json, view);
            match query {
                Ok(query) if about == "ACCOUNT" && matches!(page, "INFO" | "JSZ") => {
                    write_account(&mut json, view, whom, page, query);
                }
                Ok(query) => {
                    let made = make_page(view, question, about, whom, page, query);
                    write_page(&mut json, page, &made);
                }
                Err(why) => write_page(&mut json, page, &refusal(why)),
            }
        }
    }
    json.close_object();
    Some(json.into_bytes())
}

/// Whether a question that goes to all servers is meant for this one as well.
fn is_for_us(view: &View<'_>, query: &Query) -> bool {
    let info = view.engine.info();
    let is_in_none = query.text("cluster").is_empty() && query.text("domain").is_empty();
    is_in_none
        && info.server_name.contains(query.text("server_name"))
        && info.host.contains(query.text("host"))
}

fn make_page(
    view: &View<'_>,
    question: &Question,
    about: &str,
    whom: &str,
    page: &str,
    mut query: Query,
) -> Response {
    if question.account != AccountId::SYSTEM {
        query.set("acc", view.engine.account_name(question.account));
    } else if about == "ACCOUNT" && whom != "PING" {
        query.set("acc", whom);
    }
    let path = match page {
        "STATZ" => "/accstatz".to_owned(),
        _ => format!("/{}", page.to_ascii_lowercase()),
    };
    match PAGES.iter().find(|page| page.path == path) {
        None => refusal("there is no such page"),
        Some(page) => {
            let (Ok(made) | Err(made)) = (page.make)(view, &query);
            made
        }
    }
}

/// What is asked about one account, by its name.
fn write_account(json: &mut JsonWriter, view: &View<'_>, whom: &str, page: &str, mut query: Query) {
    let Some(account) = view.engine.account_named(whom) else {
        let what = match page {
            "JSZ" => format!("account {whom:?} not found"),
            _ => format!("Account {whom} does not exist"),
        };
        return write_error(json, FAILED, &what);
    };
    if page == "INFO" {
        json.key("data");
        return accountz::write_account(json, view, account);
    }
    query.set("acc", whom);
    match jsz::of_account(view, &query) {
        Ok(made) => write_page(json, page, &made),
        Err(why) => write_error(json, FAILED, &String::from_utf8_lossy(&why.body)),
    }
}

fn write_error(json: &mut JsonWriter, code: u64, what: &str) {
    json.key("error");
    json.open_object();
    json.uint_field("code", code);
    json.string_field("description", what);
    json.close_object();
}

fn write_page(json: &mut JsonWriter, page: &str, made: &Response) {
    if made.content_type != JSON {
        let what = String::from_utf8_lossy(&made.body);
        return write_error(json, made.status.code(), &what);
    }
    json.key("data");
    if page == "HEALTHZ" {
        // What HTTP says in its head.
        json.open_object();
        json.uint_field("status_code", made.status.code());
        json.raw(made.body.get(1..).unwrap_or_default());
    } else {
        json.raw(&made.body);
    }
}

fn write_id(json: &mut JsonWriter, view: &View<'_>) {
    let info = view.engine.info();
    json.string_field("name", &info.server_name);
    json.string_field("host", &info.host);
    json.string_field("id", &info.server_id);
}

/// Who answers, and when.
pub(crate) fn write_server(json: &mut JsonWriter, view: &View<'_>) {
    json.key("server");
    json.open_object();
    write_this_server(json, view);
    json.close_object();
}

pub(crate) fn write_this_server(json: &mut JsonWriter, view: &View<'_>) {
    view.engine
        .write_this_server(json, view.timestamp(view.now));
}

/// The server in a few figures.
pub(crate) fn write_statistics(json: &mut JsonWriter, view: &View<'_>) {
    let (engine, monitor) = (view.engine, view.monitor);
    let stats = engine.stats();
    write_server(json, view);
    json.key("statsz");
    json.open_object();
    json.time_field("start", view.timestamp(monitor.started));
    json.uint_field("mem", monitor.usage().resident_bytes);
    json.uint_field("cores", cores());
    float_field(json, "cpu", monitor.cpu_percent().round());
    for (key, value) in [
        ("connections", engine.session_count() as u64),
        ("total_connections", stats.total_connections),
        ("active_accounts", engine.active_accounts() as u64),
        ("subscriptions", engine.router_stats().subscriptions as u64),
        ("slow_consumers", stats.slow_consumers()),
        ("active_servers", 1),
    ] {
        json.uint_field(key, value);
    }
    for (key, msgs, bytes) in [
        ("sent", stats.out_msgs, stats.out_bytes),
        ("sent_to_clients", stats.out_msgs, stats.out_bytes),
        ("received", stats.in_msgs, stats.in_bytes),
        ("received_from_clients", stats.in_msgs, stats.in_bytes),
    ] {
        json.key(key);
        write_amount(json, msgs, bytes);
        json.close_object();
    }
    if engine.has_streams() {
        json.key("jetstream");
        jsz::write_varz(json, view);
    }
    json.close_object();
}

/// Who asks, and what that one may do.
fn write_user(json: &mut JsonWriter, view: &View<'_>, question: &Question) {
    let session = question.conn.and_then(|conn| view.engine.session(conn));
    let name = session.map(midge_engine::Session::user_name);
    let account = view.engine.account_name(question.account);
    json.open_object();
    json.string_field("user", name.unwrap_or_default());
    json.string_field("account", account);
    json.string_field("account_name", account);
    if let Some(permissions) = session.and_then(midge_engine::Session::permissions) {
        json.key("permissions");
        write_permissions(json, permissions);
    }
    json.close_object();
}

fn write_permissions(json: &mut JsonWriter, permissions: &Permissions) {
    json.open_object();
    for (key, rules) in [
        ("publish", &permissions.publish),
        ("subscribe", &permissions.subscribe),
    ] {
        let Rules { allow, deny } = rules;
        json.key(key);
        json.open_object();
        json.strings_unless_empty("allow", &texts(allow.as_deref().unwrap_or_default()));
        json.strings_unless_empty("deny", &texts(deny));
        json.close_object();
    }
    if let Some(responses) = permissions.responses {
        json.key("responses");
        json.open_object();
        json.int_field("max", responses.max.map_or(-1, i64::from));
        let ttl = responses
            .expires
            .map_or(-1, |expires| Nanos::from(expires).0);
        json.int_field("ttl", ttl);
        json.close_object();
    }
    json.close_object();
}

fn texts(rules: &[midge_engine::Rule]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rule = |rule: &midge_engine::Rule| match &rule.queue {
        None => text(&rule.filter),
        Some(queue) => format!("{} {}", text(&rule.filter), text(queue)),
    };
    rules.iter().map(rule).collect()
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
