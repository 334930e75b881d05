//! As much HTTP as monitoring needs: GET and HEAD, no bodies, keep-alive.

use crate::query::{Query, decode};
use memchr::memmem;
use std::fmt;

/// What most pages are.
pub(crate) const JSON: &str = "application/json";

/// The longest request head. Monitoring tools send a few hundred bytes.
pub(crate) const HEAD_MAX: usize = 8 * 1024;

/// A request for a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: Query,
    /// The answer goes without its body.
    pub(crate) is_head: bool,
    /// The connection stays for another request.
    pub(crate) keep_alive: bool,
}

/// Why a request was not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    TooLong,
    Malformed,
    Method,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    HeadTooLong,
    Unavailable,
}

impl Status {
    pub(crate) fn code(self) -> u64 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::HeadTooLong => 431,
            Status::Unavailable => 503,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::HeadTooLong => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        })
    }
}

impl Request {
    /// Reads one request off the front of `received` and removes it. `None`
    /// while it is incomplete.
    pub(crate) fn take(received: &mut Vec<u8>) -> Result<Option<Request>, RequestError> {
        let Some((head_len, used)) = head_end(received) else {
            if received.len() > HEAD_MAX {
                return Err(RequestError::TooLong);
            }
            return Ok(None);
        };
        if head_len > HEAD_MAX {
            return Err(RequestError::TooLong);
        }
        let request = Request::parse(&received[..head_len]);
        received.drain(..used);
        request.map(Some)
    }

    fn parse(head: &[u8]) -> Result<Request, RequestError> {
        let head = std::str::from_utf8(head).map_err(|_| RequestError::Malformed)?;
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(RequestError::Malformed);
        };
        if !target.starts_with('/') || !version.starts_with("HTTP/1.") {
            return Err(RequestError::Malformed);
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(RequestError::Method);
        }
        let mut keep_alive = version != "HTTP/1.0";
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(RequestError::Malformed);
            };
            if name.eq_ignore_ascii_case("connection") {
                keep_alive = value
                    .split(',')
                    .all(|option| !option.trim().eq_ignore_ascii_case("close"));
            }
            let announces_body = name.eq_ignore_ascii_case("transfer-encoding")
                || (name.eq_ignore_ascii_case("content-length") && value.trim() != "0");
            if announces_body {
                return Err(RequestError::Malformed);
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Request {
            path: decode(path),
            query: Query::parse(query),
            is_head: method == "HEAD",
            keep_alive,
        })
    }
}

/// Where the head ends, and where the blank line behind it does.
fn head_end(received: &[u8]) -> Option<(usize, usize)> {
    let crlf = memmem::find(received, b"\r\n\r\n").map(|at| (at, at + 4));
    let lf = memmem::find(received, b"\n\n").map(|at| (at, at + 2));
    match (crlf, lf) {
        (Some(crlf), Some(lf)) => Some(crlf.min(lf)),
        (crlf, lf) => crlf.or(lf),
    }
}

impl Response {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Response {
            status: Status::Ok,
            content_type: JSON,
            body,
        }
    }

    pub(crate) fn text(status: Status, body: impl Into<String>) -> Self {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into().into_bytes(),
        }
    }

    /// Appends head and body.
    pub(crate) fn encode(&self, with_body: bool, keep_alive: bool, out: &mut Vec<u8>) {
        let Response {
            status,
            content_type,
            body,
        } = self;
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let len = body.len();
        out.extend_from_slice(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\
                 Access-Control-Allow-Origin: *\r\nX-Content-Type-Options: nosniff\r\n\
                 Connection: {connection}\r\n\r\n"
            )
            .as_bytes(),
        );
        if with_body {
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Option<Request>, RequestError> {
        Request::take(&mut text.as_bytes().to_vec())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request = take("GET /connz?subs=1 HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("valid")
            .expect("whole");
        assert_eq!(request.path, "/connz");
        assert_eq!(request.query.get("subs"), Some("1"));
        assert!(request.keep_alive && !request.is_head);
    }

    #[test]
    fn requests_behind_each_other_are_taken_one_by_one() {
        let mut received = b"GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.0\r\n\r\nGET".to_vec();
        let first = Request::take(&mut received).expect("valid").expect("whole");
        let second = Request::take(&mut received).expect("valid").expect("whole");
        assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/b"));
        assert!(second.is_head && !second.keep_alive);
        assert_eq!(Request::take(&mut received), Ok(None));
    }

    #[test]
    fn what_is_no_page_request_is_refused() {
        assert_eq!(take("POST / HTTP/1.1\r\n\r\n"), Err(RequestError::Method));
        for text in [
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
            "GET / x HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nnonsense\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(take(text), Err(RequestError::Malformed), "{text:?}");
        }
        assert_eq!(take(&"x".repeat(HEAD_MAX + 1)), Err(RequestError::TooLong));
    }
}
