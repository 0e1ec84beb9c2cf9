//! How many questions a second are heard, and how those that aren't are still recorded.
//!
//! Knows only time and numbers. Not to be forgotten: a flood must not turn the audit file over and so wash away what
//! happened before it; one line a second stands for all that were dropped in it, and says how many there were before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Questions heard a second. A busy crawler asks some hundreds.
pub(super) const QUESTIONS_A_SECOND: u32 = 1000;

/// Counts the questions of the running second.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Second>);

#[derive(Debug)]
struct Second {
    began: Instant,
    heard: u32,
    /// Dropped since the last line about it.
    dropped: u64,
}

/// What to do with a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Hear it.
    Hear,
    /// Drop it, and record that: the first of its second. `dropped`: how many were since the last such record.
    DropAndRecord {
        /// Questions dropped without a record of their own.
        dropped: u64,
    },
    /// Drop it: a record has been made in this second.
    Drop,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Second { began: Instant::now(), heard: 0, dropped: 0 }))
    }

    pub(super) fn admit(&self) -> Admission {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.elapsed() >= Duration::from_secs(1) {
            *second = Second { began: Instant::now(), heard: 0, dropped: second.dropped };
        }
        second.heard = second.heard.saturating_add(1);
        if second.heard <= QUESTIONS_A_SECOND {
            Admission::Hear
        } else if second.heard == QUESTIONS_A_SECOND + 1 {
            Admission::DropAndRecord { dropped: std::mem::take(&mut second.dropped) }
        } else {
            second.dropped += 1;
            Admission::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_dropped_with_one_record_a_second_that_counts_the_rest() {
        let pace = Pace::new();
        let flood = || (0..QUESTIONS_A_SECOND + 10).map(|_| pace.admit()).collect::<Vec<_>>();
        let first = flood();
        assert!(first.iter().take(1000).all(|admission| *admission == Admission::Hear));
        assert_eq!(first.get(1000), Some(&Admission::DropAndRecord { dropped: 0 }));
        assert!(first.iter().skip(1001).all(|admission| *admission == Admission::Drop));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(flood().get(1000), Some(&Admission::DropAndRecord { dropped: 9 }));
    }
}
