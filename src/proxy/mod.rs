//! The filter: one process per gateway. (founder: wiring)

pub mod connection;
pub mod dial;
pub mod dns;
mod expiring;
pub mod http;
pub mod identify;
pub mod splice;
#[cfg(test)]
mod test_gate;
pub mod udp;

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use crate::audit::Journal;
use crate::policy::Policy;

/// What every connection needs; one per proxy.
#[derive(Debug)]
pub struct Gate {
    /// The rules.
    pub policy: Policy,
    /// The record.
    pub journal: Journal,
    /// Asks resolvers, and remembers what this container resolved.
    pub resolver: dns::Resolver,
    /// How sockets to the outside are made.
    pub exit: dial::Exit,
    /// The container's own addresses, in the order its interfaces were adopted.
    pub sources: RwLock<Arc<[IpAddr]>>,
    /// Addresses that are never dialled: the gateway's, the container's, the host's. Grows with adopted interfaces.
    pub own: RwLock<Arc<[IpAddr]>>,
    /// Prefixes on the uplinks' own wires: single-label names (Docker's own) may be dialled there.
    pub on_link: RwLock<Arc<[ipnet::IpNet]>>,
}

impl Gate {
    /// The address to dial `to` from, so that the outside sees the container: the client's own where the family fits,
    /// else the container's first of that family. None: let the kernel choose (`Exit::AsHost`).
    #[must_use]
    pub fn source_for(&self, client: IpAddr, to: IpAddr) -> Option<IpAddr> {
        match self.exit {
            dial::Exit::AsHost => None,
            dial::Exit::AsClient if client.is_ipv4() == to.is_ipv4() => Some(client),
            dial::Exit::AsClient => {
                let sources = self.sources.read().unwrap_or_else(std::sync::PoisonError::into_inner);
                sources.iter().copied().find(|source| source.is_ipv4() == to.is_ipv4())
            }
        }
    }
}
