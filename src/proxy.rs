//! The filter: one process per gateway, as long as the container's first process.
//!
//! It sets everything up before it says that it is ready, then gives up every privilege that
//! serving doesn't need. It lives in the namespace it dials from: the gateway's, or the host's for
//! a container that asked for the host's network.

pub mod accept;
mod awaited;
pub mod budget;
mod capture;
pub mod confinement;
pub mod connection;
pub mod dial;
pub mod dns;
mod enlarge;
mod expiring;
mod handshakes;
pub mod http;
pub mod identify;
pub mod keeper;
mod memory;
mod messages;
mod neighbours;
mod opaque;
mod refusals;
pub mod splice;
pub mod stream;
#[cfg(test)]
mod test_gate;
pub mod udp;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Receiver;

use crate::audit::Journal;
use crate::gateway::ruleset::LEAVING;
use crate::logging;
use crate::policy::Policy;
use crate::sys::channel::Channel;
use crate::sys::netns::NamespaceThread;
use crate::sys::signal::Termination;
use crate::sys::{confine, process, socket};
use budget::Budget;
pub use capture::Sockets;
pub use confinement::Cell;
use keeper::{Records, ToKeeper, Why};
use messages::Messages;
use tokio::time::Instant;

/// How often it is written what came of open attempts.
const MINUTE: Duration = Duration::from_secs(60);
/// How long what the container said last may take to arrive: its kernel sends it, and ends its
/// connections, when its processes are gone. Engines take its network away only after that.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// How often it is looked whether it has.
const LOOKED: Duration = Duration::from_millis(5);

/// What every connection needs; one per proxy.
#[derive(Debug)]
pub struct Gate {
    /// The connections that are open, and what they and all else take their memory from.
    pub streams: stream::Streams,
    /// The rules.
    pub policy: Policy,
    /// The record.
    pub journal: Journal,
    /// Asks resolvers, and remembers what this container resolved.
    pub resolver: dns::Resolver,
    /// How sockets to the outside are made.
    pub exit: dial::Exit,
    /// The way into the gateway, where the proxy doesn't live there.
    pub inside: Option<NamespaceThread>,
    /// What is known of the interfaces that were adopted so far.
    pub interfaces: RwLock<Arc<Interfaces>>,
}

/// What is known of the interfaces that were adopted so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Interfaces {
    /// The container's own addresses, in the order its interfaces were adopted.
    pub sources: Vec<IpAddr>,
    /// Addresses that are never dialled: the gateway's, the container's, the host's public ones.
    pub own: Vec<IpAddr>,
    /// Prefixes on the uplinks' own wires: single-label names (Docker's own) may be dialled there.
    pub on_link: Vec<ipnet::IpNet>,
}

impl Gate {
    /// What is known of the interfaces now.
    #[must_use]
    pub fn interfaces(&self) -> Arc<Interfaces> {
        Arc::clone(
            &self
                .interfaces
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// A socket in the gateway that sends to the container in the name of the address it wrote to;
    /// see [`socket::udp_answering`].
    ///
    /// # Errors
    /// What making it gives.
    pub fn udp_answering(&self, from: SocketAddr) -> io::Result<std::net::UdpSocket> {
        match &self.inside {
            None => socket::udp_answering(from),
            Some(resident) => resident.run(move || socket::udp_answering(from)),
        }
    }

    /// What to dial `to` from, so that the outside sees the container: the client's own address
    /// where the family fits, else the container's first of that family. None: let the kernel
    /// choose (`Exit::AsHost`), or there is none.
    #[must_use]
    pub fn source_for(&self, client: IpAddr, to: IpAddr) -> Option<socket::Source> {
        let address = match self.exit {
            dial::Exit::AsHost => None,
            dial::Exit::AsClient if client.is_ipv4() == to.is_ipv4() => Some(client),
            dial::Exit::AsClient => self
                .interfaces()
                .sources
                .iter()
                .copied()
                .find(|source| source.is_ipv4() == to.is_ipv4()),
        };
        address.map(|address| socket::Source {
            address,
            mark: LEAVING,
        })
    }
}

/// What a filter is to do.
#[derive(Debug)]
pub struct Task {
    /// The rules.
    pub policy: Policy,
    /// The record.
    pub journal: Journal,
    /// The servers that names are asked of, in order.
    pub resolvers: Vec<SocketAddr>,
    /// How it gets to the outside.
    pub exit: dial::Exit,
    /// Bytes that it, its keeper and the kernel's memory for its sockets may use together.
    pub memory: u64,
}

/// All that a filter has from its beginning.
#[derive(Debug)]
pub struct Filter {
    gate: Gate,
    sockets: Sockets,
}

/// Where a filter will live, and how it speaks with its keeper.
#[derive(Debug)]
pub struct Place<'a> {
    /// Its cell.
    pub cell: Cell<'a>,
    /// For words.
    pub keeper: Channel,
    /// For the record's files.
    pub records: Channel,
}

impl Filter {
    /// One with this task, which comes by these sockets.
    #[must_use]
    pub fn new(task: Task, sockets: Sockets) -> Self {
        let gate = Gate {
            streams: stream::Streams::new(Budget::within(task.memory)),
            policy: task.policy,
            journal: task.journal,
            resolver: dns::Resolver::new(task.resolvers),
            exit: task.exit,
            inside: None,
            interfaces: RwLock::default(),
        };
        Self { gate, sockets }
    }

    /// The filter process, from its start to its end: in a copy of the keeper, of which it keeps
    /// what it was given and no more. Gives its exit code.
    #[must_use]
    pub fn run(self, place: Place<'_>) -> i32 {
        let Place {
            cell,
            keeper,
            records,
        } = place;
        let keeper = Arc::new(keeper);
        self.gate.streams.ask(Arc::clone(&keeper));
        let (messages, notices) = Messages::to(Arc::clone(&keeper));
        logging::to(messages, log::max_level());
        let outcome = self.live(&cell, &keeper, records, notices);
        let word = match &outcome {
            Ok(()) => ToKeeper::Written,
            Err(error) => ToKeeper::Failed(format!("{error:#}")),
        };
        // A keeper that is gone takes us along.
        let _ = keeper::tell(&keeper, &word, None);
        i32::from(outcome.is_err())
    }

    fn live(
        self,
        cell: &Cell<'_>,
        keeper: &Channel,
        records: Channel,
        notices: Receiver<String>,
    ) -> anyhow::Result<()> {
        let termination = Termination::awaited()?;
        let journal = self.gate.journal.clone();
        let filter = self.confined(cell, keeper, records, &termination)?;
        std::panic::set_hook(Box::new(move |panic| {
            journal.stop_at_panic(panic);
            std::process::abort();
        }));
        filter.serve(keeper, &termination, notices)
    }

    /// Gives everything up but what serving needs.
    fn confined(
        mut self,
        cell: &Cell<'_>,
        keeper: &Channel,
        records: Channel,
        termination: &Termination,
    ) -> anyhow::Result<Self> {
        process::detach()?;
        self.gate.inside = confinement::confine(cell)?;
        self.gate.journal.with_file(|record| {
            let own = [record, keeper.as_fd(), records.as_fd(), termination.as_fd()];
            confine::close_all_but(&self.sockets.descriptors().chain(own).collect::<Vec<_>>())
        })?;
        self.gate.journal.come_from(Box::new(Records::by(records)?));
        confinement::deny_the_rest().context("deny other system calls")?;
        Ok(self)
    }

    /// Serves until the container is over, or something fails. What is under way then is recorded
    /// as cut.
    fn serve(
        self,
        keeper: &Channel,
        termination: &Termination,
        notices: Receiver<String>,
    ) -> anyhow::Result<()> {
        let Self { gate, sockets } = self;
        let (journal, gate) = (gate.journal.clone(), Arc::new(gate));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let outcome = runtime.block_on(async {
            keeper::tell(keeper, &ToKeeper::Ready, None)?;
            tokio::select! {
                why = until_over(keeper, &gate) => why,
                failed = capture::serve(Arc::clone(&gate), sockets) => {
                    failed.and_then(|()| Err(anyhow!("nothing is captured any more")))
                }
                told = termination.arrives() => Err(told).context("the filter"),
                never = write_minutes(gate.journal.clone()) => match never {},
                never = messages::record(gate.journal.clone(), notices) => match never {},
                never = memory::tend(&gate.streams) => match never {},
            }
        });
        journal.cut_the_rest();
        drop(runtime);
        let why = outcome.as_ref().map_or_else(Why::failed, Why::clone);
        journal.stop(&why.reason());
        outcome.map(drop)
    }
}

/// Waits for the end; where it is the container's, for what it said last to arrive.
async fn until_over(keeper: &Channel, gate: &Gate) -> anyhow::Result<Why> {
    let why = keeper::heed(keeper, gate).await?;
    let end = Instant::now() + LAST_BYTES;
    let arrives = || gate.journal.ending() > 0 || gate.streams.have_something_under_way();
    while why == Why::ContainerEnded && arrives() && Instant::now() < end {
        tokio::time::sleep(LOOKED).await;
    }
    Ok(why)
}

/// Writes every minute what came of open attempts, and what is only counted.
async fn write_minutes(journal: Journal) -> Infallible {
    loop {
        tokio::time::sleep(MINUTE).await;
        journal.write_minute();
    }
}

#[cfg(test)]
mod tests {
    use super::test_gate::TestGate;
    use super::*;
    use crate::audit::{Direction, Kind, Subject};
    use crate::policy::Denial;

    #[tokio::test(start_paused = true)]
    async fn what_is_only_counted_is_written_at_the_end_of_the_minute() {
        let bench = TestGate::new(&[], Vec::new());
        let journal = bench.gate.journal.clone();
        tokio::spawn(write_minutes(journal.clone()));
        let (source, destination) = (
            "10.0.0.2:40000".parse().unwrap(),
            "192.0.2.7:22".parse().unwrap(),
        );
        let subject = Subject::new(Kind::Tcp, Direction::Out, source, destination);
        for _ in 0..150 {
            journal.begin(subject.clone()).deny(&Denial::because(""));
        }
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(bench.records().len(), 100);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(bench.records().last().unwrap().count, Some(50));
    }
}
