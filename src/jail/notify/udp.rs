//! UDP without sockets of UDP's: the command has one end of a pair of Unix sockets, and what it sends is
//! handed on by the supervisor, which has the other.
//!
//! A name of IP's means nothing to a Unix socket, so there is nothing by which a datagram could leave
//! otherwise. What the stand-in hasn't, the supervisor answers for it: whose datagram one is, and both
//! ends' names.
//!
//! Owns what is known of each, and whom datagrams are for that go from one to another of the command's.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::sys::stand_in;

/// The longest datagram.
pub(super) const LONGEST: usize = 65_507;
/// Senders that are remembered of datagrams that wait: more don't fit into a stand-in.
const SENDERS: usize = 512;
/// Calls that wait for a datagram, of one socket.
const WAITING: usize = 256;
/// Where ports begin that are chosen (RFC 6335).
const CHOSEN: u16 = 49_152;

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
            Err(error) if std::mem::take(&mut state.refused) => {
                let _ = error;
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
        state.refused = state.waiting.is_empty();
        state.waiting.drain(..).collect()
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

    fn any(&self) -> SocketAddr {
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

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The command's UDP ports. They are its own: nobody else on this host has them by that.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<PortTable>);

#[derive(Debug, Default)]
struct PortTable {
    taken: HashMap<(bool, u16), Weak<Udp>>,
    next: u16,
}

impl Ports {
    /// Gives a socket this address; of port 0, a free one.
    ///
    /// # Errors
    /// `EINVAL` where it has one, `EADDRINUSE`.
    pub(super) fn bind(&self, udp: &Arc<Udp>, to: SocketAddr) -> io::Result<()> {
        let error = io::Error::from_raw_os_error;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if udp.local().is_some() {
            return Err(error(libc::EINVAL));
        }
        let port = match to.port() {
            0 => table.free(udp.v6).ok_or_else(|| error(libc::EADDRINUSE))?,
            port if table.has(udp.v6, port) => return Err(error(libc::EADDRINUSE)),
            port => port,
        };
        table.taken.insert((udp.v6, port), Arc::downgrade(udp));
        udp.state().local = Some(SocketAddr::new(to.ip(), port));
        Ok(())
    }

    /// The address by which a socket is known to the filter. It has one from then on.
    pub(super) fn source(&self, udp: &Arc<Udp>) -> io::Result<SocketAddr> {
        if udp.local().is_none() {
            self.bind(udp, udp.any())?;
        }
        let port = udp.local().map_or(0, |local| local.port());
        Ok(SocketAddr::new(this_host(udp.v6), port))
    }

    /// The socket that is known by this address.
    pub(super) fn known_by(&self, source: SocketAddr) -> Option<Arc<Udp>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (source.is_ipv6(), source.port());
        table.taken.get(&key)?.upgrade()
    }

    /// The socket that datagrams to this address of this host are for.
    pub(super) fn at(&self, to: SocketAddr) -> Option<Arc<Udp>> {
        let ip = to.ip().to_canonical();
        let takes = |udp: &Arc<Udp>| {
            let local = udp.local().map(|local| local.ip().to_canonical());
            local.is_some_and(|local| local == ip || local.is_unspecified())
        };
        let both = [ip.is_ipv6(), true].map(|v6| SocketAddr::new(this_host(v6), to.port()));
        both.into_iter()
            .filter_map(|source| self.known_by(source))
            .find(takes)
    }
}

/// The address of this host for sockets of this family.
fn this_host(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

impl PortTable {
    fn has(&self, v6: bool, port: u16) -> bool {
        let known = self.taken.get(&(v6, port));
        known.is_some_and(|udp| udp.strong_count() > 0)
    }

    fn free(&mut self, v6: bool) -> Option<u16> {
        for _ in CHOSEN..=u16::MAX {
            let port = self.next.max(CHOSEN);
            self.next = port.wrapping_add(1);
            if !self.has(v6, port) {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
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
    fn who_is_connected_is_called_by_the_family_of_whom_it_is_connected_to() {
        let ports = Ports::default();
        let udp = udp(true);
        ports.source(&udp).unwrap();
        for (peer, own) in [
            ("[::ffff:192.0.2.1]:53", "127.0.0.1"),
            ("[2001:db8::1]:53", "::1"),
        ] {
            udp.connect(Some(at(peer)));
            assert_eq!(udp.name().ip().to_string(), own);
        }
        udp.connect(None);
        assert_eq!(udp.name().ip().to_string(), "::");
    }

    #[test]
    fn ports_are_had_by_one_as_long_as_it_is_there() {
        let ports = Ports::default();
        let (one, other) = (udp(false), udp(false));
        ports.bind(&one, at("127.0.0.1:5353")).unwrap();
        let taken = ports.bind(&other, at("0.0.0.0:5353")).unwrap_err();
        assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
        let again = ports.bind(&one, at("127.0.0.1:0")).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::EINVAL));
        assert!(ports.at(at("127.0.0.1:5353")).is_some());
        assert!(ports.at(at("127.0.0.2:5353")).is_none());
        assert_eq!(ports.source(&one).unwrap(), at("127.0.0.1:5353"));
        drop(one);
        assert!(ports.at(at("127.0.0.1:5353")).is_none());
        ports.bind(&other, at("0.0.0.0:5353")).unwrap();
        assert!(ports.at(at("127.0.0.2:5353")).is_some());
        let chosen = ports.source(&udp(true)).unwrap();
        assert!(chosen.ip().is_loopback() && chosen.port() >= CHOSEN);
        let of_both = udp(true);
        ports.bind(&of_both, at("[::]:7000")).unwrap();
        assert!(ports.at(at("127.0.0.1:7000")).is_some());
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
