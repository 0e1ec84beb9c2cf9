//! Limits a recurring message to one a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the next is not worth one.
const QUIET: Duration = Duration::from_secs(60);

/// At most one message a minute. For a `static` at the place where it is said.
#[derive(Debug)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// One that has said nothing yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default can't be a static's value"
    )]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether it is to be said now.
    pub fn due(&self) -> bool {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_a_minute() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let due = |second| seldom.due_at(start + Duration::from_secs(second));
        assert_eq!(
            [0, 1, 59, 60, 61, 119, 120].map(due),
            [true, false, false, true, false, false, true]
        );
    }
}
