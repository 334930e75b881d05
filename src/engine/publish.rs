//! From one published message to all its receivers.

use crate::engine::{Engine, Flow};
use crate::ids::SubId;
use crate::outbox::{CloseReason, Delivery, Outbox, Payload};
use crate::session::Session;
use crate::{ConnId, account::Matched};
use bytes::Bytes;
use midge_proto::encode::{self, Decimal, MessageLine};
use midge_proto::{Publish, WireError};

/// Reply subjects that only servers may name: acks and routed replies would
/// otherwise be open to forgery.
const RESERVED_REPLIES: [&[u8]; 3] = [b"$JS.ACK.", b"_R_.", b"_GR_."];

/// What a message met on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Routed {
    receivers: u64,
    /// Somebody's queue is so long that the publisher should wait.
    congested: bool,
}

/// The parts of a message that are the same for every receiver.
struct Outgoing<'a> {
    publish: &'a Publish<'a>,
    payload: Payload<'a>,
    header_len: usize,
    /// The digits for receivers without headers, if they differ.
    body_size: Option<Decimal>,
    /// The publisher, if it does not want its own messages.
    muted: Option<ConnId>,
}

impl Engine {
    /// PUB and HPUB. `owner` is the buffer the payload lies in, if that may
    /// be kept and shared.
    pub(crate) fn publish<O: Outbox>(
        &mut self,
        conn: ConnId,
        publish: &Publish<'_>,
        owner: Option<&Bytes>,
        out: &mut O,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(conn) else {
            return Flow::Closed;
        };
        let options = &session.options;
        let (verbose, pedantic, echo) = (options.verbose, options.pedantic, options.echo);
        let no_responders = options.no_responders;
        if publish.header.is_some() && !options.headers {
            return self.close(conn, CloseReason::ProtocolViolation, out);
        }
        session.traffic.in_msgs += 1;
        session.traffic.in_bytes += publish.payload.len() as u64;
        self.stats.in_msgs += 1;
        self.stats.in_bytes += publish.payload.len() as u64;

        if let Some(reply) = publish.reply
            && RESERVED_REPLIES.iter().any(|prefix| reply.starts_with(prefix))
        {
            return self.refuse(conn, WireError::ReplyViolation(reply), out);
        }
        if pedantic && !midge_proto::is_literal(publish.subject) {
            self.tell_error(conn, WireError::InvalidPublishSubject, out);
        }
        if verbose {
            self.tell(conn, encode::OK, out);
        }

        let muted = if echo { None } else { Some(conn) };
        let routed = self.route(publish, owner, muted, out);
        if routed.receivers == 0
            && no_responders
            && let Some(reply) = publish.reply
        {
            self.tell_no_responders(conn, reply, publish.subject, out);
        }
        if !self.spent.is_empty() || !self.doomed.is_empty() {
            self.clean_up(out);
        }
        if routed.congested {
            self.stats.stalls += 1;
            return Flow::Stall;
        }
        self.flow_of(conn)
    }

    /// Delivers to every plain subscription and one member of each queue
    /// group that matches; returns how many that were.
    fn route<O: Outbox>(
        &mut self,
        publish: &Publish<'_>,
        owner: Option<&Bytes>,
        muted: Option<ConnId>,
        out: &mut O,
    ) -> Routed {
        let header_len = publish.header.map_or(0, |header| header.len);
        let outgoing = Outgoing {
            publish,
            payload: Payload::new(publish.payload, owner),
            header_len,
            body_size: publish
                .header
                .map(|header| Decimal::new(publish.payload.len() - header.len)),
            muted,
        };
        let Engine {
            account,
            sessions,
            config,
            rng,
            spent,
            doomed,
            queue_names,
            ..
        } = self;
        let mut matched = account.find(publish.subject);
        let mut sender = Sender {
            sessions,
            spent,
            doomed,
            max_pending: config.limits.max_pending,
            stall_pending: config.limits.stall_pending(),
            routed: Routed::default(),
            out_bytes: 0,
        };
        let mut any_queue = false;
        for node in 0..matched.nodes.len() {
            for at in 0..matched.plain(node).len() {
                let id = matched.plain(node)[at];
                sender.send(&mut matched, id, &outgoing, out);
            }
            any_queue |= !matched.queues(node).is_empty();
        }
        if any_queue {
            queue_names.clear();
            for node in 0..matched.nodes.len() {
                for group in matched.queues(node) {
                    if !queue_names.contains(&group.name) {
                        queue_names.push(group.name.clone());
                    }
                }
            }
            for name in queue_names.drain(..) {
                let members = member_count(&matched, &name);
                let first = rng.below(members);
                // The next one steps in when the chosen one cannot take it.
                for turn in 0..members {
                    let id = member(&matched, &name, (first + turn) % members);
                    if sender.send(&mut matched, id, &outgoing, out) {
                        break;
                    }
                }
            }
        }
        let (routed, out_bytes) = (sender.routed, sender.out_bytes);
        self.stats.out_msgs += routed.receivers;
        self.stats.out_bytes += out_bytes;
        self.max_fanout = self.max_fanout.max(routed.receivers);
        routed
    }

    /// Publishes on behalf of a person or of the server itself.
    pub(crate) fn publish_text<O: Outbox>(
        &mut self,
        conn: ConnId,
        subject: &[u8],
        reply: Option<&[u8]>,
        text: &[u8],
        out: &mut O,
    ) -> u64 {
        let size = Decimal::new(text.len());
        let publish = Publish {
            subject,
            reply,
            header: None,
            payload: text,
            size_digits: size.as_bytes(),
        };
        if let Some(session) = self.sessions.get_mut(conn) {
            session.traffic.in_msgs += 1;
            session.traffic.in_bytes += text.len() as u64;
        }
        self.stats.in_msgs += 1;
        self.stats.in_bytes += text.len() as u64;
        let routed = self.route(&publish, None, None, out);
        self.clean_up(out);
        routed.receivers
    }

    /// Tells a requester that nobody listens, on the subscription it made for
    /// the reply. Without such a subscription nobody is told.
    fn tell_no_responders<O: Outbox>(
        &mut self,
        conn: ConnId,
        reply: &[u8],
        subject: &[u8],
        out: &mut O,
    ) {
        let matched = self.account.find(reply);
        let own = (0..matched.nodes.len())
            .flat_map(|node| matched.plain(node))
            .find(|id| matched.subs[id.index()].conn == conn.index);
        let Some(own) = own else {
            return;
        };
        let sid = &matched.subs[own.index()].sid;
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

fn member_count(matched: &Matched<'_>, name: &[u8]) -> usize {
    (0..matched.nodes.len())
        .flat_map(|node| matched.queues(node))
        .filter(|group| *group.name == *name)
        .map(|group| group.members.len())
        .sum()
}

/// The nth member of a group, whose members may be spread over several
/// filters. `n` is below [`member_count`].
fn member(matched: &Matched<'_>, name: &[u8], n: usize) -> SubId {
    let mut rest = n;
    for group in (0..matched.nodes.len()).flat_map(|node| matched.queues(node)) {
        if *group.name == *name {
            if let Some(id) = group.members.get(rest) {
                return *id;
            }
            rest -= group.members.len();
        }
    }
    unreachable!("the member's number is below their count")
}

/// Delivers one message, keeping the books.
struct Sender<'a> {
    sessions: &'a mut crate::engine::Sessions,
    spent: &'a mut Vec<SubId>,
    doomed: &'a mut Vec<(ConnId, CloseReason)>,
    max_pending: usize,
    stall_pending: usize,
    routed: Routed,
    out_bytes: u64,
}

impl Sender<'_> {
    /// Delivers to one subscription; false if it cannot take the message.
    #[inline]
    fn send<O: Outbox>(
        &mut self,
        matched: &mut Matched<'_>,
        id: SubId,
        outgoing: &Outgoing<'_>,
        out: &mut O,
    ) -> bool {
        let sub = &mut matched.subs[id.index()];
        let Some(session) = self.sessions.at(sub.conn) else {
            return false;
        };
        if session.closing || outgoing.muted == Some(session.conn) {
            return false;
        }
        if sub.max != 0 {
            if sub.delivered >= sub.max {
                return false;
            }
            if sub.delivered + 1 == sub.max {
                self.spent.push(id);
            }
        }
        sub.delivered += 1;
        let (sent, pending) = deliver(session, &sub.sid, outgoing, out);
        self.routed.receivers += 1;
        self.out_bytes += sent as u64;
        if pending > self.stall_pending {
            self.routed.congested = true;
            if pending > self.max_pending {
                session.closing = true;
                self.doomed
                    .push((session.conn, CloseReason::SlowConsumerPendingBytes));
            }
        }
        true
    }
}

/// Writes the message in the form this client takes. Returns the payload
/// bytes sent and the bytes now waiting.
#[inline]
fn deliver<O: Outbox>(
    session: &mut Session,
    sid: &[u8],
    outgoing: &Outgoing<'_>,
    out: &mut O,
) -> (usize, usize) {
    let publish = outgoing.publish;
    let mut line = MessageLine {
        subject: publish.subject,
        sid,
        reply: publish.reply,
        header_digits: None,
        size_digits: publish.size_digits,
    };
    let mut skip = 0;
    if let (Some(header), Some(body_size)) = (&publish.header, &outgoing.body_size) {
        // A header block of no bytes is no header.
        if session.options.headers && header.len > 0 {
            line.header_digits = Some(header.digits);
        } else {
            skip = outgoing.header_len;
            line.size_digits = body_size.as_bytes();
        }
    }
    let sent = publish.payload.len() - skip;
    session.traffic.out_msgs += 1;
    session.traffic.out_bytes += sent as u64;
    let delivery = Delivery {
        line,
        payload: &outgoing.payload,
        skip,
    };
    (sent, out.deliver(session.conn, &delivery))
}
