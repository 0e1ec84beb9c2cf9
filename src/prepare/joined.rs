//! A container that joins another's network: it is filtered by that one's policy.
//!
//! Annotations that ask for another policy would have no effect, and whoever wrote them would
//! believe that they had: so they are refused.

use std::path::Path;

use anyhow::Context;

use super::namespaces;
use crate::container::state::SavedState;
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
