//! Signals: what the standard library changed of them, put back.

#![expect(unsafe_code, reason = "sigaction(2)")]

use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives SIGPIPE its default action back. Rust ignores it before `main`, and an ignored signal stays ignored across
/// `execve(2)`: the program we become would get EPIPE where its author expects to be ended.
///
/// # Errors
/// What sigaction(2) gives.
pub fn restore_pipe() -> std::io::Result<()> {
    // SAFETY: the caller of sigaction must not install a handler that isn't async-signal-safe; SIG_DFL is no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}
