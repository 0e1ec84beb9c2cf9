//! The container's interfaces over time: adopted when the container is created, when it starts, and
//! when one is plugged in while it runs; given up when the engine removes them.
//!
//! One owner and one loop, so that two adoptions never overlap. Invariant: while the container
//! runs, nothing in its namespace is trusted. Only interfaces whose other end is on the host are
//! adopted, with those of their addresses and routes that the host's own addresses confirm, and
//! only next hops that are the host's own are followed. A failure with one interface never ends the
//! keeper, or the next one that is plugged in would go unnoticed.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::control::Settling;
use super::filter::FilterProcess;
use super::hotplug::{Quarantined, Turn, Watch};
use crate::container::state::{SavedState, Stage};
use crate::gateway::adopt::{self, Adopted, Departure};
use crate::gateway::links::{Link, LinkNews, news};
use crate::gateway::routes::{MAIN, is_default, next_hop};
use crate::gateway::{Gateway, NamespaceHandle, TO_OUTSIDE, park};
use crate::logging::Seldom;
use crate::packets::agreed::DUMMY;
use crate::packets::arp_ndp::StandsFor;
use crate::policy::Exit;
use crate::proxy::keeper::ToFilter;
use crate::proxy::{Beyond, Interfaces};
use crate::sys::netlink::Announcements;
use crate::sys::netns::Namespace;
use crate::sys::readiness;
use crate::sys::socket::{self, NeighbourProtocol};

/// An engine that plugs an interface in gives it addresses and routes one by one; it is done when
/// it has been quiet so long.
const QUIET: Duration = Duration::from_millis(100);

/// How long an interface is held for its engine to give the container a default route, where there
/// is none: dockerd writes to its disk before that, and fails if the way to the next hop is missing
/// just then, as it is while an interface is adopted.
const GATEWAY: Duration = Duration::from_secs(2);

/// The interfaces of one container.
#[derive(Debug)]
pub(super) struct ContainerLinks {
    gateway: Gateway,
    container: NamespaceHandle,
    host: NamespaceHandle,
    exit: Exit,
    adopted: Vec<Adopted>,
    /// Links on which somebody must answer. The filter does, by the same sockets; it takes the
    /// kernel milliseconds to close each (packet(7)'s wait for the packets under way), which is
    /// done here, when nobody waits any more.
    neighbours: Vec<NeighbourSockets>,
    /// Interfaces plugged in and held until they are complete: their number, and the host's end,
    /// which was taken down.
    held: Vec<(u32, u32, Instant)>,
    turn: Turn,
    events: Option<LinkEvents>,
}

/// The sockets by which neighbours ask on one link.
#[derive(Debug)]
struct NeighbourSockets {
    link: u32,
    /// What the filter must know of it, until it was told.
    untold: Option<ToFilter>,
    arp: socket2::Socket,
    ndp: socket2::Socket,
}

/// What is listened to: changes in the container's namespace, and in the gateway.
#[derive(Debug)]
struct LinkEvents {
    inner: Announcements,
    outer: Announcements,
    watch: Watch,
}

impl ContainerLinks {
    /// Takes hold of both sides. From here on this process lives where it dials from.
    pub(super) fn open(
        gateway: Gateway,
        container: NamespaceHandle,
        exit: Exit,
    ) -> anyhow::Result<Self> {
        let host = NamespaceHandle::open(Namespace::current()?)?;
        if exit == Exit::Uplink {
            gateway
                .side
                .namespace
                .enter()
                .context("enter the gateway")?;
        }
        Ok(Self {
            container,
            gateway,
            host,
            exit,
            adopted: Vec::new(),
            neighbours: Vec::new(),
            held: Vec::new(),
            turn: Turn::default(),
            events: None,
        })
    }

    /// Begins to listen for what [`Self::tend`] will follow. Needs privileges that serving doesn't.
    pub(super) fn listen(&mut self) -> anyhow::Result<()> {
        self.events = Some(LinkEvents {
            inner: self.container.namespace.inside(Announcements::open)?,
            outer: self.gateway.side.namespace.inside(Announcements::open)?,
            watch: Watch::open(
                &self.container.namespace,
                &self.host.namespace,
                &self.gateway.side.namespace,
                &self.turn,
            )?,
        });
        Ok(())
    }

    /// Adopts what has left the container, whose programs don't run yet.
    pub(super) fn receive(&mut self, departure: Departure) -> anyhow::Result<()> {
        if self.exit == Exit::Host {
            let adopted = adopt::private_link(&mut self.gateway, &mut self.container)?;
            self.keep(adopted)?;
        }
        for adopted in adopt::arrive(&mut self.gateway, &mut self.container, departure)? {
            self.unpark_and_keep(adopted)?;
        }
        Ok(())
    }

    fn unpark_and_keep(&mut self, adopted: Adopted) -> anyhow::Result<()> {
        park::unpark(&mut self.gateway, &mut self.host, &adopted)?;
        Ok(self.keep(adopted)?)
    }

    /// Adopts everything that leads out of a container whose programs don't run yet.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        for link in self.leading_out()? {
            let adopted = adopt::adopt(&mut self.gateway, &mut self.container, link)?;
            self.unpark_and_keep(adopted)?;
        }
        match self.leading_out()?.first() {
            None => Ok(()),
            Some(link) => bail!(
                "interface {} appeared while the container's network was being taken over",
                link.name
            ),
        }
    }

    /// The gateway, where this process doesn't live in it.
    pub(super) fn lives_apart(&self) -> Option<&Namespace> {
        (self.exit == Exit::Host).then_some(&self.gateway.side.namespace)
    }

    /// What is known of the interfaces now.
    fn interfaces(&mut self) -> Interfaces {
        let sources: Vec<IpAddr> = self
            .adopted
            .iter()
            .flat_map(|adopted| adopted.addresses.iter().copied())
            .collect();
        // The host's private addresses are refused like all private ones, unless a rule names them.
        let public = |address: &IpAddr| crate::policy::is_public(*address);
        let host = self.host.links.every_address().unwrap_or_else(|error| {
            static SAID: Seldom = Seldom::new();
            if SAID.due() {
                log::warn!("the host's public addresses are not refused, since they can't be listed: {error}");
            }
            Vec::new()
        });
        let host = host.into_iter().filter(public);
        let on_link: Vec<_> = self
            .adopted
            .iter()
            .flat_map(|adopted| adopted.on_link.iter().copied())
            .collect();
        let own = sources
            .iter()
            .copied()
            .chain([IpAddr::V4(DUMMY)])
            .chain(host)
            .chain(on_link.iter().filter_map(broadcast))
            .collect();
        Interfaces {
            sources,
            own,
            on_link,
            beyond: self.beyond(),
        }
    }

    /// By which families the container's default routes lead to us. What can't be read leads nowhere.
    fn beyond(&mut self) -> Beyond {
        let mut beyond = Beyond::default();
        for adopted in &self.adopted {
            let routes = self.container.links.routes(adopted.inner, MAIN);
            for route in routes
                .unwrap_or_default()
                .iter()
                .filter(|route| is_default(route))
            {
                match route.header.address_family {
                    AddressFamily::Inet => beyond.v4 = true,
                    AddressFamily::Inet6 => beyond.v6 = true,
                    _ => {}
                }
            }
        }
        beyond
    }

    /// Follows what happens to the container's interfaces, and settles them for whoever waits for
    /// that, until something fails. That they have settled is noted in the record.
    pub(super) async fn tend(
        &mut self,
        filter: &FilterProcess,
        mut settling: mpsc::Receiver<Settling>,
        record: &RefCell<SavedState>,
    ) -> anyhow::Result<()> {
        let LinkEvents {
            inner,
            outer,
            watch,
        } = self.events.take().context("not listening")?;
        let (inner, outer) = (Ear::new(inner)?, Ear::new(outer)?);
        let (tell, mut plugged) = mpsc::unbounded_channel();
        let mut waiting = Some((watch, tell)).filter(|_| self.exit == Exit::Uplink);
        let mut running = record.borrow().stage == Stage::Settled;
        let mut complete_at: Option<Instant> = None;
        loop {
            if running && let Some((watch, tell)) = waiting.take() {
                watch.begin(tell)?;
            }
            let complete =
                async { tokio::time::sleep_until(complete_at.unwrap_or_else(Instant::now)).await };
            tokio::select! {
                Some(caller) = settling.recv() => {
                    let mut outcome = Ok(());
                    // From then on nothing that is found there is trusted, whoever asks again.
                    if !running {
                        outcome = self.settle();
                        self.publish(filter)?;
                        outcome = outcome.and_then(|()| Ok(record.borrow_mut().reach(Stage::Settled)?));
                        running = outcome.is_ok();
                    }
                    // It may have given up.
                    let _ = caller.send(outcome);
                }
                announced = inner.next() => {
                    announced?;
                    if running && self.exit == Exit::Uplink {
                        complete_at = Some(Instant::now() + QUIET);
                    }
                }
                quarantined = plugged.recv(), if running && self.exit == Exit::Uplink => {
                    self.hold(filter, quarantined.context("the watch for new interfaces failed")?)?;
                    complete_at = Some(Instant::now() + QUIET);
                }
                () = complete, if complete_at.is_some() => {
                    complete_at = self.expects_a_gateway().then(|| Instant::now() + QUIET);
                    if complete_at.is_some() {
                        continue;
                    }
                    self.adopt_held(filter)?;
                    self.follow_default_routes();
                    self.publish(filter)?;
                }
                announced = outer.next() => {
                    if self.forget_unplugged(&announced?)? {
                        self.publish(filter)?;
                    }
                }
            }
        }
    }

    /// Takes the uplinks away when the container is over, and leaves its own links standing in its
    /// namespace, which the engine has pinned, tied to nothing but themselves. It takes the kernel
    /// tens of milliseconds, for which `delete` waits.
    pub(super) fn let_go(&mut self) {
        for adopted in &self.adopted {
            // Where the namespace is gone, so is the link.
            if let Err(error) = adopt::let_go(&mut self.gateway, &self.container, adopted) {
                log::debug!("can't release link {}: {error:#}", adopted.inside.name);
            }
        }
    }

    /// Puts the engine's interfaces back in their places, leading nowhere, before the container is
    /// ended for want of a gateway: its engine may start it again with them.
    pub(super) fn park(&mut self) {
        // Those of a container with the host's network are ours, and go with the gateway.
        for adopted in self.adopted.iter().filter(|_| self.exit == Exit::Uplink) {
            let parked = park::park(
                &mut self.gateway,
                &mut self.container,
                &mut self.host,
                adopted,
            );
            // Where the namespace is gone, so is the link.
            if let Err(error) = parked {
                log::debug!("can't give interface {} back: {error:#}", adopted.name);
            }
        }
    }

    fn keep(&mut self, adopted: Adopted) -> io::Result<()> {
        // Without an uplink there is one link, and its far end's addresses are the gateway's own:
        // the kernel answers.
        if self.exit == Exit::Uplink {
            let (inside, outside) = (adopted.addresses.clone(), adopted.addresses.clone());
            self.neighbours.push(NeighbourSockets::open(
                &adopted.inside,
                StandsFor::AllBut(inside),
            )?);
            self.neighbours.push(NeighbourSockets::open(
                &adopted.outside,
                StandsFor::Only(outside),
            )?);
        }
        self.adopted.push(adopted);
        Ok(())
    }

    fn leading_out(&mut self) -> io::Result<Vec<Link>> {
        let links = self.container.links.list()?;
        Ok(links
            .into_iter()
            .filter(|link| adopt::leads_out(link, &self.adopted))
            .collect())
    }

    fn plugged_in(&mut self) -> io::Result<Vec<Link>> {
        let mut found = Vec::new();
        for link in self.leading_out()? {
            if adopt::plugged_in(&mut self.container, &link, &self.host.namespace)? {
                found.push(link);
            }
        }
        Ok(found)
    }

    /// Notes an interface that was quarantined until it is complete.
    fn hold(&mut self, filter: &FilterProcess, quarantined: Quarantined) -> anyhow::Result<()> {
        match quarantined {
            Quarantined::Held { index, far, since } => {
                self.held.retain(|(held, ..)| *held != index);
                self.held.push((index, far, since));
            }
            Quarantined::TakenAway { name } => {
                log::warn!(
                    "interface {name} was plugged in and taken away: nobody could hold it until it is filtered"
                );
                let why = "only interfaces with an end on the host can be connected to a running container: this one was taken away, connect it before the container starts";
                filter.tell(
                    &ToFilter::NotPluggedIn {
                        name,
                        reason: why.to_owned(),
                    },
                    &[],
                )?;
            }
        }
        Ok(())
    }

    /// Whether an interface was plugged in a moment ago and its engine is probably not done with
    /// it.
    fn expects_a_gateway(&mut self) -> bool {
        let fresh = self
            .held
            .iter()
            .any(|(_, _, since)| since.elapsed() < GATEWAY);
        fresh && self.has_no_default_route().unwrap_or(false)
    }

    fn has_no_default_route(&mut self) -> io::Result<bool> {
        for link in self.container.links.list()? {
            if self
                .container
                .links
                .routes(link.index, MAIN)?
                .iter()
                .any(is_default)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn adopt_held(&mut self, filter: &FilterProcess) -> anyhow::Result<()> {
        let links = self.plugged_in()?;
        self.held
            .retain(|(index, ..)| links.iter().any(|link| link.index == *index));
        for link in links.into_iter().filter(|link| link.up) {
            let Some(place) = self
                .held
                .iter()
                .position(|(index, ..)| *index == link.index)
            else {
                continue;
            };
            let (_, far, since) = self.held.remove(place);
            let name = link.name.clone();
            match self.adopt_one(link, far) {
                Ok(adopted) => {
                    let (address, held) = (adopted.addresses.first().copied(), since.elapsed());
                    self.keep(adopted)?;
                    filter.tell(
                        &ToFilter::PluggedIn {
                            name,
                            address,
                            held,
                        },
                        &[],
                    )?;
                }
                // The host's end stays down.
                Err(error) => {
                    log::warn!("interface {name} was plugged in but not connected: {error:#}");
                    filter.tell(
                        &ToFilter::NotPluggedIn {
                            name,
                            reason: format!("{error:#}"),
                        },
                        &[],
                    )?;
                }
            }
        }
        Ok(())
    }

    fn adopt_one(&mut self, link: Link, far: u32) -> anyhow::Result<Adopted> {
        let networks = self.host.links.networks_at(far)?;
        let adopted =
            adopt::adopt_plugged_in(&mut self.gateway, &mut self.container, link, &networks)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.host.links.set_up(far)?;
        Ok(adopted)
    }

    /// When an engine moves the container's default route to another of our links, the gateway's
    /// moves too, if the next hop is the host itself.
    fn follow_default_routes(&mut self) {
        let Ok(host) = self.host.links.every_address() else {
            return;
        };
        for adopted in &self.adopted {
            let (Ok(theirs), Ok(ours)) = (
                self.container.links.routes(adopted.inner, MAIN),
                self.gateway
                    .side
                    .links
                    .routes(adopted.outside.index, TO_OUTSIDE),
            ) else {
                continue;
            };
            for hop in theirs
                .iter()
                .filter(|route| is_default(route))
                .filter_map(next_hop)
            {
                let known = ours
                    .iter()
                    .filter(|route| is_default(route))
                    .filter_map(next_hop)
                    .any(|known| known == hop);
                if !known && host.contains(&hop) {
                    // It fails where the network went away meanwhile; then there is nothing to
                    // follow.
                    let _ = self.gateway.side.links.route_by_default(
                        hop,
                        adopted.outside.index,
                        TO_OUTSIDE,
                    );
                }
            }
        }
    }

    /// A link whose container end the engine took away is gone on our side, too: its uplink goes
    /// with it.
    fn forget_unplugged(&mut self, announced: &[u8]) -> io::Result<bool> {
        let gone: Vec<u32> = if announced.is_empty() {
            // Some were lost.
            let there = self.gateway.side.links.list()?;
            let ours = self.adopted.iter().map(|adopted| adopted.inside.index);
            ours.filter(|ours| !there.iter().any(|link| link.index == *ours))
                .collect()
        } else {
            let gone = |news| match news {
                LinkNews::Gone(index) => Some(index),
                LinkNews::Changed(_) => None,
            };
            news(announced).filter_map(gone).collect()
        };
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.adopted)
            .into_iter()
            .partition(|adopted| gone.contains(&adopted.inside.index));
        self.adopted = kept;
        for adopted in &gone {
            self.neighbours
                .retain(|one| ![adopted.inside.index, adopted.outside.index].contains(&one.link));
            // The engine may have taken it away already, with its other end.
            let _ = self.gateway.side.links.remove(adopted.outside.index);
        }
        Ok(!gone.is_empty())
    }

    /// Tells the filter what is known now.
    pub(super) fn publish(&mut self, filter: &FilterProcess) -> anyhow::Result<()> {
        filter.tell_interfaces(self.interfaces())?;
        for neighbour in &mut self.neighbours {
            if let Some(word) = neighbour.untold.take() {
                filter.tell(&word, &[neighbour.arp.as_fd(), neighbour.ndp.as_fd()])?;
            }
        }
        Ok(())
    }
}

/// By which all of a network are reached: the kernel sends nothing there for a socket that doesn't ask for
/// just that, and tells it of no failure. None where it has too few addresses for one (RFC 3021).
fn broadcast(network: &IpNet) -> Option<IpAddr> {
    match network {
        IpNet::V4(network) if network.prefix_len() < 31 => Some(network.broadcast().into()),
        _ => None,
    }
}

impl NeighbourSockets {
    /// Opens the sockets, in the namespace of this thread. Questions wait in them until they are
    /// answered.
    fn open(link: &Link, stands_for: StandsFor) -> io::Result<Self> {
        let mac = <[u8; 6]>::try_from(link.mac.as_slice()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{} is not an Ethernet interface", link.name),
            )
        })?;
        let (arp, ndp) = (
            socket::questions(link.index, NeighbourProtocol::Arp)?,
            socket::questions(link.index, NeighbourProtocol::Ndp)?,
        );
        let untold = Some(ToFilter::Neighbours { mac, stands_for });
        Ok(Self {
            link: link.index,
            untold,
            arp,
            ndp,
        })
    }
}

/// One namespace's announcements, awaited.
struct Ear {
    arrived: AsyncFd<OwnedFd>,
    announcements: Announcements,
}

impl Ear {
    fn new(announcements: Announcements) -> io::Result<Self> {
        Ok(Self {
            arrived: readiness::of(&announcements)?,
            announcements,
        })
    }

    /// One datagram; nothing in it, where some were lost.
    async fn next(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut ready = self.arrived.readable().await?;
            if let Ok(taken) = ready.try_io(|_| self.announcements.take()) {
                return taken;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_broadcast_address_unless_it_is_a_link_of_two() {
        for (network, expected) in [
            ("172.17.0.0/16", Some("172.17.255.255")),
            ("10.0.0.4/30", Some("10.0.0.7")),
            ("10.0.0.4/31", None),
            ("10.0.0.4/32", None),
            ("fd00::/64", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(broadcast(&network.parse().unwrap()), expected, "{network}");
        }
    }
}
