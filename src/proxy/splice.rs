//! Moves bytes between two connections without reading them: splice(2), through a pipe, in both directions.
//!
//! Must not know who is on either side or why. What a peer would see of the other directly, it sees through here: an end
//! of one direction while the other goes on, and a reset as a reset. A pipe is held only while bytes are in it, so an
//! idle connection costs its two sockets and nothing else.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use socket2::SockRef;
use tokio::io::{AsyncWriteExt, Interest};

use super::stream::Stream;
use crate::sys::socket::reset_on_close;

/// How a spliced connection went.
#[derive(Debug)]
pub struct Spliced {
    /// Bytes that the upstream's socket took.
    pub bytes_out: u64,
    /// Bytes that the client's socket took.
    pub bytes_in: u64,
    /// What ended it, where that was not an orderly end of both directions.
    pub problem: Option<io::Error>,
}

/// Bytes that were already read from a side and are to be passed on first.
#[derive(Debug, Default)]
pub struct Early {
    /// From the client, for the upstream.
    pub out: Vec<u8>,
    /// From the upstream, for the client.
    pub back: Vec<u8>,
}

/// Joins two connections until both directions have ended, or one has broken. No time limit: an idle connection is the
/// business of those who keep it; a dead one is found by keepalive.
pub async fn splice_both(mut client: Stream, mut upstream: Stream, early: Early) -> Spliced {
    let (mut bytes_out, mut bytes_in) = (0, 0);
    let mut problem = pass_early(&mut client, &mut upstream, early, (&mut bytes_out, &mut bytes_in)).await.err();
    if problem.is_none() {
        problem = pump_both((&client, &mut bytes_in), (&upstream, &mut bytes_out)).await.err();
    }
    if problem.is_some() {
        // Each side learns of a break as it would have without us. Best effort: a socket that is gone needs none.
        let _ = reset_on_close(&client);
        let _ = reset_on_close(&upstream);
    }
    Spliced { bytes_out, bytes_in, problem }
}

/// At most a ClientHello or a request head each way: it fits the socket's empty buffer, so neither waits for the other.
async fn pass_early(
    client: &mut Stream,
    upstream: &mut Stream,
    early: Early,
    (bytes_out, bytes_in): (&mut u64, &mut u64),
) -> io::Result<()> {
    upstream.write_all(&early.out).await?;
    *bytes_out += early.out.len() as u64;
    client.write_all(&early.back).await?;
    *bytes_in += early.back.len() as u64;
    Ok(())
}

/// A socket, and the count of the bytes that it took.
type Counted<'a> = (&'a Stream, &'a mut u64);

async fn pump_both((client, bytes_in): Counted<'_>, (upstream, bytes_out): Counted<'_>) -> io::Result<()> {
    let mut out = pin!(pump(client, (upstream, bytes_out)));
    let mut back = pin!(pump(upstream, (client, bytes_in)));
    let (first, other) = tokio::select! {
        first = &mut out => (first, back),
        first = &mut back => (first, out),
    };
    match first {
        Ok(()) => other.await.map_err(Stop::into_error),
        // The side that reads is gone, so nobody is left to take what comes from the other.
        Err(Stop::Reading(error)) => Err(error),
        // The side that was written to is gone, but what it said before may still lie in its socket. Ends by itself:
        // a dead connection's socket gives what it has, then an end.
        Err(Stop::Writing(error)) => {
            let _ = other.await;
            Err(error)
        }
    }
}

/// Why a direction stopped before its end.
enum Stop {
    Reading(io::Error),
    Writing(io::Error),
}

impl Stop {
    fn into_error(self) -> io::Error {
        match self {
            Self::Reading(error) | Self::Writing(error) => error,
        }
    }
}

/// One direction, until its end has been passed on.
async fn pump(from: &Stream, (to, count): Counted<'_>) -> Result<(), Stop> {
    loop {
        from.tcp().readable().await.map_err(Stop::Reading)?;
        let pipe = Pipe::take().map_err(Stop::Reading)?;
        loop {
            match from.tcp().try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => {
                    pipe.put_back();
                    return end(to).map_err(Stop::Writing);
                }
                Ok(filled) => {
                    from.received(filled);
                    tokio::select! {
                        // What can still be passed on, is.
                        biased;
                        drained = pipe.drain(filled, to, count) => drained.map_err(Stop::Writing)?,
                        // Whoever said it is gone, and nobody takes it: it would be kept for as long as nobody does.
                        () = from.lost() => return Err(Stop::Reading(io::ErrorKind::ConnectionReset.into())),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Stop::Reading(error)),
            }
        }
        pipe.put_back();
    }
}

/// Passes an end on. A connection that has ended both ways already (`ENOTCONN`) has been told.
fn end(to: &Stream) -> io::Result<()> {
    match SockRef::from(to).shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        ended => ended,
    }
}

/// Both ends of a pipe. Between `fill` and the end of `drain` bytes are in it; a pipe dropped then takes them along.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// What a pipe is asked to hold. Larger ones make fewer system calls for bulk; the kernel may give less (`pipe(7)`,
/// pipe-user-pages-soft), and 64 KiB work too.
const PIPE_SIZE: i32 = 256 * 1024;
/// Empty pipes kept for the next bytes: enough for the connections that move bytes in the same moment.
const SPARE_PIPES: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    fn take() -> io::Result<Self> {
        if let Some(pipe) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        Ok(Self { read, write })
    }

    /// Only for an empty pipe: whoever takes it next finds what is left in it.
    fn put_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }

    /// From a socket into this empty pipe; `WouldBlock` therefore means that the socket has nothing.
    fn fill(&self, from: &Stream) -> io::Result<usize> {
        move_bytes(from, &self.write, from.at_once())
    }

    /// From this pipe, which holds `left` bytes, into a socket, all of them.
    async fn drain(&self, mut left: usize, to: &Stream, count: &mut u64) -> io::Result<()> {
        while left > 0 {
            let moved = to.tcp().async_io(Interest::WRITABLE, || move_bytes(&self.read, to, left)).await?;
            if moved == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            to.sent(moved);
            left = left.saturating_sub(moved);
            *count += moved as u64;
        }
        Ok(())
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK)?)
}

#[cfg(test)]
mod tests;
