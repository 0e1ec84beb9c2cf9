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
#[expect(unsafe_code, reason = "sigaction(2)")]
pub fn restore_pipe() -> io::Result<()> {
    // SAFETY: the caller of sigaction must not install a handler that isn't async-signal-safe;
    // SIG_DFL is no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
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
