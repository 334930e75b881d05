//! What `midge.…` entries in the metadata of streams and consumers ask for.
//!
//! Metadata are what any NATS client can already set, so that is where our
//! options are. A key or a value that is not known is an error: an option with
//! a typing mistake must not look as if it were in force.

use super::consumer_config::{AckPolicy, ConsumerConfig};
use super::error::ApiError;
use super::stream_config::StreamConfig;
use midge_proto::Nanos;
use midge_proto::{has_blank, is_literal};
use std::collections::BTreeMap;

/// What every key of ours begins with.
const PREFIX: &str = "midge.";

/// Deaths that a breaker can count: the time of each is kept.
const BREAKER_DEATHS_MAX: u32 = 10_000;

/// The longest subject that an option can give: it has to fit into a line.
const SUBJECT_LEN_MAX: usize = 512;

/// The longest header name that an option can give: longer than any in use,
/// and looked for in every message.
const HEADER_NAME_MAX: usize = 64;

/// Where the copy of a message goes that died with a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeadLetters {
    /// Nowhere: all is as with any NATS server.
    #[default]
    Off,
    /// To `$DLQ.<stream>.<consumer>.<subject>`.
    Kept,
    /// To this subject.
    To(String),
}

/// Stops a consumer with which too many messages die in too short a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many may die …
    pub deaths: u32,
    /// … within this time.
    pub within: Nanos,
    /// How long the consumer then pauses; until somebody resumes it if not
    /// said.
    pub pause: Option<Nanos>,
}

/// What tells which messages must not overtake each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKey {
    /// The subject.
    Subject,
    /// One word of the subject, the first being 1.
    Token(u32),
    /// A header's value; a message without it has the empty key.
    Header(String),
}

/// The options of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// `midge.dead_letter: off | on | <subject>`
    pub dead_letters: DeadLetters,
    /// `midge.dead_letter_on: max_deliver,term`: messages that were delivered
    /// as often as they may be.
    pub on_max_deliver: bool,
    /// The same: messages that a client has terminated.
    pub on_term: bool,
    /// `midge.dead_letter_breaker: <n>/<duration>[/<pause>]`
    pub breaker: Option<Breaker>,
    /// `midge.order_key: subject | token:<n> | header:<name>`
    pub order_key: Option<OrderKey>,
    /// `midge.park_key: true`: a key of which a message has died waits.
    pub park_key: bool,
    /// `midge.priority: header:<name>`: the header that holds 0 to 9.
    pub priority: Option<String>,
}

impl ConsumerOptions {
    /// Reads the options of a consumer.
    ///
    /// # Errors
    /// 10012 with a text that names the entry that is wrong.
    pub fn read(config: &ConsumerConfig) -> Result<ConsumerOptions, ApiError> {
        let finite = config.max_deliver > 0;
        let mut options = ConsumerOptions {
            dead_letters: if finite {
                DeadLetters::Kept
            } else {
                DeadLetters::Off
            },
            on_max_deliver: true,
            on_term: true,
            ..ConsumerOptions::default()
        };
        for (key, value) in ours(&config.metadata) {
            options
                .set(key, value)
                .map_err(|wanted| ApiError::consumer_create(told(key, value, wanted)))?;
        }
        let is_asked = |key: &str| config.metadata.contains_key(key);
        if options.dead_letters == DeadLetters::Off
            && is_asked("midge.dead_letter_on")
            && !is_asked("midge.dead_letter")
        {
            options.dead_letters = DeadLetters::Kept;
        }
        options.check(config)?;
        Ok(options)
    }

    /// Takes one entry; the error says what it could have been.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "midge.dead_letter" => {
                self.dead_letters = match value {
                    "off" => DeadLetters::Off,
                    "on" => DeadLetters::Kept,
                    subject if is_storable(subject) => DeadLetters::To(subject.to_owned()),
                    _ => return Err("on, off, or a subject without wildcards"),
                };
            }
            "midge.dead_letter_on" => {
                (self.on_max_deliver, self.on_term) = (false, false);
                for word in value.split(',') {
                    match word.trim() {
                        "max_deliver" => self.on_max_deliver = true,
                        "term" => self.on_term = true,
                        _ => return Err("max_deliver, term, or both with a comma between"),
                    }
                }
            }
            "midge.dead_letter_breaker" => {
                let breaker = breaker(value);
                self.breaker = Some(breaker.ok_or(
                    "<messages>/<time>[/<pause>], such as 100/1m, with at most 10000 messages",
                )?);
            }
            "midge.order_key" => {
                let key = order_key(value);
                self.order_key = Some(key.ok_or("subject, token:<n> from 1, or header:<name>")?);
            }
            "midge.park_key" => {
                self.park_key = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err("true or false"),
                };
            }
            "midge.priority" => {
                self.priority = Some(header(value).ok_or("header:<name>")?);
            }
            _ => return Err("an option that there is"),
        }
        Ok(())
    }

    /// What only makes sense together with something else.
    fn check(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        let is_ordered = self.order_key.is_some() || self.priority.is_some();
        if is_ordered && config.ack_policy != AckPolicy::Explicit {
            return Err(ApiError::consumer_create(
                "midge.order_key and midge.priority need ack_policy explicit",
            ));
        }
        if self.park_key && self.order_key.is_none() {
            return Err(ApiError::consumer_create(
                "midge.park_key needs midge.order_key",
            ));
        }
        if self.dead_letters != DeadLetters::Off && config.ack_policy == AckPolicy::None {
            let is_asked = config.metadata.keys().any(|key| key.starts_with(PREFIX));
            if is_asked {
                return Err(ApiError::consumer_create(
                    "dead letters need an ack_policy other than none",
                ));
            }
        }
        Ok(())
    }
}

/// Whether what a stream drops, for want of room or for its age, becomes a
/// dead letter: `midge.overflow: dead_letter`.
///
/// # Errors
/// 10052 with a text that names the entry that is wrong.
pub fn keeps_overflow(config: &StreamConfig) -> Result<bool, ApiError> {
    let mut keeps = false;
    for (key, value) in ours(&config.metadata) {
        keeps = match (key, value) {
            ("midge.overflow", "dead_letter") => true,
            ("midge.overflow", "off") => false,
            ("midge.overflow", _) => {
                let text = told(key, value, "dead_letter or off");
                return Err(ApiError::stream_invalid_config(text));
            }
            _ => {
                let text = told(key, value, "an option that there is");
                return Err(ApiError::stream_invalid_config(text));
            }
        };
    }
    Ok(keeps)
}

fn ours(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = metadata.iter().filter(|(key, _)| key.starts_with(PREFIX));
    pairs.map(|(key, value)| (key.as_str(), value.as_str()))
}

fn told(key: &str, value: &str, wanted: &str) -> String {
    format!("metadata {key}: {value:?} is not {wanted}")
}

/// Whether a letter can have this subject.
fn is_storable(subject: &str) -> bool {
    let bytes = subject.as_bytes();
    let is_ours = subject.starts_with('$') && !subject.starts_with("$DLQ.");
    let is_word = ["on", "off", "true", "false"].contains(&&*subject.to_ascii_lowercase());
    let is_printable = !has_blank(bytes) && !bytes.iter().any(u8::is_ascii_control);
    is_literal(bytes) && is_printable && bytes.len() <= SUBJECT_LEN_MAX && !is_ours && !is_word
}

fn breaker(text: &str) -> Option<Breaker> {
    let mut parts = text.split('/');
    let deaths: u32 = parts.next()?.trim().parse().ok()?;
    let mut span = || {
        let span = Nanos::parse(parts.next()?.trim())?;
        (span.0 > 0).then_some(span)
    };
    let within = span()?;
    let has_pause = text.matches('/').count();
    let pause = match has_pause {
        1 => None,
        2 => Some(span()?),
        _ => return None,
    };
    (1..=BREAKER_DEATHS_MAX)
        .contains(&deaths)
        .then_some(Breaker {
            deaths,
            within,
            pause,
        })
}

fn order_key(text: &str) -> Option<OrderKey> {
    if text == "subject" {
        return Some(OrderKey::Subject);
    }
    if let Some(place) = text.strip_prefix("token:") {
        let place = place.parse().ok().filter(|place| *place > 0)?;
        return Some(OrderKey::Token(place));
    }
    header(text).map(OrderKey::Header)
}

fn header(text: &str) -> Option<String> {
    let name = text.strip_prefix("header:")?;
    let is_name = !name.is_empty()
        && name.len() <= HEADER_NAME_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':');
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(entries: &[(&str, &str)]) -> ConsumerConfig {
        ConsumerConfig {
            ack_policy: AckPolicy::Explicit,
            max_deliver: 3,
            metadata: entries
                .iter()
                .map(|(key, value)| (format!("midge.{key}"), (*value).to_owned()))
                .collect(),
            ..ConsumerConfig::default()
        }
    }

    fn read(entries: &[(&str, &str)]) -> Result<ConsumerOptions, String> {
        ConsumerOptions::read(&consumer(entries)).map_err(|error| error.into_description())
    }

    #[test]
    fn dead_letters_are_kept_where_deliveries_are_limited() {
        assert_eq!(read(&[]).map(|o| o.dead_letters), Ok(DeadLetters::Kept));
        let endless = ConsumerConfig {
            max_deliver: -1,
            ..consumer(&[])
        };
        let options = ConsumerOptions::read(&endless).map(|o| o.dead_letters);
        assert_eq!(options, Ok(DeadLetters::Off));
        let endless = ConsumerConfig {
            max_deliver: -1,
            ..consumer(&[("dead_letter_on", "term")])
        };
        let options = ConsumerOptions::read(&endless).map(|o| (o.dead_letters, o.on_max_deliver));
        assert_eq!(options, Ok((DeadLetters::Kept, false)));
        let off = read(&[("dead_letter", "off"), ("dead_letter_on", "term")]);
        assert_eq!(off.map(|o| o.dead_letters), Ok(DeadLetters::Off));
        let to = read(&[("dead_letter", "bad.letters")]).map(|o| o.dead_letters);
        assert_eq!(to, Ok(DeadLetters::To("bad.letters".into())));
    }

    #[test]
    fn options_are_read_as_they_are_written() {
        let breaker = |text: &str| read(&[("dead_letter_breaker", text)]).map(|o| o.breaker);
        assert_eq!(
            breaker("100/1m"),
            Ok(Some(Breaker {
                deaths: 100,
                within: Nanos::from_secs(60),
                pause: None,
            }))
        );
        let paused = breaker("5/10s/2m").map(|b| b.and_then(|b| b.pause));
        assert_eq!(paused, Ok(Some(Nanos::from_secs(120))));
        let key = |text: &str| read(&[("order_key", text)]).map(|o| o.order_key);
        assert_eq!(key("subject"), Ok(Some(OrderKey::Subject)));
        assert_eq!(key("token:2"), Ok(Some(OrderKey::Token(2))));
        assert_eq!(
            key("header:Order"),
            Ok(Some(OrderKey::Header("Order".into())))
        );
        let level = read(&[("priority", "header:P")]).map(|o| o.priority);
        assert_eq!(level, Ok(Some("P".into())));
    }

    #[test]
    fn a_typing_mistake_is_refused_by_name() {
        for (key, value) in [
            ("dead_leter", "off"),
            ("dead_letter", "a.*"),
            ("dead_letter", ""),
            ("dead_letter", "a b"),
            ("dead_letter", "Off"),
            ("dead_letter", "$SYS.x"),
            ("dead_letter", "a\r\nMSG b"),
            ("dead_letter_on", "terminate"),
            ("dead_letter_breaker", "0/1m"),
            ("dead_letter_breaker", "10001/1m"),
            ("dead_letter_breaker", "5"),
            ("dead_letter_breaker", "5/soon"),
            ("dead_letter_breaker", "5/1s/1s/1s"),
            ("order_key", "token:0"),
            ("order_key", "header:"),
            ("order_key", "subjects"),
            ("park_key", "yes"),
            ("priority", "P"),
        ] {
            let refused = read(&[(key, value)]).err().unwrap_or_default();
            assert!(refused.contains(key), "{key} {value}: {refused:?}");
        }
        let parked = read(&[("park_key", "true")]);
        assert_eq!(parked, Err("midge.park_key needs midge.order_key".into()));
        let unordered = ConsumerConfig {
            ack_policy: AckPolicy::All,
            ..consumer(&[("order_key", "subject")])
        };
        assert!(ConsumerOptions::read(&unordered).is_err());
    }

    #[test]
    fn a_stream_can_keep_what_it_drops() {
        let keeps = |value: &str| {
            let metadata = [("midge.overflow".to_owned(), value.to_owned())];
            keeps_overflow(&StreamConfig {
                metadata: metadata.into(),
                ..StreamConfig::default()
            })
        };
        assert_eq!(keeps("dead_letter"), Ok(true));
        assert_eq!(keeps("off"), Ok(false));
        assert!(keeps("dlq").is_err());
        assert_eq!(keeps_overflow(&StreamConfig::default()), Ok(false));
    }
}
