//! What tells where this runs.

use std::path::Path;

use crate::cli::doctor::place::{FILES, Traces, VARIABLES};

/// Looks for it.
pub(super) fn look(has_engine: bool) -> Traces {
    let read = |file: &str| std::fs::read_to_string(file);
    let text = |file: &str| read(file).unwrap_or_default();
    let variable = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
    Traces {
        os_release: text("/etc/os-release"),
        version: text("/proc/version"),
        mounts: text("/proc/self/mountinfo"),
        uid_map: text("/proc/self/uid_map"),
        containerenv: read("/run/.containerenv").ok(),
        environment: VARIABLES.iter().filter_map(variable).collect(),
        files: FILES
            .into_iter()
            .filter(|file| Path::new(file).exists())
            .collect(),
        has_engine,
    }
}
