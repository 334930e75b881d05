//! From one published message to all its receivers.

use crate::account::{Matched, Sink, Subscription};
use crate::engine::{Engine, Flow};
use crate::ids::{AccountId, SubId};
use crate::message_trace::{Trace, why};
use crate::outbox::{CloseReason, Delivery, Outbox, Tail};
use crate::rng::Rng;
use crate::room::Waiting;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::trace_headers;
use crate::trie::{NodeId, Trie};
use crate::{ConnId, Time};
use bytes::Bytes;
use midge_proto::encode::{self, Decimal};
use midge_proto::{Publish, WireError, begins_with};
use slab::Slab;

/// When one message has brought its receivers this many bytes, what waits is
/// written before it goes on: many receivers times a large message would be a
/// good deal of memory for a moment.
const RELIEF_BYTES: u64 = 1024 * 1024;

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) account: AccountId,
    /// The client; none if it is the server itself.
    pub(crate) conn: Option<ConnId>,
}

/// What a message met on its way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Routed {
    pub(crate) receivers: u64,
    /// The last of them, if that is a client.
    pub(crate) receiver: Option<ConnId>,
    /// Somebody's queue is so long that the publisher should wait.
    pub(crate) congested: bool,
    /// The disk is so far behind that the publisher has to wait for it.
    pub(crate) held: bool,
}

impl Routed {
    /// It met this as well, elsewhere.
    pub(crate) fn add(&mut self, other: Routed) {
        self.receivers += other.receivers;
        self.receiver = other.receiver.or(self.receiver);
        self.congested |= other.congested;
        self.held |= other.held;
    }
}

impl Engine {
    /// PUB and HPUB, the one command that comes by the million. `owner` is the
    /// buffer that the message lies in, if that may be kept and shared.
    #[inline]
    pub fn publish<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        publish: &Publish<'_>,
        owner: Option<&Bytes>,
        out: &mut O,
    ) -> Flow {
        let Some(mut session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        if !session.authorized {
            return self.refuse_entry(conn, WireError::AuthorizationViolation, out);
        }
        session.last_in = now;
        self.latest = now;
        if let Some(header) = &publish.header {
            if !session.options.headers {
                return self.close(conn, CloseReason::ProtocolViolation, out);
            }
            let block = publish.payload.get(..header.len).unwrap_or_default();
            if trace_headers::may_ask(block) {
                if let Some(flow) = self.publish_traced(now, conn, publish, out) {
                    return flow;
                }
                session = match self.sessions.get_mut(conn) {
                    Some(session) => session,
                    None => return Flow::Closed,
                };
            }
        }
        let options = &session.options;
        let no_responders = options.no_responders;
        let account = session.account;
        let muted = if options.echo { None } else { Some(conn) };
        let is_talkative = options.verbose || options.pedantic;
        let may_be_refused = publish.reply.is_some()
            || session.bounds.is_some()
            || matches!(publish.subject.first(), Some(b'_' | b'$'));
        session.traffic.in_msgs += 1;
        session.traffic.in_bytes += publish.payload.len() as u64;
        self.stats.in_msgs += 1;
        self.stats.in_bytes += publish.payload.len() as u64;
        if may_be_refused && let Some(error) = refusal(session, publish, now) {
            return self.refuse(conn, error, out);
        }
        if is_talkative {
            self.talk_of(conn, publish.subject, out);
        }

        let mut routed = self.route(account, publish.subject, publish, owner, muted, out);
        if !self.hits.is_empty() {
            let origin = Origin {
                account,
                conn: Some(conn),
            };
            self.reach(now, origin, publish, &mut routed, out);
        }
        if routed.receivers == 0
            && no_responders
            && let Some(reply) = publish.reply
        {
            self.tell_no_responders(conn, account, reply, publish.subject, out);
        }
        self.end_of_publish(conn, routed, out)
    }

    /// Ends a command that published something.
    #[inline(always)]
    pub(crate) fn end_of_publish<O: Outbox>(
        &mut self,
        conn: ConnId,
        routed: Routed,
        out: &mut O,
    ) -> Flow {
        let is_settled = self.spent.is_empty() && self.doomed.is_empty();
        if is_settled && !routed.held && !routed.congested {
            return Flow::Continue;
        }
        self.settle_publish(conn, routed, out)
    }

    /// Ends one that has ended something else, or has to wait.
    #[inline(never)]
    fn settle_publish<O: Outbox>(&mut self, conn: ConnId, routed: Routed, out: &mut O) -> Flow {
        if !self.spent.is_empty() || !self.doomed.is_empty() {
            let flow = self.settle(conn, out);
            if flow == Flow::Closed {
                return flow;
            }
        }
        if routed.held {
            self.stats.stalls += 1;
            return Flow::Hold;
        }
        if routed.congested {
            self.stats.stalls += 1;
            return Flow::Stall;
        }
        Flow::Continue
    }

    /// What a verbose or pedantic session is told of a message.
    #[inline(never)]
    pub(crate) fn talk_of<O: Outbox>(&mut self, conn: ConnId, subject: &[u8], out: &mut O) {
        let Some(session) = self.sessions.get(conn) else {
            return;
        };
        let (verbose, pedantic) = (session.options.verbose, session.options.pedantic);
        if pedantic && !midge_proto::is_literal(subject) {
            self.tell_error(conn, WireError::InvalidPublishSubject, out);
        }
        if verbose {
            self.tell(conn, encode::OK, out);
        }
    }

    /// Whether this client may publish there.
    pub(crate) fn may_publish(&mut self, now: Time, conn: ConnId, subject: &[u8]) -> bool {
        let session = self.sessions.get_mut(conn);
        session.is_none_or(|session| session.may_publish(now, subject))
    }

    /// Delivers to every plain subscription and one member of each queue
    /// group of an account that matches `address`. Parts of the server that
    /// match are left in `hits`.
    #[inline(always)]
    pub(crate) fn route<O: Outbox>(
        &mut self,
        account: AccountId,
        address: &[u8],
        publish: &Publish<'_>,
        owner: Option<&Bytes>,
        muted: Option<ConnId>,
        out: &mut O,
    ) -> Routed {
        match publish.tail {
            Some(tail) => {
                let tail = Tail::new(tail, owner);
                self.route_tail(account, address, publish, &tail, muted, out)
            }
            None => self.route_respelled(account, address, publish, muted, out),
        }
    }

    /// The same, with the tail that the receivers get.
    #[inline(never)]
    fn route_tail<O: Outbox>(
        &mut self,
        account: AccountId,
        address: &[u8],
        publish: &Publish<'_>,
        tail: &Tail<'_>,
        muted: Option<ConnId>,
        out: &mut O,
    ) -> Routed {
        let Matched { nodes, trie, subs } = self.accounts[account].find(address);
        let mut sender = Sender {
            now: self.latest,
            account,
            sessions: &mut self.sessions,
            spent: &mut self.spent,
            doomed: &mut self.doomed,
            waiting: &self.waiting,
            publish,
            tail,
            stripped: None,
            spare: Some(&mut self.stripped),
            muted,
            routed: Routed::default(),
            out_bytes: 0,
            relief_at: RELIEF_BYTES,
            visits: 0,
            hits: &mut self.hits,
            trace: self.trace.as_deref_mut(),
        };
        let mut nodes_with_queues = 0;
        for node in nodes {
            let (plain, queues) = trie.members(*node);
            for id in plain {
                sender.send(subs, *id, out);
            }
            nodes_with_queues += usize::from(!queues.is_empty());
        }
        if nodes_with_queues > 0 {
            let groups = &mut self.queue_groups;
            groups.clear();
            for node in nodes {
                groups.extend((0..trie.queues(*node).len()).map(|index| (*node, index)));
            }
            let name = |&(node, index): &(NodeId, usize)| &*trie.queues(node)[index].name;
            // The groups of one filter are sorted already.
            if nodes_with_queues > 1 {
                groups.sort_unstable_by(|a, b| name(a).cmp(name(b)));
            }
            for parts in groups.chunk_by(|a, b| name(a) == name(b)) {
                sender.send_to_one(trie, subs, parts, &mut self.rng, out);
            }
        }
        let (routed, out_bytes) = (sender.routed, sender.out_bytes);
        self.visits += sender.visits;
        self.stats.out_msgs += routed.receivers;
        self.stats.out_bytes += out_bytes;
        self.max_fanout = self.max_fanout.max(routed.receivers);
        routed
    }

    /// The same for a message whose line was not spelled as a MSG has it.
    #[inline(never)]
    pub(crate) fn route_respelled<O: Outbox>(
        &mut self,
        account: AccountId,
        address: &[u8],
        publish: &Publish<'_>,
        muted: Option<ConnId>,
        out: &mut O,
    ) -> Routed {
        let mut respelled = std::mem::take(&mut self.respelled);
        respelled.clear();
        let header_digits = publish.header.map(|header| header.digits);
        let (reply, payload) = (publish.reply, publish.payload);
        let size = publish.size_digits;
        encode::message_tail(&mut respelled, reply, header_digits, size, payload);
        let tail = Tail::new(&respelled, None);
        let routed = self.route_tail(account, address, publish, &tail, muted, out);
        drop(tail);
        self.respelled = respelled;
        routed
    }

    /// Publishes a line that a person typed. Returns how many received it,
    /// and whether the session goes on.
    pub(crate) fn publish_text<O: Outbox>(
        &mut self,
        now: Time,
        conn: ConnId,
        subject: &[u8],
        reply: Option<&[u8]>,
        text: &[u8],
        out: &mut O,
    ) -> (u64, Flow) {
        let size = Decimal::new(text.len());
        let publish = Publish {
            subject,
            reply,
            header: None,
            payload: text,
            size_digits: size.as_bytes(),
            tail: None,
        };
        let Some(session) = self.sessions.get_mut(conn) else {
            return (0, Flow::Closed);
        };
        session.traffic.in_msgs += 1;
        session.traffic.in_bytes += text.len() as u64;
        let account = session.account;
        self.stats.in_msgs += 1;
        self.stats.in_bytes += text.len() as u64;
        let mut routed = self.route(account, subject, &publish, None, None, out);
        if !self.hits.is_empty() {
            let origin = Origin {
                account,
                conn: Some(conn),
            };
            self.reach(now, origin, &publish, &mut routed, out);
        }
        (routed.receivers, self.end_of_publish(conn, routed, out))
    }

    /// Tells a requester that nobody listens, on the subscription it made for
    /// the reply. Without such a subscription nobody is told.
    pub(crate) fn tell_no_responders<O: Outbox>(
        &mut self,
        conn: ConnId,
        account: AccountId,
        reply: &[u8],
        subject: &[u8],
        out: &mut O,
    ) {
        let Matched { nodes, trie, subs } = self.accounts[account].find(reply);
        let visits = &mut self.visits;
        let own = nodes
            .iter()
            .flat_map(|node| trie.plain(*node))
            .inspect(|_| *visits += 1)
            .find(|id| subs[id.index()].sink == Sink::Session(conn.index));
        let Some(own) = own else {
            return;
        };
        let sid = &subs[own.index()].sid;
        self.scratch.clear();
        encode::no_responders(&mut self.scratch, reply, sid, subject);
        let line = std::mem::take(&mut self.scratch);
        self.tell(conn, &line, out);
        self.scratch = line;
        if let Some(session) = self.sessions.get_mut(conn) {
            session.traffic.out_msgs += 1;
        }
    }
}

/// Delivers one message, keeping the books.
struct Sender<'a> {
    now: Time,
    account: AccountId,
    sessions: &'a mut Sessions,
    spent: &'a mut Vec<(AccountId, SubId)>,
    doomed: &'a mut Vec<(ConnId, CloseReason)>,
    waiting: &'a Waiting,
    publish: &'a Publish<'a>,
    tail: &'a Tail<'a>,
    /// The tail for receivers that do not take headers, once one was met.
    stripped: Option<Tail<'a>>,
    /// What that is spelled in; none once it is.
    spare: Option<&'a mut Vec<u8>>,
    /// The publisher, if it does not want its own messages.
    muted: Option<ConnId>,
    routed: Routed,
    out_bytes: u64,
    /// When that is as much what waits is written.
    relief_at: u64,
    /// Subscriptions looked at.
    visits: u64,
    /// Parts of the server that it goes to.
    hits: &'a mut Vec<Sink>,
    /// Who it meets, if that is to be told.
    trace: Option<&'a mut Trace>,
}

impl Sender<'_> {
    /// Delivers to one subscription; false if it cannot take the message.
    #[inline]
    fn send<O: Outbox>(&mut self, subs: &mut Slab<Subscription>, id: SubId, out: &mut O) -> bool {
        self.visits += 1;
        let sub = &mut subs[id.index()];
        let Sink::Session(index) = sub.sink else {
            self.hits.push(sub.sink);
            return true;
        };
        let Some(session) = self.sessions.at(index) else {
            return false;
        };
        if session.closing || self.muted == Some(session.conn) {
            let is_closing = session.closing;
            return self.withhold(
                id,
                if is_closing {
                    why::CLOSED
                } else {
                    why::NO_ECHO
                },
            );
        }
        if let Some(bounds) = &mut session.bounds
            && !bounds.can_receive(self.publish, sub.is_filtered, self.now)
        {
            return self.withhold(id, why::DENIED);
        }
        if let Some(trace) = &mut self.trace
            && (sub.max == 0 || sub.delivered < sub.max)
            && trace.meet(id, None)
        {
            return true;
        }
        if sub.max != 0 {
            if sub.delivered >= sub.max {
                return self.withhold(id, why::EXCEEDED);
            }
            if sub.delivered + 1 == sub.max {
                self.spent.push((self.account, id));
            }
        }
        sub.delivered += 1;
        self.routed.receivers += 1;
        self.routed.receiver = Some(session.conn);
        session.traffic.out_msgs += 1;
        let mut delivery = Delivery {
            has_header: false,
            subject: self.publish.subject,
            sid: &sub.sid,
            tail: self.tail,
        };
        let mut sent = self.publish.payload.len();
        if let Some(header) = &self.publish.header {
            // A header block of no bytes is no header.
            if session.options.headers && header.len > 0 {
                delivery.has_header = true;
            } else {
                if let Some(spare) = self.spare.take() {
                    self.stripped = Some(strip(self.publish, header.len, spare));
                }
                let Some(stripped) = &self.stripped else {
                    return false;
                };
                delivery.tail = stripped;
                sent -= header.len;
            }
        }
        session.traffic.out_bytes += sent as u64;
        self.out_bytes += sent as u64;
        if self.out_bytes >= self.relief_at {
            self.relief_at = self.out_bytes + RELIEF_BYTES;
            out.relieve_all();
        }
        let pending = out.deliver(session.conn, &delivery);
        if pending > self.waiting.stall {
            self.routed.congested = true;
            // A client that reads must not be cut for what one message, or one
            // turn, has brought it.
            let max = self.waiting.max;
            if pending > max && out.relieve(session.conn) > max {
                session.cut_as_slow(self.doomed);
            }
        }
        true
    }

    /// A subscription cannot take the message, which is told if it is traced.
    #[cold]
    #[inline(never)]
    fn withhold(&mut self, id: SubId, why: &'static str) -> bool {
        if let Some(trace) = &mut self.trace {
            trace.meet(id, Some(why));
        }
        false
    }

    /// Delivers to one member of a queue group, chosen at random over all the
    /// filters that the group has matching members under.
    fn send_to_one<O: Outbox>(
        &mut self,
        trie: &Trie,
        subs: &mut Slab<Subscription>,
        parts: &[(NodeId, usize)],
        rng: &mut Rng,
        out: &mut O,
    ) {
        let members = |&(node, index): &(NodeId, usize)| &trie.queues(node)[index].members;
        let count: usize = parts.iter().map(|part| members(part).len()).sum();
        let first = rng.below(count);
        // The next one steps in when the chosen one cannot take it.
        for turn in 0..count {
            let mut rest = (first + turn) % count;
            for part in parts {
                if let Some(id) = members(part).get(rest) {
                    if self.send(subs, *id, out) {
                        return;
                    }
                    break;
                }
                rest -= members(part).len();
            }
        }
    }
}

/// Why a message goes no further, if so: it names what is reserved, or its
/// session may not publish there.
// Each request comes here; the call from where messages are traced costs nobody.
#[inline(always)]
pub(crate) fn refusal<'a>(
    session: &mut Session,
    publish: &Publish<'a>,
    now: Time,
) -> Option<WireError<'a>> {
    let Publish { subject, reply, .. } = *publish;
    if let Some(reply) = reply
        && is_reserved_reply(reply)
    {
        return Some(WireError::ReplyViolation(reply));
    }
    let is_refused = is_reserved_subject(subject) || !session.may_publish(now, subject);
    is_refused.then_some(WireError::PublishViolation(subject))
}

/// Whether only servers may name a reply subject: acks and routed replies would
/// be open to forgery.
fn is_reserved_reply(reply: &[u8]) -> bool {
    begins_with(reply, b"$JS.ACK.") || begins_with(reply, b"_R_.") || begins_with(reply, b"_GR_.")
}

/// Whether only servers publish to a subject.
pub(crate) fn is_reserved_subject(subject: &[u8]) -> bool {
    begins_with(subject, b"_GR_.")
        || begins_with(subject, b"$GR.")
        || begins_with(subject, b"$NRG.")
}

/// The tail of a message without its header block.
#[inline(never)]
fn strip<'a>(publish: &Publish<'_>, header_len: usize, spare: &'a mut Vec<u8>) -> Tail<'a> {
    let body = &publish.payload[header_len..];
    let size = Decimal::new(body.len());
    spare.clear();
    encode::message_tail(spare, publish.reply, None, size.as_bytes(), body);
    Tail::new(spare, None)
}
