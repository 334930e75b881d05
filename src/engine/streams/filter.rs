//! Which subjects of a stream are meant.

/// A choice of subjects: all of them, or those that one of a few filters
/// covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Valid filters; none of them means all subjects.
    filters: Vec<Vec<u8>>,
    /// Every filter names exactly one subject, that of its own bytes.
    is_literal: bool,
}

impl Filter {
    pub(crate) fn all() -> Self {
        Filter::default()
    }

    pub(crate) fn new<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let filters: Vec<Vec<u8>> = filters
            .into_iter()
            .filter(|filter| !filter.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        if filters.iter().any(|filter| filter == b">") {
            return Filter::all();
        }
        let is_literal =
            !filters.is_empty() && filters.iter().all(|filter| midge_proto::is_literal(filter));
        Filter {
            filters,
            is_literal,
        }
    }

    /// The subject of this name and no other, also if that has wildcards for tokens:
    /// messages may be stored under it.
    pub(crate) fn exactly(subject: &[u8]) -> Self {
        Filter {
            filters: vec![subject.to_vec()],
            is_literal: true,
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        self.filters.is_empty()
    }

    /// The filters; none mean all subjects.
    pub(crate) fn filters(&self) -> &[Vec<u8>] {
        &self.filters
    }

    /// The subjects meant, if each is named.
    pub(crate) fn literals(&self) -> Option<&[Vec<u8>]> {
        self.is_literal.then_some(&self.filters[..])
    }

    /// Whether every subject meant is one that the other means.
    pub(crate) fn is_within(&self, other: &Filter) -> bool {
        let covers = |mine: &Vec<u8>| {
            let mut theirs = other.filters.iter();
            theirs.any(|theirs| midge_proto::is_subset(mine, theirs))
        };
        other.is_all() || (!self.is_all() && self.filters.iter().all(covers))
    }

    /// Whether some subject may be meant by both.
    pub(crate) fn collides(&self, other: &Filter) -> bool {
        let collides = |mine: &Vec<u8>| {
            let mut theirs = other.filters.iter();
            theirs.any(|theirs| midge_proto::subjects_collide(mine, theirs))
        };
        self.is_all() || other.is_all() || self.filters.iter().any(collides)
    }

    #[inline]
    pub(crate) fn matches(&self, subject: &[u8]) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        if self.is_literal {
            return self.filters.iter().any(|filter| filter == subject);
        }
        self.filters
            .iter()
            .any(|filter| midge_proto::matches(filter, subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_and_the_full_wildcard_mean_all() {
        for all in [
            Filter::all(),
            Filter::new([&b">"[..]]),
            Filter::new([&b""[..]]),
        ] {
            assert!(all.is_all() && all.matches(b"x") && all.literals().is_none());
        }
        let some = Filter::new([&b"a.*"[..], b"b"]);
        assert!(some.matches(b"a.x") && some.matches(b"b") && !some.matches(b"c"));
        assert!(some.literals().is_none());
        assert!(Filter::new([&b"a"[..], b"b"]).literals().is_some());
    }

    #[test]
    fn a_subject_may_look_like_a_filter() {
        for name in [&b"a.*"[..], b"a.>", b"*", b">"] {
            let filter = Filter::exactly(name);
            assert!(filter.matches(name) && !filter.matches(b"a.x") && !filter.is_all());
            assert_eq!(filter.literals(), Some(&[name.to_vec()][..]));
        }
    }

    #[test]
    fn filters_lie_within_each_other_or_apart() {
        let filter =
            |filters: &[&'static str]| Filter::new(filters.iter().map(|one| one.as_bytes()));
        let wide = filter(&["a.*", "b"]);
        assert!(filter(&["a.x", "b"]).is_within(&wide));
        assert!(!filter(&["a.x", "c"]).is_within(&wide));
        assert!(wide.is_within(&Filter::all()) && !Filter::all().is_within(&wide));
        assert!(filter(&["*.x", "c"]).collides(&wide) && Filter::all().collides(&wide));
        assert!(!filter(&["c", "a"]).collides(&wide));
    }
}
