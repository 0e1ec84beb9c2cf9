//! Moves bytes between two connections without reading them: splice(2), through a pipe, in both
//! directions.
//!
//! A peer sees what it would see on a direct connection: one direction may end while the other goes
//! on, and a reset arrives as a reset. A pipe is held only while bytes are in it, so an idle
//! connection costs its two sockets and nothing else.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use tokio::io::{AsyncWriteExt, Interest};

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
        Err(stop) => Err(stop),
    };
    match ended {
        Ok(first) => {
            both.in_order = true;
            End::closed(first)
        }
        Err(stop) => stop.into_end(),
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
) -> Result<(), Stop> {
    upstream
        .write_all(&early.out)
        .await
        .map_err(|error| Stop::writing(Side::Server, error))?;
    traffic.add_out(early.out.len() as u64);
    client
        .write_all(&early.back)
        .await
        .map_err(|error| Stop::writing(Side::Client, error))?;
    traffic.add_back(early.back.len() as u64);
    Ok(())
}

/// One direction of a connection.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: &'a Stream,
    to: &'a Stream,
    /// Who is at its beginning.
    begins_at: Side,
    traffic: &'a Traffic,
}

impl Way<'_> {
    fn ends_at(self) -> Side {
        if self.begins_at == Side::Client {
            Side::Server
        } else {
            Side::Client
        }
    }

    fn count(self, bytes: usize) {
        match self.begins_at {
            Side::Client => self.traffic.add_out(bytes as u64),
            _ => self.traffic.add_back(bytes as u64),
        }
    }
}

/// Gives who ended first.
async fn pump_both(client: &Stream, upstream: &Stream, traffic: &Traffic) -> Result<Side, Stop> {
    let mut out = pin!(pump(Way {
        from: client,
        to: upstream,
        begins_at: Side::Client,
        traffic
    }));
    let mut back = pin!(pump(Way {
        from: upstream,
        to: client,
        begins_at: Side::Server,
        traffic
    }));
    let (first, side, other) = tokio::select! {
        first = &mut out => (first, Side::Client, back),
        first = &mut back => (first, Side::Server, out),
    };
    match first {
        Ok(()) => other.await.map(|()| side),
        // The side that reads is gone, so nobody is left to take what comes from the other.
        Err(stop) if stop.reading => Err(stop),
        // The side that was written to is gone, but what it said before may still lie in its
        // socket. Ends by itself: a dead connection's socket gives what it has, then an end.
        Err(stop) => {
            let _ = other.await;
            Err(stop)
        }
    }
}

/// Why a direction stopped before its end.
struct Stop {
    /// Who broke off.
    by: Side,
    /// Whether that was seen when reading from it.
    reading: bool,
    error: io::Error,
}

impl Stop {
    fn reading(by: Side, error: io::Error) -> Self {
        Self {
            by,
            reading: true,
            error,
        }
    }

    fn writing(by: Side, error: io::Error) -> Self {
        Self {
            by,
            reading: false,
            error,
        }
    }

    fn into_end(self) -> End {
        // That it was broken off is said already.
        let plain = matches!(
            self.error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        );
        End::reset(self.by, (!plain).then(|| self.error.to_string()))
    }
}

/// One direction, until its end has been passed on.
async fn pump(way: Way<'_>) -> Result<(), Stop> {
    let Way {
        from,
        to,
        begins_at,
        ..
    } = way;
    let (reading, writing) = (
        |error| Stop::reading(begins_at, error),
        |error| Stop::writing(way.ends_at(), error),
    );
    loop {
        from.tcp().readable().await.map_err(reading)?;
        let pipe = Pipe::take().map_err(reading)?;
        loop {
            match from.tcp().try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => {
                    pipe.put_back();
                    return to.end().map_err(writing);
                }
                Ok(filled) => {
                    from.received(filled);
                    tokio::select! {
                        // What can still be passed on, is.
                        biased;
                        drained = pipe.drain(filled, way) => drained.map_err(writing)?,
                        // Whoever said it is gone, and nobody takes it: it would be kept for as
                        // long as nobody does.
                        () = from.lost() => return Err(reading(io::ErrorKind::ConnectionReset.into())),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(reading(error)),
            }
        }
        pipe.put_back();
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

    /// From a socket into this empty pipe; `WouldBlock` therefore means that the socket has
    /// nothing.
    fn fill(&self, from: &Stream) -> io::Result<usize> {
        move_bytes(from, &self.write, from.at_once())
    }

    /// From this pipe, which holds `left` bytes, into the socket at the way's end, all of them.
    async fn drain(&self, mut left: usize, way: Way<'_>) -> io::Result<()> {
        let to = way.to;
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
            way.count(moved);
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
