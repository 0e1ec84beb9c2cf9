//! What the container resolved: the names that it may mean when it connects to an address.
//!
//! Invariant: an entry lets a connection be judged by a name that can't be read from its bytes. So
//! it is made only from answers given to the container, for names that the policy lets it look up,
//! and the dialler resolves the name again all the same.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Hostname;
use crate::proxy::budget::{Budget, Share};
use crate::proxy::expiring::Expiring;

/// Addresses remembered at most.
const ADDRESSES: usize = 4096;
/// Names remembered for one address at most: the freshest (a big CDN's address has many).
const NAMES: usize = 8;
/// How long after the container was told it: many programs (JVMs, proxies with a list of servers)
/// resolve once, and connect to what they were told for as long as they live. Nothing is dialled by
/// an address as old as that: the name is resolved anew each time.
const KEPT: Duration = Duration::from_secs(86_400);
/// How long after an answer has expired a client may still connect to what it said: it asked, and
/// then it connected.
const GRACE: Duration = Duration::from_secs(60);
/// What one name of one address takes, besides its text.
const NAME: usize = 256;

/// Names by address.
#[derive(Debug)]
pub struct Learned {
    known: Mutex<Expiring<IpAddr, VecDeque<Pin>>>,
    budget: Budget,
}

#[derive(Debug)]
struct Pin {
    name: Hostname,
    until: Instant,
    /// Until when the answer held, and [`GRACE`].
    fresh_until: Instant,
    _room: Share,
}

impl Learned {
    /// Nothing yet, and later what there is room for.
    #[must_use]
    pub fn within(budget: Budget) -> Self {
        Self {
            known: Mutex::new(Expiring::new(ADDRESSES)),
            budget,
        }
    }

    /// Remembers that the container is about to be told this address for this name, for so long.
    /// What there is no room for is not remembered, nor what would leave little to others: the
    /// address is then judged as if it had no name.
    pub(in crate::proxy) fn remember(&self, address: IpAddr, name: &Hostname, ttl: Duration) {
        let mut known = self.locked();
        let mut pins = known.get(&address).map(std::mem::take).unwrap_or_default();
        pins.retain(|pin| pin.name != *name);
        pins.truncate(NAMES - 1);
        let room = Some(NAME + name.as_str().len()).filter(|_| !self.budget.is_short());
        if let Some(room) = room.and_then(|bytes| self.budget.take(bytes)) {
            pins.push_front(Pin {
                name: name.clone(),
                until: Instant::now() + KEPT,
                fresh_until: Instant::now() + (ttl + GRACE).min(KEPT),
                _room: room,
            });
        }
        if !pins.is_empty() {
            known.insert(address, pins, KEPT);
        }
    }

    /// The names that the container was told this address for, the latest first.
    #[must_use]
    pub fn names_of(&self, address: IpAddr) -> Vec<Hostname> {
        let now = Instant::now();
        self.names_with(address, |pin| pin.until > now)
    }

    /// Those of which the answer still holds, or held a moment ago.
    #[must_use]
    pub fn fresh_names_of(&self, address: IpAddr) -> Vec<Hostname> {
        let now = Instant::now();
        self.names_with(address, |pin| pin.fresh_until > now)
    }

    fn names_with(&self, address: IpAddr, is_meant: impl Fn(&Pin) -> bool) -> Vec<Hostname> {
        let mut known = self.locked();
        let pins = known.get(&address).map(|pins| &*pins);
        let meant = pins.into_iter().flatten().filter(|pin| is_meant(pin));
        meant.map(|pin| pin.name.clone()).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Expiring<IpAddr, VecDeque<Pin>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    const TTL: Duration = Duration::from_secs(300);

    fn nothing() -> Learned {
        Learned::within(Budget::new(1 << 20))
    }

    #[tokio::test(start_paused = true)]
    async fn the_name_answered_last_comes_first() {
        let pins = nothing();
        let address = "192.0.2.1".parse().unwrap();
        for text in ["a.test", "b.test", "a.test"] {
            pins.remember(address, &name(text), TTL);
        }
        assert_eq!(pins.names_of(address), [name("a.test"), name("b.test")]);
        assert_eq!(pins.names_of("192.0.2.2".parse().unwrap()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_held_a_day_and_no_longer() {
        let pins = nothing();
        let address = "192.0.2.1".parse().unwrap();
        pins.remember(address, &name("a.test"), TTL);
        tokio::time::advance(Duration::from_secs(86_399)).await;
        pins.remember(address, &name("b.test"), TTL);
        assert_eq!(pins.names_of(address), [name("b.test"), name("a.test")]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pins.names_of(address), [name("b.test")]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_and_addresses_are_bounded() {
        let pins = nothing();
        let address = "192.0.2.1".parse().unwrap();
        for number in 0..20 {
            pins.remember(address, &name(&format!("n{number}.test")), TTL);
        }
        assert_eq!(pins.names_of(address).len(), NAMES);
        assert_eq!(pins.names_of(address)[0], name("n19.test"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_they_take_is_given_back_and_an_eighth_is_left_to_others() {
        let budget = Budget::new(16 * 1024);
        let pins = Learned::within(budget.clone());
        let address = |number: u8| IpAddr::from([192, 0, 2, number]);
        for _ in 0..1000 {
            pins.remember(address(0), &name("a.test"), TTL);
        }
        assert_eq!(budget.used(), 262);
        for number in 1..100 {
            pins.remember(address(number), &name("a.test"), TTL);
        }
        assert!(
            (1..2 * 1024).contains(&budget.free()) && !pins.names_of(address(1)).is_empty(),
            "{}",
            budget.free()
        );
        assert_eq!(pins.names_of(address(99)), []);
        drop(pins);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_while_it_holds_and_a_minute_longer() {
        let pins = nothing();
        let address = "192.0.2.1".parse().unwrap();
        pins.remember(address, &name("a.test"), TTL);
        pins.remember(address, &name("b.test"), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(
            pins.fresh_names_of(address),
            [name("b.test"), name("a.test")]
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pins.fresh_names_of(address), [name("a.test")]);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(pins.fresh_names_of(address), []);
        assert_eq!(pins.names_of(address).len(), 2);
    }
}
