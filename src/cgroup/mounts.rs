//! Finds where control group hierarchies of either version are mounted.

use super::limits::Controller;
use crate::sys::mountinfo::Mount;

/// A hierarchy of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted, and from which group on it is seen there.
    pub mount: Mount,
    /// The controllers of a hierarchy of the first version; none for the second, whose groups say
    /// so each.
    pub first: Option<Vec<Controller>>,
}

impl Hierarchy {
    /// Whether a controller of the first version is in it.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.first
            .as_ref()
            .is_some_and(|first| first.contains(&controller))
    }
}

/// The hierarchies among all that is mounted.
pub(super) fn hierarchies(mounts: Vec<Mount>) -> Vec<Hierarchy> {
    let hierarchy = |mount: Mount| {
        let first = match mount.kind.as_str() {
            "cgroup2" => None,
            "cgroup" => Some(
                mount
                    .options
                    .split(',')
                    .filter_map(Controller::named)
                    .collect(),
            ),
            _ => return None,
        };
        Some(Hierarchy { mount, first })
    };
    mounts.into_iter().filter_map(hierarchy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mountinfo;

    #[test]
    fn both_versions_are_found_among_all_that_is_mounted() {
        let found = hierarchies(mountinfo::parse(
            b"24 1 8:1 / / rw - ext4 /dev/root rw\n\
             30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             31 24 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             32 24 0:28 /docker/x /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
             broken line - cgroup",
        ));
        let points: Vec<_> = found
            .iter()
            .map(|found| (found.mount.point.to_str().unwrap(), found.first.clone()))
            .collect();
        assert_eq!(
            points,
            [
                ("/sys/fs/cgroup/cpu,cpuacct", Some(vec![Controller::Cpu])),
                ("/sys/fs/cgroup/systemd", Some(vec![])),
                ("/sys/fs/cgroup/unified", None),
            ]
        );
        assert!(
            found[0].has(Controller::Cpu)
                && !found[0].has(Controller::Memory)
                && !found[2].has(Controller::Cpu)
        );
    }
}
