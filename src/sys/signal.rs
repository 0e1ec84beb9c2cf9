//! Signals: restores what the standard library changed, and waits for the request to terminate.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::readiness;

/// Gives SIGPIPE its default action back. Rust ignores it before `main`, and an ignored signal
/// stays ignored across `execve(2)`: the program we become would get EPIPE where its author expects
/// to be ended.
///
/// # Errors
/// What sigaction(2) gives.
pub fn restore_pipe() -> io::Result<()> {
    by_default(Signal::SIGPIPE)
}

#[expect(unsafe_code, reason = "sigaction(2)")]
fn by_default(one: Signal) -> io::Result<()> {
    // SAFETY: the caller of sigaction must not install a handler that isn't async-signal-safe;
    // SIG_DFL is no handler.
    unsafe { signal(one, SigHandler::SigDfl) }?;
    Ok(())
}

/// Has signals do what they do by default, none of them blocked, whatever the caller of this process
/// chose; but SIGPIPE stays ignored, as the standard library wants it.
///
/// # Errors
/// What sigaction(2) and sigprocmask(2) give.
pub fn forget_callers() -> io::Result<()> {
    let ignored = Signal::iterator().filter(|one| {
        // Two can't be changed; two are the standard library's, which tells of overflown stacks.
        ![
            Signal::SIGKILL,
            Signal::SIGSTOP,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGPIPE,
        ]
        .contains(one)
    });
    for one in ignored {
        by_default(one)?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// SIGTERM, which ends this process in order instead of at once.
#[derive(Debug)]
pub struct Termination(SignalFd);

impl Termination {
    /// From now on. To be called before there are threads: those that are there keep the default
    /// action.
    ///
    /// # Errors
    /// What sigprocmask(2) and signalfd(2) give.
    pub fn awaited() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(
            &set,
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
        )?))
    }

    /// Waits for it, in a tokio runtime. Gives what to say of it; or, where it can't be waited for,
    /// of that.
    pub async fn arrives(&self) -> io::Error {
        let arrived = async { readiness::of(self)?.readable().await.map(drop) };
        arrived
            .await
            .err()
            .unwrap_or_else(|| io::Error::other("told to end (SIGTERM)"))
    }
}

impl AsFd for Termination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
