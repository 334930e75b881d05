//! What is published.

use crate::Error;
use midge_proto::encode::{self, Decimal};
use midge_proto::headers::{HeaderBlock, HeaderWriter};

/// Headers that go with a message, in order; a name may occur more than once.
///
/// ```
/// use midge_client::Headers;
///
/// let headers = Headers::new().with("Content-Type", "text/plain").with("Trace", "17");
/// assert_eq!(headers.get("Trace"), Some(&b"17"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// The block as it is sent; empty while there is no header.
    block: Vec<u8>,
    /// The first name that cannot be sent.
    refused: Option<String>,
}

impl Headers {
    /// Without a header.
    pub fn new() -> Self {
        Headers::default()
    }

    /// Adds a header. One that cannot be sent, with a blank or a colon in its
    /// name or a line end in its value, is told when it is published:
    /// [`Error::Header`].
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a header, as [`with`](Headers::with) does.
    pub fn add(&mut self, name: &str, value: &str) {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte > b' ' && byte != b':');
        if !is_name || value.contains(['\r', '\n']) {
            self.refused.get_or_insert_with(|| name.to_owned());
            return;
        }
        let before = std::mem::take(&mut self.block);
        HeaderWriter::from_block(&mut self.block, &before)
            .header(name.as_bytes(), value.as_bytes())
            .finish();
    }

    /// The value of the first header of this name, upper and lower case apart.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        HeaderBlock::new(&self.block).get(name.as_bytes())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
}

impl From<HeaderBlock<'_>> for Headers {
    /// The headers of a message that came, to be sent on.
    fn from(block: HeaderBlock<'_>) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in block {
            headers.add(
                &String::from_utf8_lossy(name),
                &String::from_utf8_lossy(value),
            );
        }
        headers
    }
}

/// A message to be published.
///
/// ```
/// use midge_client::{Headers, Publish};
///
/// let headers = Headers::new().with("Unit", "celsius");
/// let message = Publish::new("sensor.7", b"21.5").headers(&headers).reply("sensor.config");
/// # let _ = message;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    pub(crate) subject: &'a str,
    reply: Option<&'a str>,
    headers: Option<&'a Headers>,
    payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message without headers that asks for no answer.
    pub fn new(subject: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Publish {
            subject,
            reply: None,
            headers: None,
            payload: payload.as_ref(),
        }
    }

    /// Where answers go.
    #[must_use]
    pub fn reply(mut self, subject: &'a str) -> Self {
        self.reply = Some(subject);
        self
    }

    /// With these headers.
    #[must_use]
    pub fn headers(mut self, headers: &'a Headers) -> Self {
        self.headers = Some(headers);
        self
    }

    /// The message's length as a server counts it: headers and payload, in
    /// bytes.
    pub fn len(&self) -> usize {
        self.block().len() + self.payload.len()
    }

    /// Whether it has neither headers nor payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first header of this name.
    #[cfg(feature = "streams")]
    pub(crate) fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        HeaderBlock::new(self.block()).get(name)
    }

    fn block(&self) -> &'a [u8] {
        self.headers.map_or(&[], |headers| headers.block.as_slice())
    }

    /// What could break the line, or the block, is found before it is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_subject(self.subject)?;
        if let Some(reply) = self.reply {
            check_subject(reply)?;
        }
        match self.headers.and_then(|headers| headers.refused.as_ref()) {
            Some(name) => Err(Error::Header(name.clone())),
            None => Ok(()),
        }
    }

    /// Appends the frame.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let block = self.block();
        out.extend_from_slice(if block.is_empty() { b"PUB " } else { b"HPUB " });
        out.extend_from_slice(self.subject.as_bytes());
        out.push(b' ');
        let reply = self.reply.map(str::as_bytes);
        let size = Decimal::new(self.len());
        if block.is_empty() {
            encode::message_tail(out, reply, None, size.as_bytes(), self.payload);
            return;
        }
        let header_size = Decimal::new(block.len());
        let header_size = Some(header_size.as_bytes());
        encode::message_tail(out, reply, header_size, size.as_bytes(), block);
        // The block is in place of the payload, which goes before the last
        // line end.
        out.truncate(out.len() - encode::CRLF.len());
        out.extend_from_slice(self.payload);
        out.extend_from_slice(encode::CRLF);
    }
}

/// The longest subject, in bytes. Servers take lines of 4096 with all that is
/// in them, and end the connection at a longer one.
pub(crate) const SUBJECT_MAX: usize = 3800;

/// What is no subject could end the line and begin another one.
pub(crate) fn check_subject(subject: &str) -> Result<(), Error> {
    let bytes = subject.as_bytes();
    let is_short = bytes.len() <= SUBJECT_MAX;
    if is_short && midge_proto::is_literal(bytes) && !midge_proto::has_blank(bytes) {
        Ok(())
    } else {
        Err(Error::Subject(subject.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &Publish<'_>) -> String {
        message.check().expect("it can be sent");
        let mut out = Vec::new();
        message.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn frames_are_written_as_servers_read_them() {
        let message = Publish::new("a", "hi");
        assert_eq!(frame(&message), "PUB a 2\r\nhi\r\n");
        assert_eq!(frame(&message.reply("r")), "PUB a r 2\r\nhi\r\n");
        let headers = Headers::new().with("A", "b").with("A", "");
        assert_eq!(
            frame(&message.headers(&headers).reply("r")),
            "HPUB a r 23 25\r\nNATS/1.0\r\nA: b\r\nA: \r\n\r\nhi\r\n"
        );
        assert_eq!(
            frame(&message.headers(&Headers::new())),
            "PUB a 2\r\nhi\r\n"
        );
    }

    #[test]
    fn what_would_break_the_frame_is_refused() {
        let long = "a".repeat(SUBJECT_MAX + 1);
        for subject in ["", "a b", "a.*", ">", "a..b", "a\r\nPUB b 0", "a\tb", &long] {
            assert!(Publish::new(subject, "").check().is_err(), "{subject:?}");
            let message = Publish::new("a", "").reply(subject);
            assert!(message.check().is_err(), "{subject:?}");
        }
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\nb: y")] {
            let headers = Headers::new().with(name, value).with("C", "d");
            let error = Publish::new("a", "").headers(&headers).check();
            assert!(matches!(error, Err(Error::Header(_))), "{name:?}");
        }
    }
}
