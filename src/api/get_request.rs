//! Requests to read stored messages without a consumer.
//!
//! One body serves two requests. `STREAM.MSG.GET` reads one message and is
//! strict; `DIRECT.GET` may read many, passes over keys it does not know, and
//! refuses with a status line instead of an error.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use midge_proto::Timestamp;
use serde_json::Value;

/// The body of both requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetRequest {
    /// The message, or where to start; zero is unset.
    pub seq: u64,
    /// The last message of this subject; empty is unset.
    pub last_by_subj: String,
    /// The first message of this subject; empty is unset.
    pub next_by_subj: String,
    /// At most so many messages; zero is one, without the end marker.
    pub batch: i64,
    /// At most so many bytes; zero is the server's limit.
    pub max_bytes: i64,
    /// Where to start.
    pub start_time: Option<Timestamp>,
    /// The last message of each subject that matches one of these.
    pub multi_last: Vec<String>,
    /// As it was at this sequence; zero is now.
    pub up_to_seq: u64,
    /// As it was at this time.
    pub up_to_time: Option<Timestamp>,
    /// Leave headers out.
    pub no_hdr: bool,
}

/// Why a direct read was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectGetError {
    /// It does not say what to read.
    Empty,
    /// It is not JSON.
    Malformed,
    /// It says things that do not go together.
    Bad,
}

impl DirectGetError {
    /// The status line's number and text.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            DirectGetError::Empty => (408, "Empty Request"),
            DirectGetError::Malformed => (408, "Malformed Request"),
            DirectGetError::Bad => (408, "Bad Request"),
        }
    }
}

impl GetRequest {
    /// Reads the body of `STREAM.MSG.GET`, which asks for one message.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of
    /// ours; 10003 when it does not say which message, or says it twice.
    pub fn for_message(body: &[u8], strict: Strictness) -> Result<GetRequest, ApiError> {
        let request = GetRequest::read(body, strict)?;
        let many = request.batch != 0 || request.max_bytes != 0 || !request.multi_last.is_empty();
        if many || request.names_nothing() || request.contradicts() {
            return Err(ApiError::BAD_REQUEST);
        }
        Ok(request)
    }

    /// Reads the body of `DIRECT.GET.<stream>`.
    ///
    /// # Errors
    /// [`DirectGetError`], which becomes a status line.
    pub fn for_direct(body: &[u8]) -> Result<GetRequest, DirectGetError> {
        let request = GetRequest::read_leniently(body)?;
        if request.names_nothing() && request.multi_last.is_empty() {
            return Err(DirectGetError::Empty);
        }
        if request.contradicts() {
            return Err(DirectGetError::Bad);
        }
        Ok(request)
    }

    /// Reads the body of `DIRECT.GET.<stream>.<subject>`, which may only say
    /// that headers are not wanted.
    ///
    /// # Errors
    /// [`DirectGetError`], which becomes a status line.
    pub fn for_subject(body: &[u8], subject: &str) -> Result<GetRequest, DirectGetError> {
        let request = GetRequest::read_leniently(body)?;
        let plain = GetRequest {
            no_hdr: request.no_hdr,
            ..GetRequest::default()
        };
        if request != plain {
            return Err(DirectGetError::Bad);
        }
        Ok(GetRequest {
            last_by_subj: subject.to_owned(),
            ..plain
        })
    }

    fn read_leniently(body: &[u8]) -> Result<GetRequest, DirectGetError> {
        GetRequest::read(body, Strictness::Lenient).map_err(|_| DirectGetError::Malformed)
    }

    fn read(body: &[u8], strict: Strictness) -> Result<GetRequest, ApiError> {
        let mut request = GetRequest::default();
        json::read(body, strict, &mut |key, value| request.set(key, value))?;
        Ok(request)
    }

    fn set(&mut self, key: &str, value: Value) -> Result<Known, ApiError> {
        match key {
            "seq" => self.seq = json::uint(key, &value)?,
            "last_by_subj" => self.last_by_subj = json::string(key, value)?,
            "next_by_subj" => self.next_by_subj = json::string(key, value)?,
            "batch" => self.batch = json::int(key, &value)?,
            "max_bytes" => self.max_bytes = json::int(key, &value)?,
            "start_time" => self.start_time = Some(json::time(key, &value)?),
            "multi_last" => self.multi_last = json::strings(key, value)?,
            "up_to_seq" => self.up_to_seq = json::uint(key, &value)?,
            "up_to_time" => self.up_to_time = Some(json::time(key, &value)?),
            "no_hdr" => self.no_hdr = json::boolean(key, &value)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }

    fn names_nothing(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_empty()
            && self.next_by_subj.is_empty()
            && self.start_time.is_none()
    }

    fn contradicts(&self) -> bool {
        let last = !self.last_by_subj.is_empty();
        let next = !self.next_by_subj.is_empty();
        let multi = !self.multi_last.is_empty();
        (self.seq > 0 && (last || self.start_time.is_some()))
            || (last && (self.start_time.is_some() || next || self.batch > 0 || multi))
            || (next && multi)
            || (self.up_to_seq > 0 && self.up_to_time.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = r#""start_time":"2020-01-01T00:00:00Z""#;

    #[test]
    fn one_message_is_named_in_one_way() {
        for body in [
            r#"{"seq":1}"#,
            r#"{"last_by_subj":"D"}"#,
            r#"{"next_by_subj":"D"}"#,
            r#"{"seq":1,"next_by_subj":"D"}"#,
            r#"{"seq":0,"next_by_subj":"D"}"#,
            r#"{"no_hdr":true,"seq":1}"#,
            r#"{"up_to_seq":3,"seq":1}"#,
            &format!("{{{TIME}}}"),
            &format!("{{{TIME},\"next_by_subj\":\"D\"}}"),
        ] {
            assert!(
                GetRequest::for_message(body.as_bytes(), Strictness::Strict).is_ok(),
                "{body}"
            );
        }
        for body in [
            "",
            "{}",
            r#"{"seq":0}"#,
            r#"{"no_hdr":true}"#,
            r#"{"seq":1,"last_by_subj":"D"}"#,
            r#"{"last_by_subj":"D","next_by_subj":"D"}"#,
            r#"{"batch":1,"seq":1}"#,
            r#"{"multi_last":["D"]}"#,
            r#"{"max_bytes":1,"seq":1}"#,
            &format!("{{{TIME},\"seq\":1}}"),
            &format!("{{{TIME},\"last_by_subj\":\"D\"}}"),
        ] {
            assert_eq!(
                GetRequest::for_message(body.as_bytes(), Strictness::Strict),
                Err(ApiError::BAD_REQUEST),
                "{body}"
            );
        }
        let unknown = GetRequest::for_message(b"{\"x\":1}", Strictness::Strict)
            .map_err(|error| error.err_code);
        assert_eq!(unknown, Err(10025));
    }

    #[test]
    fn direct_reads_answer_as_seen_on_the_wire() {
        use DirectGetError::{Bad, Empty, Malformed};
        for (body, want) in [
            ("", Some(Empty)),
            ("null", Some(Empty)),
            ("{}", Some(Empty)),
            (r#"{"x":1}"#, Some(Empty)),
            (r#"{"seq":0}"#, Some(Empty)),
            (r#"{"batch":2}"#, Some(Empty)),
            (r#"{"up_to_seq":1}"#, Some(Empty)),
            (r#"{"multi_last":[]}"#, Some(Empty)),
            ("x", Some(Malformed)),
            ("[]", Some(Malformed)),
            (r#"{"seq":"a"}"#, Some(Malformed)),
            (r#"{"seq":1,"last_by_subj":"D"}"#, Some(Bad)),
            (r#"{"last_by_subj":"D","next_by_subj":"D"}"#, Some(Bad)),
            (r#"{"batch":2,"last_by_subj":"D"}"#, Some(Bad)),
            (r#"{"multi_last":["D"],"last_by_subj":"D"}"#, Some(Bad)),
            (r#"{"multi_last":["D"],"next_by_subj":"D"}"#, Some(Bad)),
            (r#"{"seq":1,"x":1}"#, None),
            (r#"{"seq":1,"batch":1,"next_by_subj":"D"}"#, None),
            (r#"{"multi_last":["D"],"seq":1}"#, None),
            (&format!("{{{TIME},\"multi_last\":[\"D\"]}}"), None),
            (&format!("{{{TIME},\"seq\":1}}"), Some(Bad)),
        ] {
            assert_eq!(
                GetRequest::for_direct(body.as_bytes()).err(),
                want,
                "{body}"
            );
        }
    }

    #[test]
    fn the_subject_form_takes_no_more_than_no_hdr() {
        let get = |body: &str| GetRequest::for_subject(body.as_bytes(), "k");
        assert_eq!(get("").map(|get| get.last_by_subj), Ok("k".to_owned()));
        assert_eq!(get(r#"{"no_hdr":true}"#).map(|get| get.no_hdr), Ok(true));
        assert!(get(r#"{"x":1}"#).is_ok());
        assert_eq!(get(r#"{"seq":1}"#), Err(DirectGetError::Bad));
        assert_eq!(get(r#"{"batch":1}"#), Err(DirectGetError::Bad));
        assert_eq!(get("x"), Err(DirectGetError::Malformed));
    }
}
