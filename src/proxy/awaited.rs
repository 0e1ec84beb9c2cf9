//! Attempts that may yet become something that has a record of its own; what doesn't in time is
//! recorded as denied.
//!
//! Invariant: what can't be remembered is recorded at once, never forgotten.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Entry;
use crate::policy::Denial;

/// Attempts waited for.
pub(super) const REMEMBERED: usize = 4096;

/// Attempts by what they are known by, each with what is known of it so far.
#[derive(Debug)]
pub(super) struct Awaited<K, V> {
    /// In the order in which they began.
    waiting: BTreeMap<u64, Waiting<K, V>>,
    numbers: HashMap<K, u64>,
    next: u64,
    within: Duration,
    reason: &'static str,
}

#[derive(Debug)]
struct Waiting<K, V> {
    key: K,
    value: V,
    since: Instant,
    entry: Entry,
}

impl<K: Eq + Hash + Copy, V: Default> Awaited<K, V> {
    /// Each has so long; if it is over, that is recorded with this reason.
    pub(super) fn new(within: Duration, reason: &'static str) -> Self {
        Self {
            waiting: BTreeMap::new(),
            numbers: HashMap::new(),
            next: 0,
            within,
            reason,
        }
    }

    /// The attempt, begun where it is new.
    pub(super) fn await_or_begin(&mut self, key: K, entry: impl FnOnce() -> Entry) -> &mut V {
        let known = self.numbers.get(&key).copied();
        let number = known.unwrap_or_else(|| {
            if self.waiting.len() >= REMEMBERED {
                self.give_up_oldest();
            }
            self.next += 1;
            self.numbers.insert(key, self.next);
            self.next
        });
        let begin = || Waiting {
            key,
            value: V::default(),
            since: Instant::now(),
            entry: entry(),
        };
        &mut self.waiting.entry(number).or_insert_with(begin).value
    }

    /// It has a record of its own.
    pub(super) fn settle(&mut self, key: &K) {
        if let Some(waiting) = self
            .numbers
            .remove(key)
            .and_then(|number| self.waiting.remove(&number))
        {
            waiting.entry.withdraw();
        }
    }

    /// Records those whose time is over.
    pub(super) fn give_up(&mut self) {
        while self
            .waiting
            .first_key_value()
            .is_some_and(|(_, first)| first.since.elapsed() >= self.within)
        {
            self.give_up_oldest();
        }
    }

    fn give_up_oldest(&mut self) {
        let Some((_, Waiting { key, entry, .. })) = self.waiting.pop_first() else {
            return;
        };
        self.numbers.remove(&key);
        entry.deny(&Denial::because(self.reason));
    }
}
