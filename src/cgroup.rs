//! The control group of a container's filter. It is beside the container's group, so that whoever
//! pays for the container pays for its filter too, and never inside it, where `top` would list the
//! filter, `pause` would freeze it and the container's lack of memory could kill it.
//!
//! The filter enters its group before it opens a socket, because the kernel charges a socket's
//! memory to the group of its creator. A group can't be removed by a process inside it: `delete`
//! removes it, or a later sweep (`leftover`).

mod dbus;
mod group;
pub mod leftover;
mod limits;
mod mounts;
mod place;
mod systemd;
mod usage;

use std::path::Path;

use anyhow::{Context, bail};

use crate::container::state::ProcessId;
use crate::sys::mountinfo;
use group::{ControlGroup, GroupError};
pub use leftover::{Leftover, sweep};
use limits::Controller;
use place::{ContainerGroup, GroupPlace, PREFIX};
pub use usage::Groups;

/// Whose filter enters a group.
#[derive(Debug)]
pub struct Entrance<'a> {
    /// The container's state directory, whose name is the group's.
    pub state: &'a Path,
    /// The container's id, as the engine gave it.
    pub id: &'a str,
    /// What the engine asked for (`linux.cgroupsPath`), as it stands there.
    pub cgroups_path: Option<&'a str>,
    /// The container's first process, which the runtime has put into the container's groups by now.
    pub init: ProcessId,
    /// Bytes that the filter may use, those of its sockets included.
    pub memory: u64,
}

/// Moves this process into a group of its own. Returns what isn't bounded because the host has no
/// means for it.
///
/// # Errors
/// The host has control groups and this one can't be made: the filter must not run without.
pub fn enter(entrance: &Entrance<'_>) -> anyhow::Result<Option<String>> {
    let own = ProcessId::of(std::process::id().cast_signed())?;
    let place = find(entrance).context("find the place of the filter's control group")?;
    let name = name(entrance.state)?;
    let in_slice = place.slice.is_some();
    // systemd may still know the scope of an earlier start of this container.
    let name = if in_slice {
        format!("{name}-{}.scope", own.pid)
    } else {
        name
    };
    let groups: Vec<ControlGroup> = place
        .sites
        .iter()
        .map(|site| ControlGroup::at(site, &name))
        .collect();

    // systemd takes its scopes away itself, and takes one that somebody else removed for a running
    // one ever after.
    let paths = groups
        .iter()
        .filter(|_| !in_slice)
        .map(|group| group.path.clone())
        .collect();
    let leftover = Leftover {
        init: entrance.init,
        filter: own,
        groups: paths,
    };
    leftover
        .write(entrance.state)
        .context("remember the filter's control group")?;
    match settle(&place, &name, &groups, entrance.memory) {
        Ok(bounded) => Ok(unbounded(&bounded)),
        Err(GroupError::NotOurs(_)) => {
            leftover.remove(entrance.state);
            Ok(unbounded(&[]))
        }
        Err(error) => Err(error).context("make the filter's control group"),
    }
}

/// What is said of somebody's end, with the kills of its group, where there were some.
#[must_use]
pub fn with_oom_kills(said: String, kills: Option<u64>) -> String {
    match kills {
        Some(0) | None => said,
        Some(1) => format!("{said} (1 OOM kill in its group)"),
        Some(kills) => format!("{said} ({kills} OOM kills in its group)"),
    }
}

/// Makes the groups, has the limits in force, and only then goes in. Says which controllers hold us
/// now.
fn settle(
    place: &GroupPlace,
    name: &str,
    groups: &[ControlGroup],
    memory: u64,
) -> Result<Vec<Controller>, GroupError> {
    match &place.slice {
        Some(slice) => systemd::enter_scope(name, slice, memory).map_err(GroupError::Systemd)?,
        None => groups.iter().try_for_each(ControlGroup::make)?,
    }
    let mut bounded = Vec::new();
    for group in groups {
        let present = group.controllers()?;
        group.limit(&present, memory)?;
        if place.slice.is_none() {
            group.join()?;
        }
        bounded.extend(present);
    }
    Ok(bounded)
}

fn find(entrance: &Entrance<'_>) -> anyhow::Result<GroupPlace> {
    let membership = std::fs::read_to_string(format!("/proc/{}/cgroup", entrance.init.pid))?;
    let hierarchies = mounts::hierarchies(mountinfo::of("self")?);
    if !entrance.init.alive() {
        bail!("the container's init is gone");
    }
    let container = ContainerGroup {
        id: entrance.id,
        cgroups_path: entrance.cgroups_path,
        systemd: systemd::is_running(),
    };
    Ok(place::beside(&membership, &hierarchies, &container)?)
}

/// The name of a container's groups, by its state directory's: unique for a runtime's root and an
/// id.
fn name(state: &Path) -> anyhow::Result<String> {
    let name = state
        .file_name()
        .and_then(|name| name.to_str())
        .context("a state directory without a name")?;
    // The one letter of an id that the name of a systemd unit can't have (systemd.unit(5)).
    Ok(format!("{PREFIX}{}", name.replace('+', "_")))
}

/// What is to be said where not everything is bounded.
fn unbounded(bounded: &[Controller]) -> Option<String> {
    let missing: Vec<_> = Controller::ALL
        .iter()
        .filter(|one| !bounded.contains(one))
        .map(|one| one.name())
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the filter's use of {} is not bounded: this host has no writable control group for it",
            missing.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_name_is_one_for_systemd_too() {
        let name = name(Path::new("/run/boundary/a+b.c_d-0123456789abcdef")).unwrap();
        assert_eq!(name, "boundary-filter-a_b.c_d-0123456789abcdef");
    }

    #[test]
    fn what_is_not_bounded_is_named() {
        assert_eq!(unbounded(&Controller::ALL), None);
        assert!(
            unbounded(&[Controller::Cpu])
                .unwrap()
                .contains("memory, pids")
        );
    }
}
