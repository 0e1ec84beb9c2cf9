//! What containerd still runs under this program, which keeps its runtime from being uninstalled.
//!
//! containerd can neither enter nor restart a container whose runtime it doesn't know, so what runs
//! has to end first. Under which of several runtimes of ours something runs isn't known: all of it
//! counts.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};

use crate::audit::line::ContainerIdentity;
use crate::cli::short::short;
use crate::container::state::{self, SavedState};
use crate::text::listed;

/// Refuses while something runs that may be containerd's, and names it.
///
/// # Errors
/// Something runs; what runs can't be listed.
pub(super) fn refuse_if_containerds() -> anyhow::Result<()> {
    let running = running(may_be_containerds)?;
    ensure!(
        running.is_empty(),
        "still running, and without the runtime they could neither be restarted nor entered: {}: delete them first (or --force)",
        listed(&running)
    );
    Ok(())
}

/// Refuses while anything runs, and names it.
///
/// # Errors
/// As above.
pub(super) fn refuse_if_any() -> anyhow::Result<()> {
    let running = running(|_| true)?;
    ensure!(
        running.is_empty(),
        "still running: {}: remove them first",
        listed(&running)
    );
    Ok(())
}

fn running(counts: impl Fn(&ContainerIdentity) -> bool) -> anyhow::Result<BTreeSet<String>> {
    let all = state::list().with_context(|| format!("can't list {}", state::DIRECTORY))?;
    let running = all
        .iter()
        .filter(|record| record.goes_on() && counts(&record.plan.identity));
    Ok(running.map(name).collect())
}

/// Whoever starts a container may have forged it, and harms nobody else by that.
fn may_be_containerds(identity: &ContainerIdentity) -> bool {
    !matches!(
        identity.engine.as_deref(),
        Some("docker" | "podman" | "cri-o")
    )
}

/// A pod's containers go by the pod's name.
fn name(record: &SavedState) -> String {
    let ContainerIdentity { pod, namespace, .. } = &record.plan.identity;
    match (namespace, pod) {
        (Some(namespace), Some(pod)) => format!("{namespace}/{pod}"),
        _ => short(&record.plan.container),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_engines_containers_are_nothing_to_containerd() {
        let of = |engine: Option<&str>| {
            may_be_containerds(&ContainerIdentity {
                engine: engine.map(str::to_owned),
                ..ContainerIdentity::default()
            })
        };
        assert!(of(Some("containerd")) && of(None) && !of(Some("docker")) && !of(Some("cri-o")));
    }
}
