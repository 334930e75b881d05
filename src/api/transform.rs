//! From one subject to another, with the functions that nats-server knows.
//!
//! A stream changes the subjects of what it takes in, of what it copies from
//! other streams and of what it publishes again by such a rule. What makes
//! no sense is refused when the rule is made; applying it cannot fail.

use crate::stream_source::SubjectTransform;
use midge_proto::encode::Decimal;
use midge_proto::{has_blank, is_valid_filter, matches, tokens};
use std::fmt;

/// Why a destination makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformError {
    what: &'static str,
    /// The token that it is about; empty if that is all of it.
    token: String,
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.token.is_empty() {
            write!(f, " in {}", self.token)?;
        }
        Ok(())
    }
}

const BAD_SUBJECT: &str = "invalid subject";
const BAD_DESTINATION: &str = "invalid mapping destination: invalid transform";
const OUT_OF_RANGE: &str = "invalid mapping destination: wildcard index out of range";
const TOO_FEW: &str = "invalid mapping destination: not enough arguments passed to the function";
const TOO_MANY: &str = "invalid mapping destination: too many arguments passed to the function";
const BAD_ARGUMENT: &str =
    "invalid mapping destination: function argument is invalid or in the wrong format";
const UNKNOWN: &str = "invalid mapping destination: unknown function";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Wildcard,
    Partition,
    Random,
    Split,
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Left,
    Right,
}

/// Where there is a capital there may be a small letter as well.
const FUNCTIONS: [(&str, Function); 10] = [
    ("Wildcard", Function::Wildcard),
    ("Partition", Function::Partition),
    ("Random", Function::Random),
    ("Split", Function::Split),
    ("SplitFromLeft", Function::SplitFromLeft),
    ("SplitFromRight", Function::SplitFromRight),
    ("SliceFromLeft", Function::SliceFromLeft),
    ("SliceFromRight", Function::SliceFromRight),
    ("Left", Function::Left),
    ("Right", Function::Right),
];

/// A piece of the new subject; all of them are tokens or more.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Word(Box<[u8]>),
    /// All tokens from this place on.
    Rest(usize),
    Call(Call),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    function: Function,
    /// What it is applied to: places of tokens.
    places: Vec<usize>,
    number: i64,
    delimiter: Box<[u8]>,
}

/// Rewrites the subjects that its filter means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    from: Box<[u8]>,
    /// None: they stay as they are.
    parts: Vec<Part>,
}

impl Transform {
    /// The transform that this asks for. An empty source is `>`, an empty
    /// destination leaves subjects as they are.
    ///
    /// # Errors
    /// What is wrong with the destination, or that it does not fit the source.
    pub fn new(asked: &SubjectTransform) -> Result<Transform, TransformError> {
        let from = match asked.src.as_str() {
            "" => ">",
            src => src,
        };
        let mut transform = Transform {
            from: from.as_bytes().into(),
            parts: Vec::new(),
        };
        let to = asked.dest.as_bytes();
        if to.is_empty() {
            return Ok(transform);
        }
        let error = |what| TransformError {
            what,
            token: String::new(),
        };
        // The arguments of functions may have blanks between them.
        let has_space = tokens(to).any(|token| has_blank(token) && !is_call(token));
        if has_space || !is_valid_filter(to) {
            return Err(error(BAD_DESTINATION));
        }
        let ends_in_rest = |subject: &[u8]| tokens(subject).next_back() == Some(b">");
        if !is_valid_filter(from.as_bytes())
            || tokens(to).any(|token| token == b"*")
            || ends_in_rest(from.as_bytes()) != ends_in_rest(to)
        {
            return Err(error(BAD_SUBJECT));
        }
        let source = tokens(from.as_bytes());
        let places: Vec<usize> = source
            .clone()
            .enumerate()
            .filter(|(_, token)| *token == b"*")
            .map(|(place, _)| place)
            .collect();
        let rest = source.count() - 1;
        for token in tokens(to) {
            let part = match token {
                b">" => Part::Rest(rest),
                _ => read_token(token, &places)?,
            };
            transform.parts.push(part);
        }
        Ok(transform)
    }

    /// What a subject becomes; `None` if it is not meant. `random` gives
    /// numbers below the one it is called with.
    ///
    /// The subject need not be one that can be published to: a function may
    /// leave nothing of a token.
    pub fn apply(&self, subject: &[u8], random: &mut dyn FnMut(usize) -> usize) -> Option<Vec<u8>> {
        if !matches(&self.from, subject) {
            return None;
        }
        if self.parts.is_empty() {
            return Some(subject.to_vec());
        }
        let all: Vec<&[u8]> = tokens(subject).collect();
        let mut out = Vec::with_capacity(subject.len() + 16);
        for part in &self.parts {
            if !out.is_empty() {
                out.push(b'.');
            }
            match part {
                Part::Word(word) => out.extend_from_slice(word),
                Part::Rest(place) => join(&mut out, all.iter().skip(*place).copied()),
                Part::Call(call) => call.write(&mut out, subject, &all, random),
            }
        }
        Some(out)
    }
}

impl Call {
    fn write(
        &self,
        out: &mut Vec<u8>,
        subject: &[u8],
        all: &[&[u8]],
        random: &mut dyn FnMut(usize) -> usize,
    ) {
        let mut token = |place: &usize| all.get(*place).copied().unwrap_or_default();
        let whole = self.places.first().map(&mut token).unwrap_or_default();
        let len = usize::try_from(self.number).unwrap_or(0);
        // A cut that leaves a side with nothing is none.
        let cut = Some(len).filter(|len| *len > 0 && *len < whole.len());
        match (self.function, cut) {
            (Function::Partition, _) => {
                let key = match self.places.is_empty() {
                    true => subject.to_vec(),
                    false => self.places.iter().flat_map(token).copied().collect(),
                };
                let count = (self.number as u32).max(1);
                put_number(out, (fnv1a(&key) % count) as usize);
            }
            (Function::Random, _) => put_number(out, if len == 0 { 0 } else { random(len) }),
            (Function::Split, _) => split(out, whole, &self.delimiter),
            (Function::SplitFromLeft, Some(len)) => join(out, [&whole[..len], &whole[len..]]),
            (Function::SplitFromRight, Some(len)) => {
                let at = whole.len() - len;
                join(out, [&whole[..at], &whole[at..]]);
            }
            (Function::SliceFromLeft, Some(len)) => join(out, whole.chunks(len)),
            (Function::SliceFromRight, Some(len)) => {
                let (odd, even) = whole.split_at(whole.len() % len);
                let odd = Some(odd).filter(|odd| !odd.is_empty());
                join(out, odd.into_iter().chain(even.chunks(len)));
            }
            (Function::Left, Some(len)) => out.extend_from_slice(&whole[..len]),
            (Function::Right, Some(len)) => out.extend_from_slice(&whole[whole.len() - len..]),
            _ => out.extend_from_slice(whole),
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(Decimal::new(number).as_bytes());
}

fn join<'a>(out: &mut Vec<u8>, tokens: impl IntoIterator<Item = &'a [u8]>) {
    for (place, token) in tokens.into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(token);
    }
}

/// What lies between delimiters, as tokens; without one each character is one.
fn split(out: &mut Vec<u8>, token: &[u8], delimiter: &[u8]) {
    let (mut rest, mut is_first) = (token, true);
    while !rest.is_empty() {
        let at = match delimiter.len() {
            0 => character_len(rest),
            len => {
                let found = rest.windows(len).position(|window| window == delimiter);
                found.unwrap_or(rest.len())
            }
        };
        if at > 0 {
            if !is_first {
                out.push(b'.');
            }
            is_first = false;
            out.extend_from_slice(&rest[..at]);
        }
        rest = rest.get(at + delimiter.len()..).unwrap_or_default();
    }
}

/// Bytes of the first character; one that is none is as long as a byte.
fn character_len(bytes: &[u8]) -> usize {
    let is_whole = |len: &usize| {
        let start = bytes.get(..*len);
        start.is_some_and(|start| std::str::from_utf8(start).is_ok())
    };
    (1..=4).find(is_whole).unwrap_or(1)
}

/// The hash that decides on a partition, the same wherever it is computed.
fn fnv1a(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    bytes.iter().fold(2_166_136_261, step)
}

/// Whether this is the name of a known function.
fn is_name(known: &str, name: &str) -> bool {
    let is_letter = |(known, given): (u8, u8)| given == known || given == known | 0x20;
    known.len() == name.len() && known.bytes().zip(name.bytes()).all(is_letter)
}

/// Whether a token of a destination is a function.
fn is_call(token: &[u8]) -> bool {
    token.len() > 4 && token.starts_with(b"{{") && token.ends_with(b"}}")
}

/// A token of a destination, for a source with wildcards at these places.
fn read_token(token: &[u8], wildcards: &[usize]) -> Result<Part, TransformError> {
    let text = String::from_utf8_lossy(token).into_owned();
    let error = |what| {
        Err(TransformError {
            what,
            token: text.clone(),
        })
    };
    let mut call = match read_call(token, &text) {
        Ok(Some(call)) => call,
        Ok(None) => return Ok(Part::Word(token.into())),
        Err(what) => return error(what),
    };
    for place in &mut call.places {
        let number = *place;
        let found = match number {
            0 => wildcards.first().map(|_| 0),
            _ => wildcards.get(number - 1).copied(),
        };
        let Some(found) = found else {
            let index = match wildcards.is_empty() {
                true => String::new(),
                false => format!(": [{number}]"),
            };
            return Err(TransformError {
                what: OUT_OF_RANGE,
                token: format!("{text}{index}"),
            });
        };
        *place = found;
    }
    Ok(Part::Call(call))
}

/// The function that a token calls, its places being numbers of wildcards;
/// one below 1 means the first token, as with nats-server.
fn read_call(token: &[u8], text: &str) -> Result<Option<Call>, &'static str> {
    let mut call = Call {
        function: Function::Wildcard,
        places: Vec::new(),
        number: 0,
        delimiter: Box::default(),
    };
    if let Some(digits) = text.strip_prefix('$') {
        let Ok(number) = digits.parse::<i64>() else {
            return Ok(None);
        };
        call.places.push(usize::try_from(number).unwrap_or(0));
        return Ok(Some(call));
    }
    if !is_call(token) {
        return Ok(None);
    }
    let inner = &text[2..text.len() - 2];
    let (name, rest) = inner.split_once('(').ok_or(UNKNOWN)?;
    let (arguments, _) = rest.rsplit_once(')').ok_or(UNKNOWN)?;
    let name = name.trim();
    let known = FUNCTIONS.iter().find(|(known, _)| is_name(known, name));
    call.function = known.ok_or(UNKNOWN)?.1;
    let arguments: Vec<&str> = arguments.split(',').collect();
    let number = |text: &str| text.trim().parse::<i32>().map_err(|_| BAD_ARGUMENT);
    let place = |text: &str| number(text).map(|number| usize::try_from(number).unwrap_or(0));
    match (call.function, &arguments[..]) {
        (Function::Wildcard, [""]) => return Err(TOO_FEW),
        (Function::Wildcard, [one]) => call.places.push(place(one)?),
        (Function::Partition, [count, places @ ..]) => {
            call.number = i64::from(number(count)?);
            for one in places {
                call.places.push(place(one)?);
            }
        }
        (Function::Random, [count]) => call.number = i64::from(number(count)?),
        // As nats-server says it.
        (Function::Random, _) => return Err(TOO_FEW),
        (Function::Split, [one, delimiter]) => {
            call.places.push(place(one)?);
            let delimiter = delimiter.trim_start();
            if delimiter.contains(' ') {
                return Err(BAD_ARGUMENT);
            }
            call.delimiter = delimiter.as_bytes().into();
        }
        (_, [one, count]) if call.function != Function::Wildcard => {
            call.places.push(place(one)?);
            call.number = i64::from(number(count)?);
        }
        (Function::Wildcard, _) => return Err(TOO_MANY),
        (_, [_]) => return Err(TOO_FEW),
        _ => return Err(TOO_MANY),
    }
    Ok(Some(call))
}

#[cfg(test)]
#[path = "transform_tests.rs"]
mod tests;
