//! Which mirrors and sources make sense.

use super::error::ApiError;
use super::name::is_valid_name;
use super::stream_check::check_listed;
use super::stream_config::StreamConfig;
use super::stream_source::StreamSource;
use super::transform::Transform;
use midge_proto::{has_blank, is_literal, is_valid_filter, subjects_collide};

impl StreamConfig {
    /// Checks what it copies from, as far as that can be said without knowing
    /// other streams.
    pub(super) fn check_sources(&self) -> Result<(), ApiError> {
        if let Some(mirror) = &self.mirror {
            self.check_mirror(mirror)?;
        }
        check_listed("sources", self.sources.len())?;
        for (place, source) in self.sources.iter().enumerate() {
            if !is_valid_name(&source.name) {
                return Err(ApiError::SOURCE_INVALID_STREAM_NAME);
            }
            check_here(source, "source with external is not supported")?;
            let earlier = self.sources.iter().take(place);
            if earlier.into_iter().any(|earlier| earlier.is_like(source)) {
                return Err(ApiError::SOURCE_DUPLICATE_DETECTED);
            }
            if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
                return Err(ApiError::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED);
            }
            source.check_transforms(&SOURCE)?;
            if source.has_bad_consumer() {
                return Err(ApiError::SOURCE_DURABLE_CONSUMER_CFG_INVALID);
            }
            let mut earlier = self.sources.iter().take(place);
            if earlier.any(|earlier| earlier.has_consumer_of(source)) {
                return Err(ApiError::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED);
            }
            if !is_filter(&source.filter_subject) {
                return Err(ApiError::stream_create(format!(
                    "subject filter '{}' for the source: invalid subject",
                    source.filter_subject
                )));
            }
        }
        if !self.sources.is_empty() && self.allow_msg_schedules {
            return Err(ApiError::SOURCE_WITH_MSG_SCHEDULES);
        }
        Ok(())
    }

    fn check_mirror(&self, mirror: &StreamSource) -> Result<(), ApiError> {
        let (is_bad, is_named) = (mirror.has_bad_consumer(), is_valid_name(&mirror.name));
        let rules = [
            (!self.subjects.is_empty(), ApiError::MIRROR_WITH_SUBJECTS),
            (!self.sources.is_empty(), ApiError::MIRROR_WITH_SOURCES),
            (self.first_seq > 0, ApiError::MIRROR_WITH_FIRST_SEQ),
            (self.allow_msg_counter, ApiError::MIRROR_WITH_COUNTERS),
            (self.allow_atomic, ApiError::MIRROR_WITH_ATOMIC_PUBLISH),
            (self.allow_batched, ApiError::MIRROR_WITH_BATCH_PUBLISH),
            (
                self.allow_msg_schedules,
                ApiError::MIRROR_WITH_MSG_SCHEDULES,
            ),
            (is_bad, ApiError::MIRROR_DURABLE_CONSUMER_CFG_INVALID),
            (
                !self.subject_delete_marker_ttl.is_zero(),
                ApiError::stream_invalid_config("subject delete markers forbidden on mirrors"),
            ),
            (!is_named, ApiError::MIRROR_INVALID_STREAM_NAME),
            (
                !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty(),
                ApiError::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED,
            ),
        ];
        for (is_broken, error) in rules {
            if is_broken {
                return Err(error);
            }
        }
        check_here(mirror, "mirror with external is not supported")?;
        if !is_filter(&mirror.filter_subject) {
            return Err(ApiError::stream_create(format!(
                "subject filter '{}' for the mirror invalid subject",
                mirror.filter_subject
            )));
        }
        mirror.check_transforms(&MIRROR)
    }
}

/// What is answered of a transform that makes no sense.
struct Answers {
    source: fn(String) -> ApiError,
    destination: fn(String) -> ApiError,
    overlap: ApiError,
}

const MIRROR: Answers = Answers {
    source: |text| ApiError::mirror_invalid_subject_filter(text),
    destination: |text| ApiError::mirror_invalid_transform_destination(text),
    overlap: ApiError::MIRROR_OVERLAPPING_SUBJECT_FILTERS,
};

const SOURCE: Answers = Answers {
    source: |text| ApiError::source_invalid_subject_filter(text),
    destination: |text| ApiError::source_invalid_transform_destination(text),
    overlap: ApiError::SOURCE_OVERLAPPING_SUBJECT_FILTERS,
};

impl StreamSource {
    /// Whether both copy the same.
    pub fn is_like(&self, other: &StreamSource) -> bool {
        self.name == other.name
            && self.filter_subject == other.filter_subject
            && self.subject_transforms == other.subject_transforms
            && self.consumer_name() == other.consumer_name()
    }

    /// The consumer that it copies through, if it names one.
    fn consumer_name(&self) -> Option<&str> {
        self.consumer.as_ref().map(|consumer| &*consumer.name)
    }

    /// Whether both copy through the same consumer.
    fn has_consumer_of(&self, other: &StreamSource) -> bool {
        self.consumer.is_some()
            && self.name == other.name
            && self.consumer_name() == other.consumer_name()
    }

    /// Whether its consumer cannot be one, or has to say itself what is said
    /// beside it.
    fn has_bad_consumer(&self) -> bool {
        let Some(consumer) = &self.consumer else {
            return false;
        };
        let to = consumer.deliver_subject.as_bytes();
        !is_valid_name(&consumer.name)
            || !is_literal(to)
            || has_blank(to)
            || self.opt_start_seq > 0
            || self.opt_start_time.is_some()
            || !self.filter_subject.is_empty()
    }

    fn check_transforms(&self, answers: &Answers) -> Result<(), ApiError> {
        let all = &self.subject_transforms;
        check_listed("transforms", all.len())?;
        for (place, transform) in all.iter().enumerate() {
            if !is_filter(&transform.src) {
                return Err((answers.source)(format!(
                    "invalid subject {}",
                    transform.src
                )));
            }
            if let Err(error) = Transform::new(transform) {
                return Err((answers.destination)(error.to_string()));
            }
            let collides = |other: &&super::stream_source::SubjectTransform| {
                subjects_collide(transform.src.as_bytes(), other.src.as_bytes())
            };
            if all.iter().skip(place + 1).any(|other| collides(&other)) {
                return Err(answers.overlap.clone());
            }
        }
        Ok(())
    }
}

/// Only streams of this server and account can be copied.
fn check_here(source: &StreamSource, refusal: &'static str) -> Result<(), ApiError> {
    if source.external.is_none() {
        return Ok(());
    }
    Err(ApiError::stream_invalid_config(refusal))
}

fn is_filter(filter: &str) -> bool {
    let filter = filter.as_bytes();
    filter.is_empty() || (is_valid_filter(filter) && !has_blank(filter))
}
