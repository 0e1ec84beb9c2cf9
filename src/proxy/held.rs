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

use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::ahead::Ahead;
use super::awaited::REMEMBERED;
use super::connect::NoAnswer;
use super::connection::Begun;
use super::dial::Upstream;
use super::expiring::Expiring;
use super::flow::{ConnectionServices, Flow};
use super::handshakes::{Ends, Handshakes, WITHIN, ends};
use super::in_force::Footing;
use super::opening::{self, DecidedBy, Opening, Question};
use super::reports::Reports;
use super::stream::StreamRoom;
use crate::audit::line::Side;
use crate::audit::{End, Entry, Kind};
use crate::packets::agreed::{CAPTURED, HELD_A_SECOND, HELD_AT_ONCE};
use crate::packets::nflog::{self, Packet};
use crate::packets::syn::HeldSyn;
use crate::policy::Denial;
use crate::sys::netlink::Netfilter;
use crate::sys::{readiness, socket};

/// How long a client is waited for that has not repeated its SYN: Linux does so after a second,
/// other kernels after three (RFC 6298, 2.1).
const FIRST_REPEAT: Duration = Duration::from_secs(4);
/// How many times the pause before a SYN may be the pause before the next: each is twice the one
/// before it.
const BACKED_OFF: u32 = 2;
/// Seconds that a client may take to be accepted when its far end has answered: its kernel does so at
/// once.
const ACCEPTED_WITHIN: u32 = 3;
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

    /// Each with its version of IP: to the listener, to the container.
    pub(super) fn each(&self) -> impl Iterator<Item = (bool, BorrowedFd<'_>, BorrowedFd<'_>)> {
        self.0.iter().map(|one| {
            let (to_listener, to_container) = (one.to_listener.as_fd(), one.to_container.as_fd());
            (one.is_v4, to_listener, to_container)
        })
    }

    /// Those of these sockets, in this order; none where they don't fit.
    pub(super) fn of(
        to_listeners: Vec<(bool, socket2::Socket)>,
        to_containers: Vec<(bool, socket2::Socket)>,
    ) -> Option<Self> {
        let fit = to_listeners.len() == to_containers.len();
        let senders = to_listeners.into_iter().zip(to_containers);
        let senders = senders.map(|((is_v4, to_listener), (same, to_container))| {
            (is_v4 == same).then_some(PacketSender {
                is_v4,
                to_listener,
                to_container,
            })
        });
        fit.then(|| senders.collect::<Option<_>>().map(Self))?
    }

    /// Has the listener be asked for the connection.
    fn send_in(&self, syn: &HeldSyn) {
        let to = syn.destination.ip();
        if let Some(senders) = self.for_address(to) {
            send(&senders.to_listener, &syn.again(), to);
        }
    }

    /// Sends the container this answer.
    fn send_back(&self, syn: &HeldSyn, answer: &[u8]) {
        let to = syn.source.ip();
        if let Some(senders) = self.for_address(to) {
            send(&senders.to_container, answer, to);
        }
    }

    fn for_address(&self, address: IpAddr) -> Option<&PacketSender> {
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
    table: Mutex<HeldTable>,
    accepted_first: AtomicU64,
}

#[derive(Debug)]
struct HeldTable {
    /// At most [`HELD_AT_ONCE`].
    flows: HashMap<Ends, HeldFlow>,
    /// The numbers of SYNs that were answered lately: what repeats one was sent before the answer.
    answered: Expiring<Ends, u32>,
}

#[derive(Debug)]
enum HeldFlow {
    /// Its far end is being asked, since its first SYN came; its last came later.
    Asked { first: Instant, last: Instant },
    /// Its far end has answered, and its SYN, of this number, was sent in again. So many seconds have
    /// been looked at since.
    Answered {
        number: u32,
        seconds: u32,
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

/// Takes the reports of SYNs that were kept back until their socket fails; and, when it is dropped,
/// records those that the kernel has told by then.
pub(super) async fn serve(held: Arc<Held>, reports: Netfilter) -> anyhow::Result<()> {
    let arrived = readiness::of(&reports)?;
    let reports = Reports::on(reports);
    let mut reader = HeldReader { held, reports };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    // After a pause of this process, too, those that wait to be accepted have a second.
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut minute = tokio::time::interval(MINUTE);
    loop {
        let mut ready = tokio::select! {
            ready = arrived.readable() => ready?,
            _ = second.tick() => {
                reader.held.give_up();
                continue;
            }
            _ = minute.tick() => {
                reader.held.tell_of_accepted_first();
                continue;
            }
        };
        // A call that would block clears the readiness.
        if let Ok(outcome) = ready.try_io(|_| reader.take(Held::hear)) {
            outcome?;
        }
        // In a flood the socket is never empty, and the others of this thread would wait for ever.
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
struct HeldReader {
    held: Arc<Held>,
    reports: Reports,
}

impl HeldReader {
    /// Takes one datagram of reports, and gives each SYN in it to `hear`.
    fn take(&mut self, hear: impl Fn(&Arc<Held>, HeldSyn)) -> io::Result<()> {
        let datagram = self.reports.take()?;
        let judge = &self.held.services.judge;
        for report in nflog::reports(&datagram) {
            self.reports.record_lost_before(report.number, judge);
            match HeldSyn::read(report.logged) {
                Some(syn) => hear(&self.held, syn),
                None => self.held.deny(report.packet, UNREADABLE),
            }
        }
        Ok(())
    }
}

impl Drop for HeldReader {
    fn drop(&mut self) {
        let deny = |held: &Arc<Held>, syn: HeldSyn| {
            if !held.is_repeated(&syn) {
                held.begin(&syn).deny(&Denial::because(TOO_LATE));
            }
        };
        while self.take(deny).is_ok() {}
        self.reports.record_lost_last(&self.held.services.judge);
    }
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
            table: Mutex::new(HeldTable {
                flows: HashMap::new(),
                answered: Expiring::new(REMEMBERED),
            }),
            accepted_first: AtomicU64::new(0),
        }
    }

    /// What the connection that was just accepted is, if its far end was asked before.
    pub(super) fn expected(&self, source: SocketAddr, destination: SocketAddr) -> Option<Expected> {
        let mut table = self.table();
        let key = ends(source, destination);
        match table.flows.remove(&key)? {
            HeldFlow::Answered {
                number, expected, ..
            } => {
                table.answered.insert(key, number, WITHIN);
                Some(*expected)
            }
            // An older one of the same ends.
            asked => {
                table.flows.insert(key, asked);
                None
            }
        }
    }

    /// Notes that a connection is accepted before its far end was asked, though it should have been.
    pub(super) fn note_accepted_first(&self) {
        self.accepted_first.fetch_add(1, Relaxed);
    }

    fn hear(self: &Arc<Self>, syn: HeldSyn) {
        if self.is_repeated(&syn) {
            return;
        }
        let flow = self.flow(syn.source, syn.destination);
        let footing = flow.footing();
        match opening::decide(&flow) {
            // An IPv4 address in IPv6 clothes: what is said about one isn't said about the other.
            _ if flow.destination() != syn.destination => self.accept(&syn),
            Opening::Refused(name, denial) => {
                let mut entry = self.begin(&syn);
                entry.subject().name = name.map(|name| name.to_string());
                self.refuse(&syn, entry, &denial);
            }
            Opening::Accepted => self.accept(&syn),
            Opening::Asked(question) => self.begin_to_ask(syn, flow, footing, question),
        }
    }

    /// Whether it is of a flow that is known already. Where that has been sent in again, it may have
    /// been lost.
    fn is_repeated(&self, syn: &HeldSyn) -> bool {
        let key = ends(syn.source, syn.destination);
        let mut table = self.table();
        match table.flows.get_mut(&key) {
            Some(HeldFlow::Asked { last, .. }) => *last = Instant::now(),
            Some(HeldFlow::Answered { .. }) => self.senders.send_in(syn),
            None => return table.answered.get(&key) == Some(&mut syn.number()),
        }
        true
    }

    /// Begins the record of the attempt that it is.
    fn begin(&self, syn: &HeldSyn) -> Entry {
        self.flow(syn.source, syn.destination).begin(Kind::Tcp)
    }

    /// Records what can't be answered.
    fn deny(&self, packet: Packet, why: &str) {
        let flow = self.flow(packet.source, packet.destination);
        flow.begin(Kind::Tcp).deny(&Denial::because(why));
    }

    fn flow(&self, source: SocketAddr, destination: SocketAddr) -> Flow {
        Flow::new(Arc::clone(&self.services), source, destination)
    }

    fn refuse(&self, syn: &HeldSyn, entry: Entry, denial: &Denial) {
        entry.deny(denial);
        self.answer(syn, &syn.reset());
    }

    /// Answers the container, for good.
    fn answer(&self, syn: &HeldSyn, packet: &[u8]) {
        let key = ends(syn.source, syn.destination);
        self.table().answered.insert(key, syn.number(), WITHIN);
        self.senders.send_back(syn, packet);
    }

    /// Has the listener accept it, which then waits for what its client says.
    fn accept(&self, syn: &HeldSyn) {
        let begin = || self.begin(syn);
        self.handshakes.begun(syn.source, syn.destination, begin);
        self.senders.send_in(syn);
    }

    fn begin_to_ask(
        self: &Arc<Self>,
        syn: HeldSyn,
        flow: Flow,
        footing: Footing,
        question: Box<Question>,
    ) {
        // Whether what leaves now can be recorded is else asked when its client has spoken.
        let is_recorded =
            question.decided_by == DecidedBy::Address || self.services.judge.journal.is_healthy();
        let Some(room) = self.room().filter(|_| is_recorded) else {
            self.note_accepted_first();
            return self.accept(&syn);
        };
        let mut entry = flow.begin(Kind::Tcp);
        entry.subject().name = question.route.name().map(ToString::to_string);
        let address = question.address.socket_addr().ip();
        entry.allowed(&question.route.grounds_at(question.address), Some(address));
        if question.decided_by == DecidedBy::Address
            && let Err(denial) = entry.open()
        {
            return self.refuse(&syn, entry, &denial);
        }
        let (key, now) = (ends(syn.source, syn.destination), Instant::now());
        let (first, last) = (now, now);
        let asked = HeldFlow::Asked { first, last };
        self.table().flows.insert(key, asked);
        let asking = Asking {
            syn,
            flow,
            footing,
            question,
            entry,
            room,
        };
        tokio::spawn(Arc::clone(self).ask(asking));
    }

    /// Room for the client's side, where one more may wait.
    fn room(&self) -> Option<StreamRoom> {
        let may_wait = self.table().flows.len() < usize::from(HELD_AT_ONCE);
        may_wait.then(|| self.services.streams.room())?
    }

    /// Asks the far end, and answers the client in the same way.
    async fn ask(self: Arc<Self>, asking: Asking) {
        let Asking {
            syn,
            flow,
            mut footing,
            mut question,
            entry,
            room,
        } = asking;
        let key = ends(syn.source, syn.destination);
        let address = question.address;
        let answer = async {
            tokio::select! {
                answer = flow.ask(address) => answer,
                () = self.client_has_gone(&key) => Err(NoAnswer::Silence),
            }
        };
        let answer = match footing.hold(|| question.ask_again(&flow), answer).await {
            Ok(answer) => answer,
            Err(denial) => {
                self.table().flows.remove(&key);
                // What becomes of it now is another decision, which has its own record.
                match question.decided_by {
                    DecidedBy::Address => entry.revoke(&denial),
                    DecidedBy::WhatItNames | DecidedBy::WhatIsSaid => entry.withdraw(),
                }
                return self.hear(syn);
            }
        };
        let passes_any = question.decided_by != DecidedBy::WhatIsSaid;
        let ahead = match answer {
            Ok(stream) => {
                let upstream = Upstream {
                    stream,
                    address: question.address,
                    permit: Box::new(question.route),
                };
                Some(Ahead::made(question.permit, upstream, passes_any))
            }
            // Accepted, it is dialled again, with other ways and other words for a failure.
            Err(NoAnswer::NotAsked) => None,
            Err(no) => {
                self.table().flows.remove(&key);
                let to = question.address.socket_addr();
                entry.finish(End::unreachable(format!("connecting to {to}: {no}")));
                return self.pass_on(&syn, no);
            }
        };
        let expected = Box::new(Expected {
            begun: Begun { entry, ahead },
            room,
        });
        let answered = HeldFlow::Answered {
            number: syn.number(),
            seconds: 0,
            expected,
        };
        self.table().flows.insert(key, answered);
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
            self.answer(syn, &packet);
        }
    }

    /// Waits until the client has not repeated its SYN when it should have.
    async fn client_has_gone(&self, key: &Ends) {
        loop {
            let until = match self.table().flows.get(key) {
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

    /// Gives up connections whose client was gone when their far end had answered. To be called once
    /// a second.
    fn give_up(&self) {
        let is_over = |held: &mut HeldFlow| match held {
            HeldFlow::Answered { seconds, .. } => {
                *seconds += 1;
                *seconds > ACCEPTED_WITHIN
            }
            HeldFlow::Asked { .. } => false,
        };
        let over: Vec<_> = {
            let mut table = self.table();
            table.answered.forget_old();
            table.flows.extract_if(|_, held| is_over(held)).collect()
        };
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

    fn table(&self) -> MutexGuard<'_, HeldTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell_of_accepted_first();
    }
}

/// What the record says of a connection that nobody waited for any more.
const GONE: &str = "the client had gone when the server answered";
/// Of a first segment that nobody could send in again.
const UNREADABLE: &str = "its first segment can't be read whole";
/// Of one that came at the very end.
const TOO_LATE: &str = "its server could not be asked any more";

/// One far end that is asked.
struct Asking {
    syn: HeldSyn,
    flow: Flow,
    footing: Footing,
    question: Box<Question>,
    entry: Entry,
    /// For the client's side.
    room: StreamRoom,
}

#[cfg(test)]
mod tests;
