//! Signals: restores what the standard library changed, and waits for the request to terminate.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

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
        blocked(&[Signal::SIGTERM]).map(Self)
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

/// The signals that the caller of this process had blocked.
#[derive(Debug)]
pub struct CallersSignals(SigSet);

impl CallersSignals {
    /// Notes them: before any is blocked here.
    ///
    /// # Errors
    /// What sigprocmask(2) gives.
    pub fn kept() -> io::Result<Self> {
        Ok(Self(SigSet::thread_get_mask()?))
    }

    /// Has signals be as the caller had them, for a program that this process is about to become.
    ///
    /// # Errors
    /// What sigaction(2) and sigprocmask(2) give.
    pub fn restore(&self) -> io::Result<()> {
        restore_pipe()?;
        Ok(self.0.thread_set_mask()?)
    }
}

/// Ends of children (SIGCHLD), waited for by descriptor.
#[derive(Debug)]
pub struct Ends(SignalFd);

impl Ends {
    /// From now on, in a process that has no second thread.
    ///
    /// # Errors
    /// What sigprocmask(2) and signalfd(2) give.
    pub fn awaited() -> io::Result<Self> {
        blocked(&[Signal::SIGCHLD]).map(Self)
    }

    /// Takes what has arrived: afterwards it is readable when another child has ended.
    ///
    /// # Errors
    /// What `read(2)` gives.
    pub fn clear(&self) -> io::Result<()> {
        while self.0.read_signal()?.is_some() {}
        Ok(())
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a terminal or somebody else sends to have a program end, stop or do something of its own.
const REQUESTS: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];
/// Those of them that have a program stop. A jail stops with its command, or a shell would wait for
/// it.
const STOPS: [Signal; 4] = [
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Is deaf to all of them.
///
/// # Errors
/// What sigaction(2) gives.
#[expect(unsafe_code, reason = "sigaction(2)")]
pub fn ignore_requests() -> io::Result<()> {
    for one in REQUESTS {
        // SAFETY: SIG_IGN is no handler, so nothing of this process's runs in one.
        unsafe { signal(one, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Sends a signal to a child, which may have ended.
pub fn send(child: i32, number: i32) {
    if let Ok(signal) = Signal::try_from(number) {
        let _ = nix::sys::signal::kill(Pid::from_raw(child), signal);
    }
}

/// What this process is sent by others and is to pass on.
#[derive(Debug)]
pub struct Requests(SignalFd);

impl Requests {
    /// From now on. To be called before there are threads, and after whoever is to have the caller's
    /// signals was started.
    ///
    /// # Errors
    /// What sigprocmask(2) and signalfd(2) give.
    pub fn awaited() -> io::Result<Self> {
        let all: Vec<Signal> = REQUESTS
            .into_iter()
            .filter(|one| !STOPS.contains(one))
            .collect();
        blocked(&all).map(Self)
    }

    /// Waits for the next one, in a tokio runtime. What the kernel sends, a terminal's `^C` above all,
    /// comes to the whole process group, and isn't given.
    ///
    /// # Errors
    /// What `read(2)` gives.
    pub async fn next(&self) -> io::Result<i32> {
        let arrived = readiness::of(self)?;
        loop {
            let mut ready = arrived.readable().await?;
            match self.0.read_signal()? {
                Some(sent) if sent.ssi_code == libc::SI_KERNEL => {}
                Some(sent) => return i32::try_from(sent.ssi_signo).map_err(io::Error::other),
                None => ready.clear_ready(),
            }
        }
    }
}

impl AsFd for Requests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Blocks these, and gives the descriptor that they are read from.
fn blocked(signals: &[Signal]) -> io::Result<SignalFd> {
    let set = signals.iter().copied().collect::<SigSet>();
    set.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&set, flags)?)
}
