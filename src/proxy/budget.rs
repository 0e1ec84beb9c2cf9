//! The bytes that one gateway may hold for its container: taken before they are used, given back
//! when what holds them is dropped.
//!
//! Invariant: a new attempt may take the last byte, and is denied when there is none. What is open
//! grows by at most an eighth of what is free, and goes on with what it has where it can't grow. So
//! nobody waits for bytes that another holds, and some are left for whoever comes later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::logging::Seldom;
use crate::policy::Denial;

/// Of what one gateway may use (`proxy-memory`), what is there without a container doing anything,
/// or is bounded by a count of its own: 2 MiB of a process that does nothing and the kernel's for
/// it, 3 for the process that keeps its links, 4 for connections that wait to be accepted, 1 for
/// datagrams and reports that do, 1 for names that were looked up, 1 that is lost between an
/// allocator's blocks, and 3 for what comes in one piece and is larger than the buffer that had
/// room for it.
pub const FIXED: usize = 15 * 1024 * 1024;
/// What is left of the least that can be set.
const LEAST: usize = 16 * 1024 * 1024 - FIXED;
/// Of what is free, the part by which something open may grow at once.
const GROWTH: usize = 8;
/// The part of the whole that must be free, else what is quiet is made as small as can be.
const SHORT: usize = 8;

/// The account of one gateway. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    whole: usize,
    used: AtomicUsize,
    /// The most that was in use since that was last asked.
    peak: AtomicUsize,
    /// Something was taken or given back.
    changed: Notify,
}

/// Bytes that were taken. Given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// An account of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let (used, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Account {
            whole: bytes,
            used,
            peak,
            changed: Notify::new(),
        }))
    }

    /// The account of a gateway that may use so many bytes, its process and the kernel's memory for
    /// its sockets together.
    #[must_use]
    pub fn within(memory: u64) -> Self {
        Self::new(
            usize::try_from(memory)
                .unwrap_or(usize::MAX)
                .saturating_sub(FIXED)
                .max(LEAST),
        )
    }

    /// Takes bytes for something new. None: there are not so many.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Share> {
        self.add(bytes, usize::MAX).then(|| Share {
            budget: self.clone(),
            bytes,
        })
    }

    /// A share that is yet to grow.
    pub(super) fn nothing(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// What is taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        u64::try_from(self.0.used.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    /// What nobody has taken.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0
            .whole
            .saturating_sub(self.0.used.load(Ordering::Relaxed))
    }

    /// Whether so little is free that what nobody needs is to be given back.
    pub(super) fn is_short(&self) -> bool {
        self.free() < self.0.whole / SHORT
    }

    /// Waits until something was taken or given back.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// How much more was in use at some time since this was last asked than is now.
    pub(super) fn given_back(&self) -> usize {
        let used = self.0.used.load(Ordering::Relaxed);
        self.0
            .peak
            .swap(used, Ordering::Relaxed)
            .saturating_sub(used)
    }

    /// Adds to what is in use, where it is at most the free bytes, and at most `most`.
    fn add(&self, bytes: usize, most: usize) -> bool {
        let free = self.free();
        if bytes > free || bytes > most {
            return false;
        }
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(used, Ordering::Relaxed);
        self.0.changed.notify_one();
        true
    }
}

impl Share {
    /// Grows to so many bytes, where that leaves enough to others.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if !self.budget.add(more, self.budget.free() / GROWTH) {
            return false;
        }
        self.bytes += more;
        true
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.0.used.fetch_sub(less, Ordering::Relaxed);
        self.budget.0.changed.notify_one();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Why a new attempt is denied when the budget is used up. No rule would change it.
#[must_use]
pub fn used_up() -> Denial {
    const WHY: &str = "the gateway's memory is used up by what this container has open";
    static SAID: Seldom = Seldom::new();
    if SAID.due() {
        log::warn!("{WHY}: new attempts are denied");
    }
    Denial::because(WHY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_may_take_the_last_byte_and_no_more() {
        let budget = Budget::new(1000);
        let first = budget.take(999).unwrap();
        assert!(budget.take(2).is_none());
        let last = budget.take(1).unwrap();
        assert!(budget.take(1).is_none());
        drop((first, last));
        assert_eq!(budget.free(), 1000);
    }

    #[test]
    fn what_is_open_grows_by_an_eighth_of_what_is_free() {
        let budget = Budget::new(1000);
        let mut share = budget.take(200).unwrap();
        assert!(!share.grow_to(301));
        assert!(share.grow_to(300));
        assert_eq!(budget.free(), 700);
        assert!(!share.grow_to(388) && share.grow_to(387));
        share.shrink_to(100);
        assert_eq!(budget.free(), 900);
        drop(share);
        assert_eq!(budget.free(), 1000);
    }

    #[test]
    fn however_many_grow_somebody_new_finds_room() {
        let budget = Budget::within(64 << 20);
        let mut greedy: Vec<_> = (0..10).map(|_| budget.take(0).unwrap()).collect();
        for _ in 0..20 {
            for share in &mut greedy {
                let more = share.bytes + budget.free() / GROWTH;
                assert!(share.grow_to(more));
                if budget.free() < 64 * 1024 {
                    return;
                }
                assert!(budget.take(32 * 1024).is_some());
            }
        }
    }

    #[test]
    fn the_account_is_what_the_setting_leaves() {
        assert_eq!(Budget::within(64 << 20).free(), (64 << 20) - FIXED);
        assert_eq!(Budget::within(16 << 20).free(), (16 << 20) - FIXED);
        assert_eq!(Budget::within(0).free(), LEAST);
    }

    #[test]
    fn it_is_short_when_less_than_an_eighth_is_free() {
        let budget = Budget::new(800);
        let _share = budget.take(700).unwrap();
        assert!(!budget.is_short());
        let _last = budget.take(1).unwrap();
        assert!(budget.is_short());
    }

    #[test]
    fn what_was_given_back_is_told_once() {
        let budget = Budget::new(1000);
        let share = budget.take(700).unwrap();
        drop((budget.take(100), share));
        assert_eq!((budget.given_back(), budget.given_back()), (800, 0));
    }
}
