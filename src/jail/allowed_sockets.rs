//! The Unix sockets that are open to the command because its caller named them (`--allow-socket`).
//!
//! Invariant: the command has no say in which these are. Where it could put another socket at a path, by a
//! link, a new name or a folder in the place of one, the path stands for what was there before it ran: that
//! file is kept open, so that no other gets its number. Elsewhere it stands for whatever is there, which others
//! put there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{fstat, stat};
use nix::unistd::{AccessFlags, eaccess, geteuid};

/// All of them.
#[derive(Debug)]
pub(super) struct AllowedSockets(Vec<AllowedSocket>);

#[derive(Debug)]
enum AllowedSocket {
    /// What was there before the command ran.
    File(OwnedFd),
    /// Whatever is there: no link leads there, and only others can put something there.
    Path(PathBuf),
}

impl AllowedSockets {
    /// What these paths mean before the command runs. Says which mean nothing.
    pub(super) fn named(paths: &[PathBuf]) -> Self {
        let commands = RightsToFiles::of_caller();
        let meant = |path: &PathBuf| {
            AllowedSocket::named(path, commands)
                .inspect_err(|error| {
                    log::warn!("--allow-socket {} opens nothing: {error}", path.display());
                })
                .ok()
        };
        Self(paths.iter().filter_map(meant).collect())
    }

    /// Whether this open file is one of them.
    pub(super) fn have(&self, file: &OwnedFd) -> bool {
        self.0.iter().any(|one| one.is(file).unwrap_or(false))
    }
}

impl AllowedSocket {
    fn named(path: &Path, commands: RightsToFiles) -> io::Result<Self> {
        let real = real(path)?;
        let mut directories = real.ancestors().skip(1);
        if directories.all(|directory| commands.cannot_change(directory)) {
            return Ok(Self::Path(real));
        }
        let file = at(&real)?;
        if fstat(&file)?.st_mode & libc::S_IFMT != libc::S_IFSOCK {
            return Err(io::Error::from_raw_os_error(libc::ENOTSOCK));
        }
        Ok(Self::File(file))
    }

    fn is(&self, file: &OwnedFd) -> io::Result<bool> {
        // Both are open: a number is one file's alone.
        match self {
            Self::File(first) => same(first, file),
            Self::Path(path) => same(&at(path)?, file),
        }
    }
}

/// What the command can do to files: what its caller can.
#[derive(Debug, Clone, Copy)]
enum RightsToFiles {
    /// A user's without more rights.
    OfUser(u32),
    /// Root's, or by capabilities.
    All,
}

impl RightsToFiles {
    fn of_caller() -> Self {
        let user = geteuid();
        let capabilities = caps::read(None, CapSet::Permitted);
        if user.is_root() || !capabilities.is_ok_and(|held| held.is_empty()) {
            return Self::All;
        }
        Self::OfUser(user.as_raw())
    }

    /// Whether nothing can be put into this directory or taken out of it, nor its mode be changed. (One that can
    /// be written to by all is nobody's, sticky or not: what isn't there at the moment anybody can make.)
    fn cannot_change(self, directory: &Path) -> bool {
        let Self::OfUser(user) = self else {
            return false;
        };
        let others = stat(directory).is_ok_and(|status| status.st_uid != user);
        // Asked of the kernel, which knows of access lists. Any other answer is about something else.
        others && eaccess(directory, AccessFlags::W_OK) == Err(Errno::EACCES)
    }
}

/// Where a path leads now, by no link. Its last part may be missing.
fn real(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|missing| {
        let path = std::path::absolute(path)?;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(missing);
        };
        Ok(directory.canonicalize()?.join(name))
    })
}

/// What is at a path, unless a link is on the way.
fn at(path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    Ok(openat2(AT_FDCWD, path, how)?)
}

fn same(one: &impl AsFd, other: &impl AsFd) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs::rename;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn bound(path: PathBuf) -> PathBuf {
        drop(UnixListener::bind(&path).unwrap());
        path
    }

    #[test]
    fn a_path_that_can_be_changed_stands_for_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (socket, other) = (bound(at("s")), bound(at("other")));
        symlink(&socket, at("link")).unwrap();
        let meant = AllowedSocket::named(&at("link"), RightsToFiles::All).unwrap();
        let is = |path: &Path| {
            let file = nix::fcntl::open(path, OFlag::O_PATH, nix::sys::stat::Mode::empty());
            meant.is(&file.unwrap()).unwrap()
        };
        assert!(is(&socket));
        rename(&socket, at("moved")).unwrap();
        rename(&other, &socket).unwrap();
        assert!(!is(&socket));
        assert!(is(&at("moved")));
    }

    #[test]
    fn what_is_there_has_to_be_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let error = |name: &str| {
            let path = directory.path().join(name);
            let named = AllowedSocket::named(&path, RightsToFiles::All);
            named.unwrap_err().raw_os_error()
        };
        assert_eq!(error("missing"), Some(libc::ENOENT));
        assert_eq!(error("missing/either"), Some(libc::ENOENT));
        assert_eq!(error(""), Some(libc::ENOTSOCK));
    }
}
