//! The container's interfaces over time: adopted when the container is made, when it starts, and when one is plugged in
//! while it runs; taken off again when the engine takes them.
//!
//! One owner and one loop, so that no two adoptions ever meet. What must not be forgotten: while the container runs,
//! nothing in its namespace is believed. Only interfaces whose other end the host holds are adopted, with what of their
//! addresses and routes the host's own addresses bear out, and only next hops that are the host's own are followed. And
//! nothing that goes wrong with one of them ends the proxy: the next one that is plugged in would meet nobody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use netlink_packet_route::RouteNetlinkMessage;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::neighbours::Questions;
use super::plug::{Stilled, Watch};
use super::{Gate, Interfaces, control};
use crate::audit::{Direction, Kind, Subject};
use crate::gateway::adopt::{self, Adopted};
use crate::gateway::link::{Link, MAIN, is_default, next_hop};
use crate::gateway::neighbour::StandsFor;
use crate::gateway::{DUMMY, Gateway, Side, TO_OUTSIDE};
use crate::plan::Exit;
use crate::policy::Denial;
use crate::sys::netlink::Announcements;
use crate::sys::netns::{Namespace, Resident};
use crate::sys::{process, readiness};

/// An engine that plugs an interface in gives it addresses and routes one by one; it is done when it has been quiet so long.
const QUIET: Duration = Duration::from_millis(100);

/// How long an interface is held for its engine to give the container a default route, where there is none: dockerd writes to
/// its disk before that, and fails if the way to the next hop is missing just then, as it is while an interface is adopted.
const GATEWAY: Duration = Duration::from_secs(2);

/// The interfaces of one container.
#[derive(Debug)]
pub(super) struct Wire {
    gateway: Gateway,
    container: Side,
    host: Side,
    exit: Exit,
    adopted: Vec<Adopted>,
    /// Links whose neighbours nobody answers yet.
    unanswered: Vec<Questions>,
    /// Links whose neighbours are being answered. It takes the kernel milliseconds to close each of these sockets (packet(7)'s
    /// wait for the packets under way): they are closed with this, when nobody waits any more.
    answered: Vec<Arc<Questions>>,
    /// Interfaces plugged in and held until they are complete: their number, and the host's end, which was taken down.
    held: Vec<(u32, u32, Instant)>,
    ears: Option<Ears>,
}

/// What the proxy listens to: changes in the container's namespace, changes in the gateway, and `start`.
#[derive(Debug)]
struct Ears {
    inner: Announcements,
    outer: Announcements,
    control: std::os::unix::net::UnixListener,
    watch: Watch,
}

impl Wire {
    /// Takes hold of both sides. From here on this process lives where it dials from.
    pub(super) fn open(gateway: Gateway, container: Namespace, exit: Exit) -> anyhow::Result<Self> {
        let host = Side::open(Namespace::current()?)?;
        if exit == Exit::Uplink {
            gateway.side.namespace.enter().context("enter the gateway")?;
        }
        Ok(Self {
            container: Side::open(container)?,
            gateway,
            host,
            exit,
            adopted: Vec::new(),
            unanswered: Vec::new(),
            answered: Vec::new(),
            held: Vec::new(),
            ears: None,
        })
    }

    /// Begins to listen for what [`Self::tend`] will follow. Needs privileges that serving doesn't.
    pub(super) fn listen(&mut self, state: &Path) -> anyhow::Result<()> {
        self.ears = Some(Ears {
            inner: self.container.namespace.inside(Announcements::open)?,
            outer: self.gateway.side.namespace.inside(Announcements::open)?,
            control: control::bind(state).context("open the control socket")?,
            watch: Watch::open(&self.container.namespace, &self.host.namespace, &self.gateway.side.namespace)?,
        });
        Ok(())
    }

    /// Adopts everything that leads out of a container whose programs don't run yet.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        if self.exit == Exit::Host && self.adopted.is_empty() {
            let adopted = adopt::private_link(&mut self.gateway, &mut self.container)?;
            self.keep(adopted)?;
        }
        for link in self.leading_out()? {
            let adopted = adopt::adopt(&mut self.gateway, &mut self.container, link)?;
            self.keep(adopted)?;
        }
        match self.leading_out()?.first() {
            None => Ok(()),
            Some(link) => bail!("interface {} appeared while the container's network was being taken over", link.name),
        }
    }

    /// A thread in the gateway, as unprivileged as this process is about to be.
    pub(super) fn resident(&self) -> io::Result<Resident> {
        Resident::move_in(&self.gateway.side.namespace, process::harden)
    }

    /// What is known of the interfaces now.
    pub(super) fn interfaces(&mut self) -> Interfaces {
        let sources: Vec<IpAddr> = self.adopted.iter().flat_map(|adopted| adopted.addresses.iter().copied()).collect();
        // The host's private addresses are refused like all private ones, unless a rule names them.
        let public = |address: &IpAddr| crate::policy::is_public(*address);
        let host = self.host.links.every_address().unwrap_or_default().into_iter().filter(public);
        let own = sources.iter().copied().chain([IpAddr::V4(DUMMY)]).chain(host).collect();
        let on_link = self.adopted.iter().flat_map(|adopted| adopted.on_link.iter().copied()).collect();
        Interfaces { sources, own, on_link }
    }

    /// Follows what happens to the container's interfaces, until something fails.
    pub(super) async fn tend(&mut self, gate: Arc<Gate>, starts_by_verb: bool) -> anyhow::Result<()> {
        let Ears { inner, outer, control, watch } = self.ears.take().context("not listening")?;
        let (inner, outer) = (Ear::new(inner)?, Ear::new(outer)?);
        let listener = UnixListener::from_std(control)?;
        // Kept from turn to turn: a caller that was accepted and hasn't said all would be dropped with it.
        let mut calling = pin!(control::next(&listener));
        let (tell, mut plugged) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Some((watch, tell)).filter(|_| self.exit == Exit::Uplink);
        let mut running = !starts_by_verb;
        let mut complete_at: Option<Instant> = None;
        loop {
            self.answer_neighbours();
            if running && let Some((watch, tell)) = waiting.take() {
                watch.begin(tell)?;
            }
            let complete = async { tokio::time::sleep_until(complete_at.unwrap_or_else(Instant::now)).await };
            tokio::select! {
                caller = calling.as_mut() => {
                    calling.set(control::next(&listener));
                    let outcome = self.settle();
                    running = true;
                    self.publish(&gate);
                    caller?.answer(&outcome).await;
                }
                announced = inner.next() => {
                    announced?;
                    if running && self.exit == Exit::Uplink {
                        complete_at = Some(Instant::now() + QUIET);
                    }
                }
                stilled = plugged.recv(), if running && self.exit == Exit::Uplink => {
                    self.hold(&gate, stilled.context("the watch for new interfaces failed")?);
                    complete_at = Some(Instant::now() + QUIET);
                }
                () = complete, if complete_at.is_some() => {
                    complete_at = self.expects_a_gateway().then(|| Instant::now() + QUIET);
                    if complete_at.is_some() {
                        continue;
                    }
                    self.adopt_held(&gate)?;
                    self.follow_default_routes();
                    self.publish(&gate);
                }
                announced = outer.next() => {
                    if self.forget_unplugged(&announced?) {
                        self.publish(&gate);
                    }
                }
            }
        }
    }

    /// Takes the uplinks away when the container is over, and leaves its own links standing in its namespace, which the engine
    /// has pinned, tied to nothing but themselves. It takes the kernel tens of milliseconds, for which `delete` waits.
    pub(super) fn let_go(&mut self) {
        for adopted in &self.adopted {
            // Where the namespace is gone, so is the link.
            let _ = adopt::let_go(&mut self.gateway, &self.container, adopted);
        }
    }

    fn keep(&mut self, adopted: Adopted) -> io::Result<()> {
        // Without an uplink there is one link, and its far end's addresses are the gateway's own: the kernel answers.
        if self.exit == Exit::Uplink {
            let (inside, outside) = (adopted.addresses.clone(), adopted.addresses.clone());
            self.unanswered.push(Questions::open(&adopted.inside, StandsFor::AllBut(inside))?);
            self.unanswered.push(Questions::open(&adopted.outside, StandsFor::Only(outside))?);
        }
        self.adopted.push(adopted);
        Ok(())
    }

    fn leading_out(&mut self) -> io::Result<Vec<Link>> {
        let links = self.container.links.list()?;
        Ok(links.into_iter().filter(|link| adopt::leads_out(link, &self.adopted)).collect())
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

    /// Notes an interface that was stilled until it is complete.
    fn hold(&mut self, gate: &Gate, stilled: Stilled) {
        match stilled {
            Stilled::Held { index, far, since } => {
                self.held.retain(|(held, ..)| *held != index);
                self.held.push((index, far, since));
            }
            Stilled::TakenAway { name } => {
                let why = "only interfaces with an end on the host can be connected to a running container";
                unplugged(gate, &name, why.to_owned());
            }
        }
    }

    /// Whether an interface was plugged in a moment ago and its engine is probably not done with it.
    fn expects_a_gateway(&mut self) -> bool {
        let fresh = self.held.iter().any(|(_, _, since)| since.elapsed() < GATEWAY);
        fresh && self.has_no_default_route().unwrap_or(false)
    }

    fn has_no_default_route(&mut self) -> io::Result<bool> {
        for link in self.container.links.list()? {
            if self.container.links.routes(link.index, MAIN)?.iter().any(is_default) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn adopt_held(&mut self, gate: &Gate) -> anyhow::Result<()> {
        let links = self.plugged_in()?;
        self.held.retain(|(index, ..)| links.iter().any(|link| link.index == *index));
        for link in links.into_iter().filter(|link| link.up) {
            let Some(place) = self.held.iter().position(|(index, ..)| *index == link.index) else { continue };
            let (_, far, since) = self.held.remove(place);
            let name = link.name.clone();
            match self.adopt_one(link, far) {
                Ok(adopted) => {
                    plugged(gate, &adopted, since);
                    self.keep(adopted)?;
                }
                // The host's end stays down.
                Err(error) => unplugged(gate, &name, format!("{error:#}")),
            }
        }
        Ok(())
    }

    fn adopt_one(&mut self, link: Link, far: u32) -> anyhow::Result<Adopted> {
        let networks = self.host.links.networks_at(far)?;
        let adopted = adopt::adopt_plugged_in(&mut self.gateway, &mut self.container, link, &networks)?;
        self.host.links.set_up(far)?;
        Ok(adopted)
    }

    /// When an engine moves the container's default route to another of our links, the gateway's moves too, if the next
    /// hop is the host itself.
    fn follow_default_routes(&mut self) {
        let Ok(host) = self.host.links.every_address() else { return };
        for adopted in &self.adopted {
            let (Ok(theirs), Ok(ours)) = (
                self.container.links.routes(adopted.inner, MAIN),
                self.gateway.side.links.routes(adopted.outside.index, TO_OUTSIDE),
            ) else {
                continue;
            };
            for hop in theirs.iter().filter(|route| is_default(route)).filter_map(next_hop) {
                let known =
                    ours.iter().filter(|route| is_default(route)).filter_map(next_hop).any(|known| known == hop);
                if !known && host.contains(&hop) {
                    // It fails where the network went away meanwhile; then there is nothing to follow.
                    let _ = self.gateway.side.links.route_by_default(hop, adopted.outside.index, TO_OUTSIDE);
                }
            }
        }
    }

    /// A link whose container end the engine took away is gone on our side, too: its uplink goes with it.
    fn forget_unplugged(&mut self, announced: &[RouteNetlinkMessage]) -> bool {
        let gone = |link: &Link| {
            announced.iter().any(|message| {
                matches!(message, RouteNetlinkMessage::DelLink(message) if message.header.index == link.index)
            })
        };
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.adopted).into_iter().partition(|adopted| gone(&adopted.inside));
        self.adopted = kept;
        for adopted in &gone {
            // The engine may have taken it away already, with its other end.
            let _ = self.gateway.side.links.remove(adopted.outside.index);
        }
        !gone.is_empty()
    }

    fn publish(&mut self, gate: &Gate) {
        let interfaces = Arc::new(self.interfaces());
        *gate.interfaces.write().unwrap_or_else(PoisonError::into_inner) = interfaces;
    }

    fn answer_neighbours(&mut self) {
        // Where the answering is over, nobody else holds them.
        self.answered.retain(|questions| Arc::strong_count(questions) > 1);
        for questions in self.unanswered.drain(..).map(Arc::new) {
            tokio::spawn(Arc::clone(&questions).answer());
            self.answered.push(questions);
        }
    }
}

/// One namespace's announcements, awaited.
struct Ear {
    arrived: AsyncFd<OwnedFd>,
    announcements: Announcements,
}

impl Ear {
    fn new(announcements: Announcements) -> io::Result<Self> {
        Ok(Self { arrived: readiness::of(&announcements)?, announcements })
    }

    async fn next(&self) -> io::Result<Vec<RouteNetlinkMessage>> {
        loop {
            let mut ready = self.arrived.readable().await?;
            if let Ok(taken) = ready.try_io(|_| self.announcements.take()) {
                return taken;
            }
        }
    }
}

/// Records that an interface was plugged in, and how long it was held.
fn plugged(gate: &Gate, adopted: &Adopted, since: Instant) {
    let address = adopted.addresses.first().copied().unwrap_or(IpAddr::V4(DUMMY));
    let mut entry = gate.journal.begin(plug(&adopted.name, address));
    entry.allowed("plugged in", Some(address));
    entry.finish(0, 0, Some(&format!("interface adopted after {} ms", since.elapsed().as_millis())));
}

/// Records that an interface was plugged in and leads nowhere.
fn unplugged(gate: &Gate, name: &str, reason: String) {
    let entry = gate.journal.begin(plug(name, IpAddr::V4(DUMMY)));
    entry.deny(&Denial { reason, rule: None, suggestion: None });
}

fn plug(name: &str, address: IpAddr) -> Subject {
    Subject {
        kind: Kind::Other,
        direction: Direction::In,
        source: SocketAddr::new(address, 0),
        destination: SocketAddr::new(address, 0),
        name: Some(name.to_owned()),
        method: None,
        path: None,
        number: None,
    }
}
