//! The requests about dead letters: what they ask, and how they are refused.
//!
//! | subject | asks |
//! |---|---|
//! | `$MIDGE.API.DLQ.LIST` | which there are; `from_seq`, `limit` |
//! | `$MIDGE.API.DLQ.SHOW` | one of them with its history; `seq` |
//! | `$MIDGE.API.DLQ.REDRIVE` | to send them back; `limit`, `rate`, `dry_run`, `died_max`; `id`, `stop` for one under way |
//! | `$MIDGE.API.DLQ.DROP` | to remove them; `limit`, `dry_run`, `all` |
//! | `$MIDGE.API.DLQ.UNPARK` | to let keys go on that wait for them; `source_seq` |
//! | `$MIDGE.API.WHY` | what became of a message; `stream`, `seq`, `consumer`, `text` |
//!
//! The body is one object; every request takes the fields of the filter as
//! well. A field that is not known is an error.

use super::dead_letter::DeadLetter;
use super::error::ApiError;
use super::json::{self, Known, Strictness};
use midge_proto::{Nanos, Timestamp};
use midge_proto::{is_valid_filter, matches};

/// Which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DlqKind {
    /// `DLQ.LIST`
    List,
    /// `DLQ.SHOW`
    Show,
    /// `DLQ.REDRIVE`
    Redrive,
    /// `DLQ.DROP`
    Drop,
    /// `DLQ.UNPARK`
    Unpark,
    /// `WHY`
    Why,
}

impl DlqKind {
    const ALL: [DlqKind; 6] = [
        DlqKind::List,
        DlqKind::Show,
        DlqKind::Redrive,
        DlqKind::Drop,
        DlqKind::Unpark,
        DlqKind::Why,
    ];

    /// By the subject of the request.
    pub fn of_subject(subject: &[u8]) -> Option<DlqKind> {
        Some(match subject.strip_prefix(b"$MIDGE.API.")? {
            b"DLQ.LIST" => DlqKind::List,
            b"DLQ.SHOW" => DlqKind::Show,
            b"DLQ.REDRIVE" => DlqKind::Redrive,
            b"DLQ.DROP" => DlqKind::Drop,
            b"DLQ.UNPARK" => DlqKind::Unpark,
            b"WHY" => DlqKind::Why,
            _ => return None,
        })
    }

    /// By the type of the answer.
    pub fn of_response(word: &str) -> Option<DlqKind> {
        let mut all = DlqKind::ALL.into_iter();
        all.find(|kind| kind.response_type() == word)
    }

    /// The type of its answer.
    pub fn response_type(self) -> &'static str {
        match self {
            DlqKind::List => "io.midge.api.v1.dlq_list_response",
            DlqKind::Show => "io.midge.api.v1.dlq_show_response",
            DlqKind::Redrive => "io.midge.api.v1.dlq_redrive_response",
            DlqKind::Drop => "io.midge.api.v1.dlq_drop_response",
            DlqKind::Unpark => "io.midge.api.v1.dlq_unpark_response",
            DlqKind::Why => "io.midge.api.v1.why_response",
        }
    }

    /// An answer that says no.
    pub fn refusal(self, error: &ApiError) -> Vec<u8> {
        error.refusal(self.response_type())
    }
}

/// The errors of these requests; their numbers are a range of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DlqError {
    /// 20001: what is wrong with the request.
    BadRequest(String),
    /// 20002
    NoSuchDlq,
    /// 20003
    NoSuchLetter,
    /// 20004
    FilterMissing,
    /// 20005
    TooManyRedrives,
    /// 20006
    NoSuchRedrive,
    /// 20007
    NoSuchStream,
    /// 20008
    NoSuchConsumer,
    /// 20009
    Unavailable,
}

impl From<DlqError> for ApiError {
    fn from(error: DlqError) -> ApiError {
        let (code, err_code, text) = match error {
            DlqError::BadRequest(text) => return ApiError::new(400, 20001, text.into()),
            DlqError::NoSuchDlq => (404, 20002, "there is no such dead-letter stream"),
            DlqError::NoSuchLetter => (404, 20003, "there is no dead letter of this sequence"),
            DlqError::FilterMissing => (400, 20004, "a filter is needed, or \"all\":true"),
            DlqError::TooManyRedrives => (429, 20005, "too many redrives are under way"),
            DlqError::NoSuchRedrive => (404, 20006, "there is no such redrive"),
            DlqError::NoSuchStream => (404, 20007, "there is no such stream"),
            DlqError::NoSuchConsumer => (404, 20008, "there is no such consumer"),
            DlqError::Unavailable => (503, 20009, "streams are temporarily unavailable"),
        };
        ApiError::new(code, err_code, text.into())
    }
}

/// Which dead letters are meant: those of which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DlqFilter {
    /// The stream they were in.
    pub stream: String,
    /// The consumer they died with.
    pub consumer: String,
    /// Their subject; may have wildcards.
    pub subject: String,
    /// The sequence as a dead letter.
    pub seq: u64,
    /// The sequence in the stream they were in.
    pub source_seq: u64,
    /// What the reason begins with.
    pub reason: String,
    /// They have been dead for at least this long.
    pub age_min: Option<Nanos>,
    /// They have been dead for at most this long.
    pub age_max: Option<Nanos>,
}

impl DlqFilter {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == DlqFilter::default()
    }

    /// Whether a letter is meant that was stored under `seq` at `time`.
    pub fn matches(
        &self,
        letter: &DeadLetter<'_>,
        seq: u64,
        time: Timestamp,
        now: Timestamp,
    ) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        let age = now.since(time);
        is(&self.stream, letter.stream)
            && is(&self.consumer, letter.consumer)
            && (self.subject.is_empty() || matches(self.subject.as_bytes(), letter.subject))
            && (self.seq == 0 || self.seq == seq)
            && (self.source_seq == 0 || self.source_seq == letter.source_seq)
            && letter.reason.starts_with(&self.reason)
            && self.age_min.is_none_or(|min| age >= min)
            && self.age_max.is_none_or(|max| age <= max)
    }
}

/// What is to be done with a redrive that was begun before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DlqAction {
    /// To begin one.
    Begin,
    /// To tell of this one.
    Ask(u64),
    /// To stop this one.
    Stop(u64),
}

/// One of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqRequest {
    /// The stream that the dead letters are in.
    pub dlq: String,
    /// Which of them.
    pub filter: DlqFilter,
    /// Where to begin.
    pub from_seq: u64,
    /// At most so many; 0 if not said.
    pub limit: u64,
    /// Messages a second; 0 is as fast as can be.
    pub rate: u64,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Stop when so many of those sent back have died again.
    pub died_max: u64,
    /// What to do with a redrive.
    pub action: DlqAction,
    /// Everything is meant.
    pub all: bool,
    /// Answer for people.
    pub text: bool,
}

/// The stream that dead letters are in unless another is named.
pub const DLQ_STREAM: &str = "DLQ";

/// Messages that may die again before a redrive stops, if nothing is said.
const DIED_MAX: u64 = 10;

impl DlqRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 20001 with what is wrong.
    pub fn from_json(body: &[u8]) -> Result<DlqRequest, ApiError> {
        // What is meant by none is not all.
        let sequence = |key: &str, value: &serde_json::Value| match json::uint(key, value)? {
            0 => Err(ApiError::invalid_json(format!("{key} begins at 1"))),
            seq => Ok(seq),
        };
        let mut asked = DlqRequest {
            dlq: DLQ_STREAM.to_owned(),
            filter: DlqFilter::default(),
            from_seq: 0,
            limit: 0,
            rate: 0,
            dry_run: false,
            died_max: DIED_MAX,
            action: DlqAction::Begin,
            all: false,
            text: false,
        };
        let (mut id, mut stop) = (0, false);
        let millis = |key: &str, value: &serde_json::Value| {
            let millis = json::uint(key, value)?;
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            let age = Nanos(millis.saturating_mul(1_000_000));
            Ok::<_, ApiError>(Some(age))
        };
        let read = json::read(body, Strictness::Strict, &mut |key, value| {
            let filter = &mut asked.filter;
            match key {
                "dlq" => asked.dlq = json::string(key, value)?,
                "stream" => filter.stream = json::string(key, value)?,
                "consumer" => filter.consumer = json::string(key, value)?,
                "subject" => filter.subject = json::string(key, value)?,
                "seq" => filter.seq = sequence(key, &value)?,
                "source_seq" => filter.source_seq = sequence(key, &value)?,
                "reason" => filter.reason = json::string(key, value)?,
                "age_min_ms" => filter.age_min = millis(key, &value)?.filter(|age| age.0 > 0),
                "age_max_ms" => filter.age_max = millis(key, &value)?,
                "from_seq" => asked.from_seq = json::uint(key, &value)?,
                "limit" => asked.limit = json::uint(key, &value)?,
                "rate" => asked.rate = json::uint(key, &value)?,
                "dry_run" => asked.dry_run = json::boolean(key, &value)?,
                "died_max" => asked.died_max = json::uint(key, &value)?,
                "id" => id = json::uint(key, &value)?,
                "stop" => stop = json::boolean(key, &value)?,
                "all" => asked.all = json::boolean(key, &value)?,
                "text" => asked.text = json::boolean(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        });
        read.map_err(|error| DlqError::BadRequest(error.into_description()))?;
        let subject = &asked.filter.subject;
        if !subject.is_empty() && !is_valid_filter(subject.as_bytes()) {
            return Err(DlqError::BadRequest(format!("{subject:?} is no subject")).into());
        }
        if stop && id == 0 {
            return Err(DlqError::BadRequest("stop needs the id of a redrive".into()).into());
        }
        if id > 0 {
            asked.action = if stop {
                DlqAction::Stop(id)
            } else {
                DlqAction::Ask(id)
            };
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_means_what_all_of_it_holds_for() {
        let letter = DeadLetter {
            stream: "S",
            consumer: "c",
            subject: b"a.b",
            source_seq: 3,
            deliveries: 2,
            reason: "terminated: bad",
            redrives: 0,
        };
        let meant = |body: &str| {
            let asked = DlqRequest::from_json(body.as_bytes()).expect(body);
            let (stored, now) = (Timestamp(0), Timestamp(5_000_000));
            asked.filter.matches(&letter, 9, stored, now)
        };
        for body in [
            "",
            "{}",
            "{\"stream\":\"S\",\"consumer\":\"c\",\"subject\":\"a.*\",\"seq\":9,\"source_seq\":3}",
            "{\"reason\":\"terminated\",\"age_min_ms\":5,\"age_max_ms\":5}",
        ] {
            assert!(meant(body), "{body}");
        }
        for body in [
            "{\"stream\":\"T\"}",
            "{\"consumer\":\"d\"}",
            "{\"subject\":\"a\"}",
            "{\"seq\":3}",
            "{\"reason\":\"max_deliver\"}",
            "{\"age_min_ms\":6}",
            "{\"age_max_ms\":4}",
        ] {
            assert!(!meant(body), "{body}");
        }
    }

    #[test]
    fn a_typing_mistake_drops_nothing() {
        for body in [
            "{\"steam\":\"S\"}",
            "[]",
            "{\"limit\":-1}",
            "{\"seq\":0}",
            "{\"source_seq\":0}",
            "{\"subject\":\"a..b\"}",
            "{\"stop\":true}",
        ] {
            let refused = DlqRequest::from_json(body.as_bytes()).map_err(|error| error.err_code);
            assert_eq!(refused.err(), Some(20001), "{body}");
        }
    }
}
