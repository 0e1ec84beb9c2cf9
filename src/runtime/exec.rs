//! `exec`: the process gets what the container's own has for nesting, its AppArmor profile
//! included, and never more capabilities than the container itself may hold (`docker exec
//! --privileged` included). It trusts the container's gateway as that does.

use std::path::Path;

use anyhow::bail;

use super::container::Container;
use super::process_file;
use super::runtimes::RuntimeKind;
use crate::container::plan::{GatewayOwner, Recipients};
use crate::container::state::{SavedState, Stage};
use crate::escape::excerpt;
use crate::prepare::gateways;
use crate::spec::{capabilities, nesting, trust};
use crate::sys::sealed::Sealed;

/// Returns once a container that has not been started yet is filtered. (The gateway that another
/// joins has settled before that was created.)
fn settle(record: &SavedState) -> anyhow::Result<()> {
    match record.plan.gateway {
        GatewayOwner::Own if record.stage != Stage::Settled => gateways::settle(record),
        _ => Ok(()),
    }
}

/// Fits the process to be run to the container: its capabilities and its AppArmor profile. Gives
/// the process file that the runtime is to read in the place of `process`, if that is to be
/// another. `asked`: `--cap`; `preserved`: `--preserve-fds`.
pub(super) fn fit(
    container: &Container<'_>,
    runtime: &RuntimeKind,
    process: Option<&Path>,
    asked: &[String],
    preserved: u32,
) -> anyhow::Result<Option<Sealed>> {
    // No record, or one that can't be read or is another's: nothing is known to bound it.
    let record = SavedState::read(&container.state).ok().flatten();
    let record = record.filter(|record| record.init.alive());
    if let Some(record) = &record {
        settle(record)?;
    }
    let mut plan = record.map(|record| record.plan);
    let bounded = plan.as_ref().is_some_and(|plan| plan.user_namespace);
    if bounded && runtime.exec_leaves_user_namespace {
        bail!(
            "{} can't add a process to a container with a user namespace: the process would run outside of it; set nesting = \"none\" in \
             the host's configuration, or use another runtime",
            runtime.name
        );
    }
    if !bounded
        && let Some(name) = asked
            .iter()
            .find(|name| !name.is_empty() && capabilities::reaches_beyond(name))
    {
        bail!(
            "{} reaches beyond a container without a user namespace of its own",
            excerpt(name)
        );
    }
    let profile = plan.as_ref().and_then(|plan| plan.apparmor_profile.clone());
    let variables = plan
        .as_mut()
        .and_then(|plan| plan.trust.take())
        .map(|trust| trust.variables)
        .unwrap_or_default();
    let recipients = plan
        .filter(|_| bounded)
        .map(|plan| plan.nesting_capability)
        .unwrap_or_default();
    let fits =
        bounded && recipients == Recipients::Nobody && profile.is_none() && variables.is_empty();
    // Without a file, the runtime takes all from the container's own specification, which was
    // edited.
    let Some(process) = process.filter(|_| !fits) else {
        return Ok(None);
    };
    let mut document = process_file::read(process)?;
    capabilities::check(&document)?;
    if runtime.quirks.keeps_missing_capabilities {
        capabilities::spell_out(&mut document)?;
    }
    if !bounded {
        capabilities::bound(&mut document);
    } else if recipients.include(capabilities::user(&document)?)
        // Without capabilities of its own it gets the container's, this one among them. Whoever
        // drops everything means it.
        && !capabilities::can_have_none(&document)
    {
        capabilities::grant(&mut document, nesting::CAPABILITY)?;
    }
    // Under another profile it could neither nest, nor signal what the container runs.
    if let Some(profile) = profile {
        nesting::replace_profile(&mut document, &profile)?;
    }
    trust::add_variables(&mut document, &variables);
    process_file::seal(&document, preserved).map(Some)
}
