//! Where a container's hook finds the keeper that `create` began: a socket beside the container's
//! state directory, in root's own folder.
//!
//! Invariant: it stands under its name only once somebody listens, so that one where nobody does is
//! a dead keeper's, and is swept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;

use super::state::{self, DIRECTORY};

/// How its name ends: no state directory's name does, which ends in a hash.
const ENDING: &str = ".begun";
/// How it ends before anybody listens, behind the number of the process that makes it.
const NOT_YET: &str = ".beginning";

/// A place where the hook of one container is awaited.
#[derive(Debug)]
pub struct Meeting {
    listener: UnixListener,
    path: PathBuf,
}

impl Meeting {
    /// Opens it, for the container with this state directory; takes the place of an earlier one.
    ///
    /// # Errors
    /// What making the folder, binding and renaming give.
    pub fn open(state: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(DIRECTORY)?;
        let made = Path::new(DIRECTORY).join(format!("{}{NOT_YET}", std::process::id()));
        forget(&made)?;
        let listener = UnixListener::bind(&made)?;
        let path = path(state);
        if let Err(error) = std::fs::rename(&made, &path) {
            forget(&made)?;
            return Err(error);
        }
        Ok(Self { listener, path })
    }

    /// Whoever comes next; to be called when there is somebody.
    ///
    /// # Errors
    /// What `accept(2)` gives; `PermissionDenied` for another user's process.
    pub fn receive(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept()?;
        of_this_user(stream)
    }

    /// Has nobody come any more.
    pub fn close(&self) {
        // One that stays is swept.
        let _ = forget(&self.path);
    }
}

impl AsFd for Meeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Goes to where the keeper that was begun for the container with this state directory waits; none
/// where there is none.
///
/// # Errors
/// What `connect(2)` gives; `PermissionDenied` where another user's process listens.
pub fn come(state: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path(state)) {
        Ok(stream) => of_this_user(stream).map(Some),
        Err(error) if nobody_there(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes that of the container with this state directory, where nobody waits any more.
pub fn forget_left(state: &Path) {
    remove_if_left(&path(state));
}

/// Removes all where nobody waits any more.
pub fn sweep() {
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let sockets = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let paths = sockets.map(|one| one.path());
    paths
        .take(state::LISTING_LIMIT)
        .for_each(|path| remove_if_left(&path));
}

fn remove_if_left(path: &Path) {
    if is_left(path) {
        // The next sweep finds what stays.
        let _ = forget(path);
    }
}

fn is_left(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(maker) = name.strip_suffix(NOT_YET) {
        return !Path::new("/proc").join(maker).exists();
    }
    // Whoever waits there sees somebody come who says nothing.
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    name.ends_with(ENDING) && UnixStream::connect(path).is_err_and(refused)
}

fn path(state: &Path) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(ENDING);
    path.into()
}

fn of_this_user(stream: UnixStream) -> io::Result<UnixStream> {
    if getsockopt(&stream, PeerCredentials)?.uid() == geteuid().as_raw() {
        Ok(stream)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn nobody_there(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind())
}

fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
