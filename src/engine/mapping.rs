//! From subjects of one kind to subjects of another, token by token.
//!
//! `orders.*` to `shop.*.orders` gives `shop.7.orders` for `orders.7`. The
//! tokens that wildcards stand for go in order, or where `$1`, `$2` say.

use midge_proto::tokens;

/// Rewrites subjects that match a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The same for all.
    Word(Box<[u8]>),
    /// The token at this place.
    Token(usize),
    /// All tokens from this place on.
    Rest(usize),
}

impl Mapping {
    /// The mapping of subjects that match `from` to those that `to` spells.
    /// `None` if `to` is no such spelling, or leaves out what a wildcard of
    /// `from` stands for.
    pub fn new(from: &str, to: &str) -> Option<Mapping> {
        let (wildcards, mut used) = (places_of_wildcards(from), Vec::new());
        let mut parts = Vec::new();
        for token in tokens(to.as_bytes()) {
            let place = match wildcard(token) {
                Wildcard::None => None,
                Wildcard::Next => Some(used.len()),
                Wildcard::Numbered(number) => Some(number),
            };
            parts.push(match place {
                None => Part::Word(token.into()),
                Some(place) => {
                    used.push(place);
                    let is_rest = token == b">";
                    let (at, was_rest) = *wildcards.get(place)?;
                    match (is_rest, was_rest) {
                        (false, false) => Part::Token(at),
                        (true, true) => Part::Rest(at),
                        _ => return None,
                    }
                }
            });
        }
        let leaves_none = (0..wildcards.len()).all(|place| used.contains(&place));
        (leaves_none && midge_proto::is_valid_filter(to.as_bytes())).then_some(Mapping(parts))
    }

    /// The mapping back: of subjects as `to` spells them to those that match
    /// `from`, and the filter that the former match. `None` as above, but that
    /// `to` may have wildcards which lead nowhere.
    pub fn inverse(from: &str, to: &str) -> Option<(Mapping, String)> {
        let (mut filter, mut numbers) = (Vec::new(), Vec::new());
        for token in to.split('.') {
            match wildcard(token.as_bytes()) {
                Wildcard::None => filter.push(token),
                Wildcard::Next => {
                    numbers.push(numbers.len());
                    filter.push(token);
                }
                Wildcard::Numbered(number) => {
                    numbers.push(number);
                    filter.push("*");
                }
            }
        }
        let filter = filter.join(".");
        let wildcards = places_of_wildcards(&filter);
        let mut parts = Vec::new();
        let mut count = 0;
        for token in tokens(from.as_bytes()) {
            if matches!(wildcard(token), Wildcard::None) {
                parts.push(Part::Word(token.into()));
                continue;
            }
            let place = numbers.iter().position(|number| *number == count)?;
            count += 1;
            let (at, is_rest) = *wildcards.get(place)?;
            parts.push(match (token == b">", is_rest) {
                (false, false) => Part::Token(at),
                (true, true) => Part::Rest(at),
                _ => return None,
            });
        }
        let is_sound = midge_proto::is_valid_filter(filter.as_bytes());
        is_sound.then_some((Mapping(parts), filter))
    }

    /// The subject that a matching one becomes.
    pub(crate) fn apply(&self, subject: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(subject.len() + 16);
        for part in &self.0 {
            match part {
                Part::Word(word) => push(&mut out, word),
                Part::Token(at) => tokens(subject)
                    .skip(*at)
                    .take(1)
                    .for_each(|token| push(&mut out, token)),
                Part::Rest(at) => tokens(subject)
                    .skip(*at)
                    .for_each(|token| push(&mut out, token)),
            }
        }
        out
    }
}

fn push(subject: &mut Vec<u8>, token: &[u8]) {
    if !subject.is_empty() {
        subject.push(b'.');
    }
    subject.extend_from_slice(token);
}

/// Where a filter's wildcards stand, and whether each stands for all the rest.
fn places_of_wildcards(filter: &str) -> Vec<(usize, bool)> {
    let tokens = tokens(filter.as_bytes()).enumerate();
    tokens
        .filter(|(_, token)| matches!(*token, b"*" | b">"))
        .map(|(at, token)| (at, token == b">"))
        .collect()
}

enum Wildcard {
    None,
    /// `*` or `>`: the next one.
    Next,
    /// `$1`, `{{wildcard(1)}}`: the first one, which is number 0 here.
    Numbered(usize),
}

fn wildcard(token: &[u8]) -> Wildcard {
    if matches!(token, b"*" | b">") {
        return Wildcard::Next;
    }
    let text = std::str::from_utf8(token).unwrap_or_default();
    let long = text
        .strip_prefix("{{wildcard(")
        .and_then(|rest| rest.strip_suffix(")}}"));
    let digits = long.or_else(|| text.strip_prefix('$')).unwrap_or_default();
    match digits.parse::<usize>() {
        Ok(number) if number > 0 => Wildcard::Numbered(number - 1),
        _ => Wildcard::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(mapping: &Mapping, subject: &str) -> String {
        String::from_utf8(mapping.apply(subject.as_bytes())).unwrap()
    }

    #[test]
    fn tokens_go_where_they_are_told() {
        for (from, to, subject, wanted) in [
            ("a.b", "c", "a.b", "c"),
            ("a.*", "b.*", "a.x", "b.x"),
            ("a.*.*", "b.$2.$1", "a.x.y", "b.y.x"),
            ("a.*", "b.{{wildcard(1)}}.c", "a.x", "b.x.c"),
            ("a.>", "p.a.>", "a.x.y", "p.a.x.y"),
            ("*.a.>", "b.*.>", "x.a.y.z", "b.x.y.z"),
            ("$JS.API.>", "JS.>", "$JS.API.INFO", "JS.INFO"),
        ] {
            let mapping = Mapping::new(from, to).expect(to);
            assert_eq!(mapped(&mapping, subject), wanted, "{from} to {to}");
            let (back, filter) = Mapping::inverse(from, to).expect(to);
            assert_eq!(mapped(&back, wanted), subject, "{from} from {to}");
            assert!(midge_proto::matches(filter.as_bytes(), wanted.as_bytes()));
        }
    }

    #[test]
    fn what_leaves_something_out_is_refused() {
        for (from, to) in [
            ("a.*", "b"),
            ("a", "b.*"),
            ("a.*", "b.>"),
            ("a.*", "b.$2"),
            ("a", "b..c"),
        ] {
            assert_eq!(Mapping::new(from, to), None, "{from} to {to}");
        }
        assert_eq!(Mapping::inverse("a.*", "b"), None);
        assert_eq!(Mapping::inverse("a.*", "b.>"), None);
        assert!(Mapping::inverse("a.x", "b.*").is_some());
    }
}
