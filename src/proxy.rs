//! The filter: one process per gateway, which lives as long as the container's first process.
//!
//! It sets everything up before it reports that it is ready, then drops every privilege that
//! serving doesn't need. It lives in the namespace it dials from: the gateway's, or the host's for
//! a container that asked for the host's network.

pub mod accept;
mod ahead;
mod awaited;
#[cfg(test)]
mod bench;
pub mod budget;
mod capture;
mod cause;
mod close;
pub mod confinement;
mod connect;
pub mod connection;
pub mod dial;
pub mod dns;
pub mod egress;
mod enlarge;
mod expiring;
mod flow;
mod handed;
mod handshakes;
mod held;
pub mod http;
pub mod http2;
pub mod identify;
mod in_force;
mod inside;
mod judge;
pub mod keeper;
mod kernel_log;
mod memory;
mod messages;
mod neighbours;
mod opaque;
mod opening;
mod passing;
mod pool;
mod race;
mod reading;
mod reports;
#[cfg(test)]
mod rig;
pub mod splice;
pub mod stream;
pub mod tls;
pub mod told;
pub mod udp;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::mpsc::Receiver;

use crate::audit::Journal;
use crate::logging;
use crate::policy::{DeniedNames, Exit, GivenNames, Policy};
use crate::sys::channel::Channel;
use crate::sys::signal::Termination;
use crate::sys::{confine, process};
use budget::Budget;
use capture::Handlers;
pub use capture::Sockets;
pub use confinement::{Cell, Rights};
use dial::Dialler;
use dns::{DnsServer, Learned, Resolver};
use egress::Egress;
pub use egress::{Beyond, Interfaces};
use in_force::InForce;
use inside::Inside;
use judge::Judge;
use keeper::{EndReason, Followed, Records, ToKeeper};
use messages::Messages;
use stream::Streams;
use tls::Interception;
use tls::trust::Trust;
use tokio::time::Instant;

/// How often it is written what came of open attempts.
const MINUTE: Duration = Duration::from_secs(60);
/// How long what the container said last may take to arrive: its kernel sends it, and ends its
/// connections, when its processes are gone. Engines take its network away only after that.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// How long the keeper may take to say why, where the filter was told to end by a signal.
const KEEPERS_WORD: Duration = Duration::from_secs(1);
/// How often it is looked whether it has.
const LOOKED: Duration = Duration::from_millis(5);

/// What a filter is to do.
#[derive(Debug)]
pub struct Task {
    /// The rules.
    pub policy: Policy,
    /// The record.
    pub journal: Journal,
    /// The servers that names are asked of, in order.
    pub resolvers: Vec<SocketAddr>,
    /// What the container's engine told it about names.
    pub given: GivenNames,
    /// How it gets to the outside.
    pub exit: Exit,
    /// Bytes that it, its keeper and the kernel's memory for its sockets may use together.
    pub memory: u64,
    /// Queries of DNS a second that it answers over a longer time.
    pub dns_rate_limit: NonZeroU32,
    /// Whom it trusts and who is to trust it, where it may have to intercept TLS.
    pub trust: Option<Trust>,
    /// What the administrator has to say to whoever is denied something.
    pub denied_note: Option<String>,
    /// How questions for denied names are answered.
    pub denied_names: DeniedNames,
}

/// All that a filter has from its beginning.
#[derive(Debug)]
pub struct Filter {
    streams: Streams,
    judge: Judge,
    resolvers: Vec<SocketAddr>,
    dns_rate_limit: NonZeroU32,
    denied_note: Option<Arc<str>>,
    denied_names: DeniedNames,
    egress: Arc<Egress>,
    inside: Inside,
    sockets: Sockets,
    trust: Option<Trust>,
    interception: Option<Arc<Interception>>,
}

/// Where a filter will live, and how it speaks with its keeper.
#[derive(Debug)]
pub struct FilterPlace<'a> {
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
        let budget = Budget::within(task.memory);
        let egress = Arc::new(Egress::by(task.exit));
        Self {
            judge: Judge {
                in_force: InForce::new(task.policy),
                learned: Arc::new(Learned::within(budget.clone())),
                given: Arc::new(task.given),
                egress: Arc::clone(&egress),
                journal: task.journal,
            },
            streams: Streams::new(budget),
            resolvers: task.resolvers,
            dns_rate_limit: task.dns_rate_limit,
            denied_note: task.denied_note.map(Arc::from),
            denied_names: task.denied_names,
            egress,
            inside: sockets.way_back(),
            sockets,
            trust: task.trust,
            interception: None,
        }
    }

    /// The filter process, from its start to its end: in a copy of the keeper, of which it keeps
    /// what it was given and no more. Gives its exit code.
    #[must_use]
    pub fn run(self, place: FilterPlace<'_>) -> i32 {
        let FilterPlace {
            cell,
            keeper,
            records,
        } = place;
        let keeper = Arc::new(keeper);
        self.streams.ask(Arc::clone(&keeper));
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
        keeper: &Arc<Channel>,
        records: Channel,
        notices: Receiver<String>,
    ) -> anyhow::Result<()> {
        let termination = Termination::awaited()?;
        let journal = self.judge.journal.clone();
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
        // It writes into the container's trust stores, which it can't afterwards.
        if let Some(trust) = self.trust.take() {
            let interception = Interception::new(&trust).context("prepare to intercept TLS")?;
            self.interception = Some(Arc::new(interception));
        }
        if let Some(resident) = confinement::confine(cell)? {
            self.inside = Inside::Thread(resident);
        }
        self.judge.journal.with_descriptors(|record| {
            let own = [keeper.as_fd(), records.as_fd(), termination.as_fd()];
            let own = record.iter().copied().chain(own);
            confine::close_all_but(&self.sockets.descriptors().chain(own).collect::<Vec<_>>())
        })?;
        self.judge
            .journal
            .come_from(Box::new(Records::by(records)?));
        confinement::deny_the_rest().context("deny other system calls")?;
        Ok(self)
    }

    /// Serves until the container is over, or something fails. What is under way then is recorded
    /// as cut.
    fn serve(
        self,
        keeper: &Arc<Channel>,
        termination: &Termination,
        notices: Receiver<String>,
    ) -> anyhow::Result<()> {
        let (journal, streams, egress) = (
            self.judge.journal.clone(),
            self.streams.clone(),
            Arc::clone(&self.egress),
        );
        let in_force = self.judge.in_force.clone();
        let (handlers, sockets) = self.into_handlers();
        let pool = Arc::clone(&handlers.connections.pool);
        let dns = Arc::clone(&handlers.dns);
        let followed = Followed {
            keeper,
            in_force: &in_force,
            after_change: &|| pool.empty(),
            journal: &journal,
            egress: &egress,
            budget: &streams.budget,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let outcome = runtime.block_on(async {
            keeper::tell(keeper, &ToKeeper::Ready, None)?;
            tokio::select! {
                why = until_over(&followed, &streams) => why,
                failed = capture::serve(handlers, sockets) => {
                    failed.and_then(|()| Err(anyhow!("nothing is captured any more")))
                }
                told = told_to_end(termination) => Err(told).context("the filter"),
                never = write_minutes(journal.clone()) => match never {},
                never = messages::record(journal.clone(), notices) => match never {},
                never = memory::tend(&streams) => match never {},
                never = pool.tend(&streams) => match never {},
                never = dns.tend() => match never {},
            }
        });
        journal.cut_the_rest();
        drop(runtime);
        let why = outcome
            .as_ref()
            .map_or_else(EndReason::failed, EndReason::clone);
        journal.stop(&why.reason());
        outcome.map(drop)
    }

    /// Who serves what is captured, each with what it uses.
    fn into_handlers(self) -> (Handlers, Sockets) {
        let Self {
            streams,
            judge,
            resolvers,
            dns_rate_limit,
            denied_note,
            denied_names,
            egress,
            inside,
            sockets,
            trust: _,
            interception,
        } = self;
        let budget = streams.budget.clone();
        let inside = Arc::new(inside);
        let resolver = Arc::new(Resolver::new(
            resolvers,
            Arc::clone(&egress),
            budget.clone(),
        ));
        let dialler = Arc::new(Dialler {
            streams: streams.clone(),
            resolver: Arc::clone(&resolver),
            egress: Arc::clone(&egress),
            given: Arc::clone(&judge.given),
        });
        let denied = dns::DeniedAnswers {
            setting: denied_names,
            given: Arc::clone(&judge.given),
            egress: Arc::clone(&egress),
        };
        let handlers = Handlers {
            connections: Arc::new(flow::ConnectionServices {
                judge: judge.clone(),
                streams,
                egress,
                pool: Arc::default(),
                outside: Arc::clone(&dialler) as _,
                interception,
                denied_note,
                denied_names,
            }),
            dns: Arc::new(DnsServer::new(
                judge.clone(),
                resolver,
                Arc::clone(&inside),
                budget.clone(),
                dns_rate_limit,
                denied,
            )),
            relay: udp::Relay::new(udp::RelayServices {
                judge: judge.clone(),
                dialler,
                inside,
                budget,
            }),
            judge,
        };
        (handlers, sockets)
    }
}

/// Waits until this process is told to end, and then for its keeper to say why: systemd tells both
/// when the kernel has killed one of them for want of memory. With a killed keeper the filter dies,
/// too, and whoever finds that says so.
async fn told_to_end(termination: &Termination) -> io::Error {
    let told = termination.arrives().await;
    tokio::time::sleep(KEEPERS_WORD).await;
    told
}

/// Waits for the end; where nothing is wrong, for what was said last to arrive.
async fn until_over(followed: &Followed<'_>, streams: &Streams) -> anyhow::Result<EndReason> {
    let why = followed.heed().await?;
    let end = Instant::now() + LAST_BYTES;
    let arrives = || followed.journal.ending() > 0 || streams.have_something_under_way();
    let is_wrong = matches!(why, EndReason::Failed(_));
    while !is_wrong && arrives() && Instant::now() < end {
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
    use super::bench::Bench;
    use super::*;
    use crate::audit::{Direction, Kind, Subject};
    use crate::policy::Denial;

    #[tokio::test(start_paused = true)]
    async fn what_is_only_counted_is_written_at_the_end_of_the_minute() {
        let bench = Bench::new(&[], Vec::new());
        let journal = bench.judge.journal.clone();
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
