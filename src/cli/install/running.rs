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

/// As many as are named.
const MOST: usize = 20;

/// Refuses while something runs, and names it.
///
/// # Errors
/// Something runs; what runs can't be listed.
pub(super) fn refuse() -> anyhow::Result<()> {
    let all = state::list().with_context(|| format!("can't list {}", state::DIRECTORY))?;
    let running: BTreeSet<_> = all
        .iter()
        .filter(|record| record.goes_on() && may_be_containerds(&record.plan.identity))
        .map(name)
        .collect();
    ensure!(
        running.is_empty(),
        "still running, and without the runtime they could neither be restarted nor entered: {}: delete them first (or --force)",
        listed(&running)
    );
    Ok(())
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

fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<_> = names.iter().take(MOST).map(String::as_str).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
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

    #[test]
    fn not_all_of_many_are_named() {
        let names = |count: usize| (0..count).map(|number| format!("n/{number:03}")).collect();
        assert_eq!(listed(&names(2)), "n/000, n/001");
        let many = listed(&names(MOST + 3));
        assert!(
            many.ends_with(" and 3 more") && many.matches("n/").count() == MOST,
            "{many}"
        );
    }
}
