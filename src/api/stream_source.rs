//! Where a stream copies from, and what it does to subjects on the way.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use super::transform::{Transform, TransformError};
use midge_proto::JsonWriter;
use midge_proto::Timestamp;
use serde_json::Value;

/// From one subject to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectTransform {
    /// The filter that it applies to.
    pub src: String,
    /// What the subject becomes.
    pub dest: String,
}

/// Where stored messages are published again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Republish {
    /// The filter that it applies to; empty is all.
    pub src: String,
    /// What the subject becomes.
    pub dest: String,
    /// Leave the payload out.
    pub headers_only: bool,
}

/// A stream under another API prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExternalStream {
    /// The prefix of its API.
    pub api: String,
    /// The prefix of where it delivers to.
    pub deliver: String,
}

/// The consumer to copy through, when it is not made on the spot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceConsumer {
    /// Its name.
    pub name: String,
    /// Where it delivers to.
    pub deliver_subject: String,
}

/// A stream to copy from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSource {
    /// Its name.
    pub name: String,
    /// The first sequence to copy; zero is all.
    pub opt_start_seq: u64,
    /// The earliest time to copy from.
    pub opt_start_time: Option<Timestamp>,
    /// What to copy; empty is all.
    pub filter_subject: String,
    /// What to copy, and what the subjects become.
    pub subject_transforms: Vec<SubjectTransform>,
    /// Where it is, if not here.
    pub external: Option<ExternalStream>,
    /// The consumer to copy through.
    pub consumer: Option<SourceConsumer>,
}

impl SubjectTransform {
    pub(super) fn from_value(
        key: &str,
        value: Value,
        strict: Strictness,
    ) -> Result<SubjectTransform, ApiError> {
        let mut transform = SubjectTransform::default();
        json::read_value(key, value, strict, &mut |key, value| {
            match key {
                "src" => transform.src = json::string(key, value)?,
                "dest" => transform.dest = json::string(key, value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(transform)
    }

    pub(super) fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.string_field("src", &self.src);
        json.string_field("dest", &self.dest);
        json.close_object();
    }
}

impl Republish {
    /// The transform that it asks for.
    ///
    /// # Errors
    /// What is wrong with the destination.
    pub fn transform(&self) -> Result<Transform, TransformError> {
        Transform::new(&SubjectTransform {
            src: self.src.clone(),
            dest: self.dest.clone(),
        })
    }

    pub(super) fn from_value(
        key: &str,
        value: Value,
        strict: Strictness,
    ) -> Result<Republish, ApiError> {
        let mut republish = Republish::default();
        json::read_value(key, value, strict, &mut |key, value| {
            match key {
                "src" => republish.src = json::string(key, value)?,
                "dest" => republish.dest = json::string(key, value)?,
                "headers_only" => republish.headers_only = json::boolean(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(republish)
    }

    pub(super) fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.string_unless_empty("src", &self.src);
        json.string_field("dest", &self.dest);
        json.flag("headers_only", self.headers_only);
        json.close_object();
    }
}

impl StreamSource {
    pub(super) fn from_value(
        key: &str,
        value: Value,
        strict: Strictness,
    ) -> Result<StreamSource, ApiError> {
        let mut source = StreamSource::default();
        json::read_value(key, value, strict, &mut |key, value| {
            source.set(key, value, strict)
        })?;
        Ok(source)
    }

    fn set(&mut self, key: &str, value: Value, strict: Strictness) -> Result<Known, ApiError> {
        match key {
            "name" => self.name = json::string(key, value)?,
            "opt_start_seq" => self.opt_start_seq = json::uint(key, &value)?,
            "opt_start_time" => self.opt_start_time = Some(json::time(key, &value)?),
            "filter_subject" => self.filter_subject = json::string(key, value)?,
            "subject_transforms" => {
                self.subject_transforms = json::array(key, value)?
                    .into_iter()
                    .map(|transform| SubjectTransform::from_value(key, transform, strict))
                    .collect::<Result<_, _>>()?;
            }
            "external" => {
                let (api, deliver) = pair(key, value, ["api", "deliver"], strict)?;
                self.external = Some(ExternalStream { api, deliver });
            }
            "consumer" => {
                let (name, deliver_subject) =
                    pair(key, value, ["name", "deliver_subject"], strict)?;
                self.consumer = Some(SourceConsumer {
                    name,
                    deliver_subject,
                });
            }
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }

    pub(super) fn write_json(&self, json: &mut JsonWriter) {
        json.open_object();
        json.string_field("name", &self.name);
        json.uint_unless_zero("opt_start_seq", self.opt_start_seq);
        if let Some(time) = self.opt_start_time {
            json.time_field("opt_start_time", time);
        }
        self.write_filters(json);
        if let Some(external) = &self.external {
            json.key("external");
            json.open_object();
            json.string_field("api", &external.api);
            json.string_field("deliver", &external.deliver);
            json.close_object();
        }
        if let Some(consumer) = &self.consumer {
            json.key("consumer");
            json.open_object();
            json.string_unless_empty("name", &consumer.name);
            json.string_unless_empty("deliver_subject", &consumer.deliver_subject);
            json.close_object();
        }
        json.close_object();
    }
}

impl StreamSource {
    /// Appends what it copies, and what subjects become.
    pub(super) fn write_filters(&self, json: &mut JsonWriter) {
        json.string_unless_empty("filter_subject", &self.filter_subject);
        if !self.subject_transforms.is_empty() {
            json.key("subject_transforms");
            json.open_array();
            for transform in &self.subject_transforms {
                transform.write_json(json);
            }
            json.close_array();
        }
    }
}

/// Reads an object of two strings.
fn pair(
    key: &str,
    value: Value,
    names: [&str; 2],
    strict: Strictness,
) -> Result<(String, String), ApiError> {
    let mut found = (String::new(), String::new());
    json::read_value(key, value, strict, &mut |key, value| {
        if key == names[0] {
            found.0 = json::string(key, value)?;
        } else if key == names[1] {
            found.1 = json::string(key, value)?;
        } else {
            return Ok(Known::No);
        }
        Ok(Known::Yes)
    })?;
    Ok(found)
}
