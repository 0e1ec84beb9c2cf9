//! Watches, on a thread of its own, for interfaces that are plugged into a running container, and
//! quarantines each at once: takes the host's end down, or removes the interface.
//!
//! Invariant: from its arrival until it is quarantined, an interface leads outside unfiltered. So
//! nothing that the container can make the proxy busy with may delay this. Each is quarantined only
//! once: a late announcement must not take down what was adopted meanwhile.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoKind;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::gateway::NamespaceHandle;
use crate::gateway::adopt;
use crate::gateway::links::Link;
use crate::sys::netlink::Announcements;
use crate::sys::netns::Namespace;

/// What became of an interface that was plugged in.
#[derive(Debug)]
pub(super) enum Quarantined {
    /// The host's end is down. It is for whoever adopts the interface to bring it up again.
    Held {
        /// The interface's number in the container.
        index: u32,
        /// The number of the host's end.
        far: u32,
        /// Since when.
        since: Instant,
    },
    /// It was of a kind of which nobody but the container holds an end; it is gone from there.
    TakenAway {
        /// Its name.
        name: String,
    },
}

/// The watch, before it begins.
#[derive(Debug)]
pub(super) struct Watch {
    arrivals: Announcements,
    container: NamespaceHandle,
    host: NamespaceHandle,
    gateway: Namespace,
    seen: HashSet<(u32, Option<u32>)>,
    taken: u32,
}

impl Watch {
    /// Opens what it needs. Takes privileges that it doesn't need later.
    pub(super) fn open(
        container: &Namespace,
        host: &Namespace,
        gateway: &Namespace,
    ) -> io::Result<Self> {
        Ok(Self {
            arrivals: container.inside(Announcements::open)?,
            container: NamespaceHandle::open(container.try_clone()?)?,
            host: NamespaceHandle::open(host.try_clone()?)?,
            gateway: gateway.try_clone()?,
            seen: HashSet::new(),
            taken: 0,
        })
    }

    /// Begins. What is there already is quarantined, too, unless it was adopted. The channel closes
    /// when something fails.
    pub(super) fn begin(mut self, tell: UnboundedSender<Quarantined>) -> io::Result<()> {
        let watch = move || {
            // Whoever waits for word learns by the channel's end that there will be none.
            if let Err(error) = self.run(&tell) {
                log::error!("can't watch for new interfaces: {error}");
            }
        };
        std::thread::Builder::new()
            .name("plug".into())
            .stack_size(256 * 1024)
            .spawn(watch)
            .map(drop)
    }

    fn run(&mut self, tell: &UnboundedSender<Quarantined>) -> io::Result<()> {
        // Announced before the container ran, and adopted by now.
        while !matches!(self.arrivals.take(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        {
        }
        let mut links = self.container.links.list()?;
        while !tell.is_closed() {
            for link in links.drain(..) {
                self.quarantine(&link, tell)?;
            }
            poll(
                &mut [PollFd::new(self.arrivals.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            )?;
            let announced = match self.arrivals.take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                announced => announced?,
            };
            links = match announced.is_empty() {
                // Some were lost.
                true => self.container.links.list()?,
                false => announced
                    .iter()
                    .filter_map(|message| self.arrived(message))
                    .collect(),
            };
        }
        Ok(())
    }

    fn arrived(&mut self, message: &RouteNetlinkMessage) -> Option<Link> {
        match message {
            RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
            RouteNetlinkMessage::DelLink(message) => {
                self.seen
                    .retain(|(index, _)| *index != message.header.index);
                None
            }
            _ => None,
        }
    }

    fn quarantine(&mut self, link: &Link, tell: &UnboundedSender<Quarantined>) -> io::Result<()> {
        let since = Instant::now();
        let plugged = adopt::leads_out(link, &[])
            && adopt::plugged_in(&mut self.container, link, &self.host.namespace)?;
        if !plugged || !self.seen.insert((link.index, link.peer_index)) {
            return Ok(());
        }
        let quarantined = match link
            .peer_index
            .filter(|_| link.kind == Some(InfoKind::Veth))
        {
            Some(far) => {
                fine_if_gone(self.host.links.set_down(far))?;
                Quarantined::Held {
                    index: link.index,
                    far,
                    since,
                }
            }
            None => {
                self.taken += 1;
                fine_if_gone(adopt::take_away(
                    &self.gateway,
                    &mut self.container,
                    link,
                    self.taken,
                ))?;
                Quarantined::TakenAway {
                    name: link.name.clone(),
                }
            }
        };
        // Nobody listens any more: the proxy is ending.
        let _ = tell.send(quarantined);
        Ok(())
    }
}

/// Whoever plugs an interface in, or holds it, may take it away again at any time.
fn fine_if_gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        outcome => outcome,
    }
}
