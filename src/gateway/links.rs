//! What the gateway does to one namespace's links, addresses, routes and neighbours, in words of
//! its own; the netlink messages end here. Addresses and routes that are carried over are kept as
//! the kernel gave them, so that nothing of theirs is lost (labels, scopes, metrics, preferred
//! sources).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    State,
};
use netlink_packet_route::neighbour::{NeighbourMessage, NeighbourState};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::sys::netlink::Route;

/// The table `main`.
pub const MAIN: u8 = RouteHeader::RT_TABLE_MAIN;
/// The table `local`, in which the kernel keeps what is delivered to this namespace.
const LOCAL_TABLE: u8 = 255;

/// One link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What kind of virtual device; none for hardware.
    pub kind: Option<InfoKind>,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it passes packets: up, and the kernel has noticed that the other end is, too.
    pub passing: bool,
    /// Bytes.
    pub mtu: u32,
    /// Link-layer address.
    pub station: Vec<u8>,
    /// Frames its queue holds.
    pub queue: u32,
    /// The link it is tied to (a veth's other end, a macvlan's base).
    pub tied_to: Option<u32>,
    /// The namespace of that link, by this namespace's number for it; none: this namespace.
    pub tied_in: Option<i32>,
    /// The bridge that it is a port of.
    pub bridge: Option<u32>,
}

impl Link {
    /// Reads the kernel's message about a link.
    #[must_use]
    pub fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            loopback: message.header.link_layer_type == LinkLayerType::Loopback,
            up: message.header.flags.contains(LinkFlags::Up),
            passing: false,
            mtu: 1500,
            station: Vec::new(),
            queue: 1000,
            tied_to: None,
            tied_in: None,
            bridge: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::OperState(state) => link.passing = *state == State::Up,
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(station) => link.station.clone_from(station),
                LinkAttribute::TxQueueLen(queue) => link.queue = *queue,
                LinkAttribute::Link(index) => {
                    link.tied_to = Some(*index).filter(|index| *index != 0)
                }
                LinkAttribute::LinkNetNsId(id) => link.tied_in = Some(*id),
                LinkAttribute::Controller(index) => link.bridge = Some(*index),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.clone()),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }
}

/// The links of one namespace.
#[derive(Debug)]
pub struct Links(Route);

impl Links {
    /// Works through this socket, in the namespace it was opened in.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self(route)
    }

    /// Every link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn list(&mut self) -> io::Result<Vec<Link>> {
        let answers = self
            .0
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
                _ => None,
            })
            .collect())
    }

    /// The link of this name.
    ///
    /// # Errors
    /// `NotFound`; the kernel's.
    pub fn by_name(&mut self, name: &str) -> io::Result<Link> {
        let found = self.list()?.into_iter().find(|link| link.name == name);
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no link {name}")))
    }

    /// The number that this namespace has for another one, if it has any.
    ///
    /// # Errors
    /// The kernel's.
    pub fn number_of(&mut self, namespace: i32) -> io::Result<Option<i32>> {
        let mut message = NsidMessage::default();
        message
            .attributes
            .push(NsidAttribute::Fd(namespace.cast_unsigned()));
        let RouteNetlinkMessage::NewNsId(answer) =
            self.0.query(RouteNetlinkMessage::GetNsId(message))?
        else {
            return Ok(None);
        };
        Ok(answer
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            }))
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up(index, true)
    }

    /// Waits until a link that was brought up passes packets. The kernel connects its queue a
    /// moment later (`net/core/link_watch.c`), and drops what is sent before: the first packet of
    /// all, which is repeated after a second.
    ///
    /// # Errors
    /// `TimedOut` after two seconds; the kernel's.
    pub fn wait_passing(&mut self, index: u32) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            if self
                .list()?
                .iter()
                .any(|link| link.index == index && link.passing)
            {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Takes a link down.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_down(&mut self, index: u32) -> io::Result<()> {
        self.set_flag_up(index, false)
    }

    fn set_flag_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut message = link(index);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up {
            LinkFlags::Up
        } else {
            LinkFlags::empty()
        };
        self.0.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Moves a link into another namespace under another name. It arrives down, without addresses
    /// and routes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn give_away(&mut self, index: u32, namespace: i32, name: &str) -> io::Result<()> {
        let mut message = link(index);
        message.attributes.push(LinkAttribute::NetNsFd(namespace));
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        self.0.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&mut self, index: u32) -> io::Result<()> {
        self.0.request(RouteNetlinkMessage::DelLink(link(index)), 0)
    }

    /// Makes a pair of veths: `name` here, under a number that is free, and the far end in another
    /// namespace, looking like `far`: its name, its number (which the kernel heeds only where this
    /// end's is given, too), its station, MTU and queue.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_pair(
        &mut self,
        index: u32,
        name: &str,
        far: &Link,
        namespace: i32,
    ) -> io::Result<()> {
        let mut peer = link(far.index);
        peer.attributes = vec![
            LinkAttribute::IfName(far.name.clone()),
            LinkAttribute::NetNsFd(namespace),
            LinkAttribute::Mtu(far.mtu),
            LinkAttribute::TxQueueLen(far.queue),
        ];
        if far.station.len() == 6 {
            peer.attributes
                .push(LinkAttribute::Address(far.station.clone()));
        }
        let mut message = link(index);
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(far.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.0.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

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
    /// The kernel's; an address that is there already is none.
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
    /// The kernel's; a route that is there already is none.
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
        message.header.flags =
            original.header.flags & netlink_packet_route::route::RouteFlags::Onlink;
        fine_if_there(self.0.request(
            RouteNetlinkMessage::NewRoute(message),
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

    /// Makes every address local in one table (Documentation/networking/tproxy.rst).
    ///
    /// # Errors
    /// The kernel's.
    pub fn deliver_all(
        &mut self,
        family: AddressFamily,
        table: u8,
        loopback: u32,
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

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
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

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn fine_if_there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}
