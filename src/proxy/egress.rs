//! How sockets to the outside are made: from which address, and with which mark.
//!
//! Owns what is known of the container's interfaces. Opens no socket: `dial`, `udp` and
//! `dns::upstream` do.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::packets::agreed::LEAVING;
use crate::policy::Exit;
use crate::sys::socket::Source;

/// What is known of the interfaces that were adopted so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Interfaces {
    /// The container's own addresses, in the order its interfaces were adopted.
    pub sources: Vec<IpAddr>,
    /// Addresses that are never dialled: the gateway's, the container's, the host's public ones.
    pub own: Vec<IpAddr>,
    /// Prefixes on the uplinks' own wires: single-label names (Docker's own) may be dialled there.
    pub on_link: Vec<ipnet::IpNet>,
    /// By which families the container has a way to anywhere.
    pub beyond: Beyond,
}

/// Families of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// The way out of one gateway.
#[derive(Debug)]
pub struct Egress {
    exit: Exit,
    interfaces: RwLock<Arc<Interfaces>>,
}

impl Egress {
    /// One that knows no interface yet.
    #[must_use]
    pub fn by(exit: Exit) -> Self {
        Self {
            exit,
            interfaces: RwLock::default(),
        }
    }

    /// What is known of the interfaces now.
    #[must_use]
    pub fn interfaces(&self) -> Arc<Interfaces> {
        Arc::clone(
            &self
                .interfaces
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// From now on, this is known of the interfaces.
    pub fn learn(&self, interfaces: Interfaces) {
        *self
            .interfaces
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(interfaces);
    }

    /// Whether there may be a way to IPv4 (or else IPv6) for who has this address: the container has
    /// one of that family, or only the kernel knows.
    #[must_use]
    pub fn may_reach(&self, client: IpAddr, v4: bool) -> bool {
        let sources = &self.interfaces().sources;
        self.exit == Exit::Host
            || client.is_ipv4() == v4
            || sources.iter().any(|source| source.is_ipv4() == v4)
    }

    /// What to dial `to` from, so that the outside sees the container: the client's own address
    /// where the family fits, else the container's first of that family. None: let the kernel
    /// choose ([`Exit::Host`]), or there is none.
    #[must_use]
    pub fn source_for(&self, client: IpAddr, to: IpAddr) -> Option<Source> {
        let address = match self.exit {
            Exit::Host => None,
            Exit::Uplink if client.is_ipv4() == to.is_ipv4() => Some(client),
            Exit::Uplink => self
                .interfaces()
                .sources
                .iter()
                .copied()
                .find(|source| source.is_ipv4() == to.is_ipv4()),
        };
        address.map(|address| Source {
            address,
            mark: LEAVING,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_reached_only_from_an_address_of_it() {
        let [v4, v6] = ["10.0.0.2", "fd00::2"].map(|address| address.parse().unwrap());
        let reach = |exit, sources: &[IpAddr], client| {
            let egress = Egress::by(exit);
            egress.learn(Interfaces {
                sources: sources.to_vec(),
                ..Interfaces::default()
            });
            [true, false].map(|v4| egress.may_reach(client, v4))
        };
        assert_eq!(reach(Exit::Uplink, &[v4], v4), [true, false]);
        assert_eq!(reach(Exit::Uplink, &[v4, v6], v4), [true, true]);
        assert_eq!(reach(Exit::Uplink, &[v6], v6), [false, true]);
        assert_eq!(reach(Exit::Host, &[], v4), [true, true]);
    }
}
