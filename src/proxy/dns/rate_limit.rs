//! How many queries are read: so many a second over a longer time, and more at once. Whatever
//! resolves many names does so in bursts, and an ordinary one loses nothing. A query above the limit
//! is recorded like every denial, and the record bounds its own size.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may come at once: what the limit admits in this time. 1,500 names with both kinds of
/// addresses, each under every suffix of a pod's search list, are 15,000 queries.
const BURST: Duration = Duration::from_secs(10);

/// Counts questions, each as the time that the limit has for it.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// A second.
    pub(super) limit: NonZeroU32,
    /// When all that were admitted would have come, at the limit's pace.
    paid_until: Mutex<Instant>,
}

impl RateLimit {
    /// At most so many a second over a longer time.
    pub(super) fn of(limit: NonZeroU32) -> Self {
        Self {
            limit,
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Whether another question is heard now.
    pub(super) fn admits(&self) -> bool {
        let mut paid_until = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = now.max(*paid_until) + Duration::from_secs(1) / self.limit.get();
        let admitted = next <= now + BURST;
        if admitted {
            *paid_until = next;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_seconds_worth_may_come_at_once_and_then_as_many_as_the_limit() {
        let limit = RateLimit::of(1000.try_into().unwrap());
        let heard = || (0..20_000).filter(|_| limit.admits()).count();
        assert_eq!(heard(), 10_000);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(heard(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(heard(), 2_000);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(heard(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn one_a_second_is_a_limit_too() {
        let limit = RateLimit::of(NonZeroU32::MIN);
        assert_eq!((0..100).filter(|_| limit.admits()).count(), 10);
    }
}
