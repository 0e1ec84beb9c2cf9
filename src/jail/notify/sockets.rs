//! The sockets that were made for a command, by the numbers of their files: what each is, and the
//! supervisor's own descriptor of it, as long as that is needed.
//!
//! Invariant: a number that isn't in here is of no socket that the supervisor may connect. Whatever is
//! forgotten too early is refused; nothing opens by it.

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::udp::Udp;

/// How many there may be before it is looked first which of them nobody has any more.
const LOOKED_FIRST: usize = 1024;

/// A socket.
#[derive(Debug, Clone)]
pub(super) enum Made {
    Tcp(Arc<Tcp>),
    Udp(Arc<Udp>),
    Unix(Arc<Unix>),
}

/// One of TCP's.
#[derive(Debug)]
pub(super) struct Tcp {
    /// Whether it is one of IPv6's.
    pub(super) v6: bool,
    /// What became of it. Locked while it is changed, so that it is changed by one call at a time.
    pub(super) state: Mutex<TcpState>,
}

#[derive(Debug)]
pub(super) enum TcpState {
    /// It isn't connected: by this descriptor it will be.
    New(OwnedFd),
    /// It leads there.
    Connected(SocketAddr),
    /// It accepts connections here: the descriptor is of no use any more, and would keep its port.
    Listening(SocketAddr),
}

/// A Unix socket.
#[derive(Debug)]
pub(super) struct Unix {
    /// Its type (`SOCK_STREAM`, …).
    pub(super) kind: c_int,
    /// What no other socket has ([`crate::sys::stand_in::cookie`]).
    pub(super) cookie: u64,
    /// The supervisor's descriptor, until it is connected or listens.
    pub(super) held: Mutex<Option<OwnedFd>>,
}

/// All of one command's.
#[derive(Debug)]
pub(super) struct Sockets {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    by_number: HashMap<u64, Known>,
    /// Increases with each that is given.
    time: u64,
    looked_at: usize,
}

#[derive(Debug)]
struct Known {
    made: Made,
    /// When the command got it; none before.
    given: Option<u64>,
}

/// A moment in the table's time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(u64);

impl Sockets {
    /// None yet, and never more than this.
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            most,
            table: Mutex::new(Table {
                by_number: HashMap::new(),
                time: 0,
                looked_at: LOOKED_FIRST.min(most),
            }),
        }
    }

    /// Adds one that the command is about to get. False: there are too many.
    pub(super) fn add(&self, number: u64, made: Made) -> bool {
        let mut table = self.table();
        if table.by_number.len() >= self.most {
            return false;
        }
        table.by_number.insert(number, Known { made, given: None });
        true
    }

    /// The command got it.
    pub(super) fn given(&self, number: u64) {
        let mut table = self.table();
        table.time += 1;
        let now = table.time;
        if let Some(known) = table.by_number.get_mut(&number) {
            known.given = Some(now);
        }
    }

    /// The command didn't get it.
    pub(super) fn forget(&self, number: u64) {
        self.table().by_number.remove(&number);
    }

    /// The one of this number.
    pub(super) fn get(&self, number: u64) -> Option<Made> {
        let table = self.table();
        table.by_number.get(&number).map(|known| known.made.clone())
    }

    /// Whether this is one of TCP's that listens there. (A number alone could be another's by now: there are
    /// 32 bits of them.)
    pub(super) fn listens(&self, number: u64, at: SocketAddr) -> bool {
        let Some(Made::Tcp(tcp)) = self.get(number) else {
            return false;
        };
        let state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*state, TcpState::Listening(here) if *here == at)
    }

    /// Whether this is a Unix socket of this cookie.
    pub(super) fn has_unix(&self, number: u64, cookie: u64) -> bool {
        matches!(self.get(number), Some(Made::Unix(unix)) if unix.cookie == cookie)
    }

    /// Whether it is to be looked which of them nobody has any more: since when, then.
    pub(super) fn to_be_swept(&self) -> Option<Moment> {
        let mut table = self.table();
        if table.by_number.len() < table.looked_at {
            return None;
        }
        // Nobody else does meanwhile.
        table.looked_at = usize::MAX;
        Some(Moment(table.time))
    }

    /// Forgets those that nobody had, of what was given before this moment.
    pub(super) fn sweep(&self, before: Moment, had: &HashSet<u64>) {
        let mut table = self.table();
        let stays = |number: &u64, known: &mut Known| {
            had.contains(number) || known.given.is_none_or(|given| given > before.0)
        };
        table.by_number.retain(stays);
        let twice = table.by_number.len().saturating_mul(2);
        table.looked_at = twice.max(LOOKED_FIRST).min(self.most);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:8000";

    fn tcp() -> Made {
        Made::Tcp(Arc::new(Tcp {
            v6: false,
            state: Mutex::new(TcpState::Listening(HERE.parse().unwrap())),
        }))
    }

    #[test]
    fn what_nobody_has_is_forgotten_and_nothing_younger() {
        let sockets = Sockets::at_most(8);
        for number in 1..=8 {
            assert!(sockets.add(number, tcp()));
        }
        assert!(!sockets.add(9, tcp()), "no more than the most");
        sockets.given(1);
        sockets.given(2);
        let before = sockets.to_be_swept().unwrap();
        assert!(sockets.to_be_swept().is_none(), "one looks at a time");
        sockets.given(3);
        sockets.sweep(before, &HashSet::from([1]));
        let has = |number| sockets.listens(number, HERE.parse().unwrap());
        assert!(has(1));
        assert!(!sockets.listens(1, "127.0.0.1:8001".parse().unwrap()));
        assert!(!has(2), "nobody has it");
        assert!(has(3), "it was given since");
        assert!(has(4), "it is yet to be given");
    }
}
