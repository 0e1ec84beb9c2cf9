//! Which Unix sockets a command may connect to: those that its own sockets listen on, and those that
//! were allowed by name. All others lead out of the jail: to a resolver, an engine, whoever starts
//! programs for others.
//!
//! Invariant: what is judged is an open file, and the very file is connected to. Whose socket it is,
//! the kernel tells (sock_diag(7)), by the file's number and device: never a path, which is whatever
//! its owner said.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{fstat, stat};

use crate::logging::Seldom;
use crate::sys::credentials::Credentials;
use crate::sys::mountinfo;
use crate::sys::sock_diag::{self, UnixSocket};

/// A Unix socket in the file system.
#[derive(Debug)]
pub(in crate::jail) struct SocketFile {
    file: OwnedFd,
    /// Where it is, for people.
    path: PathBuf,
}

impl SocketFile {
    /// What a path means to a thread, which has these rights.
    ///
    /// # Errors
    /// What opening gives; `ECONNREFUSED` where it is no socket.
    pub(in crate::jail) fn of(thread: i32, rights: &Credentials, path: &[u8]) -> io::Result<Self> {
        let path = Path::new(OsStr::from_bytes(path));
        let directory = |name: &str| {
            let path = format!("/proc/{thread}/{name}");
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty())
        };
        // Who links lead to is the thread, not this one: nothing of /proc is followed.
        let mut resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let root = directory("root")?;
        let from = if path.is_absolute() {
            resolve |= ResolveFlag::RESOLVE_IN_ROOT;
            root
        } else {
            let (theirs, ours) = (fstat(&root)?, stat("/")?);
            if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino) {
                // An absolute link on the way would lead into this process's root.
                return Err(io::Error::from_raw_os_error(libc::EACCES));
            }
            directory("cwd")?
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(resolve);
        let file = rights.acting(|| openat2(&from, path, how))??;
        if fstat(&file)?.st_mode & libc::S_IFMT != libc::S_IFSOCK {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok(Self { file, path })
    }

    pub(in crate::jail) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Whether all of these sockets that can be reached by it are ones of which this is true. `thread`:
    /// who found it, since the mount that it is on may be of a mount namespace of its own.
    ///
    /// # Errors
    /// Where the kernel can't be asked.
    pub(in crate::jail) fn is_of(
        &self,
        thread: i32,
        sockets: &[UnixSocket],
        own: impl Fn(&UnixSocket) -> bool,
    ) -> io::Result<bool> {
        let (number, device) = self.identity(thread)?;
        Ok(only(sockets, own, |one| one.file == Some((number, device))))
    }

    /// The number of its file and its file system's device, as the kernel has them itself. (`stat` has
    /// others, for btrfs and where file systems are laid over each other.)
    fn identity(&self, thread: i32) -> io::Result<(u32, u32)> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let number = self.file.as_fd().as_raw_fd();
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let field = |name: &str| -> Option<u64> {
            let mut lines = told.lines();
            lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let mount = field("mnt_id:").ok_or_else(wrong)?;
        // Linux 5.14; before, what `stat` says.
        let inode = match field("ino:") {
            Some(inode) => inode,
            None => fstat(&self.file)?.st_ino,
        };
        let mounts = mountinfo::of(&thread.to_string())?;
        let mount = mounts.iter().find(|one| u64::from(one.id) == mount);
        let device = mount
            .and_then(|mount| device(&mount.device))
            .ok_or_else(wrong)?;
        let [low, ..] = split(inode);
        Ok((low, device))
    }
}

/// Says, not too often, that this isn't open, and what opens it.
pub(in crate::jail) fn say_shut(file: &SocketFile) {
    static SAID: Seldom = Seldom::new();
    if SAID.due() {
        log::warn!(
            "{} is not open to the command: --allow-socket opens it, if it is there when the jail starts",
            file.path.display()
        );
    }
}

/// Whether all sockets that have this name are ones of which this is true.
///
/// # Errors
/// Where the kernel can't be asked.
pub(super) fn name_is_of(name: &[u8], own: impl Fn(&UnixSocket) -> bool) -> io::Result<bool> {
    let sockets = sock_diag::unix_sockets()?;
    Ok(only(&sockets, own, |one| {
        one.name.split_first() == Some((&0, name))
    }))
}

fn only(
    sockets: &[UnixSocket],
    own: impl Fn(&UnixSocket) -> bool,
    fits: impl Fn(&UnixSocket) -> bool,
) -> bool {
    let mut fitting = sockets.iter().filter(|one| fits(one)).peekable();
    fitting.peek().is_some() && fitting.all(own)
}

/// A device (`major:minor`) as the kernel has it itself (`MKDEV`).
fn device(text: &str) -> Option<u32> {
    const MINOR_BITS: u32 = 20;
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(major << MINOR_BITS | minor)
}

/// The lower half first: all that the kernel tells of a file's number.
fn split(number: u64) -> [u32; 2] {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = number.to_le_bytes();
    [
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([b4, b5, b6, b7]),
    ]
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::sys::stand_in;

    fn opened(path: &[u8]) -> io::Result<SocketFile> {
        let thread = nix::unistd::gettid().as_raw();
        SocketFile::of(thread, &Credentials::of(thread)?, path)
    }

    /// As it is now.
    fn is_of(file: &SocketFile, own: impl Fn(&UnixSocket) -> bool) -> bool {
        let sockets = sock_diag::unix_sockets().unwrap();
        file.is_of(own_thread(), &sockets, own).unwrap()
    }

    fn own_thread() -> i32 {
        nix::unistd::gettid().as_raw()
    }

    fn listener(path: &Path) -> (OwnedFd, u64) {
        let listener = OwnedFd::from(UnixListener::bind(path).unwrap());
        let number = stand_in::number(&listener).unwrap();
        (listener, number)
    }

    #[test]
    fn whose_a_socket_is_the_kernel_tells() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, number) = listener(&path);
        let file = opened(path.as_os_str().as_bytes()).unwrap();
        assert!(is_of(&file, |one| u64::from(one.number) == number));
        assert!(!is_of(&file, |one| u64::from(one.number) != number));
        // A file whose socket is gone is nobody's.
        drop(listener);
        assert!(!is_of(&file, |_| true));
    }

    #[test]
    fn a_link_is_what_it_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("s"), directory.path().join("l"));
        let (_listener, number) = listener(&path);
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = opened(link.as_os_str().as_bytes()).unwrap();
        assert_eq!(file.path, path);
        assert!(is_of(&file, |one| u64::from(one.number) == number));
        let not = opened(directory.path().as_os_str().as_bytes());
        assert_eq!(not.unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
        // Through /proc a path would mean something else to this process.
        let magic = opened(b"/proc/self/root/x");
        assert_eq!(magic.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn devices_are_read_as_the_kernel_has_them() {
        assert_eq!(device("8:1"), Some(0x0080_0001));
        assert_eq!(device("0:45"), Some(45));
        assert_eq!(device("x"), None);
        assert_eq!(split(0x1_0000_0002), [2, 1]);
    }
}
