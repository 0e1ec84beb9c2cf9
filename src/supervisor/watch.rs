//! Folders in which files are changed, watched by inotify(7): that something was, and whether somebody is in
//! the middle of writing.
//!
//! Owns the watches. What is told of a file, its name included, is only told apart from other files; nothing
//! is opened or read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use crate::sys::readiness;

/// Files that may be in the middle of being written, at most; of more, none is remembered.
const MOST_WRITTEN: usize = 1024;

/// Watched folders.
#[derive(Debug)]
pub(super) struct Watch {
    folders: Vec<PathBuf>,
    watched: Vec<WatchDescriptor>,
    inotify: Inotify,
    readable: AsyncFd<OwnedFd>,
    /// Files that were written to and not closed since.
    written: BTreeSet<(WatchDescriptor, OsString)>,
}

impl Watch {
    /// Watches these folders, those of them that there are. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What inotify_init1(2) gives (EMFILE: the host's user has no more of them), and as [`Self::renew`].
    pub(super) fn of(folders: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let readable = readiness::of(&inotify)?;
        let mut watch = Self {
            folders,
            watched: Vec::new(),
            inotify,
            readable,
            written: BTreeSet::new(),
        };
        watch.renew()?;
        Ok(watch)
    }

    /// Watches what is at the folders' paths by now: one may have come, or be a link to another. Gives
    /// whether that is so.
    ///
    /// # Errors
    /// What inotify_add_watch(2) gives, but for what isn't there.
    pub(super) fn renew(&mut self) -> io::Result<bool> {
        let mut now = Vec::new();
        for folder in &self.folders {
            match self.inotify.add_watch(folder.as_path(), looked_for()) {
                Ok(watched) => now.push(watched),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for gone in self.watched.iter().filter(|before| !now.contains(before)) {
            // The kernel forgets the watches of a folder that was removed.
            let _ = self.inotify.rm_watch(*gone);
            self.written.retain(|(watched, _)| watched != gone);
        }
        let other = self.watched != now;
        self.watched = now;
        Ok(other)
    }

    /// Waits until something was changed.
    ///
    /// # Errors
    /// What waiting and read(2) give.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.readable.readable().await?;
            match self.inotify.read_events() {
                Ok(events) => {
                    drop(ready);
                    events.into_iter().for_each(|event| self.note(event));
                    return Ok(());
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether something was changed since it was last asked, without waiting.
    ///
    /// # Errors
    /// What read(2) gives.
    pub(super) fn was_changed(&mut self) -> io::Result<bool> {
        let mut changed = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    changed = true;
                    events.into_iter().for_each(|event| self.note(event));
                }
                Err(Errno::EAGAIN) => return Ok(changed),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether somebody has written to a file and not closed it since.
    pub(super) fn is_written(&self) -> bool {
        !self.written.is_empty()
    }

    fn note(&mut self, event: InotifyEvent) {
        let lost = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
        if lost || self.written.len() >= MOST_WRITTEN {
            self.written.clear();
        }
        let Some(name) = event.name else { return };
        let file = (event.wd, name);
        if event.mask.contains(AddWatchFlags::IN_MODIFY) {
            self.written.insert(file);
        } else if event.mask.intersects(ends_writing()) {
            self.written.remove(&file);
        }
    }
}

/// What a change to a file, or of which files there are, is told by.
fn looked_for() -> AddWatchFlags {
    AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
        | ends_writing()
}

/// After these, what has that name isn't being written any more, or is another file.
fn ends_writing() -> AddWatchFlags {
    AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
}
