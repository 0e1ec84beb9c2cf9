//! Socket buffers: their limits, and how much of them is in use.
//!
//! All sizes are the kernel's own (`sk_rcvbuf`, `sk_sndbuf`), which include its bookkeeping. A size
//! that was set once no longer adapts to the traffic by itself; whoever sets it has to adjust it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use serde::{Deserialize, Serialize};

/// The kernel doubles what it is given (socket(7)).
const DOUBLED: usize = 2;

/// One of a socket's two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Queue {
    /// Of what it has received and nobody has read.
    Received,
    /// Of what was written to it and has not arrived.
    Sent,
}

/// Bounds a queue: at most to the host's `rmem_max` or `wmem_max`, doubled.
///
/// # Errors
/// What `setsockopt(2)` gives.
pub fn bound(socket: &impl AsFd, queue: Queue, bytes: usize) -> io::Result<()> {
    let size = bytes / DOUBLED;
    Ok(match queue {
        Queue::Received => setsockopt(socket, sockopt::RcvBuf, &size),
        Queue::Sent => setsockopt(socket, sockopt::SndBuf, &size),
    }?)
}

/// As [`bound`], whatever the host's bound.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the host's user namespace; what else `setsockopt(2)` gives.
pub fn force(socket: &impl AsFd, queue: Queue, bytes: usize) -> io::Result<()> {
    let size = bytes / DOUBLED;
    Ok(match queue {
        Queue::Received => setsockopt(socket, sockopt::RcvBufForce, &size),
        Queue::Sent => setsockopt(socket, sockopt::SndBufForce, &size),
    }?)
}

/// The bound of a queue.
///
/// # Errors
/// What `getsockopt(2)` gives.
pub fn size(socket: &impl AsFd, queue: Queue) -> io::Result<usize> {
    Ok(match queue {
        Queue::Received => getsockopt(socket, sockopt::RcvBuf),
        Queue::Sent => getsockopt(socket, sockopt::SndBuf),
    }?)
}

/// Lets a TCP socket's window be as large as its buffer allows (`TCP_WINDOW_CLAMP`, tcp(7)). To be
/// called after each time that is made larger: the kernel sets the bound to what fitted the buffer
/// when the connection was made, and anew whenever it measures segments of another kind.
///
/// # Errors
/// What `setsockopt(2)` gives.
#[expect(unsafe_code, reason = "no wrapper for this option in nix or socket2")]
pub fn let_window_follow(socket: &impl AsFd) -> io::Result<()> {
    let no_clamp: libc::c_int = 1 << 30;
    let value = &raw const no_clamp;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one c_int from `value`, which is ours, as `length` says; the
    // descriptor is borrowed meanwhile.
    let set = unsafe {
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
            value.cast(),
            length,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Bytes of a TCP socket that were written and not acknowledged, and those that were received and
/// not read (tcp(7)).
///
/// # Errors
/// What `ioctl(2)` gives.
pub fn queued(socket: &impl AsFd) -> io::Result<(usize, usize)> {
    // By their other names, SIOCOUTQ and SIOCINQ (sockios.h).
    Ok((
        count(socket, libc::TIOCOUTQ)?,
        count(socket, libc::FIONREAD)?,
    ))
}

#[expect(unsafe_code, reason = "no wrapper for these in nix or socket2")]
fn count(socket: &impl AsFd, which: libc::Ioctl) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one c_int, which is ours; the descriptor is borrowed meanwhile.
    if unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), which, &raw mut bytes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(bytes).map_err(io::Error::other)
}
