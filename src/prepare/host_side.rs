//! What the host has where a spec names something of the host's: sources of bind mounts, devices,
//! and whether the kernel lets its own file systems be mounted anew.

use std::path::Path;

use serde_json::Value;

use super::devices;
use crate::spec::user_namespace::binds::{BindSource, is_bind};
use crate::spec::{HostSide, Spec};
use crate::sys::mountinfo::{self, Mount};

/// Looks it up. `mounts`: this process's own.
pub(crate) fn look(spec: &Spec, bundle: &Path, mounts: &[Mount]) -> HostSide {
    let listed = spec.get("mounts").and_then(Value::as_array);
    HostSide {
        binds: listed
            .into_iter()
            .flatten()
            .map(|mount| source(mount, bundle, mounts))
            .collect(),
        absent_device: devices::absent_on_host(spec),
        other_device: devices::other_on_host(spec),
        covered: ["proc", "sysfs"]
            .into_iter()
            .find(|kind| is_covered(kind, mounts)),
    }
}

/// Where a bind mount comes from; none where the host has nothing there.
fn source(mount: &Value, bundle: &Path, mounts: &[Mount]) -> Option<BindSource> {
    if !is_bind(mount) {
        return None;
    }
    // Relative to the bundle (config.md#mounts); joining an absolute one gives just that.
    let path = bundle.join(mount.get("source")?.as_str()?);
    let path = path.canonicalize().ok()?;
    let kind = path.metadata().ok()?;
    let id = mountinfo::id_at(&path).ok()?;
    let on = mounts.iter().find(|mount| mount.id == id)?;
    let is_below = |mount: &Mount| mount.point != path && mount.point.starts_with(&path);
    Some(BindSource {
        options: on.flags.split(',').map(str::to_owned).collect(),
        executable: kind.is_dir() || kind.is_file(),
        mounts_below: kind.is_dir() && mounts.iter().any(is_below),
    })
}

/// Whether something covers parts of a file system of the kernel's wherever it is mounted, so that
/// a user namespace may not mount it anew (`mount_too_revealing` in the kernel). A container in
/// which an engine runs is often such a host: lxcfs covers parts of its /proc.
fn is_covered(kind: &str, mounts: &[Mount]) -> bool {
    let covers = |whole: &Mount, mount: &Mount| {
        mount.parent == whole.id
            && mount
                .point
                .strip_prefix(&whole.point)
                .is_ok_and(|within| !is_for_mounts(kind, within))
    };
    !mounts
        .iter()
        .filter(|mount| mount.kind == kind && mount.root == Path::new("/"))
        .any(|whole| !mounts.iter().any(|mount| covers(whole, mount)))
}

/// Whether a folder is there to be mounted on: the kernel keeps it empty (`sysfs_create_mount_point`
/// and `proc_create_mount_point`).
fn is_for_mounts(kind: &str, within: &Path) -> bool {
    let folders: &[&str] = match kind {
        "proc" => &["fs/nfsd", "sys/fs/binfmt_misc", "xen"],
        _ => &[
            "firmware/efi/efivars",
            "fs",
            "kernel/config",
            "kernel/debug",
            "kernel/security",
            "kernel/tracing",
        ],
    };
    folders.iter().any(|folder| within.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(lines: &[&str]) -> Vec<Mount> {
        mountinfo::parse(lines.join("\n").as_bytes())
    }

    const HOST: [&str; 6] = [
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
        "2 1 0:5 / /proc rw,nosuid - proc proc rw",
        "3 2 0:6 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw",
        "4 1 0:7 / /sys rw - sysfs sysfs rw",
        "5 4 0:8 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "6 4 0:9 / /sys/kernel/security rw - securityfs securityfs rw",
    ];

    #[test]
    fn a_host_covers_nothing_and_a_container_that_is_a_host_does() {
        assert!(!is_covered("proc", &table(&HOST)) && !is_covered("sysfs", &table(&HOST)));
        let lxc = "7 2 0:50 /proc/cpuinfo /proc/cpuinfo rw - fuse.lxcfs lxcfs rw";
        let mut covered = HOST.to_vec();
        covered.push(lxc);
        assert!(is_covered("proc", &table(&covered)) && !is_covered("sysfs", &table(&covered)));
        // Another one that is whole will do.
        covered.push("8 1 0:5 / /dev/.lxc/proc rw - proc proc rw");
        assert!(!is_covered("proc", &table(&covered)));
        // Part of one isn't one.
        let bound = "2 1 0:5 /sys /proc/sys ro - proc proc rw";
        assert!(is_covered("proc", &table(&[HOST[0], bound])));
        assert!(!is_covered("sysfs", &mountinfo::of("self").unwrap()));
    }

    /// What this machine has itself, so that lines and paths are real ones.
    #[test]
    fn sources_are_found_on_their_mounts() {
        let mounts = mountinfo::of("self").unwrap();
        let look = |source: &str, options: &[&str]| {
            let mount = json!({"source": source, "options": options});
            super::source(&mount, Path::new("/"), &mounts)
        };
        let proc = look("/proc/self/maps", &["rbind"]).unwrap();
        assert!(proc.executable && !proc.mounts_below, "{proc:?}");
        let whole = look("../..", &["bind"]).unwrap();
        assert!(whole.mounts_below && whole.executable, "{whole:?}");
        let device = look("/dev/null", &["rbind"]).unwrap();
        assert!(!device.executable, "{device:?}");
        assert_eq!(look("/no/such", &["rbind"]), None);
        assert_eq!(look("/proc", &["rw"]), None);
    }
}
