//! A forked copy of this process that does one task and exits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::process::Process;

/// A copy of this process. One that nobody waits for stays a zombie until this process ends.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    process: Process,
}

impl Child {
    /// Runs `task` in a copy of this process that has but one thread, as this one must. The copy
    /// ends with the code that `task` gives, and runs no destructor of what it has from here.
    ///
    /// # Errors
    /// `Unsupported` where this process has a second thread that doesn't end; what `fork(2)` gives.
    pub fn start(task: impl FnOnce() -> i32) -> io::Result<Self> {
        refuse_threads()?;
        copy(task)
    }

    /// Runs `task` in a copy of this process that is in these new namespaces, by a bare clone(2): that
    /// is all that some seccomp profiles allow. As [`Self::start`] otherwise. The copy is to end
    /// through this function, or by `exec`: the C library doesn't know of it, and thinks that its
    /// thread has the number of ours.
    ///
    /// # Errors
    /// As [`Self::start`]; what `clone(2)` gives: `EPERM` where a seccomp filter denies it or the
    /// rights for it are missing, `EACCES` where a security module does, `ENOSPC` where no more
    /// namespaces of a kind may be made.
    pub fn start_in(namespaces: CloneFlags, task: impl FnOnce() -> i32) -> io::Result<Self> {
        refuse_threads()?;
        match clone_bare(namespaces)? {
            0 => run(task),
            pid => Ok(Self {
                pid: Pid::from_raw(pid),
                process: Process::open(pid)?,
            }),
        }
    }

    /// Its number, as this process sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// What becomes readable when it has ended, and by which it can be killed.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end. For a task whose code is that of its error (errno(3)), or 0.
    ///
    /// # Errors
    /// The task's, or that it was killed; what `waitpid(2)` gives.
    pub fn outcome(&self) -> io::Result<()> {
        match waitpid(self.pid, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, code) => Err(io::Error::from_raw_os_error(code)),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// Waits for its end. Gives how that was, in words: none where the code was 0.
    ///
    /// # Errors
    /// What `waitpid(2)` gives.
    pub fn wait(&self) -> io::Result<Option<String>> {
        Ok(match waitpid(self.pid, None)? {
            WaitStatus::Exited(_, 0) => None,
            WaitStatus::Exited(_, code) => Some(format!("it ended with code {code}")),
            WaitStatus::Signaled(_, signal, _) => Some(format!("it was killed by {signal}")),
            other => Some(format!("{other:?}")),
        })
    }
}

/// How long a thread that was joined may still be listed: the kernel tells who waits for it first,
/// and takes it off the list when it has done all else (`do_exit`, kernel/exit.c: `mm_release`
/// comes long before `release_task`).
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

fn refuse_threads() -> io::Result<()> {
    let end = Instant::now() + ON_THEIR_WAY;
    while std::fs::read_dir("/proc/self/task")?.count() != 1 {
        if Instant::now() > end {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a process with threads can't be copied",
            ));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// 0 in the copy, its number in this process.
#[expect(
    unsafe_code,
    reason = "clone(2) without a stack, which nix doesn't have"
)]
fn clone_bare(namespaces: CloneFlags) -> io::Result<i32> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    let none: libc::c_long = 0;
    #[cfg(target_arch = "s390x")]
    let (first, second) = (none, flags);
    #[cfg(not(target_arch = "s390x"))]
    let (first, second) = (flags, none);
    // SAFETY: without CLONE_VM the copy has its own memory, and without a stack it goes on with this
    // one, as after fork(2). `refuse_threads` has checked that there are no others, who could hold a
    // lock. All arguments but the flags are zero, and nothing is written anywhere.
    let pid = unsafe { libc::syscall(libc::SYS_clone, first, second, none, none, none) };
    match i32::try_from(pid) {
        Ok(pid) if pid >= 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Where this process has threads, `task` makes bare system calls, and neither allocates nor takes
/// a lock, which another thread may have held.
fn copy(task: impl FnOnce() -> i32) -> io::Result<Child> {
    #[expect(unsafe_code, reason = "fork(2)")]
    // SAFETY: in a copy of a process with threads only async-signal-safe calls are allowed. Either
    // there are no others, as `start` has checked, or the task is a test's, which keeps to the
    // sentence above.
    match unsafe { fork() }? {
        ForkResult::Child => run(task),
        ForkResult::Parent { child } => Ok(Child {
            pid: child,
            process: Process::open(child.as_raw())?,
        }),
    }
}

/// The copy's life. Nothing of the caller's may be unwound in it: it would be done twice.
fn run(task: impl FnOnce() -> i32) -> ! {
    end(catch_unwind(AssertUnwindSafe(task)).unwrap_or(PANICKED))
}

/// The code of a copy whose task panicked.
const PANICKED: i32 = 101;

#[expect(unsafe_code, reason = "_exit(2) has no other name")]
fn end(code: i32) -> ! {
    // SAFETY: takes a number and doesn't return; runs nothing of this process's.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copys_end_is_told() {
        assert_eq!(copy(|| 0).unwrap().wait().unwrap(), None);
        assert_eq!(
            copy(|| 7).unwrap().wait().unwrap().unwrap(),
            "it ended with code 7"
        );
        assert_eq!(
            copy(|| libc::EBUSY)
                .unwrap()
                .outcome()
                .unwrap_err()
                .raw_os_error(),
            Some(libc::EBUSY)
        );
        let sleeper = copy(|| {
            nix::unistd::pause();
            0
        });
        let sleeper = sleeper.unwrap();
        sleeper.process().kill().unwrap();
        assert!(sleeper.wait().unwrap().unwrap().contains("SIGKILL"));
    }

    #[test]
    fn a_process_with_threads_is_not_copied() {
        std::thread::scope(|scope| {
            let (_stay, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv().ok());
            assert_eq!(
                Child::start(|| 0).unwrap_err().kind(),
                io::ErrorKind::Unsupported
            );
        });
    }
}
