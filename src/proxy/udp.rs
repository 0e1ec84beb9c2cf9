//! Relays UDP for the ports that some rule mentions (the kernel refuses the others): one flow, one
//! decision, one record.
//!
//! Owns flows. The policy decides what may pass; addresses come from `dial` only, each checked by
//! the permit. Invariant: a datagram costs its sender nothing, so flows, their queues and the
//! memory of refusals are all bounded, flows and queues by the budget. What a refused flow repeats
//! within ten seconds belongs to the attempt already recorded.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

use super::budget::{Budget, Share, used_up};
use super::dial::{DialError, Dialler};
use super::expiring::Expiring;
use super::flow::ELSEWHERE;
use super::in_force::Footing;
use super::inside::{Answerer, Inside};
use super::judge::Judge;
use crate::audit::{Direction, End, Entry, Kind, Subject, Traffic};
use crate::policy::{Attempt, Denial, Hostname, Permit, Protocol, UpstreamAddr};
use crate::sys;
use crate::sys::socket::Queues;

/// What a flow takes besides what its sockets hold: the kernel's structures for two of them, and
/// its task.
const FLOW: usize = 12 * 1024;
/// What its socket to the outside holds that came from there, at least: one datagram of the largest
/// kind; and at most.
const RECEIVED_LEAST: usize = 72 * 1024;
const RECEIVED_MOST: usize = 208 * 1024;
/// In how many flows' buffers what is free is divided.
const BEGINNINGS: usize = 256;
/// Datagrams waiting for one flow (while its name is looked up): more are dropped, as by any full
/// buffer.
const QUEUE: usize = 32;
/// A flow ends when nothing came either way for so long.
const IDLE: Duration = Duration::from_secs(60);
/// How long, and how many, refused flows are remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);
const REFUSED: usize = 1024;
/// Datagrams passed back in one go, so that no flow starves the others.
const BATCH: usize = 32;
/// What it holds that is to leave: that leaves at once, or waits for a neighbour's address.
const SENT: usize = 16 * 1024;
/// Errors of the outside (ICMP, mostly) after which a flow is given up.
const PROBLEMS: usize = 64;
/// The largest datagram, in bytes.
const DATAGRAM: usize = 65_535;

/// A datagram goes nowhere: its sender is to be told. It has been recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// What all flows are relayed with.
#[derive(Debug)]
pub struct RelayServices {
    /// Decides, and begins records.
    pub judge: Judge,
    /// Resolves.
    pub dialler: Arc<Dialler>,
    /// The way back.
    pub inside: Arc<Inside>,
    /// What flows take their memory from.
    pub budget: Budget,
}

/// The relay of one proxy.
#[derive(Debug)]
pub struct Relay {
    services: Arc<RelayServices>,
    flows: FlowTasks,
    refused: Arc<Mutex<Refusals>>,
}

/// What was refused lately, and by which policy: another may allow it.
type Refusals = Expiring<UdpFlow, u64>;

/// By flow, the way to its task, as long as that runs.
type FlowTasks = Arc<Mutex<HashMap<UdpFlow, mpsc::Sender<Datagram>>>>;

/// What a flow takes.
#[derive(Debug)]
struct FlowRoom {
    /// The size of its socket's receive buffer.
    received: usize,
    _share: Share,
}

/// A datagram that waits, and its room.
#[derive(Debug)]
struct Datagram {
    payload: Vec<u8>,
    _room: Share,
}

/// Who speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct UdpFlow {
    source: SocketAddr,
    destination: SocketAddr,
}

impl Relay {
    /// A relay without flows.
    #[must_use]
    pub fn new(services: RelayServices) -> Self {
        Self {
            services: Arc::new(services),
            flows: FlowTasks::default(),
            refused: Arc::new(Mutex::new(Expiring::new(REFUSED))),
        }
    }

    /// Takes one captured datagram: it is sent on, or waits to be. Never waits itself, so datagrams
    /// keep their order; must be called within the proxy's runtime.
    ///
    /// # Errors
    /// [`Refused`]: answer it with an ICMP error, so that the client fails at once.
    pub fn datagram(
        &self,
        payload: &[u8],
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<(), Refused> {
        let flow = UdpFlow {
            source,
            destination,
        };
        let now = self.services.judge.policy().generation();
        if locked(&self.refused)
            .get(&flow)
            .is_some_and(|by| *by == now)
        {
            return Err(Refused);
        }
        let room = self.services.budget.take(payload.len());
        let datagram = room.map(|room| Datagram {
            payload: payload.to_vec(),
            _room: room,
        });
        match self.pass_on(flow, datagram) {
            Ok(()) => Ok(()),
            Err(datagram) => self.begin(flow, datagram),
        }
    }

    /// Gives the datagram to its flow's task; gives it back where there is none. Without room for
    /// it, it is lost.
    fn pass_on(&self, flow: UdpFlow, datagram: Option<Datagram>) -> Result<(), Option<Datagram>> {
        let flows = locked(&self.flows);
        let Some(queue) = flows.get(&flow).filter(|queue| !queue.is_closed()) else {
            return Err(datagram);
        };
        let Some(datagram) = datagram else {
            return Ok(());
        };
        match queue.try_send(datagram) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Closed(datagram)) => Err(Some(datagram)),
        }
    }

    fn begin(&self, flow: UdpFlow, datagram: Option<Datagram>) -> Result<(), Refused> {
        let footing = self.services.judge.footing();
        let mut entry = self.services.judge.begin(flow.subject());
        let room = self
            .room()
            .and_then(|room| Ok((room, datagram.ok_or_else(used_up)?)));
        let decided =
            room.and_then(|room| Ok((room, allow(&self.services.judge, flow, &mut entry)?)));
        let ((room, datagram), (name, permit)) = match decided {
            Ok(decided) => decided,
            Err(denial) => {
                entry.deny(&denial);
                let by = self.services.judge.policy().generation();
                locked(&self.refused).insert(flow, by, REFUSED_FOR);
                return Err(Refused);
            }
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        // Room for one is certain: nothing else is in it yet.
        let _ = queue.try_send(datagram);
        locked(&self.flows).insert(flow, queue);
        let life = run(
            Arc::clone(&self.services),
            Arc::clone(&self.refused),
            UdpStanding {
                flow,
                name,
                permit,
                footing,
            },
            entry,
            waiting,
            room,
        );
        let flows = Arc::clone(&self.flows);
        tokio::spawn(async move {
            life.await;
            let mut flows = locked(&flows);
            // It may have begun anew since its task let go of it.
            if flows.get(&flow).is_some_and(mpsc::Sender::is_closed) {
                flows.remove(&flow);
            }
        });
        Ok(())
    }

    /// Room for another flow, where there is some.
    fn room(&self) -> Result<FlowRoom, Denial> {
        let budget = &self.services.budget;
        let received = (budget.free() / BEGINNINGS).clamp(RECEIVED_LEAST, RECEIVED_MOST);
        let share = budget.take(FLOW + received + SENT).ok_or_else(used_up)?;
        Ok(FlowRoom {
            received,
            _share: share,
        })
    }
}

impl UdpFlow {
    fn subject(self) -> Subject {
        Subject::new(Kind::Udp, Direction::Out, self.source, self.destination)
    }

    fn attempt(&self) -> Attempt<'static> {
        Attempt {
            protocol: Protocol::Udp,
            name: None,
            destination: self.destination,
            method: None,
            path: None,
        }
    }
}

/// Judges a flow by the names that its address was resolved from, and by the address. Records that
/// it is allowed.
fn allow(
    judge: &Judge,
    flow: UdpFlow,
    entry: &mut Entry,
) -> Result<(Option<Hostname>, Permit), Denial> {
    let (name, permit) = judge.decide_unnamed(flow.attempt());
    entry.subject().name = name.as_ref().map(Hostname::to_string);
    let permit = permit?;
    entry.allowed(permit.grounds(), None);
    entry.open()?;
    Ok((name, permit))
}

/// A flow that was allowed, and what it is judged again by.
struct UdpStanding {
    flow: UdpFlow,
    /// The name that was decided about.
    name: Option<Hostname>,
    permit: Permit,
    footing: Footing,
}

/// Whether a flow may still be, and lead where it does.
///
/// # Errors
/// Why not.
fn still(
    services: &RelayServices,
    flow: UdpFlow,
    name: Option<&Hostname>,
    leads: Option<&(Option<Hostname>, UpstreamAddr)>,
) -> Result<(), Denial> {
    let permit = services.judge.decide_unnamed_as(flow.attempt(), name).1?;
    let Some((name, address)) = leads else {
        return Ok(());
    };
    let ip = address.socket_addr().ip();
    let leads_there = |route: &Permit| {
        let is_chosen = ip == flow.destination.ip().to_canonical();
        let same = route.name() == name.as_ref() || is_chosen && route.name().is_none();
        same && route.upstream(ip, &[]) == Ok(*address)
    };
    if permit.routes().any(leads_there) {
        return Ok(());
    }
    let why = permit.upstream(ip, &[]).err();
    Err(why.unwrap_or_else(|| Denial::because(ELSEWHERE)))
}

/// The life of an allowed flow.
async fn run(
    services: Arc<RelayServices>,
    refused: Arc<Mutex<Refusals>>,
    standing: UdpStanding,
    mut entry: Entry,
    waiting: mpsc::Receiver<Datagram>,
    room: FlowRoom,
) {
    let UdpStanding {
        flow,
        name,
        permit,
        mut footing,
    } = standing;
    let judged = |leads| still(&services, flow, name.as_ref(), leads);
    let opening = open(&services, flow, &permit, &mut entry, &room);
    // Boxed: a flow that lives on doesn't carry the room that this took.
    let opening = Box::pin(footing.hold(|| judged(None), opening));
    let opened = match opening.await {
        Ok(opened) => opened,
        Err(denial) => return entry.revoke(&denial),
    };
    let (outside, inside, leads) = match opened {
        Ok(opened) => opened,
        Err(denial) => {
            entry.deny(&denial);
            return locked(&refused).insert(flow, permit.generation(), REFUSED_FOR);
        }
    };
    // Whether it may lead there was asked of the policy that this permit is of.
    footing.decided_by(permit.generation());
    drop(permit);
    let traffic = entry.traffic();
    let relaying = pin!(relay(&outside, &inside, flow.source, waiting, &traffic));
    match footing.hold(|| judged(Some(&leads)), relaying).await {
        Ok(end) => entry.finish(end),
        Err(denial) => entry.revoke(&denial),
    }
}

/// Resolves, checks, and makes the two sockets: to the outside, and back to the container.
async fn open(
    services: &RelayServices,
    flow: UdpFlow,
    permit: &Permit,
    entry: &mut Entry,
    room: &FlowRoom,
) -> Result<(UdpSocket, Answerer, (Option<Hostname>, UpstreamAddr)), Denial> {
    let (address, route) = services
        .dialler
        .permitted_address(permit, flow.source, flow.destination)
        .await
        .map_err(|error| match error {
            DialError::Denied(denial) => denial,
            DialError::Unreachable(problem) => Denial::because(problem),
        })?;
    let upstream = address.socket_addr();
    entry.allowed(&route.grounds_at(address), Some(upstream.ip()));
    let sockets = || -> io::Result<_> {
        let outside = sys::socket::udp_from(
            services
                .dialler
                .egress
                .source_for(flow.source.ip(), upstream.ip()),
            upstream,
            Queues {
                received: room.received,
                sent: SENT,
            },
        )?;
        let inside = services.inside.answerer(flow.destination)?;
        let leads = (route.name().cloned(), address);
        Ok((UdpSocket::from_std(outside)?, inside, leads))
    };
    sockets().map_err(|error| Denial::because(format!("can't open a socket: {error}")))
}

/// What went wrong in a flow, and may yet go well: the next datagram may get through.
#[derive(Debug, Default)]
struct Problems {
    /// The last error of the outside, in words.
    last: Option<String>,
    count: usize,
    /// Whether something came back.
    answered: bool,
}

impl Problems {
    fn note(&mut self, error: &io::Error) {
        self.count += 1;
        self.last = Some(error.to_string());
    }

    /// How a flow with them ended. One that was answered, ended well.
    fn end(self) -> End {
        match self.last {
            Some(problem) if !self.answered => End::unreachable(problem),
            _ => End::idle(),
        }
    }
}

/// Passes datagrams both ways until nothing comes any more. Says how it ended.
async fn relay(
    outside: &UdpSocket,
    inside: &Answerer,
    client: SocketAddr,
    mut waiting: mpsc::Receiver<Datagram>,
    traffic: &Traffic,
) -> End {
    let mut problems = Problems::default();
    while problems.count < PROBLEMS {
        let event = async {
            tokio::select! {
                datagram = waiting.recv() => datagram.map(Some),
                _ = outside.readable() => Some(None),
            }
        };
        match timeout(IDLE, event).await {
            Ok(Some(Some(datagram))) => match outside.send(&datagram.payload).await {
                Ok(sent) => traffic.add_out(bytes(sent)),
                Err(error) => problems.note(&error),
            },
            Ok(Some(None)) => pass_back(outside, inside, client, traffic, &mut problems),
            // Nothing came for long; or the relay itself is gone.
            Err(_) | Ok(None) => break,
        }
    }
    problems.end()
}

fn pass_back(
    outside: &UdpSocket,
    inside: &Answerer,
    client: SocketAddr,
    traffic: &Traffic,
    problems: &mut Problems,
) {
    let mut buffer = Vec::with_capacity(DATAGRAM);
    for _ in 0..BATCH {
        buffer.clear();
        match outside.try_recv_buf(&mut buffer) {
            Ok(length) => {
                traffic.add_back(bytes(length));
                problems.answered = true;
                inside.send(&buffer, client);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return problems.note(&error),
        }
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
