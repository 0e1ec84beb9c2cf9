//! Waits in tokio's event loop for descriptors that tokio has no type for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// A handle that becomes readable when `descriptor` does: a duplicate, so that whoever owns the
/// descriptor keeps it. Must be called inside a tokio runtime.
///
/// # Errors
/// What `dup(2)` and `epoll_ctl(2)` give.
#[expect(
    unsafe_code,
    reason = "tokio can't know that a descriptor stays what it is; an OwnedFd does"
)]
pub fn of(descriptor: &impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    let duplicate = descriptor.as_fd().try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open and the same descriptor from its making until it is dropped, and
    // the `AsyncFd` owns it.
    let registered = unsafe { AsyncFd::register(duplicate) };
    Ok(registered?)
}
