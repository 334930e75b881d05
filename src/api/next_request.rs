//! What a puller asks a consumer for.

use super::error::ApiError;
use super::json::{self, Known, Strictness};
use midge_proto::Nanos;
use serde_json::Value;

/// The body of `CONSUMER.MSG.NEXT`, and of `+NXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextRequest {
    /// How many messages; less than one is one, which is what JSON without
    /// it asks for.
    pub batch: i64,
    /// How long to wait for them; zero is for ever.
    pub expires: Nanos,
    /// At most so many bytes; zero is no limit.
    pub max_bytes: i64,
    /// It is no JSON: it says nothing about groups, and need not.
    pub is_plain: bool,
    /// Do not wait.
    pub no_wait: bool,
    /// How often to show that it still waits; zero is never.
    pub idle_heartbeat: Nanos,
    /// The puller's priority group.
    pub group: String,
    /// Serve it only when so many messages are pending; zero is any number.
    pub min_pending: i64,
    /// Serve it only when so many messages are unacknowledged; zero is any
    /// number.
    pub min_ack_pending: i64,
    /// The pin that the puller holds.
    pub id: String,
    /// Lower is served first; 0 to 9.
    pub priority: i64,
}

impl Default for NextRequest {
    fn default() -> Self {
        NextRequest {
            batch: 1,
            expires: Nanos::ZERO,
            max_bytes: 0,
            is_plain: true,
            no_wait: false,
            idle_heartbeat: Nanos::ZERO,
            group: String::new(),
            min_pending: 0,
            min_ack_pending: 0,
            id: String::new(),
            priority: 0,
        }
    }
}

impl NextRequest {
    /// Reads the request: nothing, a bare number of messages, or JSON, in
    /// which keys nobody knows are passed over. Text that is none of these
    /// asks for one message.
    ///
    /// # Errors
    /// The text of the status, `Bad Request - …`, to be sent with number 400.
    pub fn parse(body: &[u8]) -> Result<NextRequest, String> {
        let body = body.trim_ascii();
        let mut request = NextRequest::default();
        if body.first() != Some(&b'{') {
            request.batch = bare_number(body).unwrap_or(1);
            return Ok(request);
        }
        request.batch = 0;
        request.is_plain = false;
        json::read(body, Strictness::Lenient, &mut |key, value| {
            request.set(key, value)
        })
        .map_err(|error| {
            let text = error.description.as_ref();
            bad_request(text.strip_prefix("invalid JSON: ").unwrap_or(text))
        })?;
        // Twice the pause has to fit, or a heartbeat would never come.
        if request.idle_heartbeat.0 > 0
            && request.idle_heartbeat.0.saturating_mul(2) > request.expires.0
        {
            return Err(bad_request("heartbeat value too large"));
        }
        Ok(request)
    }

    fn set(&mut self, key: &str, value: Value) -> Result<Known, ApiError> {
        match key {
            "batch" => self.batch = json::int(key, &value)?,
            "expires" => self.expires = json::nanos(key, &value)?,
            "max_bytes" => self.max_bytes = json::int(key, &value)?,
            "no_wait" => self.no_wait = json::boolean(key, &value)?,
            "idle_heartbeat" => self.idle_heartbeat = json::nanos(key, &value)?,
            "group" => self.group = json::string(key, value)?,
            "min_pending" => self.min_pending = json::int(key, &value)?,
            "min_ack_pending" => self.min_ack_pending = json::int(key, &value)?,
            "id" => self.id = json::string(key, value)?,
            "priority" => self.priority = json::int(key, &value)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }
}

fn bad_request(text: &str) -> String {
    format!("Bad Request - {text}")
}

/// A positive number.
fn bare_number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits)
        .ok()?
        .parse()
        .ok()
        .filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(body: &str) -> Result<i64, String> {
        NextRequest::parse(body.as_bytes()).map(|request| request.batch)
    }

    #[test]
    fn numbers_and_nothing_are_batches() {
        for (body, want) in [
            ("", 1),
            ("7", 7),
            ("0", 1),
            ("-1", 1),
            ("5x", 1),
            ("null", 1),
            ("{}", 0),
            (r#"{"batch":0}"#, 0),
            (r#"{"batch":-1,"x":1}"#, -1),
            (r#"{"BATCH":3}"#, 3),
        ] {
            assert_eq!(batch(body), Ok(want), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let refused = |body: &str| batch(body).expect_err(body);
        assert_eq!(
            refused(r#"{"expires":1000,"idle_heartbeat":1000}"#),
            "Bad Request - heartbeat value too large"
        );
        assert_eq!(
            refused(r#"{"idle_heartbeat":1000}"#),
            "Bad Request - heartbeat value too large"
        );
        assert!(refused("{").starts_with("Bad Request - "));
        assert!(refused(r#"{"batch":"a"}"#).starts_with("Bad Request - json: "));
    }
}
