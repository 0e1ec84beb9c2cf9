//! Connections to servers on which nothing is under way, kept a moment for the next request.
//!
//! Without them each short connection of a client costs a new one to its server. They are of one
//! container's gateway, so that nobody meets another's. Bounded in count and in time; all are given
//! up when memory is short.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::close::reset;
use super::stream::{Stream, Streams};
use crate::policy::{Hostname, UpstreamAddr};

/// Connections kept at most.
const CONNECTIONS: usize = 64;
/// How long one is kept: less than the shortest time that servers commonly keep theirs (5 s).
const KEPT_FOR: Duration = Duration::from_secs(4);
/// How often it is looked which have ended.
const LOOKED: Duration = Duration::from_secs(1);

/// The pool of one gateway.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    filled: Notify,
}

#[derive(Debug)]
struct Idle {
    connection: IdleConnection,
    until: Instant,
}

/// A connection on which nothing is under way, and what it was made for.
#[derive(Debug)]
pub(super) struct IdleConnection {
    /// It.
    pub(super) stream: Stream,
    /// The name that was allowed, if it was one.
    pub(super) name: Option<Hostname>,
    /// The name in which its server was verified, where it speaks TLS with us: by a rule for an address,
    /// a connection was allowed in no name.
    pub(super) verified: Option<Hostname>,
    /// Where it leads.
    pub(super) address: UpstreamAddr,
}

impl Pool {
    /// Keeps a connection on which nothing is under way.
    pub(super) fn put(&self, connection: IdleConnection) {
        let mut idle = self.locked();
        if idle.len() < CONNECTIONS {
            let until = Instant::now() + KEPT_FOR;
            idle.push(Idle { connection, until });
            if idle.len() == 1 {
                self.filled.notify_one();
            }
        }
    }

    /// Gives the one that was kept last of those that `fit` and on which nothing has come since.
    pub(super) fn take(&self, fits: impl Fn(&IdleConnection) -> bool) -> Option<IdleConnection> {
        let mut idle = self.locked();
        let now = Instant::now();
        loop {
            let at = idle.iter().rposition(|idle| fits(&idle.connection))?;
            let Idle { connection, until } = idle.remove(at);
            if until > now && connection.stream.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Whether there is one that fits and on which nothing has come since.
    pub(super) fn has(&self, fits: impl Fn(&IdleConnection) -> bool) -> bool {
        let now = Instant::now();
        self.locked().iter().any(|idle| {
            idle.until > now && fits(&idle.connection) && idle.connection.stream.is_quiet()
        })
    }

    /// Closes what was kept long enough, or has ended, for as long as the gateway serves.
    pub(super) async fn tend(&self, streams: &Streams) -> Infallible {
        loop {
            self.filled.notified().await;
            while !self.locked().is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(LOOKED) => {
                        let now = Instant::now();
                        self.locked().retain(|idle| idle.until > now && idle.connection.stream.is_quiet());
                    }
                    () = streams.shortage() => self.locked().clear(),
                }
            }
        }
    }

    /// Ends all of them at once, and whole: a changed policy may not allow where they lead.
    pub(super) fn empty(&self) {
        let idle = std::mem::take(&mut *self.locked());
        idle.into_iter()
            .for_each(|idle| reset(idle.connection.stream));
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
