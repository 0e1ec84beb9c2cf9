//! The addresses of a link, and the neighbours that were entered on it by hand. What is carried over
//! to another link is kept as the kernel gave it, so that nothing of it is lost (labels, scopes,
//! lifetimes).

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use super::links::{Links, family, fine_if_there};

impl Links {
    /// The addresses of one link, as the kernel gives them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<AddressMessage>> {
        let answers = self
            .0
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
                    Some(message)
                }
                _ => None,
            })
            .collect())
    }

    /// This namespace's own addresses on the wire that one of its links leads to, with the networks
    /// they are in: those of the link, and of the bridge that it is a port of.
    ///
    /// # Errors
    /// `NotFound`; the kernel's.
    pub fn networks_at(&mut self, index: u32) -> io::Result<Vec<IpNet>> {
        let link = self
            .list()?
            .into_iter()
            .find(|link| link.index == index)
            .ok_or(io::ErrorKind::NotFound)?;
        let mut found = self.addresses(index)?;
        if let Some(bridge) = link.bridge {
            found.extend(self.addresses(bridge)?);
        }
        let network = |message: &AddressMessage| {
            IpNet::new(address_of(message)?, message.header.prefix_len).ok()
        };
        Ok(found.iter().filter_map(network).collect())
    }

    /// Every address of the namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn every_address(&mut self) -> io::Result<Vec<IpAddr>> {
        let answers = self
            .0
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewAddress(message) => address_of(message),
                _ => None,
            })
            .collect())
    }

    /// Gives a link an address that another link had, with everything that belonged to it.
    ///
    /// # Errors
    /// The kernel's, but for an address that is there already.
    pub fn add_address(&mut self, index: u32, address: &AddressMessage) -> io::Result<()> {
        let mut message = address.clone();
        message.header.index = index;
        // The address was found free when it was first given; asking again would leave it unusable
        // for a second.
        message.header.flags = AddressHeaderFlags::Nodad;
        for attribute in &mut message.attributes {
            if let AddressAttribute::Flags(flags) = attribute {
                flags.remove(
                    AddressFlags::Tentative | AddressFlags::Permanent | AddressFlags::Dadfailed,
                );
                flags.insert(AddressFlags::Nodad);
            }
        }
        fine_if_there(self.0.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        ))
    }

    /// Gives a link an address of ours, without any route to a prefix.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_own_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
            AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
        ];
        fine_if_there(self.0.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        ))
    }

    /// Neighbours that were entered by hand on one link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn permanent_neighbours(&mut self, index: u32) -> io::Result<Vec<NeighbourMessage>> {
        let answers = self.0.dump(RouteNetlinkMessage::GetNeighbour(
            NeighbourMessage::default(),
        ))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(message)
                    if message.header.ifindex == index
                        && message.header.state == NeighbourState::Permanent =>
                {
                    Some(message)
                }
                _ => None,
            })
            .collect())
    }

    /// Makes the entry of a neighbour that will be asked for sooner or later, with its link-layer
    /// address where that is known. It is asked for like any other, and again in case it has moved,
    /// but isn't counted (`NTF_EXT_LEARNED`; `neigh_alloc` in net/core/neighbour.c): the kernel has
    /// one count for all namespaces, and learns no more at its `gc_thresh3`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn foretell_neighbour(
        &mut self,
        index: u32,
        address: IpAddr,
        mac: Option<&[u8]>,
    ) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = index;
        message.header.state = mac.map_or(NeighbourState::None, |_| NeighbourState::Stale);
        message.header.flags = NeighbourFlags::ExtLearned;
        let address = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        let mac = mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        message.attributes = vec![NeighbourAttribute::Destination(address)];
        message.attributes.extend(mac);
        fine_if_there(self.0.request(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_EXCL,
        ))
    }

    /// Adds a neighbour that another link had.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_neighbour(&mut self, index: u32, original: &NeighbourMessage) -> io::Result<()> {
        let mut message = original.clone();
        message.header.ifindex = index;
        self.0.request(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }
}

/// The address of an address message: `IFA_LOCAL` where there is one (a peer's is then
/// `IFA_ADDRESS`).
#[must_use]
pub fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    local.or_else(|| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
    })
}
