//! The keeper: the life of one gateway. It makes the gateway, starts the filter, looks after links,
//! files and the control socket, and ends with the container, or with the pod where it is the pod's
//! (`life`), or when gateway or filter fails.
//!
//! It reads no byte that the container sends; the filter (`crate::proxy`), a process of its own
//! without privileges, does. Invariant: whatever ends this process ends the filter, and with both
//! the gateway; the `guard` then ends the container.

mod control;
mod filter;
mod guard;
mod heard;
mod hotplug;
mod interfaces;
mod life;
mod record_file;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::audit::line::About;
use crate::audit::record::MAX_NAME;
use crate::audit::{Journal, is_worth_keeping, members, write_last};
use crate::cgroup::{self, Entrance, Groups};
use crate::container::plan::Plan;
use crate::container::state::{ProcessId, SavedState};
use crate::escape::clean;
use crate::gateway::Gateway;
use crate::logging::{self, System};
use crate::packets::agreed::PROXY_PORTS;
use crate::policy::{Policy, text};
use crate::proxy::keeper::EndReason;
use crate::proxy::{Cell, Filter, Sockets, Task};
use crate::sys::confine::{self, FOR_LINKS};
use crate::sys::netns::Namespace;
use crate::sys::process;
use crate::sys::signal::Termination;
use control::Desk;
use filter::FilterProcess;
use guard::Guard;
use interfaces::ContainerLinks;
use life::Life;

/// Descriptors that the filter may hold: some thousand connections of six each.
const OPEN_FILES: u64 = 65_536;

/// What the hook sends on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// What was decided for the container.
    pub plan: Plan,
    /// The container that it is made for first: the plan's, or one of its pod.
    pub container: String,
    /// That container's first process.
    pub init: ProcessId,
    /// The process whose end has the engine make the network anew, and which is ended when the
    /// gateway is gone without it. None where there is no such process.
    pub holder: Option<ProcessId>,
}

/// The keeper personality. Its exit code is for whoever looks at processes; the hook listens to its
/// words.
#[must_use]
pub fn run() -> ExitCode {
    keep().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// From start to end. Says `ok` or `error …` on standard output, once.
fn keep() -> anyhow::Result<()> {
    let ready = prepare();
    let word = match &ready {
        Ok(_) => "ok\n".to_owned(),
        Err(error) => format!("error {error:#}\n"),
    };
    // Fails where the hook was killed: then the container is not wanted any more.
    io::stdout().write_all(word.as_bytes())?;
    process::detach()?;
    let mut keeper = ready?;
    let policy = &keeper.order.plan.policy;
    log::info!(
        "its network is filtered: policy {}, {}",
        policy.name,
        policy.mode.name()
    );
    let outcome = keeper.look_after();
    keeper.end(outcome)
}

/// All that the keeper holds for one container.
struct Keeper {
    order: Order,
    life: Life,
    filter: FilterProcess,
    guard: Option<Guard>,
    links: ContainerLinks,
    control: UnixListener,
    state: StateDirectory,
    termination: Termination,
}

/// The container's state directory, as long as there is a gateway to tell of: what ends in order
/// takes it along.
struct StateDirectory(PathBuf);

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // It is swept by a later `create` then, which finds that nothing of it runs.
        if let Err(error) = crate::container::state::remove(&self.0) {
            log::warn!("can't remove {}: {error}", self.0.display());
        }
    }
}

/// Everything that needs privileges, and everything that can fail, in order.
fn prepare() -> anyhow::Result<Keeper> {
    process::new_session()?;
    let termination = Termination::awaited()?;
    let order = read_order()?;
    let plan = &order.plan;
    logging::to(System::about(&plan.container), plan.log_level);
    logging::tell_of_panics();
    let container =
        Namespace::of_process(order.init.pid).context("open the container's network namespace")?;
    let network_namespace = container.inode()?;
    let life = Life::of(plan, order.init, network_namespace)?;
    if !order.init.alive() {
        bail!("the container's init is gone");
    }
    // Before anything that could grow, and before the first socket: each is charged to whoever made
    // it.
    let not_bounded = bound(&order)?;
    let policy = compile(plan)?;
    let journal = Journal::open(&plan.audit, &plan.container, about(plan))
        .with_context(|| format!("open the audit file {}", plan.audit.display()))?;
    let gateway = Gateway::create()?;
    let sockets = gateway
        .side
        .namespace
        .inside(Sockets::open)
        .context("open the filter's sockets")?;
    gateway.enforce(&policy.captured_ports(), PROXY_PORTS)?;
    plan.notices
        .iter()
        .chain(&not_bounded)
        .for_each(|notice| journal.notice(notice));
    let mut links = ContainerLinks::open(gateway, container, plan.exit)?;
    links.settle()?;
    confine::allow_open_files(OPEN_FILES)?;
    let task = Task {
        policy,
        journal,
        resolvers: plan.resolvers.clone(),
        given: plan.given.clone(),
        exit: plan.exit,
        memory: plan.proxy_memory,
        dns_rate_limit: plan.dns_rate_limit,
    };
    let filter = Filter::new(task, sockets);
    let itself = std::process::id().cast_signed();
    let cell = Cell {
        keeper: itself,
        inside: links.lives_apart(),
    };
    let filter = FilterProcess::start(filter, cell, &plan.audit)?;
    // After the filter, which so knows nothing of it.
    let guard = order.holder.map(guard_of).transpose()?.flatten();
    crate::container::state::create(&plan.state)?;
    let state = StateDirectory(plan.state.clone());
    SavedState {
        plan: plan.clone(),
        init: order.init,
        proxy: Some(ProcessId::of(itself)?),
        network_namespace,
    }
    .write()?;
    links.listen()?;
    let control = control::bind(&plan.state).context("open the control socket")?;
    confine::keep_only(FOR_LINKS).context("give up privileges")?;
    links.publish(&filter)?;
    filter.is_ready()?;
    if let Some(guard) = &guard {
        guard.arm().context("arm the guard")?;
    }
    Ok(Keeper {
        order,
        life,
        filter,
        guard,
        links,
        control,
        state,
        termination,
    })
}

/// The guard of a container with this first process; none where it has ended already.
fn guard_of(holder: ProcessId) -> anyhow::Result<Option<Guard>> {
    holder.open().map(Guard::start).transpose()
}

/// What the record's first line says.
fn about(plan: &Plan) -> About {
    About {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        policy: clean(&plan.policy.name, MAX_NAME),
        policy_hash: plan.policy.hash(),
        mode: plan.policy.mode.to_string(),
        identity: plan.identity.clone(),
        ..About::default()
    }
}

fn read_order() -> anyhow::Result<Order> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    serde_json::from_str(&text).context("read the order")
}

/// Goes into a control group of our own. Gives what is to be said where not everything can be
/// bounded.
fn bound(order: &Order) -> anyhow::Result<Option<String>> {
    let Order {
        plan,
        container,
        init,
        ..
    } = order;
    cgroup::enter(&Entrance {
        state: &plan.state,
        id: container,
        cgroups_path: plan.cgroups_path.as_deref(),
        init: *init,
        memory: plan.proxy_memory,
    })
}

fn compile(plan: &Plan) -> anyhow::Result<Policy> {
    let failed = |all: Vec<text::Mistake>| {
        text::all_of(&all).context(format!("policy {}", plan.policy.name))
    };
    Policy::compile(&plan.policy).map_err(failed)
}

impl Keeper {
    /// Looks after the gateway for as long as it is there for something.
    fn look_after(&mut self) -> anyhow::Result<()> {
        let Self {
            order,
            life,
            filter,
            links,
            control,
            termination,
            ..
        } = self;
        let (desk, questions) = Desk::open();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // One for the disk, now and then.
        runtime
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::ZERO);
        runtime.build()?.block_on(async {
            let failed = tokio::select! {
                ended = life.end() => return Ok(ended?),
                failed = links.tend(filter, questions.settling, order.plan.starts_by_verb) => failed,
                failed = filter.serve(questions.asking, questions.noticing) => failed,
                failed = control::serve(control, desk) => match failed? {},
                failed = record_file::tend(&order.plan.audit, filter) => failed.map(|never| match never {}),
                told = termination.arrives() => Err(told).context("the gateway"),
            };
            // A container's end takes its links along, which may be heard of first.
            if life.goes_on() { failed } else { Ok(()) }
        })
    }

    /// Has the last be recorded. `delete` waits until the state directory is gone, after which all
    /// is said and done; and not for what it takes to close the links.
    fn end(self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let Self {
            order,
            life,
            filter,
            guard,
            mut links,
            state,
            ..
        } = self;
        let plan = &order.plan;
        // podman comes for them as soon as the container has ended.
        if outcome.is_ok() && plan.links_are_looked_for {
            links.let_go();
        }
        let finished = filter.finish(why(&outcome));
        if finished.is_err() {
            filter.kill();
            filter.wait();
        }
        let outcome = outcome.and(finished);
        let why = why(&outcome);
        match why {
            EndReason::ContainerEnded => log::info!("it has ended, and so has its gateway"),
            EndReason::Failed(_) => log::error!("{}", why.reason()),
        }
        // It has done so where it could.
        let kills = || Groups::find().oom_kills(std::process::id().cast_signed());
        let reason = || cgroup::with_oom_kills(why.reason(), kills());
        let last = write_last(&plan.audit, &plan.container, reason);
        if let Err(error) = &last {
            log::error!(
                "the record {} has no last line: {error}",
                plan.audit.display()
            );
        }
        if why == EndReason::ContainerEnded && last.is_ok() && !is_worth_keeping(&plan.audit) {
            // It may be gone already.
            let _ = std::fs::remove_file(&plan.audit);
            members::forget(&plan.audit);
        }
        // Before the guard ends the container.
        if outcome.is_err() && life.goes_on() && plan.links_are_looked_for {
            links.park();
        }
        if let Some(guard) = guard {
            guard.finish(outcome.is_ok());
        }
        if outcome.is_err() && life.goes_on() {
            // It goes on telling of a container that has no network now, until that is deleted.
            std::mem::forget(state);
        } else {
            drop(state);
        }
        // The control group is to be empty when this process is gone.
        filter.wait();
        outcome
    }
}

fn why(outcome: &anyhow::Result<()>) -> EndReason {
    outcome
        .as_ref()
        .map_or_else(EndReason::failed, |()| EndReason::ContainerEnded)
}
