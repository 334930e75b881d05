//! What clients of the system account hear without asking: who comes and goes
//! in which account, how the server does, and that it leaves.
//!
//! Nothing is written that nobody listens for.

use crate::accountz::{self, write_amount};
use crate::event_loop::{EventLoop, Timer};
use crate::monitor::View;
use crate::system::{write_server, write_statistics, write_this_server};
use midge_engine::{AccountId, CloseReason, News, Session};
use midge_proto::{JsonWriter, Nanos};
use std::time::Duration;

/// News told in one turn of the loop, at some ten microseconds each; the rest
/// follow in the next.
const A_TURN: usize = 128;

/// How often the server's figures are told. A young server's are told sooner:
/// as soon again as it is old.
const STATISTICS_EVERY: Duration = Duration::from_secs(10);

/// How often at most.
const STATISTICS_FIRST: Duration = Duration::from_millis(250);

const LEFT: &str = "client_disconnect";

impl EventLoop {
    /// Tells what has happened since the last turn.
    pub(crate) fn tell_news(&mut self) {
        if self.statistics_due.is_none() && self.engine.has_listeners() {
            let age = self.connections.now - self.monitor.started;
            let pause = age.clamp(STATISTICS_FIRST, STATISTICS_EVERY);
            let due = self.connections.now + pause;
            self.timers
                .arm(&mut self.statistics_due, due, Timer::Statistics);
        }
        if !self.engine.has_news() {
            return;
        }
        let news: Vec<News> = std::iter::from_fn(|| self.engine.take_news())
            .take(A_TURN)
            .collect();
        self.tell_counts(&news);
        for one in &news {
            match one {
                News::Entered(conn) => self.tell_entry(*conn),
                News::Left(session, reason) => self.tell_end(session, *reason),
            }
        }
        let left_out = self.engine.take_left_out();
        if left_out > 0 {
            log::warn!("{left_out} events were not told in the system account: too many at once");
        }
    }

    /// Tells how many clients the accounts have now that some have come or
    /// gone.
    fn tell_counts(&mut self, news: &[News]) {
        let of = |one: &News| match one {
            News::Entered(conn) => self.engine.session(*conn).map(Session::account),
            News::Left(session, _) => Some(session.account()),
        };
        let mut touched: Vec<AccountId> = Vec::new();
        for account in news.iter().filter_map(of) {
            if !touched.contains(&account) {
                touched.push(account);
            }
        }
        for account in touched {
            // Of those who are in none nobody is told.
            if account == AccountId::GLOBAL {
                continue;
            }
            let name = self.engine.account_name(account).to_owned();
            for subject in [
                format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"),
                format!("$SYS.ACCOUNT.{name}.SERVER.CONNS"),
            ] {
                self.tell(&subject, "account_connections", &|json, view| {
                    let stats = view.engine.account_stats(account);
                    accountz::write_statistics(json, &name, &stats);
                });
            }
        }
    }

    fn tell_entry(&mut self, conn: midge_engine::ConnId) {
        let Some(session) = self.engine.session(conn) else {
            return;
        };
        let subject = self.about_account(session, "CONNECT");
        self.tell(&subject, "client_connect", &|json, view| {
            if let Some(session) = view.engine.session(conn) {
                write_client(json, view, session, false);
            }
        });
    }

    fn tell_end(&mut self, session: &Session, reason: CloseReason) {
        if session.is_entry_untold() {
            let subject = self.about_account(session, "CONNECT");
            self.tell(&subject, "client_connect", &|json, view| {
                write_client(json, view, session, false);
            });
        }
        let write = |json: &mut JsonWriter, view: &View<'_>| {
            write_client(json, view, session, true);
            let traffic = session.traffic();
            for (key, msgs, bytes) in [
                ("sent", traffic.out_msgs, traffic.out_bytes),
                ("received", traffic.in_msgs, traffic.in_bytes),
            ] {
                json.key(key);
                write_amount(json, msgs, bytes);
                json.close_object();
            }
            json.string_field("reason", reason.as_str());
        };
        let is_refused = matches!(
            reason,
            CloseReason::AuthenticationViolation | CloseReason::AuthenticationThrottled
        );
        if is_refused {
            let subject = self.about_server("CLIENT.AUTH.ERR");
            self.tell(&subject, LEFT, &write);
        }
        let subject = self.about_account(session, "DISCONNECT");
        self.tell(&subject, LEFT, &write);
    }

    /// Tells how the server does, until nobody listens any more.
    pub(crate) fn tell_statistics(&mut self) {
        self.statistics_due = None;
        let subject = self.about_server("STATSZ");
        if self.engine.is_awaited(&subject) {
            let mut json = JsonWriter::new();
            json.open_object();
            let (monitor, world) = self.look_around();
            monitor.view(world, |view| write_statistics(&mut json, view));
            json.close_object();
            self.send_news(&subject, json);
        }
    }

    /// Tells that the server leaves, in one way or another.
    pub(crate) fn tell_of_server(&mut self, what: &str) {
        let subject = self.about_server(what);
        if self.engine.is_awaited(&subject) {
            let mut json = JsonWriter::new();
            json.open_object();
            let (monitor, world) = self.look_around();
            write_this_server(&mut json, &monitor.glance(world));
            json.close_object();
            self.send_news(&subject, json);
        }
    }

    fn about_server(&self, what: &str) -> String {
        format!("$SYS.SERVER.{}.{what}", self.engine.info().server_id)
    }

    fn about_account(&self, session: &Session, what: &str) -> String {
        let account = self.engine.account_name(session.account());
        format!("$SYS.ACCOUNT.{account}.{what}")
    }

    /// Tells something in the form that all news of clients have.
    fn tell(&mut self, subject: &str, kind: &str, write: &dyn Fn(&mut JsonWriter, &View<'_>)) {
        if !self.engine.is_awaited(subject) {
            return;
        }
        let id = self.engine.news_id();
        let (monitor, world) = self.look_around();
        let view = monitor.glance(world);
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("type", &format!("io.nats.server.advisory.v1.{kind}"));
        json.string_field("id", &id);
        json.time_field("timestamp", view.timestamp(view.now));
        write_server(&mut json, &view);
        write(&mut json, &view);
        json.close_object();
        self.send_news(subject, json);
    }

    fn send_news(&mut self, subject: &str, json: JsonWriter) {
        let (now, out) = (self.connections.now, &mut self.connections);
        self.engine.tell_news(now, subject, &json.into_bytes(), out);
    }
}

/// Who a client is, or was.
fn write_client(json: &mut JsonWriter, view: &View<'_>, session: &Session, is_gone: bool) {
    let (options, account) = (
        session.options(),
        view.engine.account_name(session.account()),
    );
    json.key("client");
    json.open_object();
    json.time_field("start", view.timestamp(session.started()));
    json.string_field("host", &session.peer().ip().to_string());
    json.uint_field("id", session.client_id());
    json.string_field("acc", account);
    for (key, text) in [
        ("user", session.user_name()),
        ("name", &options.name),
        ("lang", &options.lang),
        ("ver", &options.version),
    ] {
        json.string_unless_empty(key, text);
    }
    if is_gone {
        let rtt = session.rtt().unwrap_or_default();
        json.int_unless_zero("rtt", Nanos::from(rtt).0);
        json.time_field("stop", view.timestamp(view.now));
    }
    json.string_field("name_tag", account);
    json.string_field("kind", "Client");
    json.string_field("client_type", "nats");
    json.close_object();
}
