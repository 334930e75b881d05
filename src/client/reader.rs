//! The thread that reads, and makes broken connections again.

use crate::events::Event;
use crate::frame::{self, Delivery, Frame};
use crate::handshake::{self, Established};
use crate::info::ServerInfo;
use crate::queue::{Feed, Took};
use crate::requests::MUX_SID;
use crate::shared::{Route, Routes, Shared};
use crate::stats::count;
use crate::sync::lock;
use crate::transport::{Transport, is_passing};
use midge_proto::encode::PONG;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Read at a time, to begin with: enough for a device that hears little.
const READ_SIZE: usize = 8 * 1024;

/// And at most, where reads fill what there is.
const READ_SIZE_MAX: usize = 128 * 1024;

/// Runs until the client is closed.
pub(crate) fn run(shared: &Shared, first: Option<Established>) {
    let mut next = first.or_else(|| connect(shared));
    while let Some(mut established) = next {
        let rest = std::mem::take(&mut established.rest);
        let Some(transport) = shared.connected(established) else {
            return;
        };
        let why = read(shared, &transport, rest);
        if shared.is_closed() {
            return;
        }
        shared.disconnected(&why);
        if !shared.options.reconnects {
            shared.close(Some(why));
            return;
        }
        // Whoever lost the same server comes back now as well.
        let chance = RandomState::new().hash_one(0);
        if !shared.pause(handshake::stagger(&shared.options, chance)) {
            return;
        }
        next = connect(shared);
    }
}

/// Tries the servers in turn until one takes us; nothing if the client was
/// closed, or has tried often enough.
fn connect(shared: &Shared) -> Option<Established> {
    let mut attempts = 0;
    loop {
        for url in &shared.urls {
            if shared.is_closed() {
                return None;
            }
            let error = match handshake::establish(url, &shared.options) {
                Ok(established) => return Some(established),
                Err(error) => error,
            };
            let said = format!("{}: {error}", url.address);
            shared.events.push(Event::AttemptFailed(said.clone()));
            attempts += 1;
            if shared
                .options
                .attempts_max
                .is_some_and(|max| attempts >= max)
            {
                shared.close(Some(said));
                return None;
            }
        }
        let rounds = (attempts - 1) / shared.urls.len().max(1) as u32;
        let chance = RandomState::new().hash_one(attempts);
        if !shared.pause(handshake::pause(&shared.options, rounds, chance)) {
            return None;
        }
    }
}

/// Reads until the connection breaks; why it did.
fn read(shared: &Shared, transport: &Transport, rest: Vec<u8>) -> String {
    let mut input = rest;
    let mut end = input.len();
    input.resize(end.max(READ_SIZE), 0);
    loop {
        let used = match dispatch(shared, input.get(..end).unwrap_or_default()) {
            Ok(used) => used,
            Err(why) => return why,
        };
        input.copy_within(used..end, 0);
        end -= used;
        if end == 0 && input.len() > READ_SIZE_MAX {
            // A long message is gone, and its room with it.
            input = vec![0; READ_SIZE_MAX];
        }
        let size = input.len();
        if end == size {
            // A message longer than all that came before.
            input.resize(size * 2, 0);
        }
        let room = input.get_mut(end..).unwrap_or_default();
        let size = room.len();
        match transport.read(room, None) {
            Ok(0) => return "the server closed the connection".to_owned(),
            Ok(count) => {
                end += count;
                if count == size && input.len() < READ_SIZE_MAX {
                    input.resize(input.len() * 2, 0);
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// What is to be done once the messages of a read are where they belong.
#[derive(Default)]
struct Aside {
    pings: usize,
    pongs: usize,
    ended: Vec<u64>,
}

/// Takes in all whole frames; how long they are together.
fn dispatch(shared: &Shared, input: &[u8]) -> Result<usize, String> {
    let mut aside = Aside::default();
    let used = {
        let routes = lock(&shared.routes);
        deliver(shared, &routes, input, &mut aside)
    };
    if !aside.ended.is_empty() {
        let mut routes = lock(&shared.routes);
        for sid in &aside.ended {
            routes.remove(sid);
        }
    }
    // Who flushes expects the messages before to be there.
    for _ in 0..aside.pongs {
        shared.ponged();
    }
    for _ in 0..aside.pings {
        shared.outbox.answer(PONG);
    }
    used
}

/// The queue that the last message went to, held while more go there.
type Current<'a> = Option<(u64, &'a Route, Feed<'a>)>;

fn deliver(
    shared: &Shared,
    routes: &Routes,
    input: &[u8],
    aside: &mut Aside,
) -> Result<usize, String> {
    let mut used = 0;
    let (mut messages, mut bytes) = (0, 0);
    let mut current: Current<'_> = None;
    let done = loop {
        let rest = input.get(used..).unwrap_or_default();
        let (frame, len) = match frame::parse(rest) {
            Ok(Some(found)) => found,
            Ok(None) => break Ok(used),
            Err(why) => break Err(format!("what came is not the protocol: {why}")),
        };
        used += len;
        match frame {
            Frame::Message(delivery) => {
                messages += 1;
                bytes += delivery.subject.len() + delivery.header.len() + delivery.payload.len();
                route(shared, routes, &mut current, &delivery, aside);
            }
            Frame::Ping => aside.pings += 1,
            Frame::Pong => aside.pongs += 1,
            Frame::Info(json) => shared.informed(ServerInfo::parse(json)),
            Frame::Error(words) => {
                let words = String::from_utf8_lossy(words).into_owned();
                shared.events.push(Event::ServerError(words));
            }
            Frame::Ok => {}
        }
    };
    count(&shared.counters.received, messages);
    count(&shared.counters.received_bytes, bytes as u64);
    done
}

fn route<'a>(
    shared: &Shared,
    routes: &'a Routes,
    current: &mut Current<'a>,
    delivery: &Delivery<'_>,
    aside: &mut Aside,
) {
    let sid = delivery.sid;
    if sid == MUX_SID {
        shared.requests.answer(delivery);
        return;
    }
    if current.as_ref().is_none_or(|(found, ..)| *found != sid) {
        // The one before is let go of first: two are never held at a time.
        *current = None;
        *current = routes
            .get(&sid)
            .map(Arc::as_ref)
            .map(|route| (sid, route, route.queue.feed()));
    }
    // What comes after an UNSUB is nobody's.
    let Some((_, route, feed)) = current.as_mut() else {
        return;
    };
    if let Took::Dropped { is_first } = feed.push(delivery) {
        count(&shared.counters.dropped, 1);
        if is_first {
            shared.events.push(Event::Slow(route.subject.clone()));
        }
    }
    if feed.has_ended() {
        aside.ended.push(sid);
        *current = None;
    }
}
