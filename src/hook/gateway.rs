//! Has the gateway of a plan be there: the container's own is made; another container's is only
//! recorded; a pod's is made under a lock by the first of the pod's containers to come here, and
//! found by the others.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::audit::members::{self, Member};
use crate::container::plan::{GatewayOwner, Plan};
use crate::container::state::{self, Approvals, ProcessId, SavedState, Stage};
use crate::container::trust;
use crate::control::{self, Request, Response};
use crate::prepare::{gateways, joined, pod};
use crate::supervisor::{self, Order, begun};
use crate::sys::netns::Namespace;
use crate::sys::process;

/// How long the proxy may take to be ready: a loaded machine needs a second, nothing needs this.
const READY: Duration = Duration::from_secs(20);

/// How long the gateway may take for a notice.
const NOTED: Duration = Duration::from_secs(5);

/// Has the gateway be there that the plan says, and what is to be said of the container in its
/// record. `init`: the container's first process, for which the hook was called in `bundle`.
pub(super) fn follow(plan: Plan, init: ProcessId, bundle: &Path) -> anyhow::Result<()> {
    log::set_max_level(plan.log_level);
    let notices = plan.own_notices.clone();
    be_filtered(plan, init, bundle)?;
    if notices.is_empty() {
        return Ok(());
    }
    let network = Namespace::of_process(init.pid)?.inode()?;
    note(
        &gateways::filtering(network)?.context("the container's gateway is gone")?,
        notices,
    );
    Ok(())
}

/// Has notices written into a gateway's record. What they say is never that the container has more
/// than others expect, so it is no reason to refuse it: a gateway of an earlier version, which a
/// running pod may have, doesn't understand them.
fn note(gateway: &SavedState, notices: Vec<String>) {
    for notice in notices {
        match control::ask(&gateway.plan.state, &Request::Notice(notice), NOTED) {
            Ok(Response::Done) => {}
            Ok(other) => log::warn!("a notice is not in the record: {other:?}"),
            Err(error) => log::warn!("a notice is not in the record: {error}"),
        }
    }
}

fn be_filtered(plan: Plan, init: ProcessId, bundle: &Path) -> anyhow::Result<()> {
    match plan.gateway {
        GatewayOwner::Own if stands(&plan, init) => Ok(()),
        GatewayOwner::Own => have_own(&Order {
            container: plan.container.clone(),
            plan,
            init,
            holder: Some(init),
        }),
        GatewayOwner::Joined => {
            let network = Namespace::of_process(init.pid)?.inode()?;
            share_authority(&plan, &note_joined(&plan, network)?)?;
            record_member(plan, init, network)
        }
        GatewayOwner::Pod => follow_pod(plan, init, bundle),
    }
}

/// Follows a plan that was decided in the hook: the gateway of one that joins is there, and nobody
/// will ask for a record of it: neither `start` nor `delete` comes by.
pub(super) fn follow_decided(plan: Plan, init: ProcessId, bundle: &Path) -> anyhow::Result<()> {
    match plan.gateway {
        GatewayOwner::Joined => {
            note_joined(&plan, Namespace::of_process(init.pid)?.inode()?).map(drop)
        }
        GatewayOwner::Own | GatewayOwner::Pod => follow(plan, init, bundle),
    }
}

/// Records a container whose gateway is another's.
fn record_member(plan: Plan, init: ProcessId, network_namespace: u64) -> anyhow::Result<()> {
    state::create(&plan.state)?;
    let record = SavedState {
        plan,
        init,
        proxy: None,
        network_namespace,
        stage: Stage::Settled,
        changed: None,
        approvals: Approvals::default(),
    };
    Ok(record.write()?)
}

/// Has the record of the gateway that filters this network be found by the container that joins it.
///
/// # Errors
/// There is no gateway any more: `start` would find that out, but `run` and the hook alone have none.
fn note_joined(plan: &Plan, network: u64) -> anyhow::Result<SavedState> {
    let owner = gateways::filtering(network)?;
    let owner = owner.context("the gateway of the joined container is gone")?;
    note_member(&owner.plan.audit, plan);
    Ok(owner)
}

/// Has a container trust the gateway of another, or of its pod.
fn share_authority(plan: &Plan, gateway: &SavedState) -> anyhow::Result<()> {
    let Some(stores) = &plan.trust else {
        return Ok(());
    };
    trust::share(&gateway.plan.state, stores).context("can't have the container trust its gateway")
}

/// Has a gateway's record be found by this container, too. It starts without that.
fn note_member(record: &Path, plan: &Plan) {
    let member = Member {
        id: plan.container.clone(),
        identity: plan.identity.clone(),
    };
    if let Err(error) = members::add(record, member) {
        log::warn!(
            "can't note the container beside {}: {error}",
            record.display()
        );
    }
}

/// Whether this very container has its gateway already, or one that is ready by its start: runc
/// calls hooks twice for one without a mount namespace of its own.
fn stands(plan: &Plan, init: ProcessId) -> bool {
    let record = SavedState::read(&plan.state).ok().flatten();
    record.is_some_and(|record| record.init == init && record.is_kept())
}

/// Has the pod's gateway filter the container of this plan, and records the container.
fn follow_pod(plan: Plan, init: ProcessId, bundle: &Path) -> anyhow::Result<()> {
    let state = plan.state.clone();
    let network = Namespace::of_process(init.pid)?.inode()?;
    // Before anything else: others of the pod, which may be made at the same time, have to know
    // that this one is no stranger.
    record_member(plan.clone(), init, network)?;
    let filtered = have_gateway(plan.clone(), init, bundle, network).and_then(|()| {
        let gateway = gateways::filtering(network)?.context("the pod's gateway is gone")?;
        share_authority(&plan, &gateway)
    });
    match &filtered {
        // The record's folder is there by now.
        Ok(()) => plan
            .of_pod()
            .into_iter()
            .for_each(|of_pod| note_member(&of_pod.audit, &plan)),
        // Nothing can be done about it; it is swept when the container is gone.
        Err(_) => {
            let _ = trust::remove(&state).and_then(|()| state::remove(&state));
        }
    }
    filtered
}

fn have_gateway(plan: Plan, init: ProcessId, bundle: &Path, network: u64) -> anyhow::Result<()> {
    let _alone = state::alone(network).context("can't wait for the pod's other containers")?;
    if let Some(owner) = gateways::filtering(network)? {
        return joined::refuse_unless_same(&owner, &plan.policy);
    }
    let its = plan.pod.as_ref().context("the plan names no pod")?;
    let pause = pod::pause(its, bundle);
    pod::refuse_strangers(its, init, pause)?;
    let mut of_pod = plan.of_pod().context("the gateway is not the pod's")?;
    let stores = plan.trust.as_ref();
    of_pod.trust = stores
        .map(|stores| trust::for_pod(&of_pod.state, stores))
        .transpose()
        .context("can't make the files by which the pod trusts its gateway")?;
    start_proxy(&Order {
        plan: of_pod,
        container: plan.container,
        init,
        // Without a pause container, nothing of the pod's has CRI-O make its network anew.
        holder: pause.and_then(|pause| ProcessId::of(pause).ok()),
    })
}

/// Has the keeper that `create` began go on with this container, or a new one.
fn have_own(order: &Order) -> anyhow::Result<()> {
    if begun::hand_over(order, READY)? {
        Ok(())
    } else {
        start_proxy(order)
    }
}

fn start_proxy(order: &Order) -> anyhow::Result<()> {
    // For whoever lists processes; the program reads it from its order.
    let called = order.plan.called();
    let order = serde_json::to_vec(order)?;
    let program =
        std::fs::read_link("/proc/self/exe").context("can't determine this program's path")?;
    let said = process::start_detached(&program, &["proxy", &called], &order, READY)
        .context("can't start the proxy")?;
    supervisor::heed(&said)
}
