//! A process that outlives those below it: orphans become its children, and it ends them all.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// Has what is orphaned below this process become its child (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// What `prctl(2)` gives.
pub fn take_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// How a process ended: its exit code, or 128 and the number of the signal.
pub type ExitCode = u8;

/// Buries every child that has ended, and gives how `awaited` did, if it is among them.
///
/// # Errors
/// What `waitpid(2)` gives.
pub fn bury(awaited: i32) -> io::Result<Option<ExitCode>> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(found),
            Ok(status) if status.pid() == Some(Pid::from_raw(awaited)) => {
                found = found.or_else(|| code_of(status));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code that tells of this end; none where it is no end.
#[must_use]
pub fn code_of(status: WaitStatus) -> Option<ExitCode> {
    match status {
        WaitStatus::Exited(_, code) => u8::try_from(code & 0xff).ok(),
        WaitStatus::Signaled(_, signal, _) => u8::try_from(128 + signal as i32).ok(),
        _ => None,
    }
}

/// Whether this child has ended. It stays to be waited for.
///
/// # Errors
/// What `waitid(2)` gives.
pub fn has_ended(child: i32) -> io::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let status = waitid(Id::Pid(Pid::from_raw(child)), flags)?;
    Ok(status != WaitStatus::StillAlive)
}

/// How long all may take to be gone: a process that waits for a disk can't be killed before.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel is left to its work between two looks.
const PAUSE: Duration = Duration::from_micros(500);

/// Kills every process below this one, `spared` and those below it excepted, until there are none.
/// Those that take too long are left to the kernel.
pub fn end_descendants(spared: Option<i32>) {
    let end = Instant::now() + PATIENCE;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    loop {
        let mut all = Vec::new();
        descend(own, spared, &mut all);
        if all.is_empty() || Instant::now() > end {
            return;
        }
        for pid in &all {
            // It may have ended since.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        for pid in &all {
            // Only those that are our own children by now.
            let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        }
        std::thread::sleep(PAUSE);
    }
}

/// A process and everybody below it.
#[must_use]
pub fn with_descendants(of: i32) -> Vec<i32> {
    let mut all = vec![of];
    descend(of, None, &mut all);
    all
}

/// Adds everybody below this process. (Children are listed by the thread that made them.)
fn descend(parent: i32, spared: Option<i32>, all: &mut Vec<i32>) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        let listed = std::fs::read_to_string(thread.path().join("children"));
        let children = listed.unwrap_or_default();
        let children = children
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        for child in children.filter(|child| Some(*child) != spared) {
            if !all.contains(&child) {
                all.push(child);
                descend(child, spared, all);
            }
        }
    }
}
