//! Engines that aren't root's: refused with a sentence, before anything fails for reasons that
//! nobody would connect with it.

use std::path::Path;

use anyhow::ensure;
use nix::unistd::{AccessFlags, Uid, access};

use crate::container::state;
use crate::settings::Settings;

/// Refuses a container of a rootless engine: whoever calls isn't root, or is in a user namespace
/// alone, and can't write where the gateway's state and record go. Root of a system container,
/// which has those directories for itself, is no such caller.
pub(super) fn refuse() -> anyhow::Result<()> {
    // Where they go by default: settings that a user namespace shows as nobody's can't be read.
    let records = Settings::default().audit_directory;
    let can_write = || {
        [Path::new(state::DIRECTORY), &records]
            .into_iter()
            .all(can_be_written)
    };
    ensure!(
        is_hosts_root() || can_write(),
        "rootless engines are not supported: a gateway needs the host's root, which this isn't; run the container with root's engine \
         (sudo podman run, Docker's own service)"
    );
    Ok(())
}

/// Whether this process is root where all IDs are the host's.
fn is_hosts_root() -> bool {
    const ALL: [&str; 3] = ["0", "0", "4294967295"];
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    Uid::effective().is_root() && map.split_ascii_whitespace().eq(ALL)
}

/// Whether a directory, or the one in which it would be made, can be written.
fn can_be_written(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|path| path.exists());
    existing.is_some_and(|path| access(path, AccessFlags::W_OK).is_ok())
}
