//! How one of TCP's is connected: to the filter, which is told before whom it is for; or to the command's
//! own servers on this host's loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::address;
use super::loopback;
use super::sockets::{Tcp, TcpState};
use super::supervisor::Supervisor;
use crate::sys::{sock_diag, stand_in};

/// The port of DNS, which the filter serves whatever the address.
const DNS: u16 = 53;
/// Addresses of the loopback that connections to the filter are made from: each has all ports, of which
/// one is kept for a minute after its connection.
const SOURCES: u32 = 250;
/// How many of them are tried.
const TRIED: usize = 4;

impl Supervisor {
    /// Connects one to where its owner wants to go.
    pub(super) fn connect_tcp(&self, tcp: &Tcp, said: SocketAddr) -> io::Result<()> {
        let mut state = tcp.state.lock().unwrap_or_else(PoisonError::into_inner);
        let TcpState::New(held) = &*state else {
            return Err(io::Error::from_raw_os_error(libc::EISCONN));
        };
        let to = address::destination(said);
        let connected = if to.ip().is_loopback() && self.post.host_ports.contains(&to.port()) {
            stand_in::connect(held, said)
        } else if to.ip().is_loopback() && self.is_own(to)? {
            self.connect_to_own(held, said, to)
        } else if to.ip().is_loopback() && to.port() != DNS {
            Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
        } else if to.port() != DNS && !self.post.policy.may_allow(to) {
            self.refuse(held, to)
        } else {
            self.connect_to_filter(held, tcp.v6, to)
        };
        match &connected {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {}
            _ => *state = TcpState::Connected(said),
        }
        connected
    }

    /// Refuses what could only be denied, at once, as the kernel does for a container.
    fn refuse(&self, held: &OwnedFd, to: SocketAddr) -> io::Result<()> {
        let own = stand_in::local(held)?.ok_or(io::ErrorKind::InvalidData)?;
        self.post.telling.refused(own, to)?;
        Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
    }

    fn is_own(&self, to: SocketAddr) -> io::Result<bool> {
        let all = sock_diag::tcp_listening()?;
        Ok(loopback::is_own(&all, to, |one| {
            self.sockets.listens(one.number, one.address)
        }))
    }

    /// Connects to one of the command's own servers.
    fn connect_to_own(&self, held: &OwnedFd, said: SocketAddr, to: SocketAddr) -> io::Result<()> {
        let connected = stand_in::connect(held, said);
        // Another may have taken its place since it was looked who is there.
        if self.is_own(to).unwrap_or(false) {
            return connected;
        }
        stand_in::cut(held);
        Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
    }

    fn connect_to_filter(&self, held: &OwnedFd, v6: bool, to: SocketAddr) -> io::Result<()> {
        let filter = self.bound_for_filter(held, v6)?;
        let own = stand_in::local(held)?.ok_or(io::ErrorKind::InvalidData)?;
        let source = SocketAddr::new(source(own.ip(), filter.ip()), own.port());
        self.post.telling.connection(source, to)?;
        stand_in::connect(held, filter)
    }

    /// Gives it an address of its own, where it has none. Gives where it is to connect to.
    fn bound_for_filter(&self, held: &OwnedFd, v6: bool) -> io::Result<SocketAddr> {
        let unreachable = || io::Error::from_raw_os_error(libc::ENETUNREACH);
        let own = stand_in::local(held)?.ok_or(io::ErrorKind::InvalidData)?;
        let v4 = self.post.filter;
        let clothed = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) if v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            _ => address,
        };
        if own.port() != 0 {
            let by_v4 = !v6 || own.ip().to_canonical().is_ipv4();
            return if by_v4 {
                Ok(clothed(v4))
            } else {
                self.post.filter_v6.ok_or_else(unreachable)
            };
        }
        if v6 && stand_in::speak_both(held).is_err() {
            return self.post.filter_v6.ok_or_else(unreachable);
        }
        for _ in 1..TRIED {
            if stand_in::bind(held, clothed(self.next_source())).is_ok() {
                return Ok(clothed(v4));
            }
        }
        stand_in::bind(held, clothed(self.next_source()))?;
        Ok(clothed(v4))
    }

    fn next_source(&self) -> SocketAddr {
        let [.., last] = (self.chosen.fetch_add(1, Relaxed) % SOURCES + 2).to_be_bytes();
        SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), 0)
    }
}

/// The address that a connection comes from to this one, of who is bound to `own`.
fn source(own: IpAddr, to: IpAddr) -> IpAddr {
    match (own.to_canonical(), to.to_canonical()) {
        (own, IpAddr::V4(_)) if own.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        (own, IpAddr::V6(_)) if own.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        (own, _) => own,
    }
}
