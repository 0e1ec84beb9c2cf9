//! The routes of a namespace, and the rules that choose among its tables. Routes that are carried
//! over to another link are kept as the kernel gave them, so that nothing of theirs is lost (metrics,
//! preferred sources).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::links::{Links, family, fine_if_there};

/// The table `main`.
pub const MAIN: u8 = RouteHeader::RT_TABLE_MAIN;
/// The table `local`, in which the kernel keeps what is delivered to this namespace.
const LOCAL_TABLE: u8 = 255;

impl Links {
    /// Takes away the delivery of an IPv4 address to this namespace, leaving the address on its
    /// link (so that neighbours are asked, and answered, in its name). Not for IPv6, where the
    /// delivery comes into force some time after the address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stop_delivery(&mut self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let address = IpAddr::V4(address);
        let mut message = route_over(index, address, full_length(address), LOCAL_TABLE);
        message.header.kind = RouteType::Local;
        // Whoever made it: the kernel did.
        message.header.protocol = RouteProtocol::Unspec;
        message.header.scope = RouteScope::Host;
        self.0.request(RouteNetlinkMessage::DelRoute(message), 0)
    }

    /// A route to one address over a link; `preferred` is the source of what this namespace itself
    /// sends there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn route_to(
        &mut self,
        address: IpAddr,
        index: u32,
        preferred: Option<IpAddr>,
        table: u8,
    ) -> io::Result<()> {
        let mut message = route_over(index, address, full_length(address), table);
        message.header.scope = if address.is_ipv4() {
            RouteScope::Link
        } else {
            RouteScope::Universe
        };
        message
            .attributes
            .extend(preferred.map(destination).map(RouteAttribute::PrefSource));
        self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// A route to every link-local address on a link (RFC 4291 2.5.6), as the kernel makes one in
    /// the table `main`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn route_to_link_local(&mut self, index: u32, table: u8) -> io::Result<()> {
        let prefix = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
        let message = route_over(index, prefix, 64, table);
        self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Delivers an address to this namespace in one table, as long as a link is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn deliver(&mut self, address: IpAddr, index: u32, table: u8) -> io::Result<()> {
        let mut message = route_over(index, address, full_length(address), table);
        message.header.kind = RouteType::Local;
        message.header.scope = if address.is_ipv4() {
            RouteScope::Host
        } else {
            RouteScope::Universe
        };
        self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// The default route over a link by a next hop.
    ///
    /// # Errors
    /// The kernel's.
    pub fn route_by_default(&mut self, gateway: IpAddr, index: u32, table: u8) -> io::Result<()> {
        let mut message = route(gateway, table);
        message
            .attributes
            .push(RouteAttribute::Gateway(destination(gateway)));
        message.attributes.push(RouteAttribute::Oif(index));
        self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// The routes of a table that leave by one link, those without a next hop first: the others
    /// need them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn routes(&mut self, index: u32, table: u8) -> io::Result<Vec<RouteMessage>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            let answers = self.0.dump(RouteNetlinkMessage::GetRoute(question))?;
            found.extend(answers.into_iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(message) if leaves_by(&message, index, table) => {
                    Some(message)
                }
                _ => None,
            }));
        }
        found.sort_by_key(|message| next_hop(message).is_some());
        Ok(found)
    }

    /// Adds a route that another link had, to a table.
    ///
    /// # Errors
    /// The kernel's, but for a route that is there already.
    pub fn add_route(&mut self, index: u32, original: &RouteMessage, table: u8) -> io::Result<()> {
        let mut message = original.clone();
        message.header.table = table;
        message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RouteAttribute::CacheInfo(_) | RouteAttribute::Table(_)
            )
        });
        for attribute in &mut message.attributes {
            if let RouteAttribute::Oif(link) = attribute {
                *link = index;
            }
        }
        message.header.flags = original.header.flags & RouteFlags::Onlink;
        fine_if_there(self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_EXCL,
        ))
    }

    /// Makes every address local in one table (Documentation/networking/tproxy.rst). `from`: the
    /// address that is sent from, where the sender chooses none.
    ///
    /// # Errors
    /// The kernel's.
    pub fn deliver_all(
        &mut self,
        family: AddressFamily,
        table: u8,
        loopback: u32,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.table = table;
        message.header.kind = RouteType::Local;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = if family == AddressFamily::Inet {
            RouteScope::Host
        } else {
            RouteScope::Universe
        };
        message.attributes = vec![RouteAttribute::Oif(loopback)];
        // Else what is sent to an address comes from that very address.
        if let Some(from) = from {
            message
                .attributes
                .push(RouteAttribute::PrefSource(match from {
                    IpAddr::V4(address) => RouteAddress::Inet(address),
                    IpAddr::V6(address) => RouteAddress::Inet6(address),
                }));
        }
        self.0.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Adds a rule: packets that all of `matching` fits are routed by a table.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_rule(
        &mut self,
        family: AddressFamily,
        priority: u32,
        matching: &[RuleAttribute],
        table: u8,
    ) -> io::Result<()> {
        let mut rule = rule(family, table);
        rule.attributes.push(RuleAttribute::Priority(priority));
        rule.attributes.extend_from_slice(matching);
        self.0.request(
            RouteNetlinkMessage::NewRule(rule),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Removes the rules that every namespace begins with, but for the table `local`: without them,
    /// a packet that no rule of ours fits has no route.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_default_rules(&mut self, family: AddressFamily) -> io::Result<()> {
        const MAIN: (u32, u8) = (32766, 254);
        const DEFAULT: (u32, u8) = (32767, 253);
        let rules = if family == AddressFamily::Inet {
            [Some(MAIN), Some(DEFAULT)]
        } else {
            [Some(MAIN), None]
        };
        for (priority, table) in rules.into_iter().flatten() {
            let mut rule = rule(family, table);
            rule.attributes.push(RuleAttribute::Priority(priority));
            self.0.request(RouteNetlinkMessage::DelRule(rule), 0)?;
        }
        Ok(())
    }
}

/// The next hop of a route, where it has one.
#[must_use]
pub fn next_hop(message: &RouteMessage) -> Option<IpAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        })
}

/// Whether it is a route to everywhere.
#[must_use]
pub fn is_default(message: &RouteMessage) -> bool {
    message.header.destination_prefix_length == 0
}

fn leaves_by(message: &RouteMessage, index: u32, table: u8) -> bool {
    message.header.table == table
        && message.header.kind == RouteType::Unicast
        && message.attributes.contains(&RouteAttribute::Oif(index))
}

fn route(like: IpAddr, table: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(like);
    message.header.table = table;
    message.header.kind = RouteType::Unicast;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message
}

/// A route to a prefix over a link.
fn route_over(index: u32, prefix: IpAddr, length: u8, table: u8) -> RouteMessage {
    let mut message = route(prefix, table);
    message.header.destination_prefix_length = length;
    message.attributes = vec![
        RouteAttribute::Destination(destination(prefix)),
        RouteAttribute::Oif(index),
    ];
    message
}

fn rule(family: AddressFamily, table: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    message.header.table = table;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Table(u32::from(table))];
    message
}

fn destination(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
