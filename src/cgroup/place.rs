//! Where the filter's group belongs: beside the container's, as the kernel reports it for the
//! container's first process. Pure.
//!
//! `cgroupsPath`, which the engine asked for, can hold any text, and runtimes read it differently;
//! what they made of it can be seen in the kernel. The text is only used to tell where the
//! container's own group ends if its process is in a group further down (crun can be told to make
//! one). A false value can only select one of the groups above the container's.

use std::path::{Component, Path, PathBuf};

use super::limits::Controller;
use super::mounts::Hierarchy;
use crate::escape::{MAX_PATH_SHOWN, clean};

/// What every group's name begins with. No container may be in a group of such a name, or below
/// one.
pub(super) const PREFIX: &str = "boundary-filter-";

/// What is known of the container.
#[derive(Debug)]
pub(super) struct ContainerGroup<'a> {
    /// Its id.
    pub id: &'a str,
    /// `linux.cgroupsPath`, as it stands there.
    pub cgroups_path: Option<&'a str>,
    /// Whether the host runs systemd, which manages slices and what is directly in them.
    pub systemd: bool,
}

/// Where the filter's groups belong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupPlace {
    /// One for each hierarchy with a controller that is needed; empty where none is mounted.
    pub sites: Vec<Site>,
    /// systemd's slice, if all of them are that: then it is asked for a scope in there.
    pub slice: Option<String>,
}

/// Where one of them belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The directory that it is to be in.
    pub parent: PathBuf,
    /// What is needed of the hierarchy's controllers.
    pub controllers: Vec<Controller>,
    /// Whether the hierarchy is of the second version.
    pub second: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaceError {
    /// The process is where this one can't look (cgroup_namespaces(7)), or its group is removed.
    #[error("the container is in a control group that can't be seen from here: {0}")]
    Unseen(String),
    /// The container was put among a filter's processes, whose limits it would use up.
    #[error("the container is in the control group of a filter: {0}")]
    InAFilters(String),
}

/// Finds the place, by the container's `/proc/PID/cgroup` and the hierarchies of this host.
pub(super) fn beside(
    membership: &str,
    hierarchies: &[Hierarchy],
    container: &ContainerGroup<'_>,
) -> Result<GroupPlace, PlaceError> {
    let mut needed = Controller::ALL.to_vec();
    let (mut sites, mut slices) = (Vec::new(), Vec::new());
    // Those of the first version stand before the second's line, which has what is left.
    for (controllers, group) in membership.lines().filter_map(entry) {
        let second = controllers.is_empty();
        let of_it =
            |one: &Controller| second || controllers.split(',').any(|name| name == one.name());
        let here: Vec<Controller> = needed.extract_if(.., |one| of_it(one)).collect();
        let Some(first) = here.first() else { continue };
        let names = names(group)?;
        let (above, slice) = above(&names, container);
        let parent = Path::new("/").join(above.iter().collect::<PathBuf>());
        let fits = |one: &&Hierarchy| {
            if second {
                one.first.is_none()
            } else {
                one.has(*first)
            }
        };
        let found = hierarchies
            .iter()
            .filter(fits)
            .find_map(|one| Some((&one.mount, one.mount.locate(&parent)?)));
        if let Some((mount, parent)) = found {
            sites.push(Site {
                mount: mount.point.clone(),
                parent,
                controllers: here,
                second,
            });
            slices.push(slice);
        }
    }
    slices.dedup();
    let slice = if slices.len() == 1 {
        slices.remove(0)
    } else {
        None
    };
    Ok(GroupPlace { sites, slice })
}

/// A line of `/proc/PID/cgroup` (cgroups(7)): the hierarchy's controllers, none for the second
/// version, and the group.
pub(super) fn entry(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// The names from the hierarchy's root to a group.
fn names(group: &str) -> Result<Vec<&str>, PlaceError> {
    let unseen = || PlaceError::Unseen(clean(group, MAX_PATH_SHOWN));
    let mut names = Vec::new();
    for part in Path::new(group.strip_prefix('/').ok_or_else(unseen)?).components() {
        match part {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(unseen)?),
            _ => return Err(unseen()),
        }
    }
    if group.ends_with(" (deleted)") {
        return Err(unseen());
    }
    if names.iter().any(|name| name.starts_with(PREFIX)) {
        return Err(PlaceError::InAFilters(clean(group, MAX_PATH_SHOWN)));
    }
    Ok(names)
}

/// What is above the container's own group, and the slice that this is. Nothing is above the
/// hierarchy's root.
fn above<'a>(
    names: &'a [&'a str],
    container: &ContainerGroup<'_>,
) -> (&'a [&'a str], Option<String>) {
    let slices = if container.systemd {
        leading_slices(names)
    } else {
        0
    };
    let in_scope = container.systemd
        && names
            .get(slices)
            .is_some_and(|name| name.ends_with(".scope"));
    let in_slice = slices > 0 && names.len() <= slices + 1;
    let end = if in_scope || in_slice {
        names.len().min(slices + 1)
    } else {
        own_end(names, container)
    };
    let above = names.get(..end.saturating_sub(1)).unwrap_or_default();
    let slice =
        (in_scope || in_slice).then(|| above.last().map_or("-.slice", |name| name).to_owned());
    (above, slice)
}

/// How many of the first names are slices where systemd has them: `a-b.slice` is in `a.slice`
/// (systemd.slice(5)).
fn leading_slices(names: &[&str]) -> usize {
    let stem = |at: usize| names.get(at).and_then(|name| name.strip_suffix(".slice"));
    let in_its_place = |at: &usize| {
        let own = match at.checked_sub(1).and_then(stem) {
            None => stem(*at),
            Some(outer) => stem(*at).and_then(|stem| stem.strip_prefix(outer)?.strip_prefix('-')),
        };
        own.is_some_and(|own| !own.is_empty() && !own.contains('-'))
    };
    (0..names.len()).take_while(in_its_place).count()
}

/// How many of the names lead to the container's own group: to the last place where what the engine
/// asked for stands.
fn own_end(names: &[&str], container: &ContainerGroup<'_>) -> usize {
    let asked = container
        .cgroups_path
        .filter(|path| !path.is_empty())
        .map_or_else(|| vec![container.id], cleaned);
    let last = names
        .windows(asked.len().max(1))
        .rposition(|window| window == asked);
    last.map_or(names.len(), |start| start + asked.len())
}

/// The names of a path, as runtimes clean it: nothing leads above the root.
fn cleaned(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

#[cfg(test)]
mod tests;
