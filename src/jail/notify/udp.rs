//! UDP without sockets of UDP's: the command has one end of a pair of Unix sockets, and what it sends is
//! handed on by the supervisor, which has the other.
//!
//! A name of IP's means nothing to a Unix socket, so there is nothing by which a datagram could leave
//! otherwise. What the stand-in hasn't, the supervisor answers for it: whose datagram one is, and both
//! ends' names.
//!
//! Owns what is known of each.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::policy::canonical;
use crate::sys::stand_in;

/// The longest datagram.
pub(super) const LONGEST: usize = 65_507;
/// Senders that are remembered of datagrams that wait: more don't fit into a stand-in.
const SENDERS: usize = 512;
/// Calls that wait for a datagram, of one socket.
const WAITING: usize = 256;

/// One of UDP's.
#[derive(Debug)]
pub(super) struct Udp {
    v6: bool,
    /// The command's end.
    theirs: OwnedFd,
    ours: OwnedFd,
    state: Mutex<UdpState>,
}

#[derive(Debug, Default)]
struct UdpState {
    /// The address that it was bound to, or has by having sent.
    local: Option<SocketAddr>,
    /// Whom it is connected to.
    peer: Option<SocketAddr>,
    /// Who sent what waits, in that order.
    senders: VecDeque<SocketAddr>,
    waiting: VecDeque<Waiting>,
    /// What it sent last was refused.
    refused: bool,
}

/// A call that waits for a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The call's number.
    pub(super) id: u64,
    /// Who makes it.
    pub(super) thread: i32,
    /// Where the datagram is to go.
    pub(super) room: Room,
    /// Whether the datagram stays to be taken once more.
    pub(super) leaves_it: bool,
    /// Until when.
    pub(super) until: Option<Instant>,
}

/// Where a datagram is to go in a command's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// As recvfrom(2) says it: where, how much, and where address and its length go.
    Plain {
        at: u64,
        length: u64,
        address: u64,
        address_length: u64,
    },
    /// As a head says it that stands here (recvmsg(2)).
    Message(u64),
}

/// A datagram that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// As much of it as there is room for anywhere.
    pub(super) payload: Vec<u8>,
    /// Who sent it.
    pub(super) from: SocketAddr,
}

impl Udp {
    /// One, and what the command is to be given of it.
    pub(super) fn new(v6: bool, nonblocking: bool) -> io::Result<Self> {
        let (theirs, ours) = stand_in::pair(nonblocking)?;
        Ok(Self {
            v6,
            theirs,
            ours,
            state: Mutex::default(),
        })
    }

    pub(super) fn v6(&self) -> bool {
        self.v6
    }

    pub(super) fn theirs(&self) -> &OwnedFd {
        &self.theirs
    }

    pub(super) fn ours(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.state().local
    }

    /// Has this address from now on.
    pub(super) fn be_called(&self, local: SocketAddr) {
        self.state().local = Some(local);
    }

    /// What its owner is told that it is called: who is connected has one address.
    pub(super) fn name(&self) -> SocketAddr {
        let state = self.state();
        let local = state.local.unwrap_or_else(|| self.any());
        match state.peer {
            Some(peer) if local.ip().to_canonical().is_unspecified() => {
                let v6 = peer.ip().to_canonical().is_ipv6();
                SocketAddr::new(this_host(v6), local.port())
            }
            _ => local,
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.state().peer
    }

    pub(super) fn connect(&self, peer: Option<SocketAddr>) {
        let mut state = self.state();
        state.peer = peer;
        state.refused = false;
    }

    /// What the command sent without saying whom to, if there is something.
    pub(super) fn sent(&self) -> Option<Vec<u8>> {
        let mut payload = vec![0; LONGEST];
        let length = stand_in::take(&self.ours, &mut payload, false).ok()?;
        payload.truncate(length);
        Some(payload)
    }

    /// Gives it a datagram: gives the calls that wait for one. Lost where there is no room, and from
    /// anybody but whom it is connected to.
    pub(super) fn deliver(&self, from: SocketAddr, payload: &[u8]) -> Option<Waiting> {
        let mut state = self.state();
        let meant = |peer: SocketAddr| canonical(peer) == canonical(from);
        if !state.peer.is_none_or(meant) || state.senders.len() >= SENDERS {
            return None;
        }
        // Some is taken without asking who sent it.
        if stand_in::all_taken(&self.ours) {
            state.senders.clear();
        }
        stand_in::give(&self.ours, payload).ok()?;
        state.senders.push_back(from);
        state.waiting.pop_front()
    }

    /// Takes what waits longest.
    ///
    /// # Errors
    /// `WouldBlock` where nothing waits; `ECONNREFUSED`, once, where what was sent is refused.
    pub(super) fn take(&self, leave_it: bool) -> io::Result<Taken> {
        let mut state = self.state();
        let mut payload = vec![0; LONGEST];
        let taken = stand_in::take(&self.theirs, &mut payload, leave_it);
        match taken {
            // The kernel's word for it, see `refuse`.
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
            }
            Err(_) if std::mem::take(&mut state.refused) => {
                Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
            }
            Err(error) => Err(error),
            Ok(length) => {
                payload.truncate(length);
                let from = if leave_it {
                    state.senders.front().copied()
                } else {
                    state.senders.pop_front()
                };
                let from = from.or(state.peer).unwrap_or_else(|| self.any());
                Ok(Taken { payload, from })
            }
        }
    }

    /// The call that waits longest.
    pub(super) fn next_waiting(&self) -> Option<Waiting> {
        self.state().waiting.pop_front()
    }

    /// Has a call wait for the next. False: too many do, or something has come since.
    pub(super) fn wait(&self, call: Waiting) -> bool {
        let mut state = self.state();
        if state.waiting.len() >= WAITING || !stand_in::all_taken(&self.ours) {
            return false;
        }
        state.waiting.push_back(call);
        true
    }

    /// What it sent is refused: gives the calls that wait for an answer.
    pub(super) fn refuse(&self, to: SocketAddr) -> Vec<Waiting> {
        let mut state = self.state();
        let meant = |peer: SocketAddr| canonical(peer) == canonical(to);
        // Only who is connected hears of it (ip(7)).
        if !state.peer.is_some_and(meant) {
            return Vec::new();
        }
        let waiting: Vec<Waiting> = state.waiting.drain(..).collect();
        // Who asks by recv(2), without room for an address, asks the kernel; and so does poll(2).
        state.refused = waiting.is_empty() && stand_in::fail(&self.theirs, &self.ours).is_err();
        waiting
    }

    /// Whether what it sent is refused; says so once.
    pub(super) fn was_refused(&self) -> bool {
        std::mem::take(&mut self.state().refused)
    }

    /// The calls that have waited long enough, and until when the next of the others does.
    pub(super) fn overdue(&self, now: Instant) -> (Vec<Waiting>, Option<Instant>) {
        let mut state = self.state();
        let all = std::mem::take(&mut state.waiting);
        let (overdue, rest): (VecDeque<_>, VecDeque<_>) = all
            .into_iter()
            .partition(|call| call.until.is_some_and(|until| until <= now));
        let next = rest.iter().filter_map(|call| call.until).min();
        state.waiting = rest;
        (overdue.into(), next)
    }

    /// Whether one more call may wait.
    pub(super) fn may_wait(&self) -> bool {
        self.state().waiting.len() < WAITING
    }

    /// The name of one that has none.
    pub(super) fn any(&self) -> SocketAddr {
        let ip: IpAddr = if self.v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        SocketAddr::new(ip, 0)
    }

    fn state(&self) -> MutexGuard<'_, UdpState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of this host for sockets of this family.
pub(super) fn this_host(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn udp(v6: bool) -> Arc<Udp> {
        Arc::new(Udp::new(v6, true).unwrap())
    }

    #[test]
    fn each_datagram_has_its_sender() {
        let udp = udp(false);
        udp.deliver(at("192.0.2.1:53"), b"one");
        udp.deliver(at("192.0.2.2:53"), b"two");
        let left = udp.take(true).unwrap();
        assert_eq!(
            (left.payload.as_slice(), left.from),
            (&b"one"[..], at("192.0.2.1:53"))
        );
        assert_eq!(udp.take(false).unwrap().from, at("192.0.2.1:53"));
        // One that is taken without asking who sent it leaves no sender behind.
        let mut room = [0; 8];
        assert_eq!(stand_in::take(udp.theirs(), &mut room, false).unwrap(), 3);
        udp.deliver(at("192.0.2.3:53"), b"three");
        assert_eq!(udp.take(false).unwrap().from, at("192.0.2.3:53"));
        assert_eq!(
            udp.take(false).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn who_is_connected_hears_nobody_else() {
        let udp = udp(true);
        udp.connect(Some(at("[::ffff:192.0.2.1]:53")));
        udp.deliver(at("192.0.2.2:53"), b"another");
        udp.deliver(at("192.0.2.1:53"), b"whom it asked");
        assert_eq!(udp.take(false).unwrap().payload, b"whom it asked");
        udp.refuse(at("192.0.2.2:53"));
        assert!(!udp.was_refused());
        udp.refuse(at("192.0.2.1:53"));
        let refused = udp.take(false).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn a_call_waits_until_something_comes_or_long_enough() {
        let udp = udp(false);
        let (now, room) = (Instant::now(), Room::Message(0));
        let call = |id, until| Waiting {
            id,
            thread: 1,
            room,
            leaves_it: false,
            until,
        };
        assert!(udp.wait(call(1, Some(now))));
        assert!(udp.wait(call(2, None)));
        let (overdue, next) = udp.overdue(now);
        assert_eq!((overdue, next), (vec![call(1, Some(now))], None));
        let woken = udp.deliver(at("192.0.2.1:53"), b"it");
        assert_eq!(woken, Some(call(2, None)));
        assert!(!udp.wait(call(3, None)), "something is there");
    }
}
