//! What requests of the admin API ask, beside configurations.
//!
//! Bodies are read strictly, unless the server is told not to: a key nobody
//! knows is an error, so that a typing mistake does not purge a whole stream. An
//! empty body is an empty request.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use super::name::check_group_name;
use midge_proto::Timestamp;

/// Asks for a page of a list of streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageRequest {
    /// How many to skip.
    pub offset: usize,
    /// Only streams whose subjects collide with this; empty is all.
    pub subject: String,
}

/// Asks for a page of a list of consumers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerPageRequest {
    /// How many to skip.
    pub offset: usize,
}

/// Asks about a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamInfoRequest {
    /// Name the sequences that are missing.
    pub deleted_details: bool,
    /// Count the messages of each subject that matches; empty is none.
    pub subjects_filter: String,
    /// How many subjects to skip.
    pub offset: usize,
}

/// Asks to remove messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurgeRequest {
    /// Only subjects that match; empty is all.
    pub filter: String,
    /// Only those before this sequence; zero is no bound.
    pub seq: u64,
    /// All but so many of the newest; zero is none.
    pub keep: u64,
}

/// Asks to remove one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteMessageRequest {
    /// Which one.
    pub seq: u64,
    /// Do not overwrite what is on disk.
    pub no_erase: bool,
}

/// Asks a consumer to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PauseRequest {
    /// Until when; nothing is to go on.
    pub pause_until: Option<Timestamp>,
}

/// Asks to unpin the client of a priority group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnpinRequest {
    /// The group.
    pub group: String,
}

/// Asks a consumer to start over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResetRequest {
    /// Where; zero is at its ack floor.
    pub seq: u64,
}

/// Checks the body of a request that says everything in its subject.
///
/// # Errors
/// 10038 unless this is empty or `{}`.
pub fn expect_empty(body: &[u8]) -> Result<(), ApiError> {
    if is_empty(body) {
        Ok(())
    } else {
        Err(ApiError::NOT_EMPTY_REQUEST)
    }
}

/// Nothing at all, or `{}`. Blanks alone are not nothing.
pub(super) fn is_empty(body: &[u8]) -> bool {
    let mut dense = body.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (dense.next(), dense.next(), dense.next()) {
        (None, ..) => body.is_empty(),
        (Some(b'{'), Some(b'}'), None) => true,
        _ => false,
    }
}

/// What a request that may come without a body is read from: text that does
/// not begin an object or an array counts as none, as `nats req` and some
/// tools send a filler.
fn optional(body: &[u8]) -> &[u8] {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => body,
        _ => b"",
    }
}

impl PageRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<PageRequest, ApiError> {
        let mut request = PageRequest::default();
        json::read(optional(body), strict, &mut |key, value| {
            match key {
                "offset" => request.offset = json::offset(key, &value)?,
                "subject" => request.subject = json::string(key, value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl ConsumerPageRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<ConsumerPageRequest, ApiError> {
        let mut request = ConsumerPageRequest::default();
        json::read(optional(body), strict, &mut |key, value| {
            match key {
                "offset" => request.offset = json::offset(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl StreamInfoRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<StreamInfoRequest, ApiError> {
        let mut request = StreamInfoRequest::default();
        json::read(optional(body), strict, &mut |key, value| {
            match key {
                "deleted_details" => request.deleted_details = json::boolean(key, &value)?,
                "subjects_filter" => request.subjects_filter = json::string(key, value)?,
                "offset" => request.offset = json::offset(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl PurgeRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of
    /// ours; 10003 when it has both `seq` and `keep`.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<PurgeRequest, ApiError> {
        let mut request = PurgeRequest::default();
        json::read(optional(body), strict, &mut |key, value| {
            match key {
                "filter" => request.filter = json::string(key, value)?,
                "seq" => request.seq = json::uint(key, &value)?,
                "keep" => request.keep = json::uint(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        if request.seq > 0 && request.keep > 0 {
            return Err(ApiError::BAD_REQUEST);
        }
        Ok(request)
    }
}

impl DeleteMessageRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of
    /// ours; 10003 when it says nothing.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<DeleteMessageRequest, ApiError> {
        if is_empty(body) {
            return Err(ApiError::BAD_REQUEST);
        }
        let mut request = DeleteMessageRequest {
            seq: 0,
            no_erase: false,
        };
        json::read(body, strict, &mut |key, value| {
            match key {
                "seq" => request.seq = json::uint(key, &value)?,
                "no_erase" => request.no_erase = json::boolean(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl PauseRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a key or a value that is none of ours.
    pub fn from_json(body: &[u8], strict: Strictness) -> Result<PauseRequest, ApiError> {
        let mut request = PauseRequest::default();
        json::read(optional(body), strict, &mut |key, value| {
            match key {
                "pause_until" => request.pause_until = json::time(key, &value)?.get(),
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

impl UnpinRequest {
    /// Reads the request. Keys nobody knows are passed over here.
    ///
    /// # Errors
    /// 10025 when this is not JSON, has a value of the wrong type, or names
    /// no group; 10162 when no group can be called so.
    pub fn from_json(body: &[u8]) -> Result<UnpinRequest, ApiError> {
        if body.is_empty() {
            return Err(ApiError::invalid_json("unexpected end of JSON input"));
        }
        let mut request = UnpinRequest::default();
        json::read(body, Strictness::Lenient, &mut |key, value| {
            match key {
                "group" => request.group = json::string(key, value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        if request.group.is_empty() {
            return Err(ApiError::invalid_json("consumer group not specified"));
        }
        check_group_name(&request.group)?;
        Ok(request)
    }
}

impl ResetRequest {
    /// Reads the request. Keys nobody knows are passed over here.
    ///
    /// # Errors
    /// 10025 when this is not JSON, or has a value of the wrong type.
    pub fn from_json(body: &[u8]) -> Result<ResetRequest, ApiError> {
        let mut request = ResetRequest::default();
        json::read(body, Strictness::Lenient, &mut |key, value| {
            match key {
                "seq" => request.seq = json::uint(key, &value)?,
                _ => return Ok(Known::No),
            }
            Ok(Known::Yes)
        })?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_empty() {
        for body in ["", "{}", " { } \n"] {
            assert_eq!(expect_empty(body.as_bytes()), Ok(()), "{body}");
        }
        for body in ["x", "{", "null", r#"{"x":1}"#, "{}{", " "] {
            assert_eq!(
                expect_empty(body.as_bytes()),
                Err(ApiError::NOT_EMPTY_REQUEST),
                "{body}"
            );
        }
    }

    #[test]
    fn a_key_nobody_knows_may_be_passed_over() {
        let body = b"{\"keep\":1,\"x\":{}}";
        let read = PurgeRequest::from_json(body, Strictness::Lenient);
        assert_eq!(read.map(|request| request.keep), Ok(1));
    }

    #[test]
    fn a_typing_mistake_does_not_purge() {
        let purge = |body: &str| PurgeRequest::from_json(body.as_bytes(), Strictness::Strict);
        assert_eq!(purge(""), Ok(PurgeRequest::default()));
        assert_eq!(purge("{\"keep\":1}").map(|request| request.keep), Ok(1));
        assert_eq!(purge("{\"seq\":1,\"keep\":1}"), Err(ApiError::BAD_REQUEST));
        assert_eq!(
            purge("{\"filtr\":\"a\"}").map_err(|error| error.into_description()),
            Err("invalid JSON: json: unknown field \"filtr\"".to_owned())
        );
    }

    #[test]
    fn a_filler_is_no_body() {
        for body in ["x", "0", " ", "null", "\"a\""] {
            assert_eq!(
                PageRequest::from_json(body.as_bytes(), Strictness::Strict),
                Ok(PageRequest::default()),
                "{body}"
            );
        }
        for body in ["[1]", " {\"subject\":\"x\"}"] {
            let read = ConsumerPageRequest::from_json(body.as_bytes(), Strictness::Strict);
            assert_eq!(read.map_err(|e| e.err_code), Err(10025), "{body}");
        }
    }

    #[test]
    fn lists_take_any_offset() {
        let page = |body: &str| PageRequest::from_json(body.as_bytes(), Strictness::Strict);
        assert_eq!(page("{\"offset\":-1}").map(|page| page.offset), Ok(0));
        assert_eq!(
            page("{\"offset\":3,\"subject\":\"a\"}"),
            Ok(PageRequest {
                offset: 3,
                subject: "a".to_owned()
            })
        );
    }

    #[test]
    fn a_pause_without_time_is_its_end() {
        let pause = |body: &str| PauseRequest::from_json(body.as_bytes(), Strictness::Strict);
        assert_eq!(pause(""), Ok(PauseRequest::default()));
        assert_eq!(
            pause("{\"pause_until\":\"0001-01-01T00:00:00Z\"}"),
            Ok(PauseRequest::default())
        );
        assert_eq!(
            pause("{\"pause_until\":\"x\"}").map_err(|e| e.err_code),
            Err(10025)
        );
        assert_eq!(
            DeleteMessageRequest::from_json(b"", Strictness::Strict),
            Err(ApiError::BAD_REQUEST)
        );
    }
}
