//! Which consumer configurations make sense, and what an empty field means.
//!
//! Texts are those of nats-server. Rules that need to know the stream's other
//! consumers, and whether a push consumer is in use, are for the engine.

use super::consumer_config::{
    AckPolicy, ConsumerConfig, CreateConsumerRequest, DeliverPolicy, PriorityPolicy,
};
use super::error::ApiError;
use super::metadata;
use super::name::{check_consumer_name, check_group_name};
use super::options::ConsumerOptions;
use super::stream_check::{MAX_DESCRIPTION, MAX_METADATA, check_listed};
use super::stream_config::{Retention, StreamConfig};
use midge_proto::Nanos;
use midge_proto::{has_blank, is_subset, is_valid_filter, subjects_collide, tokens};

const ACK_WAIT: Nanos = Nanos::from_secs(30);
const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
const PINNED_TIMEOUT: Nanos = Nanos::from_secs(120);
const EPHEMERAL_THRESHOLD: Nanos = Nanos::from_secs(5);
const SHORTEST_HEARTBEAT: Nanos = Nanos::from_millis(100);
/// With flow control as acknowledgement it is always this.
const FLOW_ACKS_HEARTBEAT: Nanos = Nanos::from_secs(1);
const SHORTEST_EXPIRES: Nanos = Nanos::from_millis(1);

/// Under which subject a consumer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateForm<'a> {
    /// `CONSUMER.CREATE.<stream>`
    Unnamed,
    /// `CONSUMER.CREATE.<stream>.<name>[.<filter>]`
    Named {
        /// The consumer's name.
        name: &'a str,
        /// The filter, which has to be that of the request.
        filter: Option<&'a str>,
    },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<name>`
    Durable {
        /// The consumer's name.
        name: &'a str,
    },
}

impl CreateConsumerRequest {
    /// Checks the request against the subject it came on, and settles the
    /// name. An unnamed ephemeral consumer keeps its empty name; the engine
    /// has to find one.
    ///
    /// # Errors
    /// What nats-server answers when the two do not go together.
    pub fn settle(&mut self, stream: &str, form: CreateForm<'_>) -> Result<(), ApiError> {
        if self.stream_name != stream {
            return Err(ApiError::STREAM_MISMATCH);
        }
        let config = &mut self.config;
        match form {
            CreateForm::Unnamed => {
                if config.is_durable() {
                    return Err(ApiError::CONSUMER_EPHEMERAL_WITH_DURABLE_NAME);
                }
            }
            CreateForm::Named { name, filter } => {
                check_consumer_name(name)?;
                if config.is_durable() && config.durable_name != name {
                    return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
                }
                name.clone_into(&mut config.name);
                if let Some(filter) = filter {
                    if !config.filter_subjects.is_empty() {
                        return Err(ApiError::CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED);
                    }
                    if config.filter_subject != filter {
                        return Err(ApiError::CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH);
                    }
                }
            }
            CreateForm::Durable { name } => {
                check_consumer_name(name)?;
                if !config.is_durable() {
                    return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_SET);
                }
                if config.durable_name != name {
                    return Err(ApiError::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT);
                }
                // Whatever else the request calls it, the subject names it.
                name.clone_into(&mut config.name);
            }
        }
        Ok(())
    }
}

impl ConsumerConfig {
    /// Fills in what a consumer of this stream leaves open and checks the
    /// whole.
    ///
    /// With `pedantic`, a value that would have to be adjusted is an error.
    ///
    /// # Errors
    /// What nats-server answers.
    pub fn check(&mut self, stream: &StreamConfig, pedantic: bool) -> Result<(), ApiError> {
        self.check_names()?;
        self.fill(stream, pedantic)?;
        self.check_replicas()?;
        self.check_flow_acks()?;
        if self.description.len() > MAX_DESCRIPTION {
            return Err(ApiError::consumer_description_too_long(MAX_DESCRIPTION));
        }
        metadata::strip_server_metadata(&mut self.metadata);
        if metadata::size(&self.metadata) > MAX_METADATA {
            return Err(ApiError::consumer_metadata_length("128KB"));
        }
        // Equal is enough, whatever the text says.
        let steps = i64::try_from(self.backoff.len()).unwrap_or(i64::MAX);
        if self.max_deliver != -1 && steps > self.max_deliver {
            return Err(ApiError::CONSUMER_MAX_DELIVER_BACKOFF);
        }
        if self.is_pull() {
            self.check_pull(stream.retention)?;
        } else {
            self.check_push(stream)?;
        }
        self.check_limits(&stream.consumer_limits)?;
        self.check_direct()?;
        self.check_filters()?;
        self.check_start()?;
        sample_share(&self.sample_freq)?;
        if self.flow_control && self.idle_heartbeat.is_zero() {
            return Err(ApiError::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS);
        }
        self.check_priority()?;
        ConsumerOptions::read(self)?;
        Ok(())
    }

    /// Checks an update, already [checked](ConsumerConfig::check) by itself,
    /// against what the consumer is now. `new` is what the consumer becomes.
    ///
    /// # Errors
    /// 10012 with the text of what cannot be changed.
    pub fn check_update(&self, new: &mut ConsumerConfig) -> Result<(), ApiError> {
        // Only a pause request changes this.
        new.pause_until = self.pause_until;
        let changed = [
            (
                self.deliver_policy != new.deliver_policy,
                "deliver policy can not be updated",
            ),
            (
                self.opt_start_seq != new.opt_start_seq,
                "start sequence can not be updated",
            ),
            (
                self.opt_start_time != new.opt_start_time,
                "start time can not be updated",
            ),
            (
                self.ack_policy != new.ack_policy,
                "ack policy can not be updated",
            ),
            (
                self.replay_policy != new.replay_policy,
                "replay policy can not be updated",
            ),
            (
                self.idle_heartbeat != new.idle_heartbeat,
                "heart beats can not be updated",
            ),
            (
                self.flow_control != new.flow_control,
                "flow control can not be updated",
            ),
            (
                self.is_pull() && !new.is_pull(),
                "can not update pull consumer to push based",
            ),
            (
                !self.is_pull() && new.is_pull(),
                "can not update push consumer to pull based",
            ),
            (
                self.max_waiting != new.max_waiting,
                "max waiting can not be updated",
            ),
            (
                self.mem_storage != new.mem_storage,
                "storage type can not be updated",
            ),
        ];
        match changed.into_iter().find(|&(changed, _)| changed) {
            Some((_, text)) => Err(ApiError::consumer_create(text)),
            None => Ok(()),
        }
    }

    /// The share of acks to report, in percent; zero is none.
    pub fn sample_percent(&self) -> u32 {
        sample_share(&self.sample_freq).unwrap_or(0)
    }

    fn check_names(&mut self) -> Result<(), ApiError> {
        if self.is_durable() {
            check_consumer_name(&self.durable_name)?;
            if !self.name.is_empty() && self.name != self.durable_name {
                return Err(ApiError::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH);
            }
            self.name.clone_from(&self.durable_name);
        }
        if self.name.is_empty() {
            return Ok(());
        }
        check_consumer_name(&self.name)
    }

    fn fill(&mut self, stream: &StreamConfig, pedantic: bool) -> Result<(), ApiError> {
        if pedantic {
            self.check_pedantic(stream)?;
        }
        let acks = matches!(self.ack_policy, AckPolicy::All | AckPolicy::Explicit);
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        for value in [
            &mut self.max_batch,
            &mut self.max_bytes,
            &mut self.max_expires.0,
            &mut self.idle_heartbeat.0,
            &mut self.inactive_threshold.0,
            &mut self.max_waiting,
            &mut self.priority_timeout.0,
        ] {
            *value = (*value).max(0);
        }
        if self.priority_policy == PriorityPolicy::PinnedClient && self.priority_timeout.is_zero() {
            self.priority_timeout = PINNED_TIMEOUT;
        }
        if self.max_waiting == 0 && self.is_pull() {
            self.max_waiting = MAX_WAITING;
        }
        if self.backoff.iter().any(|step| step.0 < 0) {
            return Err(ApiError::CONSUMER_BACK_OFF_NEGATIVE);
        }
        if let Some(&first) = self.backoff.first() {
            self.ack_wait = first;
        } else if self.ack_wait.0 < 0 {
            return Err(ApiError::CONSUMER_ACK_WAIT_NEGATIVE);
        } else if self.ack_wait.is_zero() && acks {
            self.ack_wait = ACK_WAIT;
        }
        let limits = &stream.consumer_limits;
        self.max_ack_pending = match self.max_ack_pending {
            0 if limits.max_ack_pending > 0 => limits.max_ack_pending,
            0 if self.ack_policy != AckPolicy::None => MAX_ACK_PENDING,
            asked => asked.max(-1),
        };
        if self.inactive_threshold.is_zero() && limits.inactive_threshold.0 > 0 {
            self.inactive_threshold = limits.inactive_threshold;
        }
        if self.ack_policy == AckPolicy::FlowControl && !pedantic {
            self.flow_control = true;
            self.idle_heartbeat = FLOW_ACKS_HEARTBEAT;
        }
        Ok(())
    }

    /// Who acknowledges by answers to flow control is asked for them, and for
    /// nothing else: no message is late.
    fn check_flow_acks(&self) -> Result<(), ApiError> {
        if self.ack_policy != AckPolicy::FlowControl {
            return Ok(());
        }
        let rules = [
            (self.is_pull(), ApiError::CONSUMER_ACK_FC_REQUIRES_PUSH),
            (!self.flow_control, ApiError::CONSUMER_ACK_FC_REQUIRES_FC),
            (
                self.idle_heartbeat != FLOW_ACKS_HEARTBEAT,
                ApiError::stream_invalid_config("flow control ack policy heartbeat needs to be 1s"),
            ),
            (
                self.max_ack_pending <= 0,
                ApiError::CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING,
            ),
            (
                !self.ack_wait.is_zero() || !self.backoff.is_empty(),
                ApiError::CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT,
            ),
            (
                self.max_deliver > 0,
                ApiError::CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER,
            ),
        ];
        let mut broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// A consumer that servers make for copies of their own. It is not listed
    /// there; here it would be, so it is not made.
    fn check_direct(&self) -> Result<(), ApiError> {
        let error = match self.direct {
            false => return Ok(()),
            true if self.is_pull() => ApiError::CONSUMER_DIRECT_REQUIRES_PUSH,
            true if self.is_durable() => ApiError::CONSUMER_DIRECT_REQUIRES_EPHEMERAL,
            true => ApiError::consumer_create("direct is not supported"),
        };
        Err(error)
    }

    /// One that is not durable is removed when nobody uses it. An update
    /// asks whether the consumer was durable before.
    pub fn fill_threshold(&mut self, is_durable: bool) {
        if self.inactive_threshold.is_zero() && !is_durable {
            self.inactive_threshold = EPHEMERAL_THRESHOLD;
        }
    }

    /// What would be adjusted without a word.
    fn check_pedantic(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let limits = &stream.consumer_limits;
        let first = self.backoff.first();
        let adjusted = [
            (self.max_deliver < -1, "max_deliver must be set to -1"),
            (self.max_waiting < 0, "max_waiting must not be negative"),
            (
                self.max_ack_pending < -1,
                "max_ack_pending must be set to -1",
            ),
            (self.max_batch < 0, "max_batch must not be negative"),
            (self.max_expires.0 < 0, "max_expires must not be negative"),
            (self.max_bytes < 0, "max_bytes must not be negative"),
            (
                self.idle_heartbeat.0 < 0,
                "idle_heartbeat must not be negative",
            ),
            (
                self.inactive_threshold.0 < 0,
                "inactive_threshold must not be negative",
            ),
            (
                self.priority_timeout.0 < 0,
                "priority_timeout must not be negative",
            ),
            (
                first.is_some_and(|&first| first != self.ack_wait),
                "first backoff value has to equal batch AckWait",
            ),
            (
                limits.max_ack_pending > 0 && self.max_ack_pending == 0,
                "max_ack_pending must be set if it's configured in stream limits",
            ),
            (
                limits.inactive_threshold.0 > 0 && self.inactive_threshold.is_zero(),
                "inactive_threshold must be set if it's configured in stream limits",
            ),
        ];
        match adjusted.into_iter().find(|&(adjusted, _)| adjusted) {
            Some((_, text)) => Err(ApiError::pedantic(text)),
            None => Ok(()),
        }
    }

    /// Whether the groups that pullers may be in and what is done with them
    /// go together.
    fn check_priority(&self) -> Result<(), ApiError> {
        if self.priority_policy == PriorityPolicy::None {
            if !self.priority_groups.is_empty() {
                return Err(ApiError::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE);
            }
            if !self.priority_timeout.is_zero() {
                return Err(ApiError::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE);
            }
            return Ok(());
        }
        if !self.is_pull() {
            return Err(ApiError::CONSUMER_PUSH_WITH_PRIORITY_GROUP);
        }
        if self.priority_groups.is_empty() {
            return Err(ApiError::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP);
        }
        let mut groups = self.priority_groups.iter();
        groups.try_for_each(|group| check_group_name(group))
    }

    fn check_replicas(&self) -> Result<(), ApiError> {
        match self.num_replicas {
            ..0 => Err(ApiError::REPLICAS_COUNT_CANNOT_BE_NEGATIVE),
            0 | 1 => Ok(()),
            _ => Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED),
        }
    }

    fn check_push(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let subject = self.deliver_subject.as_bytes();
        if tokens(subject).any(|token| token == b"*" || token == b">") {
            return Err(ApiError::CONSUMER_DELIVER_TO_WILDCARDS);
        }
        if has_blank(subject) || !is_valid_filter(subject) {
            return Err(ApiError::CONSUMER_INVALID_DELIVER_SUBJECT);
        }
        let cycle = |filter: &String| subjects_collide(filter.as_bytes(), subject);
        if stream.subjects.iter().any(cycle) {
            return Err(ApiError::CONSUMER_DELIVER_CYCLE);
        }
        if self.max_waiting != 0 {
            return Err(ApiError::CONSUMER_PUSH_MAX_WAITING);
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(ApiError::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED);
        }
        if !self.idle_heartbeat.is_zero() && self.idle_heartbeat < SHORTEST_HEARTBEAT {
            return Err(ApiError::CONSUMER_SMALL_HEARTBEAT);
        }
        self.check_expires()
    }

    fn check_pull(&self, retention: Retention) -> Result<(), ApiError> {
        if self.ack_policy == AckPolicy::None && retention == Retention::WorkQueue {
            return Err(ApiError::CONSUMER_PULL_REQUIRES_ACK);
        }
        if self.rate_limit_bps > 0 {
            return Err(ApiError::CONSUMER_PULL_WITH_RATE_LIMIT);
        }
        if !self.idle_heartbeat.is_zero() {
            return Err(ApiError::CONSUMER_HB_REQUIRES_PUSH);
        }
        if self.flow_control {
            return Err(ApiError::CONSUMER_FC_REQUIRES_PUSH);
        }
        self.check_expires()
    }

    fn check_expires(&self) -> Result<(), ApiError> {
        if !self.max_expires.is_zero() && self.max_expires < SHORTEST_EXPIRES {
            return Err(ApiError::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL);
        }
        Ok(())
    }

    fn check_limits(&self, limits: &super::ConsumerLimits) -> Result<(), ApiError> {
        if limits.max_ack_pending > 0 && self.max_ack_pending > limits.max_ack_pending {
            return Err(ApiError::consumer_max_pending_ack_excess(
                limits.max_ack_pending,
            ));
        }
        if limits.inactive_threshold.0 > 0 && self.inactive_threshold > limits.inactive_threshold {
            return Err(ApiError::consumer_inactive_threshold_excess(
                limits.inactive_threshold,
            ));
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(ApiError::CONSUMER_DUPLICATE_FILTER_SUBJECTS);
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return Err(ApiError::CONSUMER_EMPTY_FILTER);
        }
        for filter in self.filters() {
            if has_blank(filter.as_bytes()) || !is_valid_filter(filter.as_bytes()) {
                return Err(ApiError::stream_invalid_config("invalid subject"));
            }
        }
        check_listed("filters", self.filter_subjects.len())?;
        for (at, filter) in self.filter_subjects.iter().enumerate() {
            let mut later = self.filter_subjects.iter().skip(at + 1);
            let (one, subset) = (filter.as_bytes(), is_subset);
            // Those that only share some subjects may stand side by side: a
            // message is delivered once all the same.
            if later.any(|other| subset(one, other.as_bytes()) || subset(other.as_bytes(), one)) {
                return Err(ApiError::CONSUMER_OVERLAPPING_SUBJECT_FILTERS);
            }
        }
        Ok(())
    }

    /// A policy needs its own start, and none other.
    fn check_start(&self) -> Result<(), ApiError> {
        let (policy, wants_seq, wants_time) = match self.deliver_policy {
            DeliverPolicy::All => ("all", false, false),
            DeliverPolicy::Last => ("last", false, false),
            DeliverPolicy::New => ("new", false, false),
            DeliverPolicy::LastPerSubject => ("last per subject", false, false),
            DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
            DeliverPolicy::ByStartTime => ("by start time", false, true),
        };
        let (has_seq, has_time) = (self.opt_start_seq > 0, self.opt_start_time.is_some());
        let what = if wants_seq && !has_seq {
            "start sequence is not"
        } else if wants_time && !has_time {
            "start time is not"
        } else if wants_time && has_seq {
            // The slip of the tongue is nats-server's.
            "start start sequence is also"
        } else if !wants_seq && has_seq {
            "start sequence is also"
        } else if !wants_time && has_time {
            "start time is also"
        } else if self.deliver_policy == DeliverPolicy::LastPerSubject
            && self.filters().next().is_none()
        {
            "filter subject is not"
        } else {
            return Ok(());
        };
        Err(ApiError::consumer_invalid_policy(format!(
            "consumer delivery policy is deliver {policy}, but optional {what} set"
        )))
    }

    /// Keeps requests to it from asking for more messages than the server
    /// allows; 0 is no limit.
    ///
    /// # Errors
    /// 10125 where more is asked for; with `pedantic`, 10157 where nothing is
    /// said.
    pub fn limit_batch(&mut self, max: i64, pedantic: bool) -> Result<(), ApiError> {
        if max <= 0 || !self.is_pull() {
            return Ok(());
        }
        if self.max_batch > max {
            return Err(ApiError::consumer_max_request_batch_exceeded(max));
        }
        if self.max_batch > 0 {
            return Ok(());
        }
        if pedantic {
            return Err(ApiError::pedantic(
                "max_request_batch must be set if it's JetStream limits are set",
            ));
        }
        self.max_batch = max;
        Ok(())
    }

    /// Whether a work queue lets go of what such a consumer has processed, and
    /// of nothing else.
    ///
    /// # Errors
    /// 10098.
    pub fn check_acks_of_work_queue(&self) -> Result<(), ApiError> {
        match self.ack_policy {
            AckPolicy::Explicit | AckPolicy::FlowControl => Ok(()),
            _ => Err(ApiError::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK),
        }
    }
}

/// Reads `50` or `50%`; nothing is zero.
fn sample_share(text: &str) -> Result<u32, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_suffix('%').unwrap_or(text);
    let number: i64 = digits.parse().map_err(|_| {
        ApiError::consumer_invalid_sampling(format_args!(
            "strconv.Atoi: parsing {digits:?}: invalid syntax"
        ))
    })?;
    match number {
        0.. => Ok(number.min(100) as u32),
        _ => Err(ApiError::consumer_invalid_sampling("<nil>")),
    }
}
