//! Priority groups: who of several pullers is served.
//!
//! With `overflow` a request may ask to be served only while much is waiting.
//! With `pinned_client` one puller at a time is served: the first whose turn
//! it is gets a pin, which it shows in its next requests, until it is not
//! heard of for a while or somebody unpins it. With `prioritized` the order of
//! the requests says it all. As in nats-server all groups of a consumer share
//! one pin, which does not outlive the server.

use super::consumer::{Consumer, duration};
use super::effects::{Effects, Note, Status};
use super::request::{Answered, Outcome, Request};
use super::rewritten::Rewritten;
use super::streams::Streams;
use crate::Time;
use crate::engine::Engine;
use crate::feed::Outgoing;
use crate::outbox::Outbox;
use crate::publish::Routed;
use midge_api::responses::{self, ResponseKind};
use midge_api::{
    ApiError, ConsumerConfig, NextRequest, PriorityGroupInfo, PriorityPolicy, Timestamp,
    UnpinRequest,
};
use midge_proto::headers::{HeaderWriter, name};

/// Length of a pin.
const PIN_LEN: usize = 22;

/// What a pin adds to a message at most.
const PIN_HEADER_LEN: usize = 64;

/// Where a request that says nothing of priorities stands: behind all others.
const LAST_RANK: u8 = u8::MAX;

/// What a request says about its place among others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    group: Box<str>,
    /// The pin that it shows, or was given.
    pin: Box<str>,
    min_pending: i64,
    min_ack_pending: i64,
}

/// The puller that is served.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) id: Box<str>,
    pub(crate) group: Box<str>,
    pub(crate) since: Timestamp,
    /// When it counts as gone.
    due: Time,
}

/// What becomes of a request at its turn.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Served,
    /// Others go first; it waits on.
    Passed,
    /// It shows a pin that is none any more.
    WrongPin,
}

/// Why a request is refused: number and text of the status.
pub(super) type Refusal = (u16, &'static str);

/// The place of a request, or why it has none.
pub(super) fn claim(
    config: &ConsumerConfig,
    pin: Option<&Pin>,
    request: &mut NextRequest,
) -> Result<Option<Box<Claim>>, Refusal> {
    let policy = config.priority_policy;
    let asks_overflow = request.min_pending != 0 || request.min_ack_pending != 0;
    if asks_overflow && policy != PriorityPolicy::Overflow {
        return Err((400, "Bad Request - Not a Overflow Priority consumer"));
    }
    if !request.id.is_empty() && policy != PriorityPolicy::PinnedClient {
        return Err((400, "Bad Request - Not a Pinned Client Priority consumer"));
    }
    if !(0..=9).contains(&request.priority) {
        return Err((400, "Bad Request - Priority must be between 0 and 9"));
    }
    if request.is_plain || policy == PriorityPolicy::None {
        return Ok(None);
    }
    if request.group.is_empty() {
        return Err((400, "Bad Request - Priority Group missing"));
    }
    if !config.priority_groups.contains(&request.group) {
        return Err((400, "Bad Request - Invalid Priority Group"));
    }
    if !request.id.is_empty() && pin.is_some_and(|pin| *pin.id != *request.id) {
        return Err((423, "Nats-Pin-Id mismatch"));
    }
    Ok(Some(Box::new(Claim {
        group: std::mem::take(&mut request.group).into(),
        pin: std::mem::take(&mut request.id).into(),
        min_pending: request.min_pending,
        min_ack_pending: request.min_ack_pending,
    })))
}

/// Where a request stands in the queue: lower first.
pub(super) fn rank(policy: PriorityPolicy, request: &NextRequest) -> u8 {
    match policy {
        PriorityPolicy::Prioritized if request.is_plain => LAST_RANK,
        PriorityPolicy::Prioritized => u8::try_from(request.priority).unwrap_or(LAST_RANK),
        _ => 0,
    }
}

/// What becomes of a request while a consumer has so many messages waiting
/// and so many unacknowledged.
fn judge(
    policy: PriorityPolicy,
    pin: Option<&Pin>,
    claim: Option<&Claim>,
    pending: u64,
    unacked: u64,
) -> Verdict {
    if policy == PriorityPolicy::PinnedClient {
        return match (pin, claim) {
            (None, None) => Verdict::Served,
            (Some(_), None) => Verdict::Passed,
            (None, Some(claim)) if claim.pin.is_empty() => Verdict::Served,
            (Some(_), Some(claim)) if claim.pin.is_empty() => Verdict::Passed,
            (Some(pin), Some(claim)) if pin.id == claim.pin => Verdict::Served,
            (_, Some(_)) => Verdict::WrongPin,
        };
    }
    let Some(claim) = claim.filter(|_| policy == PriorityPolicy::Overflow) else {
        return Verdict::Served;
    };
    let bounds = [
        (claim.min_pending, pending),
        (claim.min_ack_pending, unacked),
    ];
    let mut asked = bounds.into_iter().filter(|(min, _)| *min > 0).peekable();
    let is_free = asked.peek().is_none();
    if is_free || asked.any(|(min, have)| min.unsigned_abs() <= have) {
        Verdict::Served
    } else {
        Verdict::Passed
    }
}

impl Streams {
    /// Lets go of the puller of a group that is pinned, for somebody who asks.
    pub(super) fn unpin_consumer<O: Outbox>(
        &mut self,
        engine: &mut Engine,
        stream: &str,
        consumer: &str,
        request: &Request,
        out: &mut O,
    ) -> Outcome {
        let asked = UnpinRequest::from_json(request.body())?;
        let (stream_id, id) = self.named(request.from.account, stream, consumer)?;
        let group = asked.group.as_str();
        let consumer = self.consumer_mut(stream_id, id);
        let has_group = |consumer: &&mut Consumer| {
            consumer
                .config
                .priority_groups
                .iter()
                .any(|one| one == group)
        };
        let Some(consumer) = consumer.filter(has_group) else {
            return Err(ApiError::CONSUMER_INVALID_PRIORITY_GROUP.into());
        };
        consumer.pin = None;
        let note = Note::Unpinned {
            group: group.into(),
            reason: "admin",
        };
        self.advise(engine, stream_id, id, &note, out);
        self.make_ready(stream_id, id);
        Ok(Answered::Now(responses::success(
            ResponseKind::ConsumerUnpin,
        )))
    }
}

impl Consumer {
    /// Brings the request to the front that the next message is for, which is
    /// a delivery of this number. False if all who wait leave it to others.
    pub(super) fn bring_forward(
        &mut self,
        deliveries: u32,
        now: Time,
        effects: &mut Effects,
    ) -> bool {
        let policy = self.config.priority_policy;
        if policy == PriorityPolicy::None || policy == PriorityPolicy::Prioritized {
            return true;
        }
        let pending = self.pending + u64::from(deliveries > 1);
        let unacked = self.cursor.unacked.len() as u64;
        let mut passed = 0;
        while let Some(pull) = self.pulls.front_mut() {
            let claim = pull.claim.as_deref();
            match judge(policy, self.pin.as_deref(), claim, pending, unacked) {
                Verdict::Served => return true,
                // Whose time is up is told so, whatever else.
                _ if pull.is_expired(now) => return true,
                Verdict::Passed => {
                    self.pulls.cycle();
                    passed += 1;
                    if passed >= self.pulls.len() {
                        return false;
                    }
                }
                Verdict::WrongPin => {
                    if let Some(pull) = self.pulls.pop() {
                        let (wanted, bytes_left) = (pull.wanted, pull.bytes_left);
                        let status = Status::WrongPin { wanted, bytes_left };
                        effects.statuses.push((pull.reply, status));
                    }
                }
            }
        }
        true
    }

    /// Pins the puller whose request is in front, if it has asked to be in a
    /// group and nobody is pinned. True if it is pinned by this.
    fn pin_front(&mut self, id: String, (now, wall): (Time, Timestamp)) -> bool {
        let claim = self.pulls.front_mut().and_then(|pull| pull.claim.as_mut());
        let Some(claim) = claim.filter(|_| self.pin.is_none()) else {
            return false;
        };
        claim.pin = id.into();
        self.pin = Some(Box::new(Pin {
            id: claim.pin.clone(),
            group: claim.group.clone(),
            since: wall,
            due: now + duration(self.config.priority_timeout),
        }));
        true
    }

    /// What is told of its first group, which stands for all.
    pub(super) fn priority_group(&self) -> Option<PriorityGroupInfo<'_>> {
        let pin = self.pin.as_ref();
        let group = self.config.priority_groups.first()?;
        Some(PriorityGroupInfo {
            group,
            pinned_client_id: pin.map_or("", |pin| &*pin.id),
            pinned_ts: pin.map_or(Timestamp::UNSET, |pin| pin.since),
        })
    }

    /// The pinned puller has sent a request.
    pub(super) fn heard_of(&mut self, claim: Option<&Claim>, now: Time) {
        if let (Some(pin), Some(claim)) = (&mut self.pin, claim)
            && pin.id == claim.pin
        {
            pin.due = now + duration(self.config.priority_timeout);
        }
    }

    /// When the pinned puller counts as gone.
    pub(super) fn pin_due(&self) -> Option<Time> {
        self.pin.as_ref().map(|pin| pin.due)
    }

    /// Lets go of a pinned puller that was not heard of for too long.
    pub(super) fn expire_pin(&mut self, now: Time, effects: &mut Effects) {
        if let Some(pin) = self.pin.take_if(|pin| pin.due <= now) {
            effects.notes.push(Note::Unpinned {
                group: pin.group,
                reason: "timeout",
            });
        }
    }
}

/// Sends a message to the request in front, with the pin that this has to
/// show from now on. Who is the first to get one is pinned by that.
pub(super) fn send_pinned<O: Outbox>(
    engine: &mut Engine,
    consumer: &mut Consumer,
    message: &Outgoing<'_>,
    times: (Time, Timestamp),
    effects: &mut Effects,
    out: &mut O,
) -> Routed {
    let is_new = consumer.pin.is_none() && consumer.pin_front(engine.rng.name(PIN_LEN), times);
    let pin = consumer.pin.as_deref();
    // Who is in no group is served without one while nobody is pinned.
    let id = pin.map_or("", |pin| &*pin.id);
    let (header, body) = message.payload.split_at(message.header_len);
    let mut changed = Vec::with_capacity(message.payload.len() + PIN_HEADER_LEN);
    HeaderWriter::from_block(&mut changed, header)
        .header(name::PIN_ID, id.as_bytes())
        .finish();
    let changed = Rewritten::of(changed, body);
    let message = Outgoing {
        payload: &changed.payload,
        header_len: changed.header_len,
        ..*message
    };
    let Some(pull) = consumer.pulls.front_mut() else {
        return Routed::default();
    };
    let routed = engine.send_out(&pull.reply, &message, out);
    if let Some(pin) = consumer.pin.as_deref().filter(|_| is_new) {
        let (group, id) = (pin.group.clone(), pin.id.clone());
        if routed.receivers > 0 {
            effects.notes.push(Note::Pinned { group, id });
        } else {
            consumer.pin = None;
        }
    }
    routed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(id: &str) -> Pin {
        Pin {
            id: id.into(),
            group: "g".into(),
            since: Timestamp(0),
            due: Time::default(),
        }
    }

    fn holding(pin: &str) -> Claim {
        Claim {
            pin: pin.into(),
            ..Claim::default()
        }
    }

    #[test]
    fn one_puller_is_served_once_it_is_pinned() {
        let judge = |pin: Option<&Pin>, claim: Option<&Claim>| {
            judge(PriorityPolicy::PinnedClient, pin, claim, 0, 0)
        };
        let (pin, ours, other, new) = (pin("p"), holding("p"), holding("q"), holding(""));
        assert_eq!(judge(None, None), Verdict::Served);
        assert_eq!(judge(None, Some(&new)), Verdict::Served);
        assert_eq!(judge(None, Some(&ours)), Verdict::WrongPin);
        assert_eq!(judge(Some(&pin), None), Verdict::Passed);
        assert_eq!(judge(Some(&pin), Some(&new)), Verdict::Passed);
        assert_eq!(judge(Some(&pin), Some(&ours)), Verdict::Served);
        assert_eq!(judge(Some(&pin), Some(&other)), Verdict::WrongPin);
    }

    #[test]
    fn an_overflow_is_served_when_either_bound_is_reached() {
        let judged = |min_pending, min_ack_pending, pending, unacked| {
            let claim = Claim {
                min_pending,
                min_ack_pending,
                ..Claim::default()
            };
            judge(
                PriorityPolicy::Overflow,
                None,
                Some(&claim),
                pending,
                unacked,
            ) == Verdict::Served
        };
        assert!(judged(0, 0, 1, 0));
        assert!(judged(-1, -1, 1, 0));
        for (pending, unacked, is_served) in [(9, 4, false), (10, 4, true), (9, 5, true)] {
            assert_eq!(judged(10, 5, pending, unacked), is_served);
        }
        assert!(!judged(10, 0, 9, 100));
        assert!(!judged(0, 5, 100, 4));
    }

    #[test]
    fn a_request_has_to_fit_its_consumer() {
        let config = |priority_policy| ConsumerConfig {
            priority_groups: vec!["g".to_owned(), "h".to_owned()],
            priority_policy,
            ..ConsumerConfig::default()
        };
        let code = |policy, pin: Option<&Pin>, body: &str| {
            let mut request = NextRequest::parse(body.as_bytes()).expect("a request");
            match claim(&config(policy), pin, &mut request) {
                Ok(claim) => claim.map_or((200, "plain"), |_| (200, "claim")),
                Err(refusal) => refusal,
            }
        };
        use PriorityPolicy::{None as Nobody, Overflow, PinnedClient, Prioritized};
        let (ok, plain) = ((200, "claim"), (200, "plain"));
        let pin = pin("p");
        for (policy, body, want) in [
            (Nobody, "{\"group\":\"x\",\"priority\":9}", plain),
            (Overflow, "5", plain),
            (Overflow, "{\"group\":\"h\",\"min_pending\":1}", ok),
            (Prioritized, "{\"group\":\"g\",\"priority\":9}", ok),
            (PinnedClient, "{\"group\":\"g\",\"id\":\"p\"}", ok),
            (
                PinnedClient,
                "{\"group\":\"g\",\"id\":\"q\"}",
                (423, "Nats-Pin-Id mismatch"),
            ),
            (
                Overflow,
                "{}",
                (400, "Bad Request - Priority Group missing"),
            ),
            (
                Overflow,
                "{\"group\":\"x\"}",
                (400, "Bad Request - Invalid Priority Group"),
            ),
            (
                Nobody,
                "{\"priority\":10}",
                (400, "Bad Request - Priority must be between 0 and 9"),
            ),
            (
                Prioritized,
                "{\"id\":\"p\",\"min_ack_pending\":-1}",
                (400, "Bad Request - Not a Overflow Priority consumer"),
            ),
            (
                Prioritized,
                "{\"id\":\"p\"}",
                (400, "Bad Request - Not a Pinned Client Priority consumer"),
            ),
        ] {
            assert_eq!(code(policy, Some(&pin), body), want, "{body}");
        }
    }

    #[test]
    fn a_request_of_no_group_stands_behind_the_others() {
        let rank = |body: &str| {
            let request = NextRequest::parse(body.as_bytes()).expect("a request");
            rank(PriorityPolicy::Prioritized, &request)
        };
        assert!(rank("{\"group\":\"g\"}") < rank("{\"group\":\"g\",\"priority\":9}"));
        assert!(rank("{\"group\":\"g\",\"priority\":9}") < rank("1"));
    }
}
