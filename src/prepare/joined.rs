//! A container that joins another's network: it is filtered by that one's policy.
//!
//! Annotations that ask for another policy would have no effect, and whoever wrote them would
//! believe that they had: so they are refused.

use std::path::Path;

use anyhow::Context;

use super::namespaces;
use crate::container::state::{ProcessId, SavedState};
use crate::policy::PolicySource;
use crate::settings::select::chooses;
use crate::spec::{self, Spec};

/// Refuses a container whose annotations choose (`asked`) another policy than that of the gateway
/// which filters its network namespace.
pub(crate) fn refuse_another_policy(
    spec: &Spec,
    network: &Path,
    asked: &PolicySource,
) -> anyhow::Result<()> {
    if !chooses(&spec::annotations(spec)) {
        return Ok(());
    }
    let owner =
        namespaces::gateway(network)?.context("the gateway of the joined container is gone")?;
    refuse_unless_same(&owner, asked)
}

/// Ends the container that brought the network at a path, if its gateway is gone: its engine, or a
/// pod's kubelet, then makes both anew, which nobody else can. It is for when the guard, which does
/// so at once, was killed as well.
///
/// # Errors
/// That it was so.
pub(crate) fn end_what_lost_its_gateway(network: &Path) -> anyhow::Result<()> {
    let Some(lost) = namespaces::lost(network)? else {
        return Ok(());
    };
    let ended = end(lost.init);
    let container = &lost.plan.container;
    match ended {
        Ok(()) => anyhow::bail!(
            "the gateway of container {container} was killed, and its network with it: it has been ended, so that its engine, or the \
             kubelet, starts it anew"
        ),
        Err(error) => Err(error).with_context(|| {
            format!("container {container} has lost its gateway, and can't be ended")
        }),
    }
}

/// Kills this very process.
pub(super) fn end(process: ProcessId) -> std::io::Result<()> {
    process.open().map_or(Ok(()), |process| process.kill())
}

/// Refuses a container that has another policy than the gateway which filters its network.
pub(crate) fn refuse_unless_same(owner: &SavedState, asked: &PolicySource) -> anyhow::Result<()> {
    let given = &owner.plan.policy;
    let same =
        (&given.name, &given.annotated, given.mode) == (&asked.name, &asked.annotated, asked.mode);
    anyhow::ensure!(
        same,
        "the network that it joins is filtered by policy {}, chosen when the pod or the joined container was started: the annotations \
         boundary.policy, boundary.allow and boundary.mode can't change that",
        given.name
    );
    Ok(())
}
