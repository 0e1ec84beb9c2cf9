//! Remembers a filter's control groups so that they can be removed once it has ended: one file per
//! container in `/run/boundary-groups`. It outlives the state directory, which the keeper removes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::group;
use crate::container::state::ProcessId;
use crate::sys::file;

/// Where they are. Root's, mode 0700.
pub const DIRECTORY: &str = "/run/boundary-groups";
/// The most that is read of one.
const LIMIT: u64 = 64 << 10;
/// Files looked at in one sweep, as of state directories.
const LISTING_LIMIT: usize = 4096;

/// The groups of one filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The container's first process.
    pub init: ProcessId,
    /// Who is in them.
    pub filter: ProcessId,
    /// Their directories; none where systemd removes them.
    pub groups: Vec<PathBuf>,
}

impl Leftover {
    /// That of the container with this state directory.
    #[must_use]
    pub fn of(state: &Path) -> Option<Self> {
        read(&file_of(state)?)
    }

    /// Notes it, before any of the groups is made.
    ///
    /// # Errors
    /// What making the directory and the file gives.
    pub(super) fn write(&self, state: &Path) -> io::Result<()> {
        let path = file_of(state).ok_or(io::ErrorKind::InvalidInput)?;
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(DIRECTORY)?;
        file::replace(&path, &serde_json::to_vec(self)?, 0o600)
    }

    /// Whether both the container and its filter go on.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.init.alive() && self.filter.alive()
    }

    /// How many of those in them the kernel has killed for want of memory; none where it can't be
    /// told.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        self.groups.iter().find_map(|group| group::oom_kills(group))
    }

    /// Removes the groups, then forgets them. What still holds somebody stays for the next sweep.
    pub fn remove(&self, state: &Path) {
        if let Some(path) = file_of(state) {
            self.clear(&path);
        }
    }

    fn clear(&self, path: &Path) {
        // What can't be removed is found by the next sweep.
        let mut gone = true;
        for group in &self.groups {
            if let Err(error) = group::remove_with_members(group) {
                log::warn!("can't remove control group {}: {error}", group.display());
                gone = false;
            }
        }
        // By now there may be that of a new container of the same id.
        if gone
            && read(path).as_ref() == Some(self)
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("can't remove {}: {error}", path.display());
        }
    }
}

/// Removes the groups of all filters that have ended, but for those of containers whose state
/// directory's name is among the `living`.
pub fn sweep(living: &HashSet<OsString>) {
    let entries = std::fs::read_dir(DIRECTORY)
        .into_iter()
        .flatten()
        .flatten()
        .take(LISTING_LIMIT)
        .filter(|entry| !living.contains(&entry.file_name()));
    for path in entries.map(|entry| entry.path()) {
        if let Some(leftover) = read(&path).filter(|leftover| !leftover.filter.alive()) {
            leftover.clear(&path);
        }
    }
}

fn file_of(state: &Path) -> Option<PathBuf> {
    Some(Path::new(DIRECTORY).join(state.file_name()?))
}

fn read(path: &Path) -> Option<Leftover> {
    serde_json::from_slice(&file::read_regular(path, LIMIT).ok()?).ok()
}
