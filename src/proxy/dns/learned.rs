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
use crate::proxy::expiring::Expiring;

/// Addresses remembered at most.
const ADDRESSES: usize = 2048;
/// Names remembered for one address at most: the freshest (a big CDN's address has many).
const NAMES: usize = 8;
/// How long after its answer's time to live a pin holds: programs go on using what they resolved
/// once.
const GRACE: Duration = Duration::from_secs(3600);

/// Names by address.
#[derive(Debug)]
pub struct Learned(Mutex<Expiring<IpAddr, VecDeque<Pin>>>);

#[derive(Debug)]
struct Pin {
    name: Hostname,
    until: Instant,
}

impl Learned {
    /// Nothing yet.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Mutex::new(Expiring::new(ADDRESSES)))
    }

    /// Remembers that the container is about to be told this address for this name.
    pub(in crate::proxy) fn remember(&self, address: IpAddr, name: &Hostname, ttl: Duration) {
        let keep = ttl + GRACE;
        let mut known = self.locked();
        let mut pins = known.get(&address).map(std::mem::take).unwrap_or_default();
        pins.retain(|pin| pin.name != *name);
        pins.truncate(NAMES - 1);
        pins.push_front(Pin {
            name: name.clone(),
            until: Instant::now() + keep,
        });
        known.insert(address, pins, keep);
    }

    /// The names that the container was told this address for, the latest first.
    #[must_use]
    pub fn names_of(&self, address: IpAddr) -> Vec<Hostname> {
        let now = Instant::now();
        let mut known = self.locked();
        let pins = known.get(&address).map(|pins| &*pins);
        pins.into_iter()
            .flatten()
            .filter(|pin| pin.until > now)
            .map(|pin| pin.name.clone())
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Expiring<IpAddr, VecDeque<Pin>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_name_answered_last_comes_first() {
        let pins = Learned::nothing();
        let address = "192.0.2.1".parse().unwrap();
        for text in ["a.test", "b.test", "a.test"] {
            pins.remember(address, &name(text), TTL);
        }
        assert_eq!(pins.names_of(address), [name("a.test"), name("b.test")]);
        assert_eq!(pins.names_of("192.0.2.2".parse().unwrap()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_held_an_hour_beyond_its_time_and_no_longer() {
        let pins = Learned::nothing();
        let address = "192.0.2.1".parse().unwrap();
        pins.remember(address, &name("a.test"), TTL);
        tokio::time::advance(Duration::from_secs(3600)).await;
        pins.remember(address, &name("b.test"), TTL);
        assert_eq!(pins.names_of(address), [name("b.test"), name("a.test")]);
        tokio::time::advance(TTL).await;
        assert_eq!(pins.names_of(address), [name("b.test")]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_and_addresses_are_bounded() {
        let pins = Learned::nothing();
        let address = "192.0.2.1".parse().unwrap();
        for number in 0..20 {
            pins.remember(address, &name(&format!("n{number}.test")), TTL);
        }
        assert_eq!(pins.names_of(address).len(), NAMES);
        assert_eq!(pins.names_of(address)[0], name("n19.test"));
    }
}
