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
