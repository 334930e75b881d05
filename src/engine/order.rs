//! The one sort of what is sorted seldom.

use std::cmp::Ordering;

/// The places of so many things in their order; of two that are the same the
/// earlier one is first. What is compared is asked for by place: the code of a
/// sort is 4 KB for each type, and so there is one for all.
pub fn in_order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
    places
}
