//! What somebody may have meant.

/// More slips than this in a word make another one of it.
const SLIPS_MAX: usize = 2;

/// `: did you mean …?`, or else the names that there are; each with something
/// before it, as dashes.
pub(crate) fn nearest(
    word: &str,
    before: &str,
    names: impl Iterator<Item = &'static str>,
) -> String {
    let mut all = String::new();
    let mut best = None;
    for name in names {
        let is_start = !word.is_empty() && name.starts_with(word);
        let slips = match is_start || letters(word) == letters(name) {
            true => 1,
            false => slips(word, name),
        };
        // In a short word two slips are another word.
        let is_near = slips <= SLIPS_MAX && slips * 2 <= name.len().max(word.len());
        if is_near && best.is_none_or(|(least, _)| slips < least) {
            best = Some((slips, name));
        }
        // Places may be given by name, but need not.
        if name.starts_with(|first: char| first.is_ascii_lowercase()) {
            all.push_str(if all.is_empty() { "" } else { ", " });
            all.push_str(before);
            all.push_str(name);
        }
    }
    match best {
        Some((_, name)) => format!(": did you mean {before}{}?", name.to_ascii_lowercase()),
        None => format!("; there is {all}"),
    }
}

/// The same ones in another order are one slip.
fn letters(word: &str) -> [usize; 256] {
    let mut counts = [0; 256];
    for letter in word.bytes() {
        counts[usize::from(letter)] += 1;
    }
    counts
}

/// Letters to put in, leave out or change to make one word of the other.
fn slips(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let changed = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = changed.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("", "ab", 2),
            ("sub", "pub", 1),
            ("strea", "stream", 1),
            ("lits", "list", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(a, b), wanted, "{a} {b}");
            assert_eq!(slips(b, a), wanted, "{b} {a}");
        }
    }

    #[test]
    fn near_is_named_and_else_all() {
        let names = || ["ls", "show", "redrive", "STREAM"].into_iter();
        for (word, wanted) in [
            ("sl", ": did you mean --ls?"),
            ("shw", ": did you mean --show?"),
            ("re", ": did you mean --redrive?"),
            ("l", ": did you mean --ls?"),
            ("xx", "; there is --ls, --show, --redrive"),
            ("", "; there is --ls, --show, --redrive"),
        ] {
            assert_eq!(nearest(word, "--", names()), wanted, "{word}");
        }
    }
}
