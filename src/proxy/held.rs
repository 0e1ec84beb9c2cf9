//! SYNs that the ruleset kept back: each is answered as the far end answers, or sent in again, for
//! the listener.
//!
//! Owns how many wait, for how long, and what follows on the answer; `opening` decides what is
//! asked at all. Invariant: nothing that is waited for is forgotten, and a flood has no work here
//! that rules don't bound before (`gateway::ruleset`): what can't wait is accepted first.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ahead::Ahead;
use super::connect::NoAnswer;
use super::connection::Begun;
use super::dial::Upstream;
use super::flow::{ConnectionServices, Flow};
use super::handshakes::{Ends, Handshakes, WITHIN, ends};
use super::opening::{self, Opening, Question};
use super::stream::StreamRoom;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Kind};
use crate::packets::agreed::{CAPTURED, HELD_A_SECOND, HELD_AT_ONCE};
use crate::packets::nflog;
use crate::packets::syn::HeldSyn;
use crate::sys::netlink::Netfilter;
use crate::sys::{readiness, socket};

/// How long a client is waited for that has not repeated its SYN: Linux does so after a second,
/// other kernels after three (RFC 6298, 2.1).
const FIRST_REPEAT: Duration = Duration::from_secs(4);
/// How many times the pause before a SYN may be the pause before the next: each is twice the one
/// before it.
const BACKED_OFF: u32 = 2;
/// How often the record says how many were accepted first.
const MINUTE: Duration = Duration::from_secs(60);

/// Sends whole packets in the gateway: to its own listener, and to the container. Each is sent with
/// best effort: a lost one costs the client a second, after which it asks again.
#[derive(Debug, Default)]
pub(super) struct PacketSenders(Vec<PacketSender>);

/// Those of one version of IP.
#[derive(Debug)]
struct PacketSender {
    is_v4: bool,
    to_listener: socket2::Socket,
    to_container: socket2::Socket,
}

impl PacketSenders {
    /// Adds those of the version of IP that this address has, in the namespace of this thread.
    ///
    /// # Errors
    /// What opening gives.
    pub(super) fn open(&mut self, any: IpAddr) -> io::Result<()> {
        self.0.push(PacketSender {
            is_v4: any.is_ipv4(),
            to_listener: socket::whole_packets(any, Some(CAPTURED))?,
            to_container: socket::whole_packets(any, None)?,
        });
        Ok(())
    }

    /// All of them.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let senders = self.0.iter();
        senders.flat_map(|one| [one.to_listener.as_fd(), one.to_container.as_fd()])
    }

    /// Has the listener be asked for the connection.
    fn send_in(&self, syn: &HeldSyn) {
        let to = syn.destination.ip();
        if let Some(senders) = self.of(to) {
            send(&senders.to_listener, &syn.again(), to);
        }
    }

    /// Sends the container this answer.
    fn send_back(&self, syn: &HeldSyn, answer: &[u8]) {
        let to = syn.source.ip();
        if let Some(senders) = self.of(to) {
            send(&senders.to_container, answer, to);
        }
    }

    fn of(&self, address: IpAddr) -> Option<&PacketSender> {
        self.0.iter().find(|one| one.is_v4 == address.is_ipv4())
    }
}

fn send(socket: &socket2::Socket, packet: &[u8], to: IpAddr) {
    let _ = socket.send_to(packet, &SocketAddr::new(to, 0).into());
}

/// The SYNs of one gateway.
#[derive(Debug)]
pub(super) struct Held {
    services: Arc<ConnectionServices>,
    handshakes: Arc<Handshakes>,
    senders: PacketSenders,
    flows: Mutex<HashMap<Ends, HeldFlow>>,
    accepted_first: AtomicU64,
}

#[derive(Debug)]
enum HeldFlow {
    /// Its far end is being asked, since its first SYN came; its last came later.
    Asked { first: Instant, last: Instant },
    /// Its far end has answered, and its SYN was sent in again.
    Answered {
        since: Instant,
        expected: Box<Expected>,
    },
}

/// A connection that the listener is about to accept.
#[derive(Debug)]
pub(super) struct Expected {
    /// What there is of it already.
    pub(super) begun: Begun,
    /// Room for the client's side.
    pub(super) room: StreamRoom,
}

impl Held {
    /// None so far.
    pub(super) fn new(
        services: Arc<ConnectionServices>,
        handshakes: Arc<Handshakes>,
        senders: PacketSenders,
    ) -> Self {
        Self {
            services,
            handshakes,
            senders,
            flows: Mutex::default(),
            accepted_first: AtomicU64::new(0),
        }
    }

    /// Takes SYNs until the socket fails.
    pub(super) async fn serve(self: Arc<Self>, reports: Netfilter) -> anyhow::Result<()> {
        let arrived = readiness::of(&reports)?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut minute = tokio::time::interval(MINUTE);
        loop {
            let mut ready = tokio::select! {
                ready = arrived.readable() => ready?,
                _ = second.tick() => {
                    self.give_up();
                    continue;
                }
                _ = minute.tick() => {
                    self.tell_of_accepted_first();
                    continue;
                }
            };
            // A call that would block clears the readiness.
            if let Ok(outcome) = ready.try_io(|_| self.take(&reports)) {
                outcome?;
            }
            // In a flood the socket is never empty, and the others of this thread would wait for ever.
            tokio::task::yield_now().await;
        }
    }

    /// What the connection that was just accepted is, if its far end was asked before.
    pub(super) fn expected(&self, source: SocketAddr, destination: SocketAddr) -> Option<Expected> {
        let mut flows = self.flows();
        let key = ends(source, destination);
        match flows.remove(&key)? {
            HeldFlow::Answered { expected, .. } => Some(*expected),
            // An older one of the same ends.
            asked => {
                flows.insert(key, asked);
                None
            }
        }
    }

    /// Notes that a connection is accepted before its far end was asked, though it should have been.
    pub(super) fn note_accepted_first(&self) {
        self.accepted_first.fetch_add(1, Relaxed);
    }

    fn take(self: &Arc<Self>, reports: &Netfilter) -> io::Result<()> {
        match reports.take() {
            Ok(datagram) => nflog::held(&datagram).for_each(|syn| self.hear(syn)),
            // Those that were lost come again in a second.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn hear(self: &Arc<Self>, syn: HeldSyn) {
        if self.is_repeated(&syn) {
            return;
        }
        let flow = Flow::new(Arc::clone(&self.services), syn.source, syn.destination);
        match opening::decide(&flow) {
            Opening::Refused(name, denial) => {
                let mut entry = flow.begin(Kind::Tcp);
                entry.subject().name = name.map(|name| name.to_string());
                entry.deny(&denial);
                self.senders.send_back(&syn, &syn.reset());
            }
            Opening::Accepted => self.accept(&syn, &flow),
            Opening::Asked(question) => self.begin_to_ask(syn, flow, question),
        }
    }

    /// Whether it is of a flow that is known already. Where that has been sent in again, it may have
    /// been lost.
    fn is_repeated(&self, syn: &HeldSyn) -> bool {
        match self.flows().get_mut(&ends(syn.source, syn.destination)) {
            Some(HeldFlow::Asked { last, .. }) => *last = Instant::now(),
            Some(HeldFlow::Answered { .. }) => self.senders.send_in(syn),
            None => return false,
        }
        true
    }

    /// Has the listener accept it, which then waits for what its client says.
    fn accept(&self, syn: &HeldSyn, flow: &Flow) {
        let begin = || flow.begin(Kind::Tcp);
        self.handshakes.begun(syn.source, syn.destination, begin);
        self.senders.send_in(syn);
    }

    fn begin_to_ask(self: &Arc<Self>, syn: HeldSyn, flow: Flow, question: Box<Question>) {
        let key = ends(syn.source, syn.destination);
        let Some(room) = self.room() else {
            self.note_accepted_first();
            return self.accept(&syn, &flow);
        };
        let mut entry = flow.begin(Kind::Tcp);
        entry.subject().name = question.route.name().map(ToString::to_string);
        let address = question.address.socket_addr().ip();
        entry.allowed(&question.route.grounds_at(question.address), Some(address));
        if question.is_decided
            && let Err(denial) = entry.open()
        {
            entry.deny(&denial);
            return self.senders.send_back(&syn, &syn.reset());
        }
        let now = Instant::now();
        let (first, last) = (now, now);
        self.flows().insert(key, HeldFlow::Asked { first, last });
        let asking = Asking {
            syn,
            flow,
            question,
            entry,
            room,
        };
        tokio::spawn(Arc::clone(self).ask(asking));
    }

    /// Room for the client's side, where one more may wait.
    fn room(&self) -> Option<StreamRoom> {
        let most = usize::try_from(HELD_AT_ONCE).unwrap_or(usize::MAX);
        let is_asked = |held: &&HeldFlow| matches!(held, HeldFlow::Asked { .. });
        let waiting = self.flows().values().filter(is_asked).count();
        (waiting < most).then(|| self.services.streams.room())?
    }

    /// Asks the far end, and answers the client in the same way.
    async fn ask(self: Arc<Self>, asking: Asking) {
        let Asking {
            syn,
            flow,
            question,
            entry,
            room,
        } = asking;
        let key = ends(syn.source, syn.destination);
        let answer = tokio::select! {
            answer = flow.ask(question.address) => answer,
            () = self.client_has_gone(&key) => Err(NoAnswer::Silence),
        };
        let ahead = match answer {
            Ok(stream) => Some(Ahead::made(
                question.permit,
                Upstream {
                    stream,
                    address: question.address,
                    permit: Box::new(question.route),
                },
            )),
            // Accepted, it is dialled again, with other ways and other words for a failure.
            Err(NoAnswer::NotAsked) => None,
            Err(no) => {
                self.flows().remove(&key);
                let to = question.address.socket_addr();
                entry.finish(End::unreachable(format!("connecting to {to}: {no}")));
                return self.pass_on(&syn, no);
            }
        };
        let expected = Box::new(Expected {
            begun: Begun { entry, ahead },
            room,
        });
        let since = Instant::now();
        self.flows()
            .insert(key, HeldFlow::Answered { since, expected });
        self.senders.send_in(&syn);
    }

    /// Says what the far end said, in its name.
    fn pass_on(&self, syn: &HeldSyn, no: NoAnswer) {
        let packet = match no {
            NoAnswer::Reset => Some(syn.reset()),
            NoAnswer::Icmp(error) => syn.error(error),
            NoAnswer::Silence | NoAnswer::NotAsked => None,
        };
        if let Some(packet) = packet {
            self.senders.send_back(syn, &packet);
        }
    }

    /// Waits until the client has not repeated its SYN when it should have.
    async fn client_has_gone(&self, key: &Ends) {
        loop {
            let until = match self.flows().get(key) {
                Some(HeldFlow::Asked { first, last }) => {
                    *last + (*last - *first) * BACKED_OFF + FIRST_REPEAT
                }
                _ => return,
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Gives up connections whose client was gone when their far end had answered.
    fn give_up(&self) {
        let is_over = |held: &HeldFlow| match held {
            HeldFlow::Answered { since, .. } => since.elapsed() >= WITHIN,
            HeldFlow::Asked { .. } => false,
        };
        let over: Vec<_> = self.flows().extract_if(|_, held| is_over(held)).collect();
        for (_, held) in over {
            if let HeldFlow::Answered { expected, .. } = held {
                let gone = End::closed(Side::Client).because(GONE);
                expected.begun.entry.finish(gone);
            }
        }
    }

    fn tell_of_accepted_first(&self) {
        let count = self.accepted_first.swap(0, Relaxed);
        if count > 0 {
            self.services.judge.journal.notice(&format!(
                "{count} connections of the last minute were accepted before their servers had \
                 answered: more than {HELD_A_SECOND} a second were opened, or {HELD_AT_ONCE} waited, \
                 or memory was short"
            ));
        }
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<Ends, HeldFlow>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell_of_accepted_first();
    }
}

/// What the record says of a connection that nobody waited for any more.
const GONE: &str = "the client had gone when the server answered";

/// One far end that is asked.
struct Asking {
    syn: HeldSyn,
    flow: Flow,
    question: Box<Question>,
    entry: Entry,
    /// For the client's side.
    room: StreamRoom,
}

#[cfg(test)]
mod tests;
