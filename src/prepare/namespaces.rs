//! Looks up namespaces on the host: whose namespace a path names, and which processes are in it.
//!
//! Invariant: an inode's number identifies a namespace only on nsfs; a file elsewhere may have the
//! same number, so the file system is checked first.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::gateways::filtering;
use crate::container::state::{self, SavedState};
use crate::spec::user_namespace::{self, parse_map};
use crate::spec::{self, NetworkOrigin, OwnerNamespace, Spec};

/// Where a path to a network namespace leads. Whether others are in that of a pod, which holds it
/// `pinned`, the hook finds out ([`super::pod`]).
pub(crate) fn place(path: &Path, pinned: bool) -> anyhow::Result<NetworkOrigin> {
    let inode = inode(path)
        .with_context(|| format!("can't use the network namespace {}", path.display()))?;
    if inode == own("net")? {
        return Ok(NetworkOrigin::Host);
    }
    if let Some(record) = filtering(inode)? {
        return Ok(NetworkOrigin::Filtered {
            exit: record.plan.exit,
            owner: owner(&record)?,
        });
    }
    // A path into /proc is some process's namespace by its nature, even if that process ends just
    // now.
    let in_use = !pinned
        && (path.starts_with("/proc")
            || inhabited(inode, &[]).context("can't list the processes")?);
    Ok(if in_use {
        NetworkOrigin::InUse
    } else {
        NetworkOrigin::Free
    })
}

/// Who brought the gateway that filters the network namespace at a path.
pub(crate) fn gateway(path: &Path) -> anyhow::Result<Option<SavedState>> {
    filtering(
        inode(path)
            .with_context(|| format!("can't use the network namespace {}", path.display()))?,
    )
}

/// Whose gateway filtered the network namespace at a path and is gone, though its container isn't. (A
/// pod's own gateway is no container's.)
pub(crate) fn lost(path: &Path) -> anyhow::Result<Option<SavedState>> {
    let inode = inode(path)
        .with_context(|| format!("can't use the network namespace {}", path.display()))?;
    let listed = state::in_network(inode).context("can't list the gateways")?;
    Ok(listed.into_iter().find(|record| {
        record.plan.pin().is_none()
            && record.has_lost_its_gateway()
            // Its number may be another's by now.
            && self::inode(&network_of(record.init.pid)).is_ok_and(|its| its == inode)
    }))
}

/// Where a container's network namespace is, which has been made and which its first process is in
/// already.
pub(crate) fn place_of(init: i32) -> anyhow::Result<NetworkOrigin> {
    let inode = inode(&network_of(init)).context("can't read the container's network namespace")?;
    if inode == own("net")? {
        return Ok(NetworkOrigin::Host);
    }
    if let Some(record) = filtering(inode)? {
        return Ok(NetworkOrigin::Filtered {
            exit: record.plan.exit,
            owner: None,
        });
    }
    let others = inhabited(inode, &[init]).context("can't list the processes")?;
    Ok(if others {
        NetworkOrigin::InUse
    } else {
        NetworkOrigin::Free
    })
}

/// The path to a process's network namespace.
pub(crate) fn network_of(process: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/ns/net"))
}

/// Whether the user namespace that a spec names by path is the host's own.
pub(crate) fn joins_hosts_users(spec: &Spec) -> anyhow::Result<bool> {
    match user_namespace::path(spec)? {
        Some(path) => is_hosts(&path, "user"),
        None => Ok(false),
    }
}

/// Whether the pid namespace that a spec names by path is the host's own.
pub(crate) fn joins_hosts_processes(spec: &Spec) -> anyhow::Result<bool> {
    match spec::processes(spec)? {
        Some(path) => is_hosts(&path, "pid"),
        None => Ok(false),
    }
}

/// Whether a path leads to the host's own namespace of a kind.
fn is_hosts(path: &Path, kind: &str) -> anyhow::Result<bool> {
    let inode = inode(path)
        .with_context(|| format!("can't use the {kind} namespace {}", path.display()))?;
    Ok(inode == own(kind)?)
}

/// The user namespace of the container that brought a gateway, if its own bounds it.
fn owner(record: &SavedState) -> anyhow::Result<Option<OwnerNamespace>> {
    // A pod's is given to each of its containers by the engine.
    let of_pod = record.plan.pin().is_some();
    if of_pod || !record.plan.user_namespace || !record.init.alive() {
        return Ok(None);
    }
    let process = format!("/proc/{}", record.init.pid);
    let map = |name: &str| {
        let text = std::fs::read_to_string(format!("{process}/{name}"))
            .context("can't read the ID map of the joined container")?;
        parse_map(&text).context("malformed ID map of the joined container")
    };
    Ok(Some(OwnerNamespace {
        path: format!("{process}/ns/user"),
        uid_map: map("uid_map")?,
        gid_map: map("gid_map")?,
    }))
}

/// The inode of one of our own namespaces: the host's, as runtimes run there.
pub(super) fn own(kind: &str) -> anyhow::Result<u64> {
    inode(Path::new(&format!("/proc/self/ns/{kind}")))
        .context("can't read the host's own namespaces")
}

fn inode(path: &Path) -> io::Result<u64> {
    // O_NONBLOCK: a FIFO in its place must not hang us.
    let mut options = std::fs::OpenOptions::new();
    let file =
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), libc::O_NONBLOCK)
            .open(path)?;
    if fstatfs(&file)?.filesystem_type() != NSFS_MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a namespace",
        ));
    }
    Ok(file.metadata()?.ino())
}

/// Whether any process is in a network namespace, some left aside.
pub(super) fn inhabited(inode: u64, but: &[i32]) -> io::Result<bool> {
    let target = format!("net:[{inode}]");
    let but: Vec<String> = but.iter().map(i32::to_string).collect();
    let is_process = |name: &std::ffi::OsStr| {
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
            && but.iter().all(|but| name != but.as_str())
    };
    let processes = std::fs::read_dir("/proc")?
        .filter_map(Result::ok)
        .filter(|entry| is_process(&entry.file_name()));
    // One that ended since, or a kernel thread without the link, is in no namespace.
    let is_in = |process: &Path| {
        std::fs::read_link(process.join("ns/net")).is_ok_and(|link| link == Path::new(&target))
    };
    let host = format!("net:[{}]", own("net").map_err(io::Error::other)?);
    Ok(processes
        .map(|process| process.path())
        .any(|process| is_in(&process) && !has_a_thread_in(&process, &host)))
}

/// Whether a thread of a process is in a network namespace. Engines in Go make a container's
/// namespace on a thread, and where that happens to be their first, the whole process seems to be
/// in there for as long as it lives. Whoever has threads on the host's network is no container's.
fn has_a_thread_in(process: &Path, namespace: &str) -> bool {
    let threads = std::fs::read_dir(process.join("task"))
        .into_iter()
        .flatten()
        .flatten();
    let mut links =
        threads.filter_map(|thread| std::fs::read_link(thread.path().join("ns/net")).ok());
    links.any(|link| link == Path::new(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_the_hosts() {
        assert_eq!(
            place(Path::new("/proc/self/ns/net"), false).unwrap(),
            NetworkOrigin::Host
        );
        assert!(is_hosts(Path::new("/proc/self/ns/user"), "user").unwrap());
        assert!(!inhabited(1, &[]).unwrap());
    }

    #[test]
    fn what_is_no_namespace_is_an_error_not_a_place() {
        for path in ["/etc/passwd", "/proc", "/no/such/file", ""] {
            assert!(place(Path::new(path), false).is_err(), "{path}");
        }
    }
}
