//! A forked copy of this process that does one task and exits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

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
        copy(task)
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

/// Where this process has threads, `task` makes bare system calls, and neither allocates nor takes
/// a lock, which another thread may have held.
fn copy(task: impl FnOnce() -> i32) -> io::Result<Child> {
    #[expect(unsafe_code, reason = "fork(2)")]
    // SAFETY: in a copy of a process with threads only async-signal-safe calls are allowed. Either
    // there are no others, as `start` has checked, or the task is a test's, which keeps to the
    // sentence above.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // Nothing of the caller's may be unwound here: it would be done twice.
            let code = catch_unwind(AssertUnwindSafe(task)).unwrap_or(PANICKED);
            end(code)
        }
        ForkResult::Parent { child } => Ok(Child {
            pid: child,
            process: Process::open(child.as_raw())?,
        }),
    }
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
