//! A map bounded in count and in time, for what strangers can make us remember.
//!
//! Invariant: when it is full, the entries that would expire first are dropped, so a flood of
//! short-lived entries can't displace long-lived ones for long. Making room costs passes over the
//! map, so it is made for several at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The part of a full map that is dropped at once.
const DROPPED: usize = 16;

/// At most `capacity` values, each until its time is up.
#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, (V, Instant)>,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, V> Expiring<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            capacity,
        }
    }

    /// The value, unless its time is up.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let now = Instant::now();
        self.entries
            .get_mut(key)
            .filter(|(_, until)| *until > now)
            .map(|(value, _)| value)
    }

    /// Keeps a value for so long, in place of an older one.
    pub(super) fn insert(&mut self, key: K, value: V, keep: Duration) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.entries.insert(key, (value, Instant::now() + keep));
    }

    /// Drops everything whose time is up. Gives whether that was all.
    pub(super) fn forget_old(&mut self) -> bool {
        let now = Instant::now();
        self.entries.retain(|_, (_, until)| *until > now);
        self.entries.is_empty()
    }

    fn make_room(&mut self) {
        self.forget_old();
        if self.entries.is_empty() || self.entries.len() < self.capacity {
            return;
        }
        let mut by_end: Vec<_> = self
            .entries
            .iter()
            .map(|(key, (_, until))| (*until, key.clone()))
            .collect();
        let surplus = self.entries.len() - self.capacity + (self.capacity / DROPPED).max(1);
        by_end.select_nth_unstable_by_key(surplus - 1, |(until, _)| *until);
        for (_, key) in by_end.iter().take(surplus) {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_forgotten_when_its_time_is_up() {
        let mut map = Expiring::new(4);
        map.insert("a", 1, Duration::from_secs(10));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(map.get(&"a"), Some(&mut 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(map.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_dropped_when_asked() {
        let mut map = Expiring::new(4);
        map.insert("a", 1, Duration::from_secs(10));
        map.insert("b", 2, Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!map.forget_old());
        assert_eq!(map.entries.len(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(map.forget_old());
    }

    #[tokio::test(start_paused = true)]
    async fn a_big_map_that_is_full_makes_room_for_several() {
        let mut map = Expiring::new(64);
        for number in (0..64).rev() {
            map.insert(number, (), Duration::from_secs(100 + number));
        }
        map.insert(64, (), Duration::from_secs(1));
        assert_eq!(map.entries.len(), 61);
        assert!(map.get(&3).is_none() && map.get(&4).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_map_forgets_first_what_would_end_soonest() {
        let mut map = Expiring::new(2);
        map.insert("long", 1, Duration::from_secs(100));
        map.insert("short", 2, Duration::from_secs(5));
        map.insert("new", 3, Duration::from_secs(10));
        assert_eq!(
            (
                map.get(&"long").copied(),
                map.get(&"short").copied(),
                map.get(&"new").copied()
            ),
            (Some(1), None, Some(3))
        );
        map.insert("new", 4, Duration::from_secs(10));
        assert_eq!((map.entries.len(), map.get(&"new").copied()), (2, Some(4)));
    }
}
