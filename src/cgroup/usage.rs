//! How much memory a filter uses, according to the control group that it and its keeper are in.

use std::path::{Path, PathBuf};

use super::group;
use super::limits::Controller;
use super::mounts::{Hierarchy, hierarchies};
use super::place::{PREFIX, entry};
use crate::sys::mountinfo;

/// This host's control groups.
#[derive(Debug, Default)]
pub struct Groups(Vec<Hierarchy>);

impl Groups {
    /// Looks where they are; none are found where that can't be told.
    #[must_use]
    pub fn find() -> Self {
        Self(hierarchies(mountinfo::of("self").unwrap_or_default()))
    }

    /// Bytes that a keeper's group takes, sockets included. None: it is in no group of its own.
    #[must_use]
    pub fn memory(&self, keeper: i32) -> Option<u64> {
        let counts = files(&membership(keeper)?, &self.0)
            .into_iter()
            .map(|file| {
                let text = std::fs::read_to_string(file).ok()?;
                text.trim().parse::<u64>().ok()
            });
        counts.reduce(|one, other| Some(one?.saturating_add(other?)))?
    }

    /// How many processes of a keeper's group the kernel has killed for want of memory. None: it is
    /// in no group of its own.
    #[must_use]
    pub fn oom_kills(&self, keeper: i32) -> Option<u64> {
        group::oom_kills(&own(&membership(keeper)?, &self.0)?.0)
    }
}

fn membership(process: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/cgroup")).ok()
}

/// The files that say how much, of which the first version has one for sockets alone.
fn files(membership: &str, hierarchies: &[Hierarchy]) -> Vec<PathBuf> {
    let Some((directory, second)) = own(membership, hierarchies) else {
        return Vec::new();
    };
    let names: &[&str] = if second {
        &["memory.current"]
    } else {
        &["memory.usage_in_bytes", "memory.kmem.tcp.usage_in_bytes"]
    };
    names.iter().map(|name| directory.join(name)).collect()
}

/// The directory of a filter's group for memory, and whether it is of the second version.
fn own(membership: &str, hierarchies: &[Hierarchy]) -> Option<(PathBuf, bool)> {
    membership
        .lines()
        .filter_map(entry)
        .find_map(|(controllers, group)| {
            let second = controllers.is_empty();
            let counts = second
                || controllers
                    .split(',')
                    .any(|name| name == Controller::Memory.name());
            let path = Path::new(group);
            let is_filters = path.file_name()?.to_str()?.starts_with(PREFIX);
            let fits = |one: &&Hierarchy| {
                if second {
                    one.first.is_none()
                } else {
                    one.has(Controller::Memory)
                }
            };
            let mut mounts = hierarchies.iter().filter(fits).map(|one| &one.mount);
            let directory = mounts
                .find_map(|mount| mount.locate(path))
                .filter(|_| counts && is_filters)?;
            Some((directory, second))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(membership: &str, mounts: &[u8]) -> Vec<String> {
        let files = files(membership, &hierarchies(mountinfo::parse(mounts)));
        files
            .into_iter()
            .map(|file| file.display().to_string())
            .collect()
    }

    #[test]
    fn both_versions_say_what_a_filters_group_takes() {
        let second = b"30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(
            found("0::/x/boundary-filter-c\n", second),
            ["/sys/fs/cgroup/x/boundary-filter-c/memory.current"]
        );
        let first = b"31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let membership =
            "4:cpu:/y\n3:memory:/boundary-filter-c-7.scope\n0::/boundary-filter-c-7.scope\n";
        let directory = "/sys/fs/cgroup/memory/boundary-filter-c-7.scope";
        let both = ["memory.usage_in_bytes", "memory.kmem.tcp.usage_in_bytes"];
        assert_eq!(
            found(membership, first),
            both.map(|name| format!("{directory}/{name}"))
        );
    }

    #[test]
    fn what_another_group_takes_is_not_the_filters() {
        let second = b"30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        for membership in [
            "0::/docker/c\n",
            "0::/boundary-filter-c/inner\n",
            "0::/\n",
            "",
            "nonsense",
        ] {
            assert_eq!(
                found(membership, second),
                Vec::<String>::new(),
                "{membership}"
            );
        }
    }
}
