//! The last N attempts, with the events between them.

use std::collections::VecDeque;

/// What is kept of starts and notices between the attempts.
const MAX_BETWEEN: usize = 1000;

/// The last that were told so far.
#[derive(Debug)]
pub(super) struct Last<T> {
    most: usize,
    kept: VecDeque<(T, bool)>,
    attempts: usize,
}

impl<T> Last<T> {
    /// At most so many attempts.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            kept: VecDeque::new(),
            attempts: 0,
        }
    }

    /// Takes what is told next.
    pub(super) fn push(&mut self, told: T, attempt: bool) {
        self.kept.push_back((told, attempt));
        self.attempts += usize::from(attempt);
        while self.attempts > self.most || self.kept.len() > self.most.saturating_add(MAX_BETWEEN) {
            let gone = self.kept.pop_front();
            self.attempts -= usize::from(gone.is_some_and(|(_, attempt)| attempt));
        }
    }

    /// What is left, in its order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = T> {
        self.kept.into_iter().map(|(told, _)| told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attempts_count_and_what_is_between_them_stays_bounded() {
        let left = |most: usize, told: &[(u32, bool)]| -> Vec<u32> {
            let mut last = Last::new(most);
            told.iter()
                .for_each(|(told, attempt)| last.push(*told, *attempt));
            last.into_iter().collect()
        };
        assert_eq!(
            left(
                2,
                &[
                    (1, false),
                    (2, true),
                    (3, true),
                    (4, false),
                    (5, true),
                    (6, false)
                ]
            ),
            [3, 4, 5, 6]
        );
        assert_eq!(left(0, &[(1, true), (2, false)]), [2]);
        assert_eq!(left(5, &[(1, true)]), [1]);
        let notices: Vec<_> = (0..5000).map(|number| (number, false)).collect();
        assert_eq!(left(2, &notices).len(), 2 + MAX_BETWEEN);
    }
}
