//! Adoption: an interface of the container becomes the gateway's uplink, and a veth takes its
//! place, looking the same.
//!
//! The one primitive behind every engine and every moment (hook, `start`, hot plug). Nothing here
//! undoes (what an engine starts a container with again is `park`'s): a step that fails ends the
//! proxy, the gateway goes with it, and the container is left with no way out at all.

use std::io;
use std::net::IpAddr;

use anyhow::Context;
use ipnet::IpNet;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;

use super::addresses::address_of;
use super::links::{Link, Links};
use super::routes::{MAIN, next_hop};
use super::{Gateway, NamespaceHandle, TO_CONTAINER, TO_OUTSIDE, descriptor, ruleset};
use crate::packets::agreed::DUMMY;
use crate::sys::fork::Child;
use crate::sys::netns::Namespace;

/// The numbers of inside links begin here, beyond any that an uplink brings along.
const INSIDE_NUMBERS: u32 = 1_000_000;

/// An interface that was adopted.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// Its name in the container.
    pub name: String,
    /// The container's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// The networks on its wire.
    pub on_link: Vec<IpNet>,
    /// The number of our link in the container, which took its place.
    pub inner: u32,
    /// The link to the container, in the gateway.
    pub inside: Link,
    /// The interface itself, in the gateway.
    pub outside: Link,
}

/// Everything of an interface that must look the same afterwards.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    link: Link,
    addresses: Vec<AddressMessage>,
    routes: Vec<RouteMessage>,
    neighbours: Vec<NeighbourMessage>,
    settings: Vec<(String, String)>,
}

/// Adopts one interface of a container whose programs don't run yet.
///
/// # Errors
/// The step that failed, with the interface's name. The caller must not let the container run then.
pub fn adopt(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    link: Link,
) -> anyhow::Result<Adopted> {
    adopt_as(gateway, container, link, Snapshot::clone)
}

/// Adopts one interface of a container that runs, and may have given the interface addresses and
/// routes of its own choice: of these only what `networks` bear out, the host's own addresses on
/// that wire, counts outside of the container.
///
/// # Errors
/// The step that failed, with the interface's name.
pub fn adopt_plugged_in(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    link: Link,
    networks: &[IpNet],
) -> anyhow::Result<Adopted> {
    adopt_as(gateway, container, link, |before| {
        before.borne_out_by(networks)
    })
}

/// Interfaces on their way into the gateway. The kernel has whoever moves one wait, 16 ms and more,
/// with nothing to do: a copy of this process does.
#[derive(Debug)]
pub struct Departure {
    leaving: Vec<(Snapshot, u32)>,
    mover: Option<Child>,
}

/// Has these interfaces of a container whose programs don't run yet leave for the gateway, and
/// returns at once. For a process without a second thread; nothing else is to be done with the
/// container's links before [`arrive`].
///
/// # Errors
/// The step that failed, with the interface's name.
pub fn depart(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    links: Vec<Link>,
) -> anyhow::Result<Departure> {
    let mut leaving = Vec::new();
    for link in links {
        let name = link.name.clone();
        let before = Snapshot::take(container, link);
        let before = before.with_context(|| format!("read the settings of interface {name}"))?;
        leaving.push((before, gateway.take_number()));
    }
    if leaving.is_empty() {
        let mover = None;
        return Ok(Departure { leaving, mover });
    }
    let mover = Child::start(|| {
        let mut moves = leaving
            .iter()
            .map(|(before, number)| before.leave(gateway, container, *number));
        let failed = moves.find_map(io::Result::err);
        failed.map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO))
    });
    let mover = Some(mover.context("start what moves the interfaces")?);
    Ok(Departure { leaving, mover })
}

/// Waits for the interfaces that departed, and puts others in their places.
///
/// # Errors
/// The step that failed. The caller must not let the container run then.
pub fn arrive(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    departure: Departure,
) -> anyhow::Result<Vec<Adopted>> {
    if let Some(mover) = &departure.mover {
        mover
            .outcome()
            .context("move the interfaces to the gateway")?;
    }
    let arriving = departure.leaving.into_iter();
    arriving
        .map(|(before, number)| {
            let name = before.link.name.clone();
            take_place(gateway, container, before, number, Snapshot::clone)
                .with_context(|| format!("adopt interface {name}"))
        })
        .collect()
}

fn adopt_as(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    link: Link,
    believe: impl FnOnce(&Snapshot) -> Snapshot,
) -> anyhow::Result<Adopted> {
    let name = link.name.clone();
    let number = gateway.take_number();
    let steps = move || -> anyhow::Result<Adopted> {
        let before = Snapshot::take(container, link).context("read its settings")?;
        before
            .leave(gateway, container, number)
            .context("move it to the gateway")?;
        take_place(gateway, container, before, number, believe)
    };
    steps().with_context(|| format!("adopt interface {name}"))
}

/// Puts a veth in the place of an interface that is in the gateway by now.
fn take_place(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
    before: Snapshot,
    number: u32,
    believe: impl FnOnce(&Snapshot) -> Snapshot,
) -> anyhow::Result<Adopted> {
    let (inside, outside) = (inside_name(number), outside_name(number));
    gateway
        .side
        .links
        .make_pair(
            INSIDE_NUMBERS + number,
            &inside,
            &before.link,
            descriptor(&container.namespace),
        )
        .context("put a veth in its place")?;
    before
        .restore(container)
        .context("give the veth its settings")?;
    let believed = believe(&before);
    let (inside, outside) = believed
        .connect(gateway, &inside, &outside)
        .context("route through the gateway")?;
    if before.link.up {
        container
            .links
            .wait_passing(before.link.index)
            .context("bring the veth up")?;
        gateway
            .side
            .links
            .wait_passing(inside.index)
            .context("bring its other end up")?;
    }
    if before.link.passing {
        gateway
            .side
            .links
            .wait_passing(outside.index)
            .context("bring it up again")?;
    }
    let adopted = believed.summary(inside, outside);
    believed
        .foretell_neighbours(&mut gateway.side.links, &adopted)
        .context("enter its neighbours")?;
    Ok(adopted)
}

fn inside_name(number: u32) -> String {
    format!("{}{number}", ruleset::INSIDE)
}

fn outside_name(number: u32) -> String {
    format!("{}{number}", ruleset::OUTSIDE)
}

/// Takes an interface away from a container that runs. It stays in the gateway, down, until the
/// gateway ends; `number` tells it from others.
///
/// # Errors
/// The kernel's.
pub fn take_away(
    gateway: &Namespace,
    container: &mut NamespaceHandle,
    link: &Link,
    number: u32,
) -> io::Result<()> {
    container
        .links
        .give_away(link.index, descriptor(gateway), &format!("off{number}"))
}

/// Takes an adopted interface away, and its other end on the host with it, but leaves the link that
/// took its place standing: its own other end moves to the container's namespace, so that it
/// outlives the gateway and leads nowhere.
///
/// # Errors
/// The kernel's.
pub fn let_go(
    gateway: &mut Gateway,
    container: &NamespaceHandle,
    adopted: &Adopted,
) -> io::Result<()> {
    let links = &mut gateway.side.links;
    links.give_away(
        adopted.inside.index,
        descriptor(&container.namespace),
        &adopted.inside.name,
    )?;
    if adopted.outside.index == adopted.inside.index {
        Ok(())
    } else {
        links.remove(adopted.outside.index)
    }
}

/// Gives a container that had the host's network a link of its own to the gateway. There is no
/// uplink: the proxy dials from the host's namespace.
///
/// # Errors
/// The step that failed.
pub fn private_link(
    gateway: &mut Gateway,
    container: &mut NamespaceHandle,
) -> anyhow::Result<Adopted> {
    // RFC 6333 sets 192.0.0.0/29 aside for a link between two ends that nobody else sees; the IPv6
    // pair is a random ULA prefix (RFC 4193), fixed, since it is never seen by anybody else either.
    const CONTAINER_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 0, 2));
    const GATEWAY_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 0, 1));
    const CONTAINER_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(
        0xfd6b, 0x3c1e, 0x52a7, 0, 0, 0, 0, 2,
    ));
    const GATEWAY_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(
        0xfd6b, 0x3c1e, 0x52a7, 0, 0, 0, 0, 1,
    ));
    let far = Link {
        name: "eth0".into(),
        up: true,
        ..Link::numbered(0)
    };
    let number = gateway.take_number();
    let name = format!("{}{number}", ruleset::INSIDE);
    let mut steps = || -> io::Result<Adopted> {
        gateway.side.links.make_pair(
            INSIDE_NUMBERS + number,
            &name,
            &far,
            descriptor(&container.namespace),
        )?;
        let inside = gateway.side.links.by_name(&name)?;
        let inner = container.links.by_name(&far.name)?;
        let mut addresses = Vec::new();
        for (here, there) in [(GATEWAY_V4, CONTAINER_V4), (GATEWAY_V6, CONTAINER_V6)] {
            let full = if here.is_ipv4() { 32 } else { 128 };
            if here.is_ipv6() && !gateway.side.sysctls.has_ipv6() {
                continue;
            }
            gateway
                .side
                .links
                .add_own_address(inside.index, here, full)?;
            container.links.add_own_address(inner.index, there, full)?;
            addresses.extend([here, there]);
        }
        gateway.side.links.set_up(inside.index)?;
        container.links.set_up(inner.index)?;
        container.links.wait_passing(inner.index)?;
        gateway.side.links.wait_passing(inside.index)?;
        if gateway.side.sysctls.has_ipv6() {
            gateway
                .side
                .links
                .route_to_link_local(inside.index, TO_CONTAINER)?;
        }
        for pair in addresses.chunks_exact(2) {
            let &[here, there] = pair else { continue };
            gateway.side.links.route_to(
                there,
                inside.index,
                Some(here).filter(IpAddr::is_ipv4),
                TO_CONTAINER,
            )?;
            container.links.route_to(here, inner.index, None, MAIN)?;
            container.links.route_by_default(here, inner.index, MAIN)?;
        }
        Ok(Adopted {
            name: far.name.clone(),
            addresses,
            on_link: Vec::new(),
            inner: inner.index,
            outside: inside.clone(),
            inside,
        })
    };
    steps().context("give the container a link of its own")
}

/// Whether an interface leads out of the container and is not one of ours: everything but what
/// turns back, and the fallback devices of tunnel modules, which exist in every namespace and whose
/// packets come back to its own routing.
#[must_use]
pub fn leads_out(link: &Link, ours: &[Adopted]) -> bool {
    const TUNNELS: [&str; 11] = [
        "erspan",
        "gre",
        "gretap",
        "ip6erspan",
        "ip6gre",
        "ip6gretap",
        "ip6tnl",
        "ipip",
        "sit",
        "vti",
        "vti6",
    ];
    let tunnel = link
        .kind
        .as_deref()
        .is_some_and(|kind| TUNNELS.contains(&kind));
    let fallback = tunnel && link.peer_netns.is_none();
    !link.turns_back && !fallback && !ours.iter().any(|adopted| adopted.inner == link.index)
}

/// Whether an interface that appears while the container's own programs run was plugged in from
/// outside: its other end is in the host's namespace, or it is hardware. What the container makes
/// itself is not ours to adopt: its own veth as an uplink would let it answer our resolver's
/// questions.
///
/// # Errors
/// The kernel's.
pub fn plugged_in(
    container: &mut NamespaceHandle,
    link: &Link,
    host: &Namespace,
) -> io::Result<bool> {
    match link.peer_netns {
        _ if link.is_hardware() => Ok(true),
        None => Ok(false),
        Some(number) => Ok(container.links.number_of(descriptor(host))? == Some(number)),
    }
}

impl Snapshot {
    pub(super) fn take(container: &mut NamespaceHandle, link: Link) -> io::Result<Self> {
        Ok(Self {
            addresses: container.links.addresses(link.index)?,
            routes: container.links.routes(link.index, MAIN)?,
            neighbours: container.links.permanent_neighbours(link.index)?,
            settings: read_settings(container, &link.name),
            link,
        })
    }

    /// Moves the interface to the gateway.
    fn leave(
        &self,
        gateway: &Gateway,
        container: &mut NamespaceHandle,
        number: u32,
    ) -> io::Result<()> {
        container.links.give_away(
            self.link.index,
            descriptor(&gateway.side.namespace),
            &outside_name(number),
        )
    }

    /// The interface's name.
    pub(super) fn name(&self) -> &str {
        &self.link.name
    }

    /// What of it can be true: addresses in a network of the host's that are not the host's own,
    /// routes to those networks, and routes whose next hop is the host. A neighbour's address,
    /// claimed by the container, would divert what the neighbour is sent; a resolver's would let
    /// the container answer our questions.
    fn borne_out_by(&self, networks: &[IpNet]) -> Self {
        let hosts = |address: IpAddr| networks.iter().any(|network| network.addr() == address);
        let free = |address: IpAddr| {
            networks.iter().any(|network| network.contains(&address)) && !hosts(address)
        };
        let leads_there = |route: &RouteMessage| match next_hop(route) {
            Some(hop) => hosts(hop),
            None => prefix(route)
                .is_some_and(|prefix| networks.iter().any(|network| network.trunc() == prefix)),
        };
        Self {
            link: self.link.clone(),
            addresses: self
                .addresses
                .iter()
                .filter(|own| address_of(own).is_some_and(free))
                .cloned()
                .collect(),
            routes: self
                .routes
                .iter()
                .filter(|route| leads_there(route))
                .cloned()
                .collect(),
            neighbours: Vec::new(),
            settings: self.settings.clone(),
        }
    }

    /// The container's side, so that it sees what it saw before.
    pub(super) fn restore(&self, container: &mut NamespaceHandle) -> io::Result<()> {
        let index = container.links.by_name(&self.link.name)?.index;
        // Before addresses: with IPv6 off on the interface, the kernel must not give it any.
        let now = read_settings(container, &self.link.name);
        for (setting, value) in self.settings.iter().filter(|pair| !now.contains(pair)) {
            container.sysctls.write(setting, value)?;
        }
        for address in &self.addresses {
            container.links.add_address(index, address)?;
        }
        if self.link.up {
            container.links.set_up(index)?;
        }
        for route in &self.routes {
            container.links.add_route(index, route, MAIN)?;
        }
        for neighbour in &self.neighbours {
            container.links.add_neighbour(index, neighbour)?;
        }
        Ok(())
    }

    /// The gateway's side: the container's addresses are asked for in its name on the uplink, and
    /// lead inside.
    fn connect(
        &self,
        gateway: &mut Gateway,
        inside: &str,
        outside: &str,
    ) -> io::Result<(Link, Link)> {
        let links = &mut gateway.side.links;
        let (inside, outside) = (links.by_name(inside)?, links.by_name(outside)?);
        links.set_up(inside.index)?;
        links.set_up(outside.index)?;
        for address in self.routable() {
            if let IpAddr::V4(v4) = address {
                // So that the kernel asks its neighbours in the container's name. (For IPv6 it does
                // so as the link itself.)
                links.add_own_address(outside.index, address, 32)?;
                links.stop_delivery(outside.index, v4)?;
            }
            let preferred = address.is_ipv4().then_some(IpAddr::V4(DUMMY));
            links.route_to(address, inside.index, preferred, TO_CONTAINER)?;
            // What the kernel tells the proxy's own sockets, which are bound to this address,
            // reaches them, and nobody else.
            links.deliver(address, outside.index, TO_OUTSIDE)?;
        }
        if gateway.side.sysctls.has_ipv6() {
            links.route_to_link_local(inside.index, TO_CONTAINER)?;
        }
        for route in &self.routes {
            links.add_route(outside.index, &without_source(route), TO_OUTSIDE)?;
        }
        for neighbour in &self.neighbours {
            links.add_neighbour(outside.index, neighbour)?;
        }
        Ok((inside, outside))
    }

    /// Neighbours of the gateway's that take nothing of what the kernel counts: the container, and
    /// the next hops.
    fn foretell_neighbours(&self, gateway: &mut Links, adopted: &Adopted) -> io::Result<()> {
        for address in &adopted.addresses {
            let mac = Some(self.link.mac.as_slice());
            gateway.foretell_neighbour(adopted.inside.index, *address, mac)?;
        }
        for hop in self.routes.iter().filter_map(next_hop) {
            gateway.foretell_neighbour(adopted.outside.index, hop, None)?;
        }
        Ok(())
    }

    /// The container's addresses that mean something beyond the wire.
    fn routable(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses
            .iter()
            .filter_map(address_of)
            .filter(|address| match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(address) => !address.is_unicast_link_local(),
            })
    }

    fn summary(&self, inside: Link, outside: Link) -> Adopted {
        let on_link = self
            .routes
            .iter()
            .filter(|route| next_hop(route).is_none())
            .filter_map(prefix)
            .collect();
        Adopted {
            name: self.link.name.clone(),
            addresses: self.routable().collect(),
            on_link,
            inner: self.link.index,
            inside,
            outside,
        }
    }
}

/// In the gateway the container's addresses are not local, and so can't be a route's preferred
/// source.
fn without_source(route: &RouteMessage) -> RouteMessage {
    use netlink_packet_route::route::RouteAttribute;
    let mut route = route.clone();
    route
        .attributes
        .retain(|attribute| !matches!(attribute, RouteAttribute::PrefSource(_)));
    route
}

fn prefix(route: &RouteMessage) -> Option<IpNet> {
    use netlink_packet_route::route::{RouteAddress, RouteAttribute};
    let length = route.header.destination_prefix_length;
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Destination(RouteAddress::Inet6(address))
                if !address.is_unicast_link_local() =>
            {
                Some(IpAddr::V6(*address))
            }
            _ => None,
        })?;
    IpNet::new(address, length).ok().filter(|_| length > 0)
}

/// The interface's own settings, both families. Those that can't be read (write-only, secret) are
/// not carried over.
fn read_settings(side: &NamespaceHandle, interface: &str) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for family in side.sysctls.families() {
        let directory = format!("{family}/conf/{interface}");
        for name in side.sysctls.names(&directory).unwrap_or_default() {
            let setting = format!("{directory}/{name}");
            if let Ok(value) = side.sysctls.read(&setting) {
                settings.push((setting, value));
            }
        }
    }
    settings
}
