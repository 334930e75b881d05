//! From a client's bytes to a [`Command`].
//!
//! [`parse`] looks at the front of a buffer and keeps nothing between calls:
//! given a frame cut at any byte it says what it is waiting for, and given
//! more bytes it starts over. A control line is at most a few kilobytes, so
//! starting over is cheaper than carrying a state machine through it.
//!
//! It decides as early as the bytes allow: a wrong verb, an over-long line or
//! a payload above the limit is refused before the rest of it arrives.

use crate::encode::CRLF;
use memchr::memchr;

/// How large a client may make one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// The longest argument part of a control line: what follows the verb and
    /// its blanks, without the line end. In bytes.
    pub max_control_line: usize,
    /// The longest payload, header block included. In bytes.
    pub max_payload: usize,
}

impl Default for ParseLimits {
    /// The limits of a nats-server without configuration.
    fn default() -> Self {
        ParseLimits {
            max_control_line: 4096,
            max_payload: 1024 * 1024,
        }
    }
}

/// The longest run of digits read as a size. Nine digits hold every payload
/// limit in use and cannot overflow; longer runs are refused as malformed.
const SIZE_DIGITS_MAX: usize = 9;

/// Blanks after a verb that are skipped before its argument starts. The verb,
/// these and the argument together bound what an unfinished line may hold.
const LEADING_BLANKS_MAX: usize = 64;

/// What a client asks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `CONNECT <json>`; the JSON is not yet looked at.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`.
    Subscribe {
        /// The subject filter, not yet validated.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for this subscription.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`.
    Unsubscribe {
        /// The subscription.
        sid: &'a [u8],
        /// End it after this many messages since SUB; 0 means at once.
        max: u64,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK` or `INFO`, which a client may send and nobody answers.
    Ignored,
    /// `HELP`: a person asks what can be typed.
    Help,
    /// `SEND <subject> <text…>`: a publish without byte counts.
    Send {
        /// The subject, not yet validated.
        subject: &'a [u8],
        /// The rest of the line.
        text: &'a [u8],
    },
    /// `ASK <subject> <text…>`: a request whose reply is shown.
    Ask {
        /// The subject, not yet validated.
        subject: &'a [u8],
        /// The rest of the line.
        text: &'a [u8],
    },
    /// `WHY <stream> <seq> [consumer]`: what became of a message.
    Why {
        /// The stream's name, not yet validated.
        stream: &'a [u8],
        /// The sequence.
        seq: u64,
        /// The consumer that is asked about; all if none is named.
        consumer: &'a [u8],
    },
}

/// A message on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The subject; only pedantic sessions have it validated.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The header block and the digits that gave its length, for HPUB.
    pub header: Option<HeaderSize<'a>>,
    /// Header block and body.
    pub payload: &'a [u8],
    /// The digits that gave the payload's length, as typed: `002` is passed
    /// on as `002`.
    pub size_digits: &'a [u8],
    /// What follows the subject and one blank, up to the end of the frame, if
    /// it reads just as it would in a MSG or HMSG: receivers then get these
    /// bytes in one piece. `None` when the line was spaced otherwise.
    pub tail: Option<&'a [u8]>,
}

/// The length of a header block, as a number and as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderSize<'a> {
    /// Bytes of the payload that are header block.
    pub len: usize,
    /// The digits that said so.
    pub digits: &'a [u8],
}

/// What [`parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole command.
    Whole {
        /// The command, borrowing from the input.
        command: Command<'a>,
        /// How many bytes of the input it took.
        used: usize,
    },
    /// The start of a command; call again with more.
    Partial(Needed),
}

/// What is missing from a partial frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// Bytes up to and including the next LF.
    Line,
    /// This many bytes in all, counted from the start of the frame.
    Bytes(usize),
}

/// The verbs whose arguments can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Connect,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Info,
    Send,
    Ask,
    Why,
}

/// What is wrong with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No verb starts like this.
    UnknownVerb,
    /// The argument part exceeds `max_control_line`.
    ControlLineTooLong,
    /// The announced payload exceeds `max_payload`.
    PayloadTooLarge,
    /// The payload is not followed by CR LF.
    PayloadUnterminated,
    /// Too few, too many or malformed arguments.
    Arguments(Verb),
    /// The client sent `-ERR`.
    ClientError,
}

/// A frame that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// The length of the faulty line, LF included, if it is whole.
    pub line_len: Option<usize>,
    /// The line is whole and ends in a bare LF, as typed lines do and those
    /// of programs do not.
    pub is_typed: bool,
}

impl ParseError {
    fn early(fault: Fault) -> Self {
        ParseError {
            fault,
            line_len: None,
            is_typed: false,
        }
    }

    fn in_line(fault: Fault, line: &[u8]) -> Self {
        ParseError {
            fault,
            line_len: Some(line.len()),
            is_typed: !line.ends_with(CRLF),
        }
    }
}

/// Reads one command from the front of `input`.
///
/// # Errors
/// [`ParseError`] as soon as no continuation of the input could be valid.
pub fn parse<'a>(input: &'a [u8], limits: &ParseLimits) -> Result<Parsed<'a>, ParseError> {
    for (verb, shape) in VERBS {
        let shared = input.len().min(verb.len());
        if !input[..shared].eq_ignore_ascii_case(&verb[..shared]) {
            continue;
        }
        if input.len() < verb.len() {
            return Ok(Parsed::Partial(Needed::Line));
        }
        return parse_shape(input, verb.len(), shape, limits);
    }
    Err(unknown_verb(input, limits))
}

/// How the bytes of a verb have to continue.
#[derive(Clone, Copy)]
enum Shape {
    /// A blank, then an argument of bounded length.
    Argument(Verb),
    /// Optional blanks, then an argument of bounded length.
    Tight(Verb),
    /// Anything up to the line end, which is ignored.
    Loose(Command<'static>),
    /// A blank; the line is an error from the client.
    Error,
}

const VERBS: [(&[u8], Shape); 14] = [
    (b"PUB", Shape::Argument(Verb::Pub)),
    (b"HPUB", Shape::Argument(Verb::Hpub)),
    (b"SUB", Shape::Argument(Verb::Sub)),
    (b"UNSUB", Shape::Argument(Verb::Unsub)),
    (b"PING", Shape::Loose(Command::Ping)),
    (b"PONG", Shape::Loose(Command::Pong)),
    (b"CONNECT", Shape::Tight(Verb::Connect)),
    (b"+OK", Shape::Loose(Command::Ignored)),
    (b"INFO", Shape::Tight(Verb::Info)),
    (b"-ERR", Shape::Error),
    (b"HELP", Shape::Loose(Command::Help)),
    (b"SEND", Shape::Argument(Verb::Send)),
    (b"ASK", Shape::Argument(Verb::Ask)),
    (b"WHY", Shape::Argument(Verb::Why)),
];

/// The error for a line that starts with no verb. The line end is looked for
/// only to tell a typing person from a program.
fn unknown_verb(input: &[u8], limits: &ParseLimits) -> ParseError {
    let window = &input[..input.len().min(limits.max_control_line)];
    match memchr(b'\n', window) {
        Some(lf) => ParseError::in_line(Fault::UnknownVerb, &input[..=lf]),
        None => ParseError::early(Fault::UnknownVerb),
    }
}

fn parse_shape<'a>(
    input: &'a [u8],
    verb_len: usize,
    shape: Shape,
    limits: &ParseLimits,
) -> Result<Parsed<'a>, ParseError> {
    match shape {
        Shape::Loose(command) => Ok(match find_line(input, verb_len, limits)? {
            Some(line_len) => Parsed::Whole {
                command,
                used: line_len,
            },
            None => Parsed::Partial(Needed::Line),
        }),
        Shape::Argument(verb) => {
            match input.get(verb_len) {
                None => return Ok(Parsed::Partial(Needed::Line)),
                Some(b' ' | b'\t') => {}
                Some(_) => return Err(unknown_verb(input, limits)),
            }
            match verb {
                Verb::Pub | Verb::Hpub => parse_message(input, verb_len + 1, verb, limits),
                _ => parse_line(input, verb_len + 1, verb, limits),
            }
        }
        Shape::Tight(verb) => parse_line(input, verb_len, verb, limits),
        Shape::Error => match input.get(verb_len) {
            None => Ok(Parsed::Partial(Needed::Line)),
            Some(b' ' | b'\t') => Err(ParseError::early(Fault::ClientError)),
            Some(_) => Err(unknown_verb(input, limits)),
        },
    }
}

/// Finds the line that starts the input: its length with its LF, or `None`
/// while it is unfinished.
fn find_line(
    input: &[u8],
    args_at: usize,
    limits: &ParseLimits,
) -> Result<Option<usize>, ParseError> {
    let bound = args_at + LEADING_BLANKS_MAX + limits.max_control_line + CRLF.len();
    let window = &input[args_at..input.len().min(bound)];
    match memchr(b'\n', window) {
        Some(lf) => {
            let line_len = args_at + lf + 1;
            // Only a line this long can break the limit; the blanks that do
            // not count are worth looking at only then.
            if lf > limits.max_control_line
                && argument(&input[args_at..line_len]).len() > limits.max_control_line
            {
                return Err(ParseError::in_line(
                    Fault::ControlLineTooLong,
                    &input[..line_len],
                ));
            }
            Ok(Some(line_len))
        }
        None if argument_so_far(window) > limits.max_control_line
            || args_at + window.len() == bound =>
        {
            Err(ParseError::early(Fault::ControlLineTooLong))
        }
        None => Ok(None),
    }
}

/// How much of an unfinished line counts against the limit. A last CR may yet
/// turn out to be part of the line end.
fn argument_so_far(window: &[u8]) -> usize {
    let blanks = window.iter().take_while(|b| is_blank(**b)).count();
    let rest = &window[blanks..];
    rest.len() - usize::from(rest.last() == Some(&b'\r'))
}

/// The argument part of a line: no blanks before it, no CR LF after it.
fn argument(line: &[u8]) -> &[u8] {
    let mut arg = line;
    if let [rest @ .., b'\n'] = arg {
        arg = rest;
    }
    if let [rest @ .., b'\r'] = arg {
        arg = rest;
    }
    while let [b' ' | b'\t', rest @ ..] = arg {
        arg = rest;
    }
    arg
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn parse_line<'a>(
    input: &'a [u8],
    args_at: usize,
    verb: Verb,
    limits: &ParseLimits,
) -> Result<Parsed<'a>, ParseError> {
    let Some(used) = find_line(input, args_at, limits)? else {
        return Ok(Parsed::Partial(Needed::Line));
    };
    let arg = argument(&input[args_at..used]);
    let command = match verb {
        Verb::Connect if !arg.is_empty() => Some(Command::Connect(arg)),
        Verb::Info if !arg.is_empty() => Some(Command::Ignored),
        Verb::Sub => subscribe(arg),
        Verb::Unsub => unsubscribe(arg),
        Verb::Send => text_message(arg).map(|(subject, text)| Command::Send { subject, text }),
        Verb::Ask => text_message(arg).map(|(subject, text)| Command::Ask { subject, text }),
        Verb::Why => why(arg),
        Verb::Connect | Verb::Info | Verb::Pub | Verb::Hpub => None,
    };
    match command {
        Some(command) => Ok(Parsed::Whole { command, used }),
        None => Err(ParseError::in_line(Fault::Arguments(verb), &input[..used])),
    }
}

fn subscribe(arg: &[u8]) -> Option<Command<'_>> {
    let mut words = arg
        .split(|b| matches!(b, b' ' | b'\t' | b'\r'))
        .filter(|word| !word.is_empty());
    let (first, second, third) = (words.next()?, words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    Some(match third {
        Some(sid) => Command::Subscribe {
            subject: first,
            queue: Some(second),
            sid,
        },
        None => Command::Subscribe {
            subject: first,
            queue: None,
            sid: second,
        },
    })
}

fn unsubscribe(arg: &[u8]) -> Option<Command<'_>> {
    let mut words = arg
        .split(|b| matches!(b, b' ' | b'\t' | b'\r'))
        .filter(|word| !word.is_empty());
    let (sid, max) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    // A maximum that is no number means "now", as with nats-server.
    let max = max.and_then(size).unwrap_or(0) as u64;
    Some(Command::Unsubscribe { sid, max })
}

fn why(arg: &[u8]) -> Option<Command<'_>> {
    let mut words = arg.split(|b| is_blank(*b)).filter(|word| !word.is_empty());
    let (stream, seq) = (words.next()?, words.next()?);
    let seq = std::str::from_utf8(seq).ok()?.parse().ok()?;
    let consumer = words.next().unwrap_or_default();
    words.next().is_none().then_some(Command::Why {
        stream,
        seq,
        consumer,
    })
}

/// Splits `<subject> <text…>`; the text keeps its inner blanks and may be empty.
fn text_message(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    if arg.is_empty() {
        return None;
    }
    let subject_len = arg.iter().take_while(|b| !is_blank(**b)).count();
    let text = arg.get(subject_len + 1..).unwrap_or_default();
    Some((&arg[..subject_len], text))
}

/// A decimal size as PUB and UNSUB write it.
#[inline]
pub(crate) fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut value = 0usize;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + usize::from(digit);
    }
    Some(value)
}

/// The words of a PUB or HPUB line: at most four, without allocation.
struct Words<'a> {
    words: [&'a [u8]; 4],
    count: usize,
}

impl<'a> Words<'a> {
    /// `None` when there are more than four.
    fn split(line: &'a [u8]) -> Option<Self> {
        let mut words: [&[u8]; 4] = [b""; 4];
        let mut count = 0;
        let mut at = 0;
        while at < line.len() {
            if is_blank(line[at]) {
                at += 1;
                continue;
            }
            let start = at;
            while at < line.len() && !is_blank(line[at]) {
                at += 1;
            }
            *words.get_mut(count)? = &line[start..at];
            count += 1;
        }
        Some(Words { words, count })
    }
}

/// PUB and HPUB: a control line and then a payload.
fn parse_message<'a>(
    input: &'a [u8],
    args_at: usize,
    verb: Verb,
    limits: &ParseLimits,
) -> Result<Parsed<'a>, ParseError> {
    let Some(line_len) = find_line(input, args_at, limits)? else {
        return Ok(Parsed::Partial(Needed::Line));
    };
    let malformed = || ParseError::in_line(Fault::Arguments(verb), &input[..line_len]);
    let arg = argument(&input[args_at..line_len]);
    let Words { words, count } = Words::split(arg).ok_or_else(malformed)?;
    let sizes = if verb == Verb::Hpub { 2 } else { 1 };
    let reply = match count.checked_sub(sizes) {
        Some(1) => None,
        Some(2) => Some(words[1]),
        _ => return Err(malformed()),
    };
    let size_digits = words[count - 1];
    let payload_len = size(size_digits).ok_or_else(malformed)?;
    let header = if verb == Verb::Hpub {
        let digits = words[count - 2];
        let len = size(digits).ok_or_else(malformed)?;
        if len > payload_len {
            return Err(malformed());
        }
        Some(HeaderSize { len, digits })
    } else {
        None
    };
    if payload_len > limits.max_payload {
        return Err(ParseError::in_line(
            Fault::PayloadTooLarge,
            &input[..line_len],
        ));
    }

    let payload_end = line_len + payload_len;
    let used = payload_end + CRLF.len();
    let end = &input[payload_end.min(input.len())..used.min(input.len())];
    if !CRLF.starts_with(end) {
        return Err(ParseError::in_line(
            Fault::PayloadUnterminated,
            &input[..line_len],
        ));
    }
    if end.len() < CRLF.len() {
        return Ok(Parsed::Partial(Needed::Bytes(used)));
    }
    Ok(Parsed::Whole {
        command: Command::Publish(Publish {
            subject: words[0],
            reply,
            header,
            payload: &input[line_len..payload_end],
            size_digits,
            tail: tail(&input[..used], line_len, words[0], &words[1..count]),
        }),
        used,
    })
}

/// The part of a frame behind its subject, if its words are each followed by
/// one blank and the last by CR LF, as a MSG has it.
fn tail<'a>(frame: &'a [u8], line_len: usize, subject: &[u8], words: &[&[u8]]) -> Option<&'a [u8]> {
    let words_len: usize = words.iter().map(|word| word.len() + 1).sum();
    let tail_at = line_len.checked_sub(words_len + 1)?;
    let mut rest = &frame[tail_at..line_len];
    for (index, word) in words.iter().enumerate() {
        let end: &[u8] = if index + 1 == words.len() { CRLF } else { b" " };
        rest = rest.strip_prefix(*word)?.strip_prefix(end)?;
    }
    // The subject itself has to stand right before, after its own blank.
    let before = &frame[..tail_at];
    before
        .strip_suffix(b" ")?
        .ends_with(subject)
        .then(|| &frame[tail_at..])
}
