//! How many queries a second are read. One above the limit is recorded like every denial, and the
//! record bounds its own size.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Questions heard a second. A busy crawler asks some hundreds.
pub(super) const QUESTIONS_A_SECOND: u32 = 1000;

/// Counts the questions of the running second.
#[derive(Debug)]
pub(super) struct RateLimit(Mutex<Second>);

#[derive(Debug)]
struct Second {
    began: Instant,
    heard: u32,
}

impl Second {
    fn now() -> Self {
        Self {
            began: Instant::now(),
            heard: 0,
        }
    }
}

impl RateLimit {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Second::now()))
    }

    /// Whether another question is heard in this second.
    pub(super) fn admits(&self) -> bool {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.elapsed() >= Duration::from_secs(1) {
            *second = Second::now();
        }
        let admitted = second.heard < QUESTIONS_A_SECOND;
        second.heard += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_so_many_questions_and_the_next_has_as_many_again() {
        let limit = RateLimit::new();
        let heard = || {
            (0..QUESTIONS_A_SECOND + 10)
                .filter(|_| limit.admits())
                .count()
        };
        assert_eq!(heard(), 1000);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(heard(), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(heard(), 1000);
    }
}
