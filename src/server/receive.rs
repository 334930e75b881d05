//! Reading, and doing what was read.
//!
//! A connection gets one read a turn, and what that asks for is bounded too:
//! input whose answers would take too long is kept for the next turn, and so
//! is the input of a publisher that has to rest. Who was cut short reads less
//! the next time, so that little is kept.

use crate::accept::HTTP_TIMEOUT;
use crate::connection::{Codec, Partial, Phase, Received};
use crate::event_loop::{EventLoop, Timer};
use crate::http::HEAD_MAX;
use crate::monitor::Answer;
use crate::output_queue::SHARE_MIN;
use crate::trace;
use crate::turn::Part;
use bytes::Bytes;
use memchr::memchr;
use midge_engine::{CloseReason, ConnId, Flow, Recovery};
use midge_proto::{Command, Needed, ParseLimits, Parsed, parse, parse_publish};
use std::time::Duration;

/// Bytes read from one connection in one turn. Large enough to make system
/// calls and wake-ups cheap beside the parsing, small enough to stay in a
/// core's cache; measured, 256 KiB is where more brings nothing.
pub(crate) const READ_MAX: usize = 256 * 1024;

/// The least that a connection reads in one turn, however often it was cut
/// short: enough for a message or a hundred.
pub(crate) const READ_MIN: usize = 4 * 1024;

/// A frame that comes in pieces gets room for this much at first, and then for
/// twice what has come, so that an announcement alone takes little memory.
const FRAME_ROOM_MIN: usize = 64 * 1024;

/// Once this much has gathered for all connections together it is written
/// without waiting for the end of the turn: it bounds what a wide fan-out
/// holds in memory, and it is still in the cache.
const FLUSH_BYTES: u64 = 1024 * 1024;

/// What the input of all connections together may cost in one turn, shared
/// among those that have some. One cost is a byte queued. The next turn goes
/// on with the rest; meanwhile the others are heard.
const TURN_COST_MAX: u64 = 4 * 1024 * 1024;

/// The least that one connection may cost in a turn, however many there are.
const TURN_SHARE_MIN: u64 = 64 * 1024;

/// What looking at one subscription costs, in queued bytes: about as much time,
/// also when nothing is queued for it.
const VISIT_COST: u64 = 64;

/// What connections share that give the streams something in one turn, and
/// what each may at least, in bytes: together they bring some hundred and sixty
/// small messages. The disk is told and the others are heard in between; a turn
/// is a tenth of a millisecond or two then.
const TURN_FED_MAX: u64 = 32 * 1024;
const FED_MIN: u64 = 4 * 1024;

/// How long a publisher rests when a receiver of its messages has fallen far
/// behind.
const REST: Duration = Duration::from_millis(5);

/// What a publisher may still send, and what that may cost, before such a rest,
/// in bytes. A reader that takes 13 MB a second keeps up with that; one that
/// has stopped altogether costs its publishers time, but reaches its limit
/// and is cut.
const REST_AFTER: usize = 64 * 1024;

/// Clients that go on in one turn once the disk has caught up: with one read
/// each they bring as much as may gather for a batch.
#[cfg(feature = "streams")]
const RELEASED_MAX: usize = 32;

/// What is left of some input after its commands were run.
struct Leftover {
    used: usize,
    /// What the frame at the front of the rest is missing.
    needed: Needed,
    /// The rest was not looked at: the turn, or the publisher's time, is over.
    is_cut: bool,
    /// The publisher has to rest.
    is_stalled: bool,
    /// The client has to wait, for the disk or for word of its credentials.
    is_held: bool,
}

/// What became of the command at the front of some input.
enum Ran {
    /// It was so many bytes.
    Whole { used: usize, flow: Flow },
    /// It is not all there.
    Partial(Needed),
}

impl EventLoop {
    /// Gives each readable connection one read, and an equal share of the turn.
    pub(crate) fn read_readable(&mut self) {
        self.http_answered = false;
        let readers = self.readable.len();
        self.turn_share = (TURN_COST_MAX / readers.max(1) as u64).max(TURN_SHARE_MIN);
        self.turn_fed = (TURN_FED_MAX / readers.max(1) as u64).max(FED_MIN);
        self.is_feeding = false;
        let mut feeders = std::mem::take(&mut self.feeders);
        for _ in 0..readers {
            let Some(id) = self.readable.pop_front() else {
                break;
            };
            match self.connections.get_mut(id) {
                Some(connection) if connection.is_feeder => feeders.push(id),
                _ => {
                    self.read(id);
                    self.end_read(id);
                }
            }
        }
        if !feeders.is_empty() {
            // What storing takes is not for those to wait for who do not
            // store anything.
            self.flush();
            self.end_part(Part::Write);
        }
        for id in feeders.drain(..) {
            self.read(id);
            self.end_read(id);
        }
        self.feeders = feeders;
    }

    pub(crate) fn queue_read(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.readable.push_back(id);
        }
    }

    fn read(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.is_queued = false;
        let is_resting = connection.resume_due.is_some() || connection.is_held;
        match (connection.phase, &connection.codec) {
            // Read from when that is over.
            (Phase::Draining { .. } | Phase::Dead, _) => {}
            (Phase::Open, _) if connection.transport.layer.is_shaking() => self.queue_handshake(id),
            (Phase::Open, Codec::Nats(_)) if is_resting => {}
            (Phase::Open, Codec::Nats(partial)) if partial.is_backlog => self.receive(id, b""),
            (Phase::Open, Codec::Nats(_)) => self.read_client(id),
            (Phase::Open, Codec::Http(_)) => self.read_http(id),
            (Phase::Lingering, _) => self.read_lingering(id),
        }
    }

    fn read_client(&mut self, id: ConnId) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        if let Some(connection) = self.connections.get_mut(id) {
            let read = connection.transport.read(&mut buffer, connection.read_max);
            let read_closed = connection.read_closed;
            if connection.transport.layer.wants_flush() {
                self.connections.mark_dirty(id);
            }
            match read {
                Ok(None) => {}
                Ok(Some(received)) if received.is_end() => {
                    self.close(id, CloseReason::ClientClosed);
                }
                Ok(Some(Received { count, is_full })) => {
                    // A short read has emptied the socket, unless the end is
                    // to come.
                    let may_have_more = is_full || read_closed;
                    let fed = self.engine.fed();
                    self.receive(id, &buffer[..count]);
                    let is_feeder = self.engine.fed() > fed;
                    self.is_feeding |= is_full && is_feeder;
                    self.set_feeder(id, is_feeder);
                    if may_have_more {
                        self.queue_read(id);
                    }
                    if is_full {
                        self.read_more_next_time(id);
                    }
                }
                Err(error) => {
                    log::debug!("cannot read from {id}: {error}");
                    self.close(id, CloseReason::ReadError);
                }
            }
        }
        self.read_buffer = buffer;
    }

    fn set_feeder(&mut self, id: ConnId, is_feeder: bool) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_feeder = is_feeder;
        }
    }

    /// What a lingering client still says is of no interest; its end is.
    fn read_lingering(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match connection.transport.read(&mut self.read_buffer, READ_MAX) {
            Ok(None) => {}
            Ok(Some(received)) if !received.is_end() => self.queue_read(id),
            Ok(Some(_)) | Err(_) => self.connections.kill(id),
        }
    }

    /// One monitoring request at a time: the next one is read when the answer
    /// to the last is written, and no turn makes more than one page.
    fn read_http(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Codec::Http(received) = &mut connection.codec else {
            return;
        };
        if !connection.output.is_empty() {
            return;
        }
        if self.http_answered {
            self.queue_read(id);
            return;
        }
        let mut received = std::mem::take(received);
        let mut answer = None;
        if !received.is_empty() {
            answer = self.answer(&mut received);
        }
        let (mut is_over, mut lingers) = (false, false);
        if answer.is_none()
            && let Some(connection) = self.connections.get_mut(id)
        {
            match connection.transport.read(&mut self.read_buffer, HEAD_MAX) {
                Ok(None) => {}
                Ok(Some(read)) if !read.is_end() => {
                    received.extend_from_slice(&self.read_buffer[..read.count]);
                    answer = self.answer(&mut received);
                    self.queue_read(id);
                }
                Ok(Some(_)) | Err(_) => is_over = true,
            }
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.codec = Codec::Http(received);
        }
        if let Some(answer) = answer {
            self.http_answered = true;
            self.connections.push(id, &answer.bytes);
            self.arm_deadline(id, HTTP_TIMEOUT);
            is_over = answer.is_last;
            lingers = true;
        }
        if is_over && let Some(connection) = self.connections.get_mut(id) {
            connection.phase = Phase::Draining { lingers };
            self.connections.mark_dirty(id);
        }
    }

    fn answer(&mut self, received: &mut Vec<u8>) -> Option<Answer> {
        let (monitor, world) = self.look_around();
        monitor.answer(received, world)
    }

    /// Takes in bytes of a client: the engine gets every command that is
    /// whole, the connection keeps what is not.
    fn receive(&mut self, id: ConnId, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Codec::Nats(partial) = &mut connection.codec else {
            return;
        };
        let mut partial = std::mem::take(partial);
        let had_backlog = partial.is_backlog;
        self.fed_until = self.engine.fed() + self.turn_fed;
        let mut limits = self.engine.frame_limits(id);
        let (mut is_stalled, mut is_held) = (false, false);
        let mut rest = data;
        while !partial.bytes.is_empty() && (partial.is_backlog || !rest.is_empty()) {
            if !partial.is_backlog {
                rest = fill(&mut partial, rest);
            }
            let mut bytes = std::mem::take(&mut partial.bytes);
            // A large frame that came in pieces has its buffer to itself,
            // which the receivers of its payload may share.
            let left = if is_whole(&bytes, partial.needed) && bytes.len() >= SHARE_MIN {
                let owner = Bytes::from(std::mem::take(&mut bytes));
                self.run_commands(id, &owner, Some(&owner), &mut limits)
            } else {
                self.run_commands(id, &bytes, None, &mut limits)
            };
            let Some(left) = left else {
                return;
            };
            bytes.drain(..left.used.min(bytes.len()));
            partial.bytes = bytes;
            partial.needed = left.needed;
            partial.is_backlog = left.is_cut;
            is_stalled |= left.is_stalled;
            is_held = left.is_held;
            if left.is_cut || left.is_held {
                partial.bytes.extend_from_slice(rest);
                partial.is_backlog = !partial.bytes.is_empty();
                rest = b"";
                break;
            }
        }
        if !rest.is_empty() {
            let Some(left) = self.run_commands(id, rest, None, &mut limits) else {
                return;
            };
            partial.bytes = rest[left.used..].to_vec();
            partial.needed = left.needed;
            partial.is_backlog = left.is_cut;
            is_stalled |= left.is_stalled;
            is_held = left.is_held;
        }
        if partial.bytes.is_empty() {
            partial = Partial::default();
        }
        self.after_receive(id, partial, had_backlog, is_stalled);
        if is_held {
            self.hold(id);
        }
    }

    /// Reads nothing more from a client until the disk has caught up, or word
    /// of its credentials has come.
    fn hold(&mut self, id: ConnId) {
        let is_verifying = self.engine.is_verifying(id);
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.is_held
        {
            connection.is_held = true;
            if !is_verifying {
                self.held.push_back(id);
            }
        }
    }

    /// Goes on with a client that was held.
    pub(crate) fn release(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_held = false;
            self.queue_read(id);
        }
    }

    /// Goes on with some of those who wait for the disk, if that has caught
    /// up. All at once would be far ahead of it again with one read each.
    #[cfg(feature = "streams")]
    pub(crate) fn release_held(&mut self) {
        if self.engine.is_congested() {
            return;
        }
        let mut released = 0;
        while released < RELEASED_MAX
            && let Some(id) = self.held.pop_front()
        {
            self.release(id);
            released += 1;
        }
    }

    /// Puts away what is left and sees to it that the connection goes on.
    fn after_receive(&mut self, id: ConnId, partial: Partial, had_backlog: bool, is_stalled: bool) {
        let due = self.connections.now + REST;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let has_backlog = partial.is_backlog;
        connection.codec = Codec::Nats(partial);
        if has_backlog {
            connection.read_max = (connection.read_max / 2).max(READ_MIN);
        }
        if is_stalled {
            self.timers
                .arm(&mut connection.resume_due, due, Timer::Resume(id));
        } else if has_backlog || had_backlog {
            self.queue_read(id);
        }
    }

    /// A connection that was not cut short may read more at once again.
    fn read_more_next_time(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !matches!(&connection.codec, Codec::Nats(partial) if partial.is_backlog)
        {
            connection.read_max = (connection.read_max * 2).min(READ_MAX);
        }
    }

    /// What all input has cost since the start.
    #[inline]
    fn cost(&self) -> u64 {
        self.connections.queued() + self.engine.visits() * VISIT_COST
    }

    /// Hands the engine every whole command at the front of `input`, as far as
    /// this turn allows. `None` when the session is over.
    fn run_commands(
        &mut self,
        id: ConnId,
        input: &[u8],
        owner: Option<&Bytes>,
        limits: &mut ParseLimits,
    ) -> Option<Leftover> {
        let now = self.connections.now;
        let cost_before = self.cost();
        let mut flush_at = self.connections.queued() + FLUSH_BYTES;
        let is_traced = trace::is_on();
        let mut left = Leftover {
            used: 0,
            needed: Needed::Line,
            is_cut: false,
            is_stalled: false,
            is_held: false,
        };
        while left.used < input.len() {
            let rest = &input[left.used..];
            let flow = if let Some((publish, frame_len)) = parse_publish(rest, limits) {
                left.used += frame_len;
                let out = &mut self.connections;
                if is_traced {
                    out.traced.received(&self.engine, id, &rest[..frame_len]);
                }
                self.engine.publish(now, id, &publish, owner, out)
            } else {
                match self.run_command(id, rest, owner, limits) {
                    Ran::Whole { used, flow } => {
                        left.used += used;
                        flow
                    }
                    Ran::Partial(needed) => {
                        left.needed = needed;
                        return Some(left);
                    }
                }
            };
            match flow {
                Flow::Continue => {}
                Flow::Stall => left.is_stalled = true,
                Flow::Hold | Flow::Verify => {
                    left.is_held = true;
                    left.is_cut = left.used < input.len();
                    return Some(left);
                }
                Flow::Closed => return None,
            }
            let queued = self.connections.queued();
            if queued >= flush_at {
                flush_at = queued + FLUSH_BYTES;
                self.flush();
                self.mind_memory();
            }
            left.is_cut = left.used < input.len() && self.is_turn_over(&left, cost_before);
            if left.is_cut {
                return Some(left);
            }
        }
        Some(left)
    }

    /// Whether a client has had its share of this turn, or has to rest first.
    #[inline(always)]
    fn is_turn_over(&mut self, left: &Leftover, cost_before: u64) -> bool {
        let cost = self.cost() - cost_before;
        let is_rest_due = left.is_stalled && (left.used >= REST_AFTER || cost >= REST_AFTER as u64);
        let is_fed = self.engine.fed() >= self.fed_until;
        let is_over = cost >= self.turn_share || is_rest_due || is_fed;
        if is_over {
            self.is_feeding |= is_fed && !left.is_stalled;
        }
        is_over
    }

    /// Hands the engine the command at the front of `rest`, whatever its form,
    /// or has it answer what is none.
    #[inline(never)]
    fn run_command(
        &mut self,
        id: ConnId,
        rest: &[u8],
        owner: Option<&Bytes>,
        limits: &mut ParseLimits,
    ) -> Ran {
        let now = self.connections.now;
        let out = &mut self.connections;
        let (used, flow) = match parse(rest, limits) {
            Ok(Parsed::Whole { command, used }) => {
                if trace::is_on() {
                    out.traced.received(&self.engine, id, &rest[..used]);
                }
                let flow = self.engine.command(now, id, &command, owner, out);
                if matches!(command, Command::Connect(_)) {
                    *limits = self.engine.frame_limits(id);
                }
                (used, flow)
            }
            Ok(Parsed::Partial(needed)) => return Ran::Partial(needed),
            Err(error) => match self.engine.fault(id, &error, out) {
                Recovery::Skip(used) => (used, Flow::Continue),
                Recovery::Close => (0, Flow::Closed),
            },
        };
        Ran::Whole { used, flow }
    }
}

/// Moves what the partial frame is missing from `data`, at most; returns the
/// rest.
fn fill<'a>(partial: &mut Partial, data: &'a [u8]) -> &'a [u8] {
    let have = partial.bytes.len();
    let wanted = match partial.needed {
        Needed::Line => memchr(b'\n', data).map_or(data.len(), |lf| lf + 1),
        Needed::Bytes(total) => {
            // Grows with what has come, not with what was announced.
            let room = total.min((have * 2).max(FRAME_ROOM_MIN));
            if partial.bytes.capacity() < room {
                partial.bytes.reserve_exact(room - have);
            }
            total.saturating_sub(have).min(data.len())
        }
    };
    partial.bytes.extend_from_slice(&data[..wanted]);
    &data[wanted..]
}

fn is_whole(bytes: &[u8], needed: Needed) -> bool {
    matches!(needed, Needed::Bytes(total) if bytes.len() == total)
}
