//! Messages that go from one account to another.
//!
//! An import is a subscription in the account where messages come from, so
//! that messages which nobody imports cost nothing more. A stream import takes
//! what is published in the exporter's account into the importer's, and no
//! further; a service import takes requests the other way, and opens a way
//! back for the answers.

use crate::Time;
use crate::account::{Matched, Sink};
use crate::engine::Engine;
use crate::ids::AccountId;
use crate::mapping::Mapping;
use crate::outbox::Outbox;
use crate::publish::{Origin, Routed};
use crate::ways_back::{self, PREFIX, ReplyTo};
use midge_proto::encode::Decimal;
use midge_proto::headers::{HeaderBlock, HeaderWriter};
use midge_proto::{HeaderSize, JsonWriter, Publish};

/// Accounts that one message may go through. A chain of services is hardly
/// longer than two; cycles are refused with the configuration.
pub(crate) const CROSSINGS_MAX: u8 = 8;

/// Tells a service which account a request comes from.
const REQUEST_INFO: &[u8] = b"Nats-Request-Info";

/// Replies that are understood in every account: acks. Who is to send them
/// imports them.
const ACKS: &[u8] = b"$JS.ACK.";

/// What the stream API's subjects begin with; the domain comes behind it.
const API_ROOT: &[u8] = b"$JS.";

/// What an account takes from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// What it is.
    pub kind: ImportKind,
    /// Who takes it.
    pub importer: AccountId,
    /// Who offers it.
    pub exporter: AccountId,
    /// The subjects that are met, in the account that messages come from.
    pub filter: Box<[u8]>,
    /// What they become in the other.
    pub mapping: Mapping,
    /// Whether traces show what becomes of messages in the account they go to.
    pub allows_trace: bool,
}

/// What can be taken from another account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// Messages of the exporter, for the importer to see.
    Stream,
    /// A service of the exporter, for the importer to ask.
    Service(Answers),
}

/// How many answers a service gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One.
    One,
    /// Any number, of which the last is empty.
    Several,
}

impl Import {
    /// The account that its messages come from.
    fn from(&self) -> AccountId {
        match self.kind {
            ImportKind::Stream => self.exporter,
            ImportKind::Service(_) => self.importer,
        }
    }

    /// The account that its messages go to.
    fn to(&self) -> AccountId {
        match self.kind {
            ImportKind::Stream => self.importer,
            ImportKind::Service(_) => self.exporter,
        }
    }
}

/// A message on its way from one account to another.
pub(crate) struct Crossing<'a> {
    pub(crate) origin: Origin,
    /// The subject that it has met.
    pub(crate) address: &'a [u8],
    pub(crate) publish: &'a Publish<'a>,
    /// How often it may still cross.
    pub(crate) left: u8,
}

/// Where a message goes on.
pub(crate) struct Beyond {
    pub(crate) account: AccountId,
    pub(crate) address: Vec<u8>,
    /// The way back for its reply: a new one.
    answers: Option<Answers>,
    /// It is a request, whose account is told.
    is_request: bool,
    left: u8,
}

impl Engine {
    /// Makes all imports lead somewhere, in place of those there were.
    pub(crate) fn listen_for_imports(&mut self) {
        for (account, sub) in std::mem::take(&mut self.import_subscriptions) {
            self.unlisten(account, sub);
        }
        let imports = self.config.accounts.imports.clone();
        for (place, import) in (0..).zip(&imports) {
            let account = import.from();
            let sub = self.listen(account, Sink::Import(place), &import.filter);
            self.import_subscriptions.push((account, sub));
        }
        let is_of_service = |import: &&Import| matches!(import.kind, ImportKind::Service(_));
        let services = imports.iter().filter(is_of_service);
        let mut accounts: Vec<AccountId> = Vec::new();
        for account in services.flat_map(|import| [import.importer, import.exporter]) {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        for account in accounts {
            let sub = self.listen(account, Sink::WayBack, ways_back::FILTER);
            self.import_subscriptions.push((account, sub));
        }
        self.interest_changed();
    }

    /// Gives a published message to what it has met beside sessions: other
    /// accounts, parts of the server.
    pub(crate) fn reach<O: Outbox>(
        &mut self,
        now: Time,
        origin: Origin,
        publish: &Publish<'_>,
        routed: &mut Routed,
        out: &mut O,
    ) {
        if self.hits.contains(&Sink::System) {
            routed.receivers += self.take_questions(origin, publish);
        }
        if !self.hits.iter().any(|sink| sink.crosses()) {
            return self.feed(now, origin, publish, routed, out);
        }
        let mut hits = std::mem::take(&mut self.hits);
        let is_of_domain = hits.contains(&Sink::Domain);
        for sink in hits.extract_if(.., |sink| sink.crosses()) {
            if is_of_domain && is_import(sink) {
                continue;
            }
            let crossing = Crossing {
                origin,
                address: publish.subject,
                publish,
                left: CROSSINGS_MAX,
            };
            routed.add(self.cross(sink, &crossing, out));
        }
        self.hits = hits;
        // Whoever stores by way of another account waits for the disk, too.
        routed.held |= self.is_congested();
        // What it has met beyond is fed as well.
        self.feed(now, origin, publish, routed, out);
    }

    /// Gives a message of the server's own that was sent to `address` to what
    /// it has met beside sessions.
    pub(crate) fn reach_own<O: Outbox>(
        &mut self,
        origin: Origin,
        address: &[u8],
        publish: &Publish<'_>,
        out: &mut O,
    ) -> Routed {
        let crossing = Crossing {
            origin,
            address,
            publish,
            left: CROSSINGS_MAX,
        };
        self.meet(&crossing, publish, out)
    }

    /// Takes a message on to where it goes from all that it has met.
    fn meet<O: Outbox>(
        &mut self,
        crossing: &Crossing<'_>,
        bare: &Publish<'_>,
        out: &mut O,
    ) -> Routed {
        let mut routed = Routed::default();
        let mut hits = std::mem::take(&mut self.hits);
        let is_of_domain = hits.contains(&Sink::Domain);
        for sink in &hits {
            if is_of_domain && is_import(*sink) {
                continue;
            }
            if sink.crosses() {
                routed.add(self.cross(*sink, crossing, out));
            } else if self.trace.is_none()
                || self.passes_part(*sink, crossing.origin.account, crossing.address)
            {
                routed.receivers += u64::from(self.keep_internal(*sink, crossing.origin, bare));
            }
        }
        hits.clear();
        self.hits = hits;
        routed
    }

    /// Takes a message into another account.
    pub(crate) fn cross<O: Outbox>(
        &mut self,
        sink: Sink,
        crossing: &Crossing<'_>,
        out: &mut O,
    ) -> Routed {
        let Some(beyond) = self.beyond(sink, crossing) else {
            return Routed::default();
        };
        let was_hidden = self.trace_crossing(sink, crossing, &beyond);
        let publish = crossing.publish;
        // Where it was sent elsewhere than it says, it says the same there.
        let subject = match publish.subject == crossing.address {
            true => &beyond.address[..],
            false => publish.subject,
        };
        let reply = self.reply_beyond(crossing, &beyond);
        let bare = Publish {
            subject,
            reply: reply.as_deref().or(publish.reply),
            tail: None,
            ..*publish
        };
        let origin = Origin {
            account: beyond.account,
            conn: crossing.origin.conn,
        };
        let told = self.tell_of_requester(crossing, &beyond);
        let (header_digits, size_digits);
        let mut shown = bare;
        if let Some((payload, header_len)) = &told {
            header_digits = Decimal::new(*header_len);
            size_digits = Decimal::new(payload.len());
            shown.header = Some(HeaderSize {
                len: *header_len,
                digits: header_digits.as_bytes(),
            });
            shown.payload = payload;
            shown.size_digits = size_digits.as_bytes();
        }
        let mut routed = self.route(beyond.account, &beyond.address, &shown, None, None, out);
        self.tell_receivers(beyond.account);
        let next = Crossing {
            origin,
            address: &beyond.address,
            publish: &shown,
            left: beyond.left,
        };
        // Parts of the server have no use for what is told of the requester.
        routed.add(self.meet(&next, &bare, out));
        self.end_crossing(was_hidden);
        routed
    }

    /// Where a message goes from here; an answer takes its way with it.
    fn beyond(&mut self, sink: Sink, crossing: &Crossing<'_>) -> Option<Beyond> {
        let left = crossing.left.checked_sub(1)?;
        match sink {
            Sink::Import(place) => {
                let import = self.config.accounts.imports.get(place as usize)?;
                let (answers, left) = match import.kind {
                    ImportKind::Stream => (None, 0),
                    ImportKind::Service(answers) => (Some(answers), left),
                };
                Some(Beyond {
                    account: import.to(),
                    address: import.mapping.apply(crossing.address),
                    answers,
                    is_request: answers.is_some(),
                    left,
                })
            }
            Sink::Domain => Some(Beyond {
                account: crossing.origin.account,
                address: beyond_domain(crossing.address)?,
                answers: None,
                is_request: false,
                left,
            }),
            Sink::WayBack => {
                let is_empty = crossing.publish.payload.is_empty();
                let from = (crossing.origin.account, crossing.address);
                let ways = &mut self.ways_back;
                let to = ways.take(from, is_empty, self.latest)?;
                Some(Beyond {
                    account: to.account,
                    address: to.subject.into_vec(),
                    answers: Some(Answers::One),
                    is_request: false,
                    left,
                })
            }
            _ => None,
        }
    }

    /// A reply subject that leads back to the one a message has, if it is to
    /// have one.
    fn reply_beyond(&mut self, crossing: &Crossing<'_>, beyond: &Beyond) -> Option<Vec<u8>> {
        let (reply, answers) = (crossing.publish.reply?, beyond.answers?);
        if reply.starts_with(ACKS) {
            return None;
        }
        let mut subject = PREFIX.to_vec();
        subject.extend_from_slice(self.words.next().as_bytes());
        let to = ReplyTo::new(crossing.origin.account, reply);
        let from = (beyond.account, &subject[..]);
        self.ways_back.open(from, to, answers, self.latest);
        Some(subject)
    }

    /// The payload of a request with a header that tells who asks, and the
    /// length of its header block.
    fn tell_of_requester(
        &self,
        crossing: &Crossing<'_>,
        beyond: &Beyond,
    ) -> Option<(Vec<u8>, usize)> {
        let publish = crossing.publish;
        let header_len = publish.header.map_or(0, |header| header.len);
        let (header, body) = publish.payload.split_at_checked(header_len)?;
        // It says already where it has come from at first.
        let is_told = HeaderBlock::new(header).get(REQUEST_INFO).is_some();
        if !beyond.is_request || (is_told && crossing.left < CROSSINGS_MAX) {
            return None;
        }
        let conn = crossing.origin.conn;
        let session = conn.and_then(|conn| self.sessions.get(conn));
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("acc", &self.accounts[crossing.origin.account].name);
        if let Some(rtt) = session.and_then(|session| session.rtt) {
            json.uint_field("rtt", rtt.as_nanos() as u64);
        }
        json.close_object();
        let mut payload = Vec::with_capacity(publish.payload.len() + 128);
        let mut writer = HeaderWriter::new(&mut payload);
        for (name, value) in HeaderBlock::new(header) {
            // What the client says of itself does not count.
            if name != REQUEST_INFO {
                writer = writer.header(name, value);
            }
        }
        writer.header(REQUEST_INFO, &json.into_bytes()).finish();
        let header_len = payload.len();
        payload.extend_from_slice(body);
        Some((payload, header_len))
    }

    /// Whether anybody would get a message on this subject.
    pub(crate) fn is_heard(&mut self, account: AccountId, subject: &[u8]) -> bool {
        if self.config.accounts.imports.is_empty() {
            return self.accounts[account].is_heard(subject);
        }
        self.is_heard_beyond(account, subject, None, CROSSINGS_MAX)
    }

    /// Whether a queue group listens on a subject, or anybody outside of
    /// groups if none is named.
    pub(crate) fn has_interest(
        &mut self,
        account: AccountId,
        subject: &[u8],
        group: Option<&[u8]>,
    ) -> bool {
        let is_here = self.accounts[account].has_interest(subject, group);
        if self.config.accounts.imports.is_empty() || (is_here && group.is_some()) {
            return is_here;
        }
        self.is_heard_beyond(account, subject, Some(group), CROSSINGS_MAX)
    }

    /// Whether anybody listens to a subject, or a group of which a part may be
    /// in other accounts.
    fn is_heard_beyond(
        &mut self,
        account: AccountId,
        subject: &[u8],
        group: Option<Option<&[u8]>>,
        left: u8,
    ) -> bool {
        let Matched { nodes, trie, subs } = self.accounts[account].find(subject);
        let mut crossings = Vec::new();
        for node in nodes {
            for id in trie.plain(*node) {
                let sink = subs[id.index()].sink;
                if sink.crosses() {
                    crossings.push(sink);
                } else if !matches!(group, Some(Some(_))) {
                    return true;
                }
            }
            let is_meant = |name: &[u8]| match group {
                None => true,
                Some(None) => false,
                Some(Some(group)) => name == group,
            };
            if trie.queues(*node).iter().any(|queue| is_meant(&queue.name)) {
                return true;
            }
        }
        let Some(left) = left.checked_sub(1) else {
            return false;
        };
        crossings.into_iter().any(|sink| {
            let (account, subject, left) = match sink {
                Sink::Import(place) => {
                    let import = &self.config.accounts.imports[place as usize];
                    let is_stream = import.kind == ImportKind::Stream;
                    let left = if is_stream { 0 } else { left };
                    (import.to(), import.mapping.apply(subject), left)
                }
                Sink::Domain => match beyond_domain(subject) {
                    Some(address) => (account, address, left),
                    None => return false,
                },
                _ => match self.ways_back.get((account, subject), self.latest) {
                    Some(to) => (to.account, to.subject.to_vec(), left),
                    None => return false,
                },
            };
            self.is_heard_beyond(account, &subject, group, left)
        })
    }
}

/// What the domain's name stands before is the account's own API, whatever is
/// imported by the same name.
fn is_import(sink: Sink) -> bool {
    matches!(sink, Sink::Import(_))
}

/// The subject that a message means which was sent to `$JS.<domain>.API.…`: one of
/// the API's, or of what is kept by means of it.
fn beyond_domain(subject: &[u8]) -> Option<Vec<u8>> {
    let (root, rest) = subject.split_at_checked(API_ROOT.len())?;
    let dot = rest.iter().position(|byte| *byte == b'.')?;
    let api = &rest[dot + 1..];
    match api.strip_prefix(b"API.") {
        Some(kept) if kept.starts_with(b"$") => Some(kept.to_vec()),
        _ => Some([root, api].concat()),
    }
}
