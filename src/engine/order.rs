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

/// Puts values in their order, each of them once.
pub(crate) fn put_in_order<T: Copy + Ord>(values: &mut Vec<T>) {
    // As a rule there are few, or they have come like this.
    if values.is_sorted_by(|a, b| a < b) {
        return;
    }
    let order = in_order(values.len(), &|a, b| values[a].cmp(&values[b]));
    *values = order.into_iter().map(|place| values[place]).collect();
    values.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_order_once_each() {
        for (mut given, wanted) in [
            (vec![], vec![]),
            (vec![3], vec![3]),
            (vec![1, 2, 9], vec![1, 2, 9]),
            (vec![2, 2], vec![2]),
            (vec![9, 1, 4, 1, 9, 2], vec![1, 2, 4, 9]),
        ] {
            put_in_order(&mut given);
            assert_eq!(given, wanted);
        }
    }
}
