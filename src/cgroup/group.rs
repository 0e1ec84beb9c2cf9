//! One control group of a filter in one hierarchy: creating, limiting, entering and removing it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits::{self, Controller, Limit};
use super::place::{PREFIX, Site};
use crate::sys::process::Process;

/// The most that is read of a group's file.
const LIMIT: u64 = 4096;

/// A group, which may be there or not yet.
#[derive(Debug)]
pub(super) struct ControlGroup {
    /// Its directory.
    pub path: PathBuf,
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    /// Its controllers, for a hierarchy of the first version; of the second: those to be had.
    wanted: Vec<Controller>,
    second: bool,
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// The host's control groups are somebody else's: this process isn't the host's root, or they
    /// are read-only.
    #[error("no permission for {}", .0.display())]
    NotOurs(PathBuf),
    /// Something went wrong with a file or directory.
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// systemd, which manages the place, didn't.
    #[error("ask systemd for a scope")]
    Systemd(#[source] io::Error),
}

/// How many processes of a group were killed for want of memory. Both versions say so in a line
/// `oom_kill N`.
pub(super) fn oom_kills(directory: &Path) -> Option<u64> {
    let files = ["memory.events", "memory.oom_control"];
    let text = files
        .iter()
        .find_map(|file| read(&directory.join(file)).ok())?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

impl ControlGroup {
    /// The group of a name at a site.
    pub(super) fn at(site: &Site, name: &str) -> Self {
        let (mount, wanted) = (site.mount.clone(), site.controllers.clone());
        Self {
            path: site.parent.join(name),
            mount,
            wanted,
            second: site.second,
        }
    }

    /// Makes it, new and empty. Only here it turns out whether this program has any right over the
    /// host's groups: what is denied later is an error like any other.
    pub(super) fn make(&self) -> Result<(), GroupError> {
        self.try_to_make().map_err(|error| match error {
            GroupError::Io(path, error) if is_denied(&error) => GroupError::NotOurs(path),
            error => error,
        })
    }

    fn try_to_make(&self) -> Result<(), GroupError> {
        self.have_controllers()?;
        // What is there by that name and holds nobody is a dead filter's.
        let made = match std::fs::create_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(&self.path).and_then(|()| std::fs::create_dir(&self.path))
            }
            made => made,
        };
        made.map_err(|error| GroupError::Io(self.path.clone(), error))
    }

    /// In the second version a group has the controllers that all groups above it hand on.
    fn have_controllers(&self) -> Result<(), GroupError> {
        if !self.second {
            return Ok(());
        }
        let above = self
            .path
            .ancestors()
            .skip(1)
            .take_while(|group| group.starts_with(&self.mount));
        let above: Vec<&Path> = above.collect();
        for group in above.into_iter().rev() {
            let (there, handed) = (
                read(&group.join("cgroup.controllers"))?,
                "cgroup.subtree_control",
            );
            let already = read(&group.join(handed))?;
            for name in self.wanted.iter().map(|controller| controller.name()) {
                if lists(&there, name) && !lists(&already, name) {
                    write(&group.join(handed), &format!("+{name}"))?;
                }
            }
        }
        Ok(())
    }

    /// The controllers that hold it, of those that were wanted.
    pub(super) fn controllers(&self) -> Result<Vec<Controller>, GroupError> {
        if !self.second {
            return Ok(self.wanted.clone());
        }
        let there = read(&self.path.join("cgroup.controllers"))?;
        Ok(self
            .wanted
            .iter()
            .copied()
            .filter(|controller| lists(&there, controller.name()))
            .collect())
    }

    /// Sets the limits of its controllers.
    pub(super) fn limit(&self, controllers: &[Controller], memory: u64) -> Result<(), GroupError> {
        let of = if self.second {
            limits::second
        } else {
            limits::first
        };
        for Limit {
            file,
            value,
            optional,
        } in controllers
            .iter()
            .flat_map(|controller| of(*controller, memory))
        {
            let path = self.path.join(file);
            if !optional || path.exists() {
                write(&path, &value.to_string())?;
            }
        }
        Ok(())
    }

    /// Moves this process in.
    pub(super) fn join(&self) -> Result<(), GroupError> {
        write(&self.path.join("cgroup.procs"), "0")
    }
}

/// How long the last of a group may take to end: its keeper has ended, and the kernel kills what
/// that kept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the group of a filter that is over, and ends whoever of it is still in there.
pub(super) fn remove_with_members(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            end_all(path);
            remove(path)
        }
        removed => removed,
    }
}

/// Removes a group of ours that holds nobody; one that isn't there is fine.
fn remove(path: &Path) -> io::Result<()> {
    let ours = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(PREFIX));
    if !ours {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn end_all(group: &Path) {
    let members = || -> Vec<i32> {
        let members = read(&group.join("cgroup.procs")).unwrap_or_default();
        members.lines().filter_map(|pid| pid.parse().ok()).collect()
    };
    for pid in members() {
        // The handle first: who is a member after it was opened is whom it is a handle on.
        if let Some(process) = Process::open(pid).ok().filter(|_| members().contains(&pid)) {
            // Where it can't be killed, the group stays.
            let _ = process.end_within(PATIENCE);
        }
    }
}

fn lists(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|listed| listed == name)
}

fn read(path: &Path) -> Result<String, GroupError> {
    let bytes = crate::sys::file::read_regular(path, LIMIT)
        .map_err(|error| GroupError::Io(path.to_owned(), error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The kernel takes a value as one write.
fn write(path: &Path, value: &str) -> Result<(), GroupError> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| GroupError::Io(path.to_owned(), error))
}

fn is_denied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let cause = || io::Error::other("the disk is on fire");
        for error in [
            GroupError::Io(PathBuf::from("/sys/fs/cgroup/x"), cause()),
            GroupError::Systemd(cause()),
        ] {
            let told = format!("{:#}", anyhow::Error::from(error));
            assert_eq!(told.matches("the disk is on fire").count(), 1, "{told}");
        }
    }
}
