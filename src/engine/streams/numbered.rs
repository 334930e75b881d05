//! A few things by their numbers.

/// Things by their numbers, the lowest first. There are so few of them that a
/// vector does; a tree is some KB of program for each kind.
#[derive(Debug)]
pub(crate) struct Numbered<K, T> {
    all: Vec<(K, Box<T>)>,
}

impl<K, T> Default for Numbered<K, T> {
    fn default() -> Self {
        Numbered { all: Vec::new() }
    }
}

impl<K: Copy + Ord, T> Numbered<K, T> {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Puts one where its number belongs.
    pub(super) fn insert(&mut self, number: K, thing: Box<T>) {
        let at = self.all.partition_point(|(other, _)| *other < number);
        self.all.insert(at, (number, thing));
    }

    pub(super) fn get(&self, number: K) -> Option<&T> {
        let found = self.all.iter().find(|(other, _)| *other == number);
        found.map(|(_, thing)| &**thing)
    }

    pub(super) fn get_mut(&mut self, number: K) -> Option<&mut T> {
        let found = self.all.iter_mut().find(|(other, _)| *other == number);
        found.map(|(_, thing)| &mut **thing)
    }

    pub(super) fn remove(&mut self, number: K) -> Option<Box<T>> {
        let at = self.all.iter().position(|(other, _)| *other == number)?;
        Some(self.all.remove(at).1)
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> Vec<(K, Box<T>)> {
        std::mem::take(&mut self.all)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.all.iter().map(|(number, thing)| (*number, &**thing))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let all = self.all.iter_mut();
        all.map(|(number, thing)| (*number, &mut **thing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_stand_by_their_numbers() {
        let mut all = Numbered::default();
        for number in [3, 1, 2] {
            all.insert(number, Box::new(number * 10));
        }
        assert_eq!(all.remove(2), Some(Box::new(20)));
        assert_eq!((all.remove(2), all.len()), (None, 2));
        *all.get_mut(3).unwrap() += 1;
        assert_eq!((all.get(3), all.get(4)), (Some(&31), None));
        all.insert(2, Box::new(0));
        assert_eq!(
            all.iter().map(|(number, _)| number).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }
}
