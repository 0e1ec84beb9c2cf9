//! Moves bytes between two connections without reading them, in both directions: much by splice(2),
//! through a pipe; little by a copy, which is faster.
//!
//! A peer sees what it would see on a direct connection: one direction may end while the other goes
//! on, and a reset arrives as a reset. Memory is held only while bytes are in it, so an idle
//! connection costs its two sockets and nothing else.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::task::consume_budget;

use super::stream::{Meter, Stream};
use crate::audit::line::Side;
use crate::audit::{Delivered, End, Traffic};
use crate::sys::socket::reset_on_close;

/// Bytes that were already read from a side and are to be passed on first.
#[derive(Debug, Default)]
pub struct Early {
    /// From the client, for the upstream.
    pub out: Vec<u8>,
    /// From the upstream, for the client.
    pub back: Vec<u8>,
}

/// Joins two connections until both directions have ended, or one has broken; says how. No time
/// limit: an idle connection is the business of those who keep it; a dead one is found by
/// keepalive. What moves is counted in `traffic`. Whoever drops this before its end breaks both
/// off.
pub async fn splice_both(
    mut client: Stream,
    mut upstream: Stream,
    early: Early,
    traffic: &Traffic,
) -> End {
    // Each side learns of a break as it would have without us.
    let mut both = Both {
        streams: [client.clone(), upstream.clone()],
        in_order: false,
    };
    let early = pass_early(&mut client, &mut upstream, early, traffic).await;
    let ended = match early {
        Ok(()) => pump_both(&client, &upstream, traffic).await,
        Err(broken) => Err(broken),
    };
    match ended {
        Ok(first) => {
            both.in_order = true;
            End::closed(first)
        }
        Err(broken) => broken.into_end(),
    }
}

/// Tells how much of a connection's bytes has arrived at both of its ends.
#[derive(Debug)]
pub struct Ends {
    client: Meter,
    upstream: Meter,
}

impl Ends {
    /// What the client is sent, and what the upstream is.
    #[must_use]
    pub fn of(client: Meter, upstream: Meter) -> Self {
        Self { client, upstream }
    }
}

impl Delivered for Ends {
    fn delivered(&self, over: bool) -> (u64, u64) {
        (self.upstream.arrives(over), self.client.arrives(over))
    }
}

/// Both connections. Each ends with a reset where they don't end in order.
struct Both {
    streams: [Stream; 2],
    in_order: bool,
}

impl Drop for Both {
    fn drop(&mut self) {
        for stream in self.streams.iter().filter(|_| !self.in_order) {
            // Best effort: a socket that is gone needs none.
            let _ = reset_on_close(stream);
        }
    }
}

/// At most a ClientHello or a request head each way: it fits the socket's empty buffer, so neither
/// waits for the other.
async fn pass_early(
    client: &mut Stream,
    upstream: &mut Stream,
    early: Early,
    traffic: &Traffic,
) -> Result<(), Break> {
    let broken = |by| move |error| Break { by, error };
    upstream
        .write_all(&early.out)
        .await
        .map_err(broken(Side::Server))?;
    traffic.add_out(early.out.len() as u64);
    client
        .write_all(&early.back)
        .await
        .map_err(broken(Side::Client))?;
    traffic.add_back(early.back.len() as u64);
    Ok(())
}

/// Gives who ended first.
async fn pump_both(client: &Stream, upstream: &Stream, traffic: &Traffic) -> Result<Side, Break> {
    let mut out = pin!(pump(client, upstream, |bytes| {
        traffic.add_out(bytes as u64)
    }));
    let mut back = pin!(pump(upstream, client, |bytes| {
        traffic.add_back(bytes as u64)
    }));
    tokio::select! {
        first = &mut out => end_after(first, Side::Client, Side::Server, back).await,
        first = &mut back => end_after(first, Side::Server, Side::Client, out).await,
    }
}

/// What comes of both directions when the `first` of them is over, which led `from` one side `to`
/// the other.
async fn end_after(
    first: Result<(), Stop>,
    from: Side,
    to: Side,
    other: impl Future<Output = Result<(), Stop>>,
) -> Result<Side, Break> {
    match first {
        Ok(()) => match other.await {
            Ok(()) => Ok(from),
            Err(stop) => Err(stop.between(to, from)),
        },
        // The side that reads is gone, so nobody is left to take what comes from the other.
        Err(stop @ Stop::Reading(_)) => Err(stop.between(from, to)),
        // The side that was written to is gone, but what it said before may still lie in its
        // socket. Ends by itself: a dead connection's socket gives what it has, then an end.
        Err(stop @ Stop::Writing(_)) => {
            let _ = other.await;
            Err(stop.between(from, to))
        }
    }
}

/// One direction, until its end has been passed on.
async fn pump(from: &Stream, to: &Stream, count: impl Fn(usize)) -> Result<(), Stop> {
    pass(from, to, None, count).await?;
    // As it came: without a word of TLS, the other side may want to know.
    let ended = if from.was_cut() {
        to.end_socket()
    } else {
        to.end()
    };
    ended.map_err(Stop::Writing)
}

/// Who broke a connection off, and the error by which that was seen.
struct Break {
    by: Side,
    error: io::Error,
}

impl Break {
    fn into_end(self) -> End {
        // That it was broken off is said already.
        let plain = matches!(
            self.error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        );
        End::reset(self.by, (!plain).then(|| self.error.to_string()))
    }
}

/// Why bytes stopped moving from one connection to another.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection that is read from failed, or was lost while the other took nothing.
    Reading(io::Error),
    /// The connection that is written to failed.
    Writing(io::Error),
}

impl Stop {
    fn between(self, from: Side, to: Side) -> Break {
        let (by, error) = match self {
            Self::Reading(error) => (from, error),
            Self::Writing(error) => (to, error),
        };
        Break { by, error }
    }
}

/// What is copied, in bytes; what doesn't fit is spliced. A copy of so little costs less than the
/// two calls more that a pipe takes.
const SMALL: usize = 16 * 1024;

/// The same where TLS is spoken with us on a side: two records.
const DECRYPTED: usize = 32 * 1024;

/// Moves `most` bytes, or all until its end, `from` one connection `to` another; gives how many.
/// Fewer than `most`: `from` has ended. Never takes more from its socket. `count` hears of what was
/// written, each time. Says no end: `to` can be written to afterwards.
///
/// Whoever drops this loses what was read and not yet written, at most what
/// [`Stream::at_once`] allows.
///
/// # Errors
/// Which of the two connections broke.
pub(super) async fn pass(
    from: &Stream,
    to: &Stream,
    most: Option<u64>,
    count: impl Fn(usize),
) -> Result<u64, Stop> {
    let mut passed: u64 = 0;
    // What came since the last wait, and whether so much comes that it is spliced.
    let (mut came, mut large) = (0_usize, false);
    // The kernel can't move what is encrypted on one side.
    let is_read = from.is_secure() || to.is_secure();
    let copied = if is_read { DECRYPTED } else { SMALL };
    loop {
        let left = most.map_or(u64::MAX, |most| most.saturating_sub(passed));
        let room = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(from.at_once());
        if room == 0 {
            return Ok(passed);
        }
        let spliced = large && room > SMALL && !is_read;
        let taken = if spliced {
            splice_some(from, to, room, &count).await
        } else {
            copy_some(from, to, room.min(copied), &count).await
        };
        match taken {
            Ok(0) => return Ok(passed),
            Ok(bytes) => {
                passed = passed.saturating_add(bytes as u64);
                came = came.saturating_add(bytes);
                large |= bytes == SMALL;
            }
            Err(Stop::Reading(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if spliced && came == 0 {
                    // splice(2) doesn't get past urgent data, recv(2) does.
                    large = false;
                    continue;
                }
                (came, large) = (0, came > SMALL);
                from.readable().await.map_err(Stop::Reading)?;
            }
            Err(stop) => return Err(stop),
        }
        // Who sends as fast as this passes it on doesn't hold up the others.
        consume_budget().await;
    }
}

thread_local! {
    /// What is copied lies here for a moment, whosever it is.
    static COPIED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Copies what is there, at most `most` bytes, [`DECRYPTED`] or fewer; gives how many. None: the
/// end.
///
/// # Errors
/// `WouldBlock`, of reading: there is nothing now.
async fn copy_some(
    from: &Stream,
    to: &Stream,
    most: usize,
    count: impl Fn(usize),
) -> Result<usize, Stop> {
    let (bytes, rest) = COPIED.with_borrow_mut(|buffer| {
        buffer.resize(DECRYPTED, 0);
        let mut room = buffer.get_mut(..most).unwrap_or_default();
        let bytes = from.try_read(&mut room).map_err(Stop::Reading)?;
        let taken = buffer.get(..bytes).unwrap_or_default();
        let written = match to.try_write(taken) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written.map_err(Stop::Writing)?,
        };
        count(written);
        // Paid for: `Stream::at_once` is.
        Ok((bytes, taken.get(written..).unwrap_or_default().to_vec()))
    })?;
    unless_lost(from, write_rest(&rest, to, count)).await?;
    Ok(bytes)
}

async fn write_rest(mut rest: &[u8], to: &Stream, count: impl Fn(usize)) -> io::Result<()> {
    while !rest.is_empty() {
        let written = to.clone().write(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        count(written);
        rest = rest.get(written..).unwrap_or_default();
    }
    to.clone().flush().await
}

/// Splices what is there, at most `most` bytes; gives how many. None: the end.
///
/// # Errors
/// `WouldBlock`, of reading: there is nothing now.
async fn splice_some(
    from: &Stream,
    to: &Stream,
    most: usize,
    count: impl Fn(usize),
) -> Result<usize, Stop> {
    let pipe = Pipe::take().map_err(Stop::Reading)?;
    let filled = from
        .tcp()
        .try_io(Interest::READABLE, || pipe.fill(from, most));
    if let Ok(filled) = filled {
        from.received(filled);
        unless_lost(from, pipe.drain(filled, to, count)).await?;
    }
    pipe.put_back();
    filled.map_err(Stop::Reading)
}

/// Writes what came from one connection to the other.
async fn unless_lost(
    from: &Stream,
    writing: impl Future<Output = io::Result<()>>,
) -> Result<(), Stop> {
    tokio::select! {
        // What can still be passed on, is.
        biased;
        written = writing => written.map_err(Stop::Writing),
        // Whoever said it is gone, and nobody takes it: it would be kept for as long as nobody does.
        () = from.lost() => Err(Stop::Reading(io::ErrorKind::ConnectionReset.into())),
    }
}

/// Both ends of a pipe. Between `fill` and the end of `drain` bytes are in it; a pipe dropped then
/// takes them along.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// What a pipe is asked to hold. Larger ones make fewer system calls for bulk; the kernel may give
/// less (`pipe(7)`, pipe-user-pages-soft), and 64 KiB work too.
const PIPE_SIZE: i32 = 256 * 1024;
/// Empty pipes kept for the next bytes: enough for the connections that move bytes in the same
/// moment.
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

    /// At most `most` bytes from a socket into this empty pipe; `WouldBlock` therefore means that
    /// the socket has nothing.
    fn fill(&self, from: &Stream, most: usize) -> io::Result<usize> {
        move_bytes(from, &self.write, most)
    }

    /// From this pipe, which holds `left` bytes, into a socket, all of them.
    async fn drain(&self, mut left: usize, to: &Stream, count: impl Fn(usize)) -> io::Result<()> {
        while left > 0 {
            let moved = to
                .tcp()
                .async_io(Interest::WRITABLE, || move_bytes(&self.read, to, left))
                .await?;
            if moved == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            to.sent(moved);
            left = left.saturating_sub(moved);
            count(moved);
        }
        Ok(())
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(
        from,
        None,
        to,
        None,
        most,
        SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK,
    )?)
}

#[cfg(test)]
mod tests;
