//! The UDP ports of a command: its own, which nobody else on this host has by that.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::udp::{Udp, this_host};

/// Where ports begin that are chosen (RFC 6335).
const CHOSEN: u16 = 49_152;

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
            0 => table
                .free(udp.v6())
                .ok_or_else(|| error(libc::EADDRINUSE))?,
            port if table.has(udp.v6(), port) => return Err(error(libc::EADDRINUSE)),
            port => port,
        };
        table.taken.insert((udp.v6(), port), Arc::downgrade(udp));
        udp.be_called(SocketAddr::new(to.ip(), port));
        Ok(())
    }

    /// The address by which a socket is known to the filter. It has one from then on.
    pub(super) fn source(&self, udp: &Arc<Udp>) -> io::Result<SocketAddr> {
        if udp.local().is_none() {
            self.bind(udp, udp.any())?;
        }
        let port = udp.local().map_or(0, |local| local.port());
        Ok(SocketAddr::new(this_host(udp.v6()), port))
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
}
