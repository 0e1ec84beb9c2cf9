//! The attempts that are open, and the sums over all of a gateway's.
//!
//! Invariant: what was allowed and written is in here until its end is written, so that whatever
//! ends the gateway in order finds it, and `status` can show it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::line::Totals;

/// Tells how much of an attempt's bytes has arrived: of what a kernel was given, a part may be on
/// its way.
pub trait Delivered: fmt::Debug + Send + Sync {
    /// Bytes that the server's kernel has, and those that the container's has. `over`: nothing more
    /// is given, so that what is under way counts where it will still be sent.
    fn delivered(&self, over: bool) -> (u64, u64);
}

/// What moves for one attempt. Whoever moves it counts; whoever records it asks.
#[derive(Debug)]
pub struct Traffic {
    out: AtomicU64,
    back: AtomicU64,
    delivered: Mutex<Option<Box<dyn Delivered>>>,
    began: Instant,
    told: Mutex<Told>,
}

/// What the record says of it so far.
#[derive(Debug, Default)]
struct Told {
    bytes: (u64, u64),
    /// The address that was connected to, where it isn't the one that was asked for.
    address: Option<IpAddr>,
}

impl Traffic {
    /// Nothing yet, of an attempt that began then.
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            out: AtomicU64::new(0),
            back: AtomicU64::new(0),
            delivered: Mutex::default(),
            began,
            told: Mutex::default(),
        }
    }

    /// So many bytes more were given to the server's side.
    pub fn add_out(&self, bytes: u64) {
        self.out.fetch_add(bytes, Relaxed);
    }

    /// So many bytes more were given to the container's side.
    pub fn add_back(&self, bytes: u64) {
        self.back.fetch_add(bytes, Relaxed);
    }

    /// How many bytes were given to the server's side so far.
    pub fn out(&self) -> u64 {
        self.out.load(Relaxed)
    }

    /// So many of them were not, after all.
    pub fn take_back_out(&self, bytes: u64) {
        self.out.fetch_sub(bytes, Relaxed);
    }

    /// From now on, this tells how much has arrived.
    pub fn measure_by(&self, delivered: impl Delivered + 'static) {
        *locked(&self.delivered) = Some(Box::new(delivered));
    }

    /// What was given so far.
    pub(crate) fn given(&self) -> (u64, u64) {
        (self.out.load(Relaxed), self.back.load(Relaxed))
    }

    /// What of that arrives. `over`: nothing more is given.
    pub(crate) fn arrives(&self, over: bool) -> (u64, u64) {
        let given = self.given();
        match locked(&self.delivered).as_ref() {
            Some(delivered) => {
                let (out, back) = delivered.delivered(over);
                (given.0.min(out), given.1.min(back))
            }
            None => given,
        }
    }

    pub(super) fn goes_to(&self, address: Option<IpAddr>) {
        locked(&self.told).address = address;
    }

    pub(super) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }

    /// What has moved, and where to, if anything moved since this was last asked.
    pub(super) fn news(&self) -> Option<((u64, u64), Option<IpAddr>)> {
        let now = self.arrives(false);
        let mut told = locked(&self.told);
        let before = std::mem::replace(&mut told.bytes, now);
        (before != now).then_some((now, told.address))
    }
}

/// The open attempts of a gateway, by their numbers, and its sums.
#[derive(Debug, Default)]
pub(super) struct Flows {
    open: Mutex<HashMap<u64, Open>>,
    allowed: AtomicU64,
    denied: AtomicU64,
    out: AtomicU64,
    back: AtomicU64,
}

/// An open attempt.
#[derive(Debug, Clone)]
struct Open {
    traffic: Arc<Traffic>,
    /// Whether it is over by itself soon after its client's process is.
    ends_with_client: bool,
}

impl Flows {
    pub(super) fn opened(&self, number: u64, traffic: Arc<Traffic>, ends_with_client: bool) {
        self.allowed.fetch_add(1, Relaxed);
        locked(&self.open).insert(
            number,
            Open {
                traffic,
                ends_with_client,
            },
        );
    }

    pub(super) fn closed(&self, number: u64) {
        locked(&self.open).remove(&number);
    }

    /// Counts what is over: how many attempts, whether they were allowed, and whether as such
    /// before.
    pub(super) fn count(&self, attempts: u64, allowed: bool, opened: bool) {
        match (allowed, opened) {
            (true, true) => {}
            (true, false) => {
                self.allowed.fetch_add(attempts, Relaxed);
            }
            (false, opened) => {
                self.denied.fetch_add(attempts, Relaxed);
                self.allowed.fetch_sub(u64::from(opened), Relaxed);
            }
        }
    }

    pub(super) fn moved(&self, (out, back): (u64, u64)) {
        self.out.fetch_add(out, Relaxed);
        self.back.fetch_add(back, Relaxed);
    }

    pub(super) fn how_many(&self) -> u64 {
        u64::try_from(locked(&self.open).len()).unwrap_or(u64::MAX)
    }

    /// How many of the open ones end when their clients have.
    pub(super) fn ending(&self) -> usize {
        locked(&self.open)
            .values()
            .filter(|open| open.ends_with_client)
            .count()
    }

    /// All that are open.
    pub(super) fn each(&self) -> Vec<(u64, Arc<Traffic>)> {
        let mut each: Vec<_> = locked(&self.open)
            .iter()
            .map(|(number, open)| (*number, Arc::clone(&open.traffic)))
            .collect();
        each.sort_unstable_by_key(|(number, _)| *number);
        each
    }

    /// The sums, what is open included.
    pub(super) fn totals(&self) -> Totals {
        let open = self
            .each()
            .into_iter()
            .map(|(_, traffic)| traffic.arrives(false));
        open.fold(self.sums(), |sum, (out, back)| Totals {
            bytes_out: sum.bytes_out + out,
            bytes_in: sum.bytes_in + back,
            ..sum
        })
    }

    /// The sums, without the bytes of what is open.
    pub(super) fn sums(&self) -> Totals {
        Totals {
            allowed: self.allowed.load(Relaxed),
            denied: self.denied.load(Relaxed),
            bytes_out: self.out.load(Relaxed),
            bytes_in: self.back.load(Relaxed),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
