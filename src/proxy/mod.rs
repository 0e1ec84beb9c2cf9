//! The filter: one process per gateway, as long as the container's first process.
//!
//! It sets everything up before it says that it is ready, then gives up every privilege that serving doesn't need. It lives
//! in the namespace it dials from: the gateway's, or the host's for a container that asked for the host's network.

mod awaited;
pub mod budget;
mod capture;
pub mod connection;
mod control;
pub mod dial;
pub mod dns;
mod expiring;
mod handshakes;
pub mod http;
pub mod identify;
mod memory;
mod neighbours;
mod opaque;
mod plug;
mod refusals;
pub mod splice;
pub mod stream;
#[cfg(test)]
mod test_gate;
pub mod udp;
mod wire;

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::audit::Journal;
use crate::cgroup::{self, Entrance};
use crate::gateway::Gateway;
use crate::gateway::ruleset::LEAVING;
use crate::plan::{Exit, Plan};
use crate::policy::{Policy, text};
use crate::state::{ProcessId, Record};
use crate::sys::netns::{Namespace, Resident};
use crate::sys::process::{self, Process};
use crate::sys::{readiness, socket};
use budget::Budget;
use wire::Wire;

/// Descriptors that a proxy may hold: some thousand connections of six each.
const OPEN_FILES: u64 = 65_536;

/// How often it is written down what the record only counts.
const COUNTED: Duration = Duration::from_secs(60);

/// What the hook tells the proxy on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// What was decided for the container.
    pub plan: Plan,
    /// The container's first process.
    pub init: ProcessId,
}

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
    pub inside: Option<Resident>,
    /// What is known of the interfaces that were adopted so far.
    pub interfaces: RwLock<Arc<Interfaces>>,
}

/// What is known of the interfaces that were adopted so far.
#[derive(Debug, Default)]
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
        Arc::clone(&self.interfaces.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A socket in the gateway that sends to the container in the name of the address it wrote to; see
    /// [`socket::udp_answering`].
    ///
    /// # Errors
    /// What making it gives.
    pub fn udp_answering(&self, from: SocketAddr) -> io::Result<std::net::UdpSocket> {
        match &self.inside {
            None => socket::udp_answering(from),
            Some(resident) => resident.run(move || socket::udp_answering(from)),
        }
    }

    /// What to dial `to` from, so that the outside sees the container: the client's own address where the family fits, else
    /// the container's first of that family. None: let the kernel choose (`Exit::AsHost`), or there is none.
    #[must_use]
    pub fn source_for(&self, client: IpAddr, to: IpAddr) -> Option<socket::Source> {
        let address = match self.exit {
            dial::Exit::AsHost => None,
            dial::Exit::AsClient if client.is_ipv4() == to.is_ipv4() => Some(client),
            dial::Exit::AsClient => {
                self.interfaces().sources.iter().copied().find(|source| source.is_ipv4() == to.is_ipv4())
            }
        };
        address.map(|address| socket::Source { address, mark: LEAVING })
    }
}

/// The proxy personality. Its exit code is for whoever looks at processes; the hook listens to its words.
#[must_use]
pub fn run() -> ExitCode {
    filter().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// From start to end. Says `ok` or `error …` on standard output, once.
fn filter() -> anyhow::Result<()> {
    let ready = prepare();
    let word = match &ready {
        Ok(_) => "ok\n".to_owned(),
        Err(error) => format!("error {error:#}\n"),
    };
    // Fails where the hook was killed: then the container is not wanted any more.
    io::stdout().write_all(word.as_bytes())?;
    process::detach()?;
    let Prepared { order, gate, init, sockets, mut wire, state } = ready?;
    let journal = gate.journal.clone();
    let outcome = serve(gate, init, sockets, &mut wire, &order.plan);
    journal.write_counts();
    // `delete` waits for this, after which all is said and done; and not for what it takes to close the wire.
    drop(state);
    outcome
}

struct Prepared {
    order: Order,
    gate: Arc<Gate>,
    init: Process,
    sockets: capture::Sockets,
    wire: Wire,
    state: StateDirectory,
}

/// The container's state directory, as long as there is a gateway to tell of: whatever ends the proxy in order takes it along.
struct StateDirectory(PathBuf);

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // What can't be removed is swept by a later `create`, which finds that nothing of it runs.
        let _ = crate::state::remove(&self.0);
    }
}

/// Everything that needs privileges, and everything that can fail, in order.
fn prepare() -> anyhow::Result<Prepared> {
    process::new_session()?;
    let order = read_order()?;
    let plan = &order.plan;
    let init = Process::open(order.init.pid).context("watch the container's init")?;
    if !order.init.alive() {
        bail!("the container's init is gone");
    }
    // Before anything that could grow, and before the first socket: each is charged to whoever made it.
    let not_bounded = bound(&order)?;
    let container = Namespace::of_process(order.init.pid).context("open the container's network namespace")?;
    let network_namespace = container.inode()?;
    let policy = compile(plan)?;
    let gateway = Gateway::create()?;
    let sockets = gateway.side.namespace.inside(capture::Sockets::open).context("open the proxy's sockets")?;
    gateway.enforce(&policy.captured_ports(), sockets.ports()?)?;
    let mut wire = Wire::open(gateway, container, plan.exit)?;
    wire.settle()?;
    let (exit, inside) = match plan.exit {
        Exit::Uplink => (dial::Exit::AsClient, None),
        Exit::Host => (dial::Exit::AsHost, Some(wire.resident()?)),
    };
    let gate = Arc::new(Gate {
        streams: stream::Streams::new(Budget::within(plan.proxy_memory)),
        journal: Journal::open(&plan.audit, &plan.container, policy.name())
            .with_context(|| format!("open the audit file {}", plan.audit.display()))?,
        resolver: dns::Resolver::new(plan.resolvers.clone()),
        exit,
        inside,
        interfaces: RwLock::new(Arc::new(wire.interfaces())),
        policy,
    });
    plan.notices.iter().chain(&not_bounded).for_each(|notice| gate.journal.notice(notice));
    let proxy = ProcessId::of(std::process::id().cast_signed())?;
    crate::state::create(&plan.state)?;
    let state = StateDirectory(plan.state.clone());
    Record { plan: plan.clone(), init: order.init, proxy: Some(proxy), network_namespace }.write()?;
    wire.listen(&plan.state)?;
    process::allow_open_files(OPEN_FILES)?;
    process::harden().context("give up privileges")?;
    Ok(Prepared { order, gate, init, sockets, wire, state })
}

fn read_order() -> anyhow::Result<Order> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    serde_json::from_str(&text).context("read the order")
}

/// Goes into a control group of our own. Gives what is to be said where not everything can be bounded.
fn bound(order: &Order) -> anyhow::Result<Option<String>> {
    let Order { plan, init } = order;
    cgroup::enter(&Entrance {
        state: &plan.state,
        id: &plan.container,
        cgroups_path: plan.cgroups_path.as_deref(),
        init: *init,
        memory: plan.proxy_memory,
    })
}

fn compile(plan: &Plan) -> anyhow::Result<Policy> {
    let failed = |all: Vec<text::Mistake>| text::all_of(&all).context(format!("policy {}", plan.policy.name));
    Policy::compile(&plan.policy).map_err(failed)
}

/// Serves until the container's init is gone.
fn serve(
    gate: Arc<Gate>,
    init: Process,
    sockets: capture::Sockets,
    wire: &mut Wire,
    plan: &Plan,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let end = readiness::of(&init)?;
        tokio::select! {
            gone = end.readable() => gone.map(drop)?,
            failed = capture::serve(Arc::clone(&gate), sockets) => return failed,
            never = count(gate.journal.clone()) => match never {},
            () = memory::tend(&gate.streams) => {}
            failed = wire.tend(Arc::clone(&gate), plan.starts_by_verb) => return failed,
        }
        if plan.links_are_looked_for {
            wire.let_go();
        }
        Ok(())
    })
}

/// Writes down every minute what the record only counts.
async fn count(journal: Journal) -> Infallible {
    loop {
        tokio::time::sleep(COUNTED).await;
        journal.write_counts();
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
        tokio::spawn(count(journal.clone()));
        let subject = Subject {
            kind: Kind::Tcp,
            direction: Direction::Out,
            source: "10.0.0.2:40000".parse().unwrap(),
            destination: "192.0.2.7:22".parse().unwrap(),
            name: None,
            method: None,
            path: None,
            number: None,
        };
        for _ in 0..150 {
            journal.begin(subject.clone()).deny(&Denial { reason: String::new(), rule: None, suggestion: None });
        }
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(bench.records().len(), 100);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(bench.records().last().unwrap().count, Some(50));
    }
}
