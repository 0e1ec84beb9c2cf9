//! Network namespaces: opening, creating and entering them. A namespace is entered only through a
//! closure on a thread of its own, so that neither an early return nor a panic can leave the caller
//! inside.
#![expect(
    clippy::disallowed_methods,
    reason = "the one module that enters and makes namespaces"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use nix::sched::{CloneFlags, setns, unshare};

/// Room for a thread that opens sockets and talks netlink.
const STACK: usize = 256 * 1024;

/// An open network namespace. It lives at least as long as this handle.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Opens the namespace that a path names (`/proc/PID/ns/net`, `/run/netns/NAME`).
    ///
    /// # Errors
    /// What `open(2)` gives.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// The namespace of a process.
    ///
    /// # Errors
    /// `NotFound` where the process is gone.
    pub fn of_process(pid: i32) -> io::Result<Self> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The namespace that this thread is in.
    ///
    /// # Errors
    /// Where `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Makes a new, empty namespace, owned by the user namespace of this process.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` where `user.max_net_namespaces` is reached.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })
    }

    /// Another handle on the same namespace.
    ///
    /// # Errors
    /// What `dup(2)` gives.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The namespace's inode number: equal for two handles exactly when they are one namespace
    /// (namespaces(7)).
    ///
    /// # Errors
    /// What `fstat(2)` gives.
    pub fn inode(&self) -> io::Result<u64> {
        self.0.metadata().map(|meta| meta.ino())
    }

    /// Runs `task` inside, on a thread made for it. Sockets and `/proc/sys/net` files opened there
    /// stay in there and may be used from anywhere.
    ///
    /// # Errors
    /// Those of entering (`EPERM` without `CAP_SYS_ADMIN` over the namespace) and of the task.
    pub fn inside<T: Send>(&self, task: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_own_thread(|| {
            setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?;
            task()
        })
    }

    /// Moves this thread in for good. For a process that stays there, before it has a second thread.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` over the namespace.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?)
    }
}

/// A thread inside a namespace that runs tasks there one by one, for a process that is elsewhere and
/// has given up the privilege to enter. It ends when this handle is dropped.
#[derive(Debug)]
pub struct NamespaceThread(Sender<Box<dyn FnOnce() + Send>>);

impl NamespaceThread {
    /// Starts the thread, which moves in and then runs `settle` before its first task.
    ///
    /// # Errors
    /// Those of entering and of `settle`.
    pub fn move_in(namespace: &Namespace, settle: fn() -> io::Result<()>) -> io::Result<Self> {
        let (sender, tasks) = channel::<Box<dyn FnOnce() + Send>>();
        let (settled, outcome) = channel();
        let namespace = namespace.0.try_clone()?;
        std::thread::Builder::new()
            .name("netns-thread".into())
            .stack_size(STACK)
            .spawn(move || {
                let entered = setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .and_then(|()| settle());
                drop(namespace);
                let failed = entered.is_err();
                // Whoever started us waits for this; where it doesn't any more, there will be no
                // tasks either.
                let _ = settled.send(entered);
                if !failed {
                    tasks.iter().for_each(|task| task());
                }
            })?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(Self(sender))
    }

    /// Runs a task there and waits for it.
    ///
    /// # Errors
    /// The task's; `BrokenPipe` where the thread is gone.
    pub fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (answer, outcome) = channel();
        let task = move || {
            let _ = answer.send(task());
        };
        self.0.send(Box::new(task)).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn on_own_thread<T: Send>(task: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".into())
            .stack_size(STACK)
            .spawn_scoped(scope, task)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
    })
}
