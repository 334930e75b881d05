//! Which stream configurations make sense, and what an empty field means.
//!
//! Texts are those of nats-server. Whether subjects overlap with those of
//! other streams, and whether there is room, is for the engine to say.

use super::error::ApiError;
use super::metadata;
use super::name::check_stream_name;
use super::stream_config::{Discard, PersistMode, Retention, Storage, StreamConfig};
use super::transform::Transform;
use midge_proto::Nanos;
use midge_proto::{has_blank, is_subset, is_valid_filter, subjects_collide};

/// The longest description of a stream or a consumer, in bytes.
pub(super) const MAX_DESCRIPTION: usize = 4096;

/// Subjects, sources, filters or transforms in one list. Each is compared with
/// all the others while nobody else is served: 20 ms for as many as these.
const LISTED_MAX: usize = 1024;

/// Refuses a list that is too long to be compared.
pub(super) fn check_listed(what: &str, count: usize) -> Result<(), ApiError> {
    if count <= LISTED_MAX {
        return Ok(());
    }
    let text = format!("{count} {what}, at most {LISTED_MAX} are taken");
    Err(ApiError::stream_invalid_config(text))
}
/// The most metadata of a stream or a consumer, in bytes.
pub(super) const MAX_METADATA: usize = 128 * 1024;
const MAX_REPLICAS: i64 = 5;
const DUPLICATE_WINDOW: Nanos = Nanos::from_secs(120);
const SHORTEST_SPAN: Nanos = Nanos::from_millis(100);
const SHORTEST_MARKER_TTL: Nanos = Nanos::from_secs(1);

fn invalid(text: &'static str) -> ApiError {
    ApiError::stream_invalid_config(text)
}

impl StreamConfig {
    /// Fills in what a new stream leaves open and checks the whole.
    ///
    /// With `pedantic`, a value that would have to be adjusted is an error.
    ///
    /// # Errors
    /// What nats-server answers; mostly 10052 with a text.
    pub fn check(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if self.sealed {
            return Err(invalid("stream configuration for create can not be sealed"));
        }
        if self.mirror_direct && self.mirror.is_none() {
            return Err(invalid("stream has no mirror but does have mirror direct"));
        }
        self.check_alone(pedantic)
    }

    /// Fills in what an update leaves open, and checks it by itself and
    /// against what the stream is now. `new` is what the stream becomes.
    ///
    /// # Errors
    /// What nats-server answers; mostly 10052 with a text.
    pub fn check_update(&self, new: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
        if new.mirror.is_some() && !new.subjects.is_empty() {
            return Err(ApiError::MIRROR_WITH_SUBJECTS);
        }
        if new.mirror.is_some() && new.mirror != self.mirror {
            return Err(ApiError::STREAM_MIRROR_NOT_UPDATABLE);
        }
        new.check_alone(pedantic)?;
        // An update is looked at twice: markers have turned lifetimes on.
        new.check_counter()?;
        if new.name != self.name {
            return Err(ApiError::STREAM_MISMATCH);
        }
        if new.storage != self.storage {
            return Err(invalid(
                "stream configuration update can not change storage type",
            ));
        }
        let work_queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
        if work_queue(self) != work_queue(new) {
            return Err(invalid(
                "stream configuration update can not change retention policy to/from workqueue",
            ));
        }
        for (was, is, text) in self.one_way_settings(new) {
            if was && !is {
                return Err(invalid(text));
            }
        }
        if self.allow_msg_counter != new.allow_msg_counter {
            return Err(invalid(
                "stream configuration update can not change message counter setting",
            ));
        }
        if self.persist_mode != new.persist_mode {
            return Err(invalid(
                "stream configuration update can not change persist mode",
            ));
        }
        if new.sealed {
            new.seal();
        }
        Ok(())
    }

    /// Settings that stay once they are made: before, after, and the error.
    fn one_way_settings(&self, new: &StreamConfig) -> [(bool, bool, &'static str); 5] {
        [
            (
                self.sealed,
                new.sealed,
                "stream configuration update can not unseal a sealed stream",
            ),
            (
                self.deny_delete,
                new.deny_delete,
                "stream configuration update can not cancel deny message deletes",
            ),
            (
                self.deny_purge,
                new.deny_purge,
                "stream configuration update can not cancel deny purge",
            ),
            (
                self.allow_msg_ttl,
                new.allow_msg_ttl,
                "message TTL status can not be disabled",
            ),
            (
                self.allow_msg_schedules,
                new.allow_msg_schedules,
                "message schedules can not be disabled",
            ),
        ]
    }

    fn seal(&mut self) {
        self.max_age = Nanos::ZERO;
        self.discard = Discard::New;
        self.deny_delete = true;
        self.deny_purge = true;
        self.allow_rollup_hdrs = false;
    }

    /// Fills in what a request leaves open, and checks what can be said
    /// without knowing what the stream was before.
    ///
    /// # Errors
    /// What nats-server answers; mostly 10052 with a text.
    pub fn check_alone(&mut self, pedantic: bool) -> Result<(), ApiError> {
        check_stream_name(&self.name)?;
        if self.description.len() > MAX_DESCRIPTION {
            return Err(invalid(
                "stream description is too long, maximum allowed is 4096",
            ));
        }
        metadata::strip_server_metadata(&mut self.metadata);
        if metadata::size(&self.metadata) > MAX_METADATA {
            return Err(invalid(
                "stream metadata exceeds maximum size of 131072 bytes",
            ));
        }
        super::options::keeps_overflow(self)?;
        self.check_sources()?;
        self.check_replicas()?;
        self.fill_limits(pedantic)?;
        self.check_ages(pedantic)?;
        self.check_combinations()?;
        self.check_markers(pedantic)?;
        self.check_schedules(pedantic)?;
        self.check_persistence()?;
        self.check_subjects()?;
        self.check_transform()?;
        self.check_republish(pedantic)?;
        if self.num_replicas > 1 {
            return Err(ApiError::STREAM_REPLICAS_NOT_SUPPORTED);
        }
        Ok(())
    }

    fn check_replicas(&mut self) -> Result<(), ApiError> {
        match self.num_replicas {
            ..0 => return Err(ApiError::REPLICAS_COUNT_CANNOT_BE_NEGATIVE),
            0 => self.num_replicas = 1,
            1..=MAX_REPLICAS => {}
            _ => return Err(invalid("maximum replicas is 5")),
        }
        let placement = self.placement.as_ref();
        if placement.is_some_and(|placement| !placement.preferred.is_empty()) {
            return Err(invalid("preferred server not permitted in placement"));
        }
        Ok(())
    }

    /// No limit is -1, however it was asked for.
    fn fill_limits(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let mut size = i64::from(self.max_msg_size);
        for (limit, name) in [
            (&mut self.max_msgs, "max_msgs"),
            (&mut self.max_msgs_per_subject, "max_msgs_per_subject"),
            (&mut self.max_bytes, "max_bytes"),
            (&mut size, "max_msg_size"),
            (&mut self.max_consumers, "max_consumers"),
        ] {
            if *limit < -1 && pedantic {
                return Err(ApiError::pedantic(format_args!("{name} must be set to -1")));
            }
            if *limit <= 0 {
                *limit = -1;
            }
        }
        if size < 0 {
            self.max_msg_size = -1;
        }
        Ok(())
    }

    fn check_ages(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if self.max_age.0 < 0 {
            return Err(invalid("max age can not be negative"));
        }
        if !self.max_age.is_zero() && self.max_age < SHORTEST_SPAN {
            return Err(invalid("max age needs to be >= 100ms"));
        }
        let limited = !self.max_age.is_zero();
        if self.duplicate_window.is_zero() && self.is_copy() {
            return Ok(());
        }
        if self.duplicate_window.is_zero() {
            self.duplicate_window = DUPLICATE_WINDOW;
            if limited && self.max_age < DUPLICATE_WINDOW {
                if pedantic {
                    return Err(ApiError::pedantic(
                        "duplicate window cannot be bigger than max age",
                    ));
                }
                self.duplicate_window = self.max_age;
            }
        }
        if self.duplicate_window.0 < 0 {
            return Err(invalid("duplicates window can not be negative"));
        }
        if limited && self.duplicate_window > self.max_age {
            return Err(invalid("duplicates window can not be larger then max age"));
        }
        if self.duplicate_window < SHORTEST_SPAN {
            return Err(invalid("duplicates window needs to be >= 100ms"));
        }
        Ok(())
    }

    /// Keeps the ids of messages no longer than the server allows.
    ///
    /// # Errors
    /// 10052 where more is asked for; with `pedantic`, 10157 where nothing is
    /// said.
    pub fn limit_duplicates(&mut self, limit: Nanos, pedantic: bool) -> Result<(), ApiError> {
        if limit.is_zero() {
            return Ok(());
        }
        if self.duplicate_window > limit {
            return Err(ApiError::stream_invalid_config(format!(
                "duplicates window can not be larger then server limit of {limit}"
            )));
        }
        let is_open = self.duplicate_window.is_zero() && !self.is_copy();
        if !is_open || limit >= DUPLICATE_WINDOW {
            return Ok(());
        }
        if pedantic {
            return Err(ApiError::pedantic(
                "duplicate window limits are higher than current limits",
            ));
        }
        self.duplicate_window = match self.max_age.0 > 0 {
            true => limit.min(self.max_age),
            false => limit,
        };
        Ok(())
    }

    fn is_copy(&self) -> bool {
        self.mirror.is_some() || !self.sources.is_empty()
    }

    fn check_combinations(&self) -> Result<(), ApiError> {
        if self.deny_purge && self.allow_rollup_hdrs {
            return Err(invalid("roll-ups require the purge permission"));
        }
        self.check_counter()?;
        if self.discard_new_per_subject {
            if self.discard != Discard::New {
                return Err(invalid(
                    "discard new per subject requires discard new policy to be set",
                ));
            }
            if self.max_msgs_per_subject <= 0 {
                return Err(invalid(
                    "discard new per subject requires max msgs per subject > 0",
                ));
            }
        }
        Ok(())
    }

    fn check_persistence(&self) -> Result<(), ApiError> {
        if self.persist_mode == PersistMode::Async {
            if self.storage != Storage::File {
                return Err(invalid(
                    "async persist mode is only supported on file storage",
                ));
            }
            if self.allow_atomic {
                return Err(invalid(
                    "async persist mode is not supported with atomic batch publish",
                ));
            }
        }
        Ok(())
    }

    /// A counter's value is in its last message, which nothing may take away
    /// unseen.
    fn check_counter(&self) -> Result<(), ApiError> {
        let rules = [
            (
                self.discard == Discard::New,
                "counter stream cannot use discard new",
            ),
            (self.allow_msg_ttl, "counter stream cannot use message TTLs"),
            (
                self.allow_msg_schedules,
                "counter stream cannot use message schedules",
            ),
            (
                self.retention != Retention::Limits,
                "counter stream can only use limits retention",
            ),
        ];
        let broken = rules.into_iter().find(|(is_broken, _)| *is_broken);
        match broken {
            Some((_, text)) if self.allow_msg_counter => Err(invalid(text)),
            _ => Ok(()),
        }
    }

    /// Markers have a lifetime and replace what was there.
    fn check_markers(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let ttl = self.subject_delete_marker_ttl;
        if ttl.is_zero() {
            return Ok(());
        }
        let wrong = if ttl.0 < 0 {
            Some("subject delete marker TTL must not be negative")
        } else if ttl < SHORTEST_MARKER_TTL {
            Some("subject delete marker TTL must be at least 1 second")
        } else if self.mirror.is_some() {
            Some("subject delete markers forbidden on mirrors")
        } else if pedantic && !self.allow_msg_ttl {
            Some("subject delete marker cannot be set if message TTLs are disabled")
        } else if pedantic && !self.allow_rollup_hdrs {
            Some("subject delete marker cannot be set if roll-ups are disabled")
        } else {
            None
        };
        self.allow_msg_ttl = true;
        self.roll_up_needed();
        wrong.map_or(Ok(()), |text| Err(invalid(text)))
    }

    /// Schedules replace one another, and what they publish must find room.
    fn check_schedules(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if !self.allow_msg_schedules {
            return Ok(());
        }
        if self.mirror.is_some() {
            return Err(ApiError::MIRROR_WITH_MSG_SCHEDULES);
        }
        if !self.sources.is_empty() {
            return Err(ApiError::SOURCE_WITH_MSG_SCHEDULES);
        }
        if self.discard == Discard::New {
            return Err(invalid("message scheduling cannot use discard new"));
        }
        if pedantic && !self.allow_rollup_hdrs {
            return Err(invalid(
                "message scheduling cannot be set if roll-ups are disabled",
            ));
        }
        self.roll_up_needed();
        Ok(())
    }

    /// Something that was asked for replaces messages by others.
    fn roll_up_needed(&mut self) {
        if !self.allow_rollup_hdrs {
            self.allow_rollup_hdrs = true;
            self.deny_purge = false;
        }
    }

    fn check_subjects(&mut self) -> Result<(), ApiError> {
        check_listed("subjects", self.subjects.len())?;
        // A copy stores what its origin stores.
        if self.subjects.is_empty() && !self.is_copy() {
            self.subjects.push(self.name.clone());
        }
        for (at, subject) in self.subjects.iter().enumerate() {
            self.check_subject(subject.as_bytes())?;
            let later = self.subjects.iter().skip(at + 1);
            for other in later {
                if subjects_collide(subject.as_bytes(), other.as_bytes()) {
                    return Err(ApiError::stream_invalid_config(format!(
                        "subject {subject:?} overlaps with {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_transform(&self) -> Result<(), ApiError> {
        let Some(asked) = &self.subject_transform else {
            return Ok(());
        };
        let src = asked.src.as_bytes();
        if !src.is_empty() && (has_blank(src) || !is_valid_filter(src)) {
            return Err(ApiError::stream_transform_invalid_source(format_args!(
                "invalid subject {}",
                asked.src
            )));
        }
        let made = Transform::new(asked);
        made.map_err(ApiError::stream_transform_invalid_destination)?;
        Ok(())
    }

    fn check_republish(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let Some(asked) = &mut self.republish else {
            return Ok(());
        };
        if asked.src.is_empty() {
            if pedantic {
                return Err(ApiError::pedantic("republish source can not be empty"));
            }
            ">".clone_into(&mut asked.src);
        }
        let dest = asked.dest.as_bytes();
        let own = self.subjects.iter();
        if own
            .into_iter()
            .any(|own| subjects_collide(own.as_bytes(), dest))
        {
            return Err(invalid(
                "stream configuration for republish destination forms a cycle",
            ));
        }
        if asked.transform().is_err() {
            return Err(ApiError::stream_invalid_config(format!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                asked.src, asked.dest
            )));
        }
        Ok(())
    }

    /// An answer to every request of the API would confuse those who asked,
    /// so that a stream of such subjects has to be silent.
    fn check_subject(&self, subject: &[u8]) -> Result<(), ApiError> {
        if has_blank(subject) || !is_valid_filter(subject) {
            return Err(invalid("invalid subject"));
        }
        if self.no_ack {
            return Ok(());
        }
        if subject == b">" {
            return Err(invalid("capturing all subjects requires no-ack to be true"));
        }
        let api: [&[u8]; 4] = [b"$JS.>", b"$JSC.>", b"$NRG.>", b"$MIDGE.API.>"];
        if api.iter().any(|api| subjects_collide(subject, api))
            && !is_subset(subject, b"$JS.EVENT.>")
        {
            return Err(invalid(
                "subjects that overlap with jetstream api require no-ack to be true",
            ));
        }
        if subjects_collide(subject, b"$SYS.>") && !is_subset(subject, b"$SYS.ACCOUNT.>") {
            return Err(invalid(
                "subjects that overlap with system api require no-ack to be true",
            ));
        }
        Ok(())
    }
}
