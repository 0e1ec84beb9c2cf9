//! Where hierarchies of control groups are mounted, of both versions, from the text of `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use super::limits::Controller;

/// A hierarchy of control groups, where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The group that is seen there.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The controllers of a hierarchy of the first version; none for the second, whose groups say so each.
    pub first: Option<Vec<Controller>>,
}

impl Mount {
    /// Where a group is found, by its path in the hierarchy. None: it isn't below what is mounted here.
    pub(super) fn locate(&self, group: &Path) -> Option<PathBuf> {
        Some(self.point.join(group.strip_prefix(&self.root).ok()?))
    }

    /// Whether a controller of the first version is in it.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.first.as_ref().is_some_and(|first| first.contains(&controller))
    }
}

/// The mounts in a mountinfo (proc_pid_mountinfo(5)); what is anything else is passed over.
pub(super) fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?.into(), place.next()?.into());
    let mut kind = kind.split(' ');
    let first = match kind.next()? {
        "cgroup2" => None,
        "cgroup" => Some(kind.nth(1)?.split(',').filter_map(Controller::named).collect()),
        _ => return None,
    };
    Some(Mount { root, point, first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_among_all_that_is_mounted() {
        let found = parse(
            "24 1 8:1 / / rw - ext4 /dev/root rw\n\
             30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             31 24 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             32 24 0:28 /docker/x /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
             broken line - cgroup",
        );
        let points: Vec<_> = found.iter().map(|mount| (mount.point.to_str().unwrap(), mount.first.clone())).collect();
        assert_eq!(
            points,
            [
                ("/sys/fs/cgroup/cpu,cpuacct", Some(vec![Controller::Cpu])),
                ("/sys/fs/cgroup/systemd", Some(vec![])),
                ("/sys/fs/cgroup/unified", None),
            ]
        );
        assert!(found[0].has(Controller::Cpu) && !found[0].has(Controller::Memory) && !found[2].has(Controller::Cpu));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_nowhere() {
        let mount = Mount { root: "/docker/x".into(), point: "/cg".into(), first: None };
        assert_eq!(mount.locate(Path::new("/docker/x/y")), Some("/cg/y".into()));
        assert_eq!(mount.locate(Path::new("/docker/x")), Some("/cg/".into()));
        assert_eq!(mount.locate(Path::new("/docker/xy")), None);
    }
}
