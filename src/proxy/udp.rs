//! Relays UDP, for the ports that some rule mentions (the kernel refuses the others): one flow, one decision, one record.
//!
//! Owns flows; what may pass is the policy's word, and addresses come from `dns` and `Permit::upstream` only. Not to be
//! forgotten: a datagram costs its sender nothing, so flows, their queues and the memory of refusals are all bounded, and
//! a refused flow's repeats within ten seconds belong to the attempt already recorded.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

use super::Gate;
use super::expiring::Expiring;
use crate::audit::{Direction, Entry, Kind, Subject};
use crate::policy::{Attempt, Denial, Permit, Protocol, UpstreamAddr, Verdict};
use crate::sys;

/// Flows at the same time: each costs two sockets.
const FLOWS: usize = 512;
/// Datagrams waiting for one flow (while its name is looked up): more are dropped, as by any full buffer.
const QUEUE: usize = 32;
/// A flow ends when nothing came either way for so long.
const IDLE: Duration = Duration::from_secs(60);
/// How long, and how many, refused flows are remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);
const REFUSED: usize = 1024;
/// Datagrams passed back in one go, so that no flow starves the others.
const BATCH: usize = 32;
/// Errors of the outside (ICMP, mostly) after which a flow is given up.
const PROBLEMS: usize = 64;
/// The largest datagram, in bytes.
const DATAGRAM: usize = 65_535;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a refused datagram is answered with an ICMP error, so that the client fails at once"]
pub enum Fate {
    /// It was sent on, or waits to be.
    Taken,
    /// It goes nowhere: tell its sender. It has been recorded.
    Refused,
}

/// The relay of one proxy.
#[derive(Debug)]
pub struct Relay {
    gate: Arc<Gate>,
    /// By flow, the way to its task. A task that ended has closed its end; its place is taken when needed.
    flows: Mutex<HashMap<Flow, mpsc::Sender<Vec<u8>>>>,
    refused: Arc<Mutex<Expiring<Flow, ()>>>,
}

/// Who speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    source: SocketAddr,
    destination: SocketAddr,
}

impl Relay {
    /// A relay without flows.
    #[must_use]
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, flows: Mutex::default(), refused: Arc::new(Mutex::new(Expiring::new(REFUSED))) }
    }

    /// Takes one captured datagram. Never waits; must be called within the proxy's runtime.
    pub fn datagram(&self, payload: Vec<u8>, source: SocketAddr, destination: SocketAddr) -> Fate {
        let flow = Flow { source, destination };
        if locked(&self.refused).get(&flow).is_some() {
            return Fate::Refused;
        }
        match self.pass_on(flow, payload) {
            None => Fate::Taken,
            Some(payload) => self.begin(flow, payload),
        }
    }

    /// Gives the datagram to its flow's task; gives it back where there is none.
    fn pass_on(&self, flow: Flow, payload: Vec<u8>) -> Option<Vec<u8>> {
        let flows = locked(&self.flows);
        let Some(queue) = flows.get(&flow) else { return Some(payload) };
        match queue.try_send(payload) {
            Ok(()) | Err(TrySendError::Full(_)) => None,
            Err(TrySendError::Closed(payload)) => Some(payload),
        }
    }

    fn begin(&self, flow: Flow, payload: Vec<u8>) -> Fate {
        let mut entry = self.gate.journal.begin(flow.subject());
        let permit = match self.room().and_then(|()| decide(&self.gate, flow, &mut entry)) {
            Ok(permit) => permit,
            Err(denial) => {
                entry.deny(&denial);
                locked(&self.refused).insert(flow, (), REFUSED_FOR);
                return Fate::Refused;
            }
        };
        entry.allowed(permit.rule(), None);
        let (queue, waiting) = mpsc::channel(QUEUE);
        // Room for one is certain: nothing else is in it yet.
        let _ = queue.try_send(payload);
        locked(&self.flows).insert(flow, queue);
        tokio::spawn(run(Arc::clone(&self.gate), Arc::clone(&self.refused), flow, permit, entry, waiting));
        Fate::Taken
    }

    /// Whether there may be another flow.
    fn room(&self) -> Result<(), Denial> {
        let mut flows = locked(&self.flows);
        if flows.len() >= FLOWS {
            flows.retain(|_, queue| !queue.is_closed());
        }
        if flows.len() < FLOWS { Ok(()) } else { Err(denial(format!("more than {FLOWS} UDP flows at once"))) }
    }
}

impl Flow {
    fn subject(self) -> Subject {
        Subject {
            kind: Kind::Udp,
            direction: Direction::Out,
            source: self.source,
            destination: self.destination,
            name: None,
            method: None,
            path: None,
        }
    }
}

/// Judges a flow by each name that its address was resolved from, then by the address alone.
fn decide(gate: &Gate, flow: Flow, entry: &mut Entry) -> Result<Permit, Denial> {
    if !gate.journal.healthy() {
        return Err(denial("the audit file cannot be written"));
    }
    let names = gate.resolver.names_of(flow.destination.ip());
    entry.subject().name = names.first().map(ToString::to_string);
    let mut denied = None;
    for name in names.iter().map(Some).chain([None]) {
        let attempt =
            Attempt { protocol: Protocol::Udp, name, destination: flow.destination, method: None, path: None };
        match gate.policy.decide(&attempt) {
            Verdict::Allow(permit) => {
                entry.subject().name = permit.name().map(ToString::to_string);
                return Ok(permit);
            }
            // The freshest name's denial says most.
            Verdict::Deny(denial) => denied = denied.or(Some(denial)),
        }
    }
    Err(denied.unwrap_or_else(|| denial("no rule allows it")))
}

/// The life of an allowed flow.
async fn run(
    gate: Arc<Gate>,
    refused: Arc<Mutex<Expiring<Flow, ()>>>,
    flow: Flow,
    permit: Permit,
    mut entry: Entry,
    waiting: mpsc::Receiver<Vec<u8>>,
) {
    match open(&gate, flow, &permit, &mut entry).await {
        Ok((outside, inside)) => {
            let traffic = relay(&outside, &inside, flow.source, waiting).await;
            entry.finish(traffic.bytes_out, traffic.bytes_in, traffic.problem.as_deref());
        }
        Err(denial) => {
            entry.deny(&denial);
            locked(&refused).insert(flow, (), REFUSED_FOR);
        }
    }
}

/// Resolves, checks, and makes the two sockets: to the outside, and back to the container.
async fn open(
    gate: &Gate,
    flow: Flow,
    permit: &Permit,
    entry: &mut Entry,
) -> Result<(UdpSocket, std::net::UdpSocket), Denial> {
    let client = flow.source.ip();
    let addresses = gate.resolver.lookup(gate, permit, client).await.map_err(|error| denial(error.to_string()))?;
    let own = &gate.interfaces().own;
    let upstream = choose(permit, preferring(flow.destination.ip(), addresses), own)?.socket_addr();
    entry.allowed(permit.rule(), Some(upstream.ip()));
    let sockets = || -> io::Result<_> {
        let outside = sys::socket::udp_from(gate.source_for(client, upstream.ip()), upstream)?;
        let inside = sys::socket::udp_answering(flow.destination, flow.source)?;
        Ok((UdpSocket::from_std(outside)?, inside))
    };
    sockets().map_err(|error| denial(format!("no socket for it: {error}")))
}

/// The address that the client chose first, if the name has it: several servers behind one name may not share their state.
fn preferring(chosen: IpAddr, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_key(|address| *address != chosen);
    addresses
}

fn choose(permit: &Permit, addresses: Vec<IpAddr>, own: &[IpAddr]) -> Result<UpstreamAddr, Denial> {
    let mut denied = None;
    for address in addresses {
        match permit.upstream(address, own) {
            Ok(upstream) => return Ok(upstream),
            Err(denial) => denied = denied.or(Some(denial)),
        }
    }
    Err(denied.unwrap_or_else(|| denial("the name has no address")))
}

/// What went through a flow.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traffic {
    bytes_out: u64,
    bytes_in: u64,
    /// The last error of the outside, in words.
    problem: Option<String>,
    problems: usize,
}

impl Traffic {
    /// Counts an error that ends nothing: the next datagram may get through.
    fn note(&mut self, error: &io::Error) {
        self.problems += 1;
        self.problem = Some(error.to_string());
    }
}

/// Passes datagrams both ways until nothing comes any more.
async fn relay(
    outside: &UdpSocket,
    inside: &std::net::UdpSocket,
    client: SocketAddr,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> Traffic {
    let mut traffic = Traffic::default();
    while traffic.problems < PROBLEMS {
        let event = async {
            tokio::select! {
                payload = waiting.recv() => payload.map(Some),
                _ = outside.readable() => Some(None),
            }
        };
        match timeout(IDLE, event).await {
            Ok(Some(Some(payload))) => match outside.try_send(&payload) {
                Ok(sent) => traffic.bytes_out += bytes(sent),
                // A full buffer drops datagrams here as everywhere.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => traffic.note(&error),
            },
            Ok(Some(None)) => pass_back(outside, inside, client, &mut traffic),
            // Nothing came for long; or the relay itself is gone.
            Err(_) | Ok(None) => break,
        }
    }
    traffic
}

fn pass_back(outside: &UdpSocket, inside: &std::net::UdpSocket, client: SocketAddr, traffic: &mut Traffic) {
    let mut buffer = Vec::with_capacity(DATAGRAM);
    for _ in 0..BATCH {
        buffer.clear();
        match outside.try_recv_buf(&mut buffer) {
            Ok(length) => {
                traffic.bytes_in += bytes(length);
                // The container's own full buffer, or an answer to a socket it has closed: as on any network.
                let _ = inside.send_to(&buffer, client);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return traffic.note(&error),
        }
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn denial(reason: impl Into<String>) -> Denial {
    Denial { reason: reason.into(), rule: None, suggestion: None }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
