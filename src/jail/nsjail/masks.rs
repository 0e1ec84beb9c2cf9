//! What the command doesn't see of the file system: Unix sockets, which no network namespace holds,
//! of those who would reach the network, or run a program, on its behalf; and, as root, settings of
//! the kernel, which need no capability but only its user.
//!
//! Owns the list. Invariant: where something on it is there and can't be masked, nothing is run, and
//! which socket it is, is said.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::unistd::geteuid;

use crate::sys::mountinfo::{self, Mount};
use crate::sys::mounts;

/// Resolvers, message buses, service managers, container engines: what is the same for every user.
/// Whole directories where nothing else is in them, since a daemon that is started anew makes its
/// socket anew.
const OF_THE_SYSTEM: [&str; 26] = [
    "/run/netns",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/systemd/resolve/io.systemd.Resolve.Monitor",
    "/run/systemd/resolve.hook",
    "/run/nscd",
    "/run/avahi-daemon",
    "/run/dbus",
    "/run/systemd/private",
    "/run/systemd/io.systemd.Manager",
    "/run/systemd/io.systemd.ManagedOOM",
    "/run/systemd/machine",
    "/run/systemd/userdb/io.systemd.Machine",
    "/run/docker",
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/buildkit",
    "/run/k3s",
    "/run/cri-dockerd.sock",
    "/run/libvirt",
    "/run/snapd.socket",
    "/run/snapd-snap.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/run/boundary",
];

/// The same below the caller's own directory in /run/user.
const OF_THE_USER: [&str; 7] = [
    "bus",
    "systemd",
    "docker.sock",
    "docker",
    "podman",
    "containerd-rootless",
    "buildkit",
];

/// Variables that name such a socket.
const NAMED_BY: [&str; 3] = ["DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "CONTAINER_HOST"];

/// Of `/proc`, what root changes the kernel by, whatever its capabilities; of `/sys`, all of it.
const OF_PROC: [&str; 5] = ["/sys", "/sysrq-trigger", "/irq", "/bus", "/fs"];

/// What is to be masked.
#[derive(Debug)]
pub(in crate::jail) struct Masks {
    hidden: Vec<PathBuf>,
    for_root: bool,
    /// The processes of the jail are in a pid namespace of their own, and see no others.
    alone: bool,
    /// There is a proc that can't be reached, to be masked, and which would let the command mount
    /// another one that isn't.
    unmasked: bool,
}

impl Masks {
    /// For this process's user, but for these sockets; and one more, which is this jail's own business.
    pub(super) fn for_caller(open: &[PathBuf], ours: Option<&Path>, alone: bool) -> Self {
        let user = geteuid();
        let own = Path::new("/run/user").join(user.to_string());
        let all = OF_THE_SYSTEM
            .into_iter()
            .map(PathBuf::from)
            .chain(OF_THE_USER.into_iter().map(|name| own.join(name)))
            .chain(
                NAMED_BY
                    .into_iter()
                    .filter_map(std::env::var_os)
                    .filter_map(|value| named(value.to_str()?)),
            )
            .chain(ours.map(Path::to_owned));
        let open: Vec<PathBuf> = open.iter().map(|path| real(path)).collect();
        Self {
            hidden: hidden(all.map(|path| real(&path)), &open),
            for_root: user.is_root(),
            alone,
            unmasked: false,
        }
    }

    /// Only what root is kept from; none for anybody else.
    pub(in crate::jail) fn of_settings() -> Option<Self> {
        geteuid().is_root().then_some(Self {
            hidden: Vec::new(),
            for_root: true,
            alone: false,
            unmasked: false,
        })
    }

    /// Whether a namespace in which the command could mount must not be made.
    pub(in crate::jail) fn must_last(&self) -> bool {
        self.unmasked
    }

    /// Puts them on, for this process and those that it will start.
    ///
    /// # Errors
    /// Which can't be put on.
    pub(in crate::jail) fn put_on(&mut self) -> anyhow::Result<()> {
        let mounts = mountinfo::of("self").context("read what is mounted")?;
        let hidden = self.hidden.iter().filter(|path| exists(path));
        let mut hidden: Vec<PathBuf> = hidden.cloned().collect();
        let needs_own = self.alone || !hidden.is_empty() || !self.settings(&mounts).is_empty();
        if !needs_own {
            return Ok(());
        }
        mounts::be_own().map_err(|error| {
            let settings = PathBuf::from("/proc/sys");
            let what = hidden.first().unwrap_or(&settings).display();
            anyhow!(
                "{what} can't be kept from the command, because no mount namespace can be made here ({error}): \
                 run it where that isn't, by --jail-type notify, or leave a socket open with --allow-socket"
            )
        })?;
        if self.alone {
            mounts::see_own_processes().context("mount /proc of the jail")?;
        }
        // Each has another number now.
        let mounts = mountinfo::of("self").context("read what is mounted")?;
        hidden = hidden
            .iter()
            .flat_map(|path| everywhere(path, &mounts))
            .collect();
        let read_only = self.settings(&mounts);
        for path in hidden {
            match mounts::hide(&path) {
                // Gone since it was seen.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.with_context(|| format!("can't hide {}", path.display()))?,
            }
        }
        for path in read_only {
            mounts::make_read_only(&path)
                .with_context(|| format!("can't make {} read-only", path.display()))?;
        }
        Ok(())
    }

    /// What is to be read-only and isn't: of every proc and sysfs that is mounted anywhere.
    fn settings(&mut self, mounts: &[Mount]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.unmasked = false;
        if !self.for_root {
            return found;
        }
        for mount in mounts {
            let within: &[&str] = match mount.kind.as_str() {
                "proc" => &OF_PROC,
                "sysfs" => &["/"],
                _ => continue,
            };
            if !mountinfo::id_at(&mount.point).is_ok_and(|id| id == mount.id) {
                self.unmasked = true;
                continue;
            }
            let located = within
                .iter()
                .filter_map(|path| mount.locate(Path::new(path)));
            found.extend(located.filter(|path| is_writable(path)));
        }
        found
    }
}

/// Every place where what is at this path is seen: a file system may be mounted more than once.
fn everywhere(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let id = mountinfo::id_at(path).ok();
    let mount = mounts.iter().find(|mount| Some(mount.id) == id);
    let within = mount.and_then(|mount| {
        let below = path.strip_prefix(&mount.point).ok()?;
        Some((mount, mount.root.join(below)))
    });
    let Some((mount, within)) = within else {
        return vec![path.to_owned()];
    };
    let same = mounts.iter().filter(|other| other.device == mount.device);
    let mut all: Vec<PathBuf> = same.filter_map(|other| other.locate(&within)).collect();
    all.retain(|path| exists(path));
    all.sort();
    all.dedup();
    all
}

/// Those to be hidden: once each, and none that is open or has something in it that is.
fn hidden(all: impl Iterator<Item = PathBuf>, open: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden = Vec::new();
    for path in all {
        let is_open = open.iter().any(|open| open.starts_with(&path));
        if !is_open && !hidden.contains(&path) {
            hidden.push(path);
        }
    }
    hidden
}

/// The path in `unix:path=/run/user/0/bus,guid=…` or `unix:///run/docker.sock`.
fn named(value: &str) -> Option<PathBuf> {
    let path = value
        .strip_prefix("unix:path=")
        .or_else(|| value.strip_prefix("unix://"))?;
    let path = path.split([',', ';']).next()?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// Where a path really leads: what is mounted on a link would be mounted there.
fn real(path: &Path) -> PathBuf {
    if !exists(path) {
        return path.to_owned();
    }
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Whether it is there, and not mounted read-only already, as engines do in containers.
fn is_writable(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|status| {
        !status
            .flags()
            .contains(nix::sys::statvfs::FsFlags::ST_RDONLY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_and_what_is_around_it_is_not_hidden() {
        let all = [
            "/run/docker.sock",
            "/run/dbus",
            "/run/podman",
            "/run/podman",
        ];
        let open = ["/run/dbus/system_bus_socket".into(), "/run/other".into()];
        let hidden = hidden(all.into_iter().map(PathBuf::from), &open);
        assert_eq!(
            hidden,
            [Path::new("/run/docker.sock"), Path::new("/run/podman")]
        );
    }

    #[test]
    fn sockets_are_named_in_two_ways() {
        let path = |value| named(value).map(|path| path.display().to_string());
        assert_eq!(
            path("unix:path=/run/user/0/bus,guid=1"),
            Some("/run/user/0/bus".to_owned())
        );
        assert_eq!(
            path("unix:///run/docker.sock"),
            Some("/run/docker.sock".to_owned())
        );
        assert_eq!(path("tcp://192.0.2.1:2375"), None);
        assert_eq!(path("unix:abstract=/tmp/dbus"), None);
    }
}
