//! A keeper's life, from the order to the end of the gateway.

use std::time::Duration;

use anyhow::Context;

use super::control::{self, Desk};
use super::engagement::{Engagement, Found, close_record};
use super::filter::FilterProcess;
use super::guard::Guard;
use super::interfaces::ContainerLinks;
use super::order::{Hook, Order};
use super::record_file;
use super::reload;
use super::trust;
use super::wishes;
use crate::audit::line::About;
use crate::audit::record::MAX_NAME;
use crate::audit::{AtPath, Journal};
use crate::cgroup::{self, Entrance};
use crate::container::plan::Plan;
use crate::container::state::{ProcessId, Stage};
use crate::escape::clean;
use crate::gateway::Gateway;
use crate::gateway::adopt::Departure;
use crate::gateway::captured::CapturedRules;
use crate::packets::agreed::PROXY_PORTS;
use crate::policy::{Policy, text};
use crate::proxy::keeper::EndReason;
use crate::proxy::{Cell, Filter, Rights, Sockets, Task};
use crate::sys::confine::{self, FOR_LINKS};
use crate::sys::signal::Termination;

/// Descriptors that the filter may hold: some thousand connections of six each.
const OPEN_FILES: u64 = 65_536;

/// From the order to the end of the gateway.
pub(super) fn keep(order: Order, hook: Hook, ground: Ground) -> anyhow::Result<()> {
    let termination = Termination::awaited()?;
    let (mut engagement, found) = match Engagement::enter(order) {
        Ok(entered) => entered,
        Err(error) => {
            hook.tell(Err(&error))?;
            return Err(error);
        }
    };
    hook.taken()?;
    let hook = Some(hook).filter(Hook::waits);
    match prepare(&mut engagement, found, ground) {
        Ok(equipment) => {
            // Fails where it was killed: then the container is not wanted any more.
            hook.map_or(Ok(()), |hook| hook.tell(Ok(())))?;
            let keeper = Keeper {
                engagement,
                equipment,
                termination,
            };
            keeper.live()
        }
        Err(error) => {
            engagement.fail(&error, hook.is_some());
            hook.map_or(Ok(()), |hook| hook.tell(Err(&error)))?;
            Err(error)
        }
    }
}

/// All that the keeper holds for one container.
struct Keeper {
    engagement: Engagement,
    equipment: Equipment,
    termination: Termination,
}

/// What filters.
struct Equipment {
    filter: FilterProcess,
    guard: Option<Guard>,
    links: ContainerLinks,
    rules: CapturedRules,
}

/// What a gateway has before it has a container: all that depends on the policy alone, and can't
/// grow.
pub(super) struct Groundwork {
    policy: Policy,
    gateway: Gateway,
    rules: CapturedRules,
}

/// Whether there is that already.
pub(super) enum Ground {
    /// It was begun.
    Laid(Box<Groundwork>),
    /// It is made once the keeper is where it will be charged for it.
    ToBeLaid,
}

impl Groundwork {
    pub(super) fn lay(plan: &Plan) -> anyhow::Result<Self> {
        let policy = compile(plan)?;
        let gateway = Gateway::create()?;
        let rules = gateway.enforce(&policy.captured_ports(), PROXY_PORTS)?;
        Ok(Self {
            policy,
            gateway,
            rules,
        })
    }
}

/// Everything that needs privileges, and everything that can fail, in order.
fn prepare(
    engagement: &mut Engagement,
    mut found: Found,
    ground: Ground,
) -> anyhow::Result<Equipment> {
    let order = &engagement.order;
    let plan = &order.plan;
    // Its control group comes before anything that could grow, and before the filter's sockets: each
    // is charged to whoever made it. To enter it, the kernel may have us wait as long as for links,
    // which so leave before, where there is something to which they can.
    let (not_bounded, ground, departure) = match ground {
        Ground::Laid(mut ground) => {
            let departure = found.depart(&mut ground.gateway)?;
            (bound(order)?, *ground, departure)
        }
        Ground::ToBeLaid => {
            let not_bounded = bound(order)?;
            let mut ground = Groundwork::lay(plan)?;
            let departure = found.depart(&mut ground.gateway)?;
            (not_bounded, ground, departure)
        }
    };
    let Groundwork {
        policy,
        gateway,
        rules,
    } = ground;
    let sockets = gateway
        .side
        .namespace
        .inside(Sockets::open)
        .context("open the filter's sockets")?;
    let journal = Journal::open(&plan.audit, &plan.container, about(plan, &policy))
        .with_context(|| format!("open the audit file {}", plan.audit.display()))?;
    plan.notices
        .iter()
        .chain(&not_bounded)
        .chain(&policy.notices())
        .for_each(|notice| journal.notice(notice));
    let links = ContainerLinks::open(gateway, found.container, plan.exit)?;
    confine::allow_open_files(OPEN_FILES)?;
    let task = Task {
        policy,
        journal,
        resolvers: plan.resolvers.clone(),
        given: plan.given.clone(),
        exit: plan.exit,
        memory: plan.proxy_memory,
        dns_rate_limit: plan.dns_rate_limit,
        trust: plan.trust.as_ref().map(trust::open).transpose()?,
        denied_note: plan.denied_note.clone(),
        denied_names: plan.denied_names,
    };
    let cell = Cell {
        keeper: std::process::id().cast_signed(),
        inside: links.lives_apart(),
        rights: Rights::Root {
            speaks_for_others: true,
        },
    };
    // Before the links have come: it confines itself meanwhile.
    let filter = FilterProcess::start(Filter::new(task, sockets), cell, AtPath::new(&plan.audit))?;
    let mut equipment = Equipment {
        filter,
        // After the filter, which so knows nothing of it.
        guard: order.holder.map(guard_of).transpose()?.flatten(),
        links,
        rules,
    };
    let starts_by_verb = plan.starts_by_verb;
    equipment
        .connect(departure, starts_by_verb)
        .and_then(|()| {
            let stage = if starts_by_verb {
                Stage::Ready
            } else {
                Stage::Settled
            };
            let reached = engagement.record.get_mut().reach(stage);
            reached.context("write the container's record")
        })
        .inspect_err(|_| equipment.filter.end())?;
    Ok(equipment)
}

impl Equipment {
    /// Has the container's links lead through the gateway, and waits until all of it serves.
    fn connect(&mut self, departure: Departure, starts_by_verb: bool) -> anyhow::Result<()> {
        self.links.receive(departure)?;
        if !starts_by_verb {
            self.links.settle()?;
        }
        self.links.listen()?;
        confine::keep_only(FOR_LINKS).context("give up privileges")?;
        self.links.publish(&self.filter)?;
        self.filter.is_ready()?;
        if let Some(guard) = &self.guard {
            guard.arm().context("arm the guard")?;
        }
        Ok(())
    }
}

/// The guard of a container with this first process; none where it has ended already.
fn guard_of(holder: ProcessId) -> anyhow::Result<Option<Guard>> {
    holder.open().map(Guard::start).transpose()
}

/// What the record's first line says.
fn about(plan: &Plan, policy: &Policy) -> About {
    About {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        policy: clean(&plan.policy.name, MAX_NAME),
        policy_hash: plan.policy.hash(),
        mode: plan.policy.mode.to_string(),
        intercepts: policy.may_intercept(),
        identity: plan.identity.clone(),
        ..About::default()
    }
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
    /// From the moment that all is ready.
    fn live(mut self) -> anyhow::Result<()> {
        let policy = &self.engagement.order.plan.policy;
        log::info!(
            "its network is filtered: policy {}, {}",
            policy.name,
            policy.mode.name()
        );
        let outcome = self.look_after();
        self.end(outcome)
    }

    /// Looks after the gateway for as long as it is there for something.
    fn look_after(&mut self) -> anyhow::Result<()> {
        let Self {
            engagement:
                Engagement {
                    order,
                    life,
                    control,
                    record,
                    ..
                },
            equipment:
                Equipment {
                    filter,
                    links,
                    rules,
                    ..
                },
            termination,
        } = self;
        let (desk, questions) = Desk::open(filter.generation(), filter.own());
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
                failed = links.tend(filter, questions.settling, record) => failed,
                failed = filter.serve(questions.asking, questions.noticing) => failed,
                failed = wishes::tend(questions.changing, filter, rules, record) => failed.map(|never| match never {}),
                failed = reload::tend(record, desk.clone()) => failed.map(|never| match never {}),
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
            engagement,
            equipment:
                Equipment {
                    filter,
                    guard,
                    mut links,
                    rules: _,
                },
            ..
        } = self;
        let plan = &engagement.order.plan;
        // podman comes for them as soon as the container has ended.
        if outcome.is_ok() && plan.links_are_looked_for {
            links.let_go();
        }
        let finished = filter.finish(why(&outcome));
        if finished.is_err() {
            filter.end();
        }
        let outcome = outcome.and(finished);
        let why = why(&outcome);
        match why {
            EndReason::Failed(_) => log::error!("{}", why.reason()),
            _ => log::info!("it has ended, and so has its gateway"),
        }
        close_record(plan, &why);
        let cut_off = outcome.is_err() && engagement.life.goes_on();
        // Before the guard ends the container.
        if cut_off && plan.links_are_looked_for {
            links.park();
        }
        if let Some(guard) = guard {
            guard.finish(outcome.is_ok());
        }
        if cut_off && engagement.life.goes_on() {
            // It goes on telling of a container that has no network now, until that is deleted.
            engagement.stay();
        } else {
            drop(engagement);
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
