//! What tells where this runs.

use std::path::Path;

use crate::cli::doctor::place::{FILES, Traces, VARIABLES};
use crate::sys::file;

/// More than any such file has.
const LARGEST: u64 = 64 * 1024;

/// Looks for it.
pub(super) fn look(has_engine: bool) -> Traces {
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let variable = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
    Traces {
        os_release: of_the_image("/etc/os-release").unwrap_or_default(),
        version: text("/proc/version"),
        mounts: text("/proc/self/mountinfo"),
        uid_map: text("/proc/self/uid_map"),
        containerenv: of_the_image("/run/.containerenv"),
        environment: VARIABLES.iter().filter_map(variable).collect(),
        files: FILES
            .into_iter()
            .filter(|file| Path::new(file).exists())
            .collect(),
        has_engine,
    }
}

/// A file that anybody could have made in a container.
fn of_the_image(path: &str) -> Option<String> {
    let path = Path::new(path).canonicalize().ok()?;
    let content = file::read_regular(&path, LARGEST).ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}
