//! Watches, on a thread of its own, for interfaces that are plugged into a running container, and
//! quarantines each at once: takes the host's end down, or removes the interface.
//!
//! Invariant: from its arrival until it is quarantined, an interface leads outside unfiltered. So
//! nothing that the container can make the proxy busy with may delay this. Each is quarantined only
//! once: a late announcement must not take down what was adopted meanwhile.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::gateway::NamespaceHandle;
use crate::gateway::adopt;
use crate::gateway::links::{Link, LinkNews, news};
use crate::sys::netlink::Announcements;
use crate::sys::netns::Namespace;

/// Announcements that are heard before what they are about is looked at: a container that changes a
/// link over and over has us look at it once.
const AT_ONCE: usize = 64;

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

/// Held by whoever brings a host's end up or down. A link is adopted before its host's end is brought
/// up, so whoever has the turn, and finds the link in the container still, may take that end down.
pub(super) type Turn = Arc<Mutex<()>>;

/// The watch, before it begins.
#[derive(Debug)]
pub(super) struct Watch {
    arrivals: Announcements,
    container: NamespaceHandle,
    host: NamespaceHandle,
    gateway: Namespace,
    turn: Turn,
    seen: HashSet<(u32, Option<u32>)>,
    taken: u32,
}

impl Watch {
    /// Opens what it needs. Takes privileges that it doesn't need later.
    pub(super) fn open(
        container: &Namespace,
        host: &Namespace,
        gateway: &Namespace,
        turn: &Turn,
    ) -> io::Result<Self> {
        Ok(Self {
            arrivals: container.inside(Announcements::open)?,
            container: NamespaceHandle::open(container.try_clone()?)?,
            host: NamespaceHandle::open(host.try_clone()?)?,
            gateway: gateway.try_clone()?,
            turn: Arc::clone(turn),
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
        let mut known = false;
        while !tell.is_closed() {
            if !known {
                known = self.survey(tell)?;
                continue;
            }
            poll(
                &mut [PollFd::new(self.arrivals.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            )?;
            known = self.hear(tell)?;
        }
        Ok(())
    }

    /// Looks at every link. Says whether none can have been missed.
    fn survey(&mut self, tell: &UnboundedSender<Quarantined>) -> io::Result<bool> {
        let (links, certain) = self.container.links.survey()?;
        for link in &links {
            self.quarantine(link, tell)?;
        }
        if certain {
            let there = |seen: &(u32, Option<u32>)| {
                links
                    .iter()
                    .any(|link| (link.index, link.peer_index) == *seen)
            };
            self.seen.retain(there);
        }
        Ok(certain)
    }

    /// Looks at the links that were announced. Says whether no announcement was lost.
    fn hear(&mut self, tell: &UnboundedSender<Quarantined>) -> io::Result<bool> {
        let mut changed = Vec::new();
        for _ in 0..AT_ONCE {
            let announced = match self.arrivals.take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                announced => announced?,
            };
            if announced.is_empty() {
                return Ok(false);
            }
            for news in news(&announced) {
                match news {
                    LinkNews::Changed(index) if changed.contains(&index) => {}
                    LinkNews::Changed(index) => changed.push(index),
                    LinkNews::Gone(index) => self.seen.retain(|(seen, _)| *seen != index),
                }
            }
        }
        for index in changed {
            if let Some(link) = self.container.links.by_number(index)? {
                self.quarantine(&link, tell)?;
            }
        }
        Ok(true)
    }

    fn quarantine(&mut self, link: &Link, tell: &UnboundedSender<Quarantined>) -> io::Result<()> {
        let since = Instant::now();
        let plugged = adopt::leads_out(link, &[])
            && adopt::plugged_in(&mut self.container, link, &self.host.namespace)?;
        if !plugged {
            return Ok(());
        }
        let far = link
            .peer_index
            .filter(|_| link.kind.as_deref() == Some("veth"));
        if let Some(far) = far {
            // Each time: an engine that isn't done with it may have brought it up meanwhile.
            self.shut(link, far)?;
        }
        if !self.seen.insert((link.index, link.peer_index)) {
            return Ok(());
        }
        let quarantined = match far {
            Some(far) => Quarantined::Held {
                index: link.index,
                far,
                since,
            },
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

    /// Takes the host's end of a link down, unless it was adopted meanwhile: what has its place then
    /// may have its number, too.
    fn shut(&mut self, link: &Link, far: u32) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let end = |link: &Link| (link.peer_index, link.peer_netns);
        match self.container.links.by_number(link.index)? {
            Some(now) if end(&now) == end(link) => fine_if_gone(self.host.links.set_down(far)),
            _ => Ok(()),
        }
    }
}

/// Whoever plugs an interface in, or holds it, may take it away again at any time.
fn fine_if_gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        outcome => outcome,
    }
}
