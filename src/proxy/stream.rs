//! A TCP connection whose buffers are charged to the budget: the kernel's, and what was read from
//! it and is to be passed on.
//!
//! Owns the size of the buffers. They begin small, grow while the connection moves more than they
//! hold, as far as other connections leave room, and shrink when it has been quiet: to the kernel's
//! minimum where many are open.
//!
//! How large is enough: a window lets a sender have that much under way, so a buffer has to hold
//! what arrives in a round trip. A buffer grows when half of it, which is its window, arrived
//! within a second (`MOMENT`): with any round trip shorter than that, a transfer that only the
//! window holds back gets a larger one. [`MOST`] is a window of 4 MiB: 320 Mbit/s over 100 ms.

mod buffer;

mod polled;
mod session;

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub use self::buffer::MOST;
use self::buffer::{Buffer, MOMENT};
pub use self::session::SESSION;
use self::session::{Session, wait_for_more};
use super::budget::{Budget, Share};
use super::enlarge::Enlarger;
use super::tls::Offer;
use crate::sys::buffers::{self, Queue};
use crate::sys::channel::Channel;
use crate::sys::socket::{prompt, reset_on_close};

/// What the kernel's structures for one socket take, and this process's for half a connection.
pub const SOCKET: usize = 7 * 1024;
/// The smallest buffer of what was received, the kernel's own (`SOCK_MIN_RCVBUF`).
pub const RECEIVED_LEAST: usize = 2304;
/// The same of what is to be sent (`SOCK_MIN_SNDBUF`).
pub const SENT_LEAST: usize = 4608;
/// The largest a buffer begins with: a window of 16 KiB, which the first ten segments that servers
/// send (RFC 6928) nearly fill.
pub const BEGINS: usize = 32 * 1024;
/// The most taken from a socket before it has been passed on. More makes fewer system calls, and
/// hardly any.
const AT_ONCE: usize = 256 * 1024;
/// In how many connections' beginnings what is free is divided.
const BEGINNINGS: usize = 1024;
/// How often at most all that can be spared is looked for.
const SQUEEZED: Duration = Duration::from_millis(100);

/// The open connections of one gateway. Clones share them.
#[derive(Debug, Clone)]
pub struct Streams {
    /// What their buffers, and all else, come out of.
    pub budget: Budget,
    open: Arc<OpenStreams>,
}

#[derive(Debug, Default)]
struct OpenStreams {
    enlarger: Enlarger,
    sockets: Mutex<HashMap<usize, Weak<Socket>>>,
    /// When all that could be spared was looked for.
    squeezed: Mutex<Option<Instant>>,
    /// Something that nobody needs is to be given up.
    short: Notify,
}

/// A connection. Clones share it. Read and written by [`AsyncRead`](tokio::io::AsyncRead) and
/// [`AsyncWrite`](tokio::io::AsyncWrite); who moves its bytes otherwise says how many.
#[derive(Debug, Clone)]
pub struct Stream(Arc<InUse>);

/// Held by whoever uses a connection, for as long: who only looks at its socket doesn't count.
#[derive(Debug)]
struct InUse(Arc<Socket>);

#[derive(Debug)]
struct Socket {
    tcp: TcpStream,
    /// TLS, from its handshake on, where it is spoken with us.
    session: OnceLock<Mutex<Session>>,
    received: Mutex<Buffer>,
    sent: Mutex<Buffer>,
    written: Arc<AtomicU64>,
    _structures: Share,
    among: Streams,
}

/// Tells how much of what was written to a connection has arrived, also when that is closed.
#[derive(Debug, Clone)]
pub struct Meter {
    written: Arc<AtomicU64>,
    socket: Weak<Socket>,
    /// What of it doesn't count.
    before: u64,
}

impl Meter {
    /// Counts only what is written from now on.
    #[must_use]
    pub fn from_now(self) -> Self {
        Self {
            before: self.written.load(Relaxed),
            ..self
        }
    }

    /// Bytes that count and that the peer's kernel has acknowledged; if `over`, those too that it
    /// will be sent yet: all, but of a connection that is broken off.
    #[must_use]
    pub fn arrives(&self, over: bool) -> u64 {
        let socket = self
            .socket
            .upgrade()
            .filter(|socket| !over || socket.ends_with_a_reset());
        let under_way = socket.map_or(0, |socket| socket.under_way());
        self.written
            .load(Relaxed)
            .saturating_sub(under_way)
            .saturating_sub(self.before)
    }
}

/// Room for a connection that is yet to be made.
#[derive(Debug)]
pub struct StreamRoom {
    structures: Share,
    received: Buffer,
    sent: Buffer,
    among: Streams,
}

impl Streams {
    /// None yet.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            open: Arc::default(),
        }
    }

    /// Has larger buffers than the host lets everybody have by this keeper.
    pub(super) fn ask(&self, keeper: Arc<Channel>) {
        self.open.enlarger.ask(keeper);
    }

    /// Takes room for one connection. None: the budget is used up.
    #[must_use]
    pub fn room(&self) -> Option<StreamRoom> {
        if self.budget.is_short() {
            self.squeeze();
        }
        let size = self.beginning();
        Some(StreamRoom {
            structures: self.budget.take(SOCKET)?,
            received: Buffer::new(&self.budget, size, RECEIVED_LEAST, AT_ONCE)?,
            sent: Buffer::new(&self.budget, size, SENT_LEAST, 0)?,
            among: self.clone(),
        })
    }

    /// What a buffer begins with, where it may be so small.
    fn beginning(&self) -> usize {
        (self.budget.free() / BEGINNINGS).min(BEGINS)
    }

    /// Makes the buffers that are quiet as small as those that begin. Gives whether some are
    /// larger.
    pub(super) fn calm(&self) -> bool {
        if self.budget.is_short() {
            self.open.short.notify_waiters();
        }
        self.make_small(self.beginning(), MOMENT)
    }

    /// Makes all that is empty as small as can be: it grows again with the first byte, where there
    /// is room by then.
    fn squeeze(&self) {
        let mut squeezed = locked(&self.open.squeezed);
        if squeezed.is_none_or(|then| then.elapsed() >= SQUEEZED) {
            *squeezed = Some(Instant::now());
            self.open.short.notify_waiters();
            self.make_small(0, Duration::ZERO);
        }
    }

    fn make_small(&self, small: usize, quiet: Duration) -> bool {
        let open: Vec<_> = locked(&self.open.sockets)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        open.iter()
            .filter(|socket| socket.calm(small, quiet))
            .count()
            > 0
    }

    /// Whether something that was written to one of them has not arrived: of those too that are
    /// closed already.
    pub(super) fn have_something_under_way(&self) -> bool {
        let open: Vec<_> = locked(&self.open.sockets)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        open.iter().any(|socket| socket.unsent() > 0)
    }

    /// Waits until what nobody needs is to be given up.
    pub(super) async fn shortage(&self) {
        self.open.short.notified().await;
    }
}

impl StreamRoom {
    /// The size of the receive buffer to come.
    pub(super) fn receive_size(&self) -> usize {
        self.received.size
    }

    /// For this connection, which we opened.
    ///
    /// # Errors
    /// What `setsockopt(2)` gives.
    pub(super) fn of(self, tcp: TcpStream) -> io::Result<Stream> {
        prompt(&tcp);
        self.of_accepted(tcp)
    }

    /// For this connection, which has the options of the socket that accepted it
    /// (`sys::socket::listen_captured`).
    ///
    /// # Errors
    /// What `setsockopt(2)` gives.
    pub(super) fn of_accepted(self, tcp: TcpStream) -> io::Result<Stream> {
        let Self {
            structures,
            received,
            sent,
            among,
        } = self;
        buffers::bound(&tcp, Queue::Received, received.size)?;
        buffers::bound(&tcp, Queue::Sent, sent.size)?;
        buffers::let_window_follow(&tcp)?;
        let (received, sent) = (Mutex::new(received), Mutex::new(sent));
        let open = Arc::clone(&among.open);
        let written = Arc::default();
        let socket = Arc::new(Socket {
            tcp,
            session: OnceLock::new(),
            received,
            sent,
            written,
            _structures: structures,
            among,
        });
        locked(&open.sockets).insert(Arc::as_ptr(&socket).addr(), Arc::downgrade(&socket));
        Ok(Stream(Arc::new(InUse(socket))))
    }
}

impl Drop for Socket {
    /// Where something is under way, nobody has waited for it: we end. The peer is not to take that
    /// for an end in order.
    fn drop(&mut self) {
        let lost = self.under_way();
        if lost > 0 {
            let _ = reset_on_close(&self.tcp);
            self.written.fetch_sub(lost, Relaxed);
        }
        locked(&self.among.open.sockets).remove(&std::ptr::from_ref(self).addr());
    }
}

impl Drop for InUse {
    /// What was written and has not arrived is kept by the kernel after a close too, for as long as
    /// the peer doesn't take it: it is paid for until then.
    fn drop(&mut self) {
        if self.0.closes_at_once() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(linger(Arc::clone(&self.0)));
        }
    }
}

impl Deref for InUse {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.0
    }
}

/// How long a peer may take nothing of the last that was written.
const LINGERS: Duration = Duration::from_secs(30);
/// How soon it is looked first whether everything has arrived: each time, twice as long is waited,
/// up to [`MOMENT`].
const LOOKED_FIRST: Duration = Duration::from_millis(1);

/// Closes a socket when everything has arrived; with a reset where nothing does any more.
async fn linger(socket: Arc<Socket>) {
    let (mut pause, mut left, mut progress) = (LOOKED_FIRST, usize::MAX, Instant::now());
    while progress.elapsed() < LINGERS {
        match socket.unsent() {
            0 => return,
            unsent if unsent < left => (left, progress) = (unsent, Instant::now()),
            _ => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(MOMENT);
    }
    let _ = reset_on_close(&socket.tcp);
}

impl Stream {
    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.0.tcp
    }

    /// Waits until the peer is lost: it has sent a reset, or is silent where the kernel asks.
    pub(super) async fn lost(&self) {
        // A socket that can't be asked is as good as lost.
        let _ = self.tcp().ready(Interest::ERROR).await;
    }

    /// The most to take from it before that has been passed on.
    pub(super) fn at_once(&self) -> usize {
        locked(&self.0.received).size.min(AT_ONCE)
    }

    /// Notes that so many bytes were read.
    pub(super) fn received(&self, bytes: usize) {
        if let Some(size) = locked(&self.0.received).moved(bytes, self.0.among.beginning()) {
            self.0
                .among
                .open
                .enlarger
                .enlarge(&self.0.tcp, Queue::Received, size);
            let _ = buffers::let_window_follow(&self.0.tcp);
        }
    }

    /// Speaks TLS from now on: all that is read and written is its plain text. `false`: there is no
    /// room for it, or it does already.
    pub(super) fn secure(&self, connection: rustls::Connection) -> bool {
        let room = self.0.among.budget.take(SESSION);
        room.is_some_and(|room| {
            let session = Mutex::new(Session::new(connection, room));
            self.0.session.set(session).is_ok()
        })
    }

    /// The version of HTTP that was agreed on in the handshake, if any was.
    pub(super) fn agreed(&self) -> Offer {
        let session = self.0.session.get();
        session.map_or(Offer::NONE, |session| locked(session).agreed())
    }

    /// Whether its peer has refused us for want of a certificate of ours.
    pub(super) fn wants_certificate(&self) -> bool {
        let session = self.0.session.get();
        session.is_some_and(|session| locked(session).wants_certificate())
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0.session.get().is_some()
    }

    /// Speaks with the peer until the handshake is over.
    ///
    /// # Errors
    /// The socket's; `UnexpectedEof` at its end; `InvalidData` with rustls' reason.
    pub(super) async fn shake_hands(&self) -> io::Result<()> {
        while let Some(session) = self.0.session.get() {
            // Asked anew each time, and never held while waiting.
            let (flushed, over) = {
                let mut session = locked(session);
                let flushed = session.flush_handshake(self.tcp());
                (flushed, !session.is_handshaking())
            };
            match flushed {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tcp().writable().await?;
                    continue;
                }
                flushed => flushed?,
            }
            if over {
                break;
            }
            self.tcp().readable().await?;
            let mut session = locked(session);
            match session.listen(self.tcp(), self.at_once()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                heard => heard?,
            }
            if session.has_something() && session.is_handshaking() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// The socket's.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self.0.session.get() {
            Some(session) if locked(session).has_something() => Ok(()),
            _ => self.tcp().readable().await,
        }
    }

    /// Reads what is there into a buffer, as far as that has room. Gives how much; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock`: nothing has come; else what broke the connection.
    pub(super) fn try_read(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let most = self.at_once();
        let count = match self.0.session.get() {
            None => self.tcp().try_read_buf(&mut buffer.limit(most))?,
            Some(session) => locked(session).read(self.tcp(), buffer, most)?,
        };
        self.received(count);
        Ok(count)
    }

    /// Writes what the socket takes now. In TLS, what it doesn't take at once waits until this is
    /// flushed, and nothing more is taken meanwhile.
    ///
    /// # Errors
    /// `WouldBlock`; else what broke the connection.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.0.session.get() {
            None => self.tcp().try_write(bytes)?,
            Some(session) => locked(session).write(self.tcp(), &[io::IoSlice::new(bytes)])?,
        };
        self.sent(count);
        Ok(count)
    }

    /// The same of several pieces.
    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let count = match self.0.session.get() {
            None => self.tcp().try_write_vectored(slices)?,
            Some(session) => locked(session).write(self.tcp(), slices)?,
        };
        self.sent(count);
        Ok(count)
    }

    /// Has TLS, where it is spoken, send what waits.
    fn poll_session(
        &self,
        cx: &mut Context<'_>,
        send: fn(&mut Session, &TcpStream) -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        let Some(session) = self.0.session.get() else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match send(&mut locked(session), self.tcp()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => return Poll::Ready(flushed),
            }
            ready!(self.tcp().poll_write_ready(cx))?;
        }
    }

    /// Whether the peer's end came without a word of TLS that it is one: what was said may be a part.
    pub(super) fn was_cut(&self) -> bool {
        let session = self.0.session.get();
        session.is_some_and(|session| locked(session).was_cut())
    }

    /// Tells whether there is something to read, without reading it: 1; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock`: nothing has come; else what broke the connection.
    pub(super) fn peek(&self) -> io::Result<usize> {
        match self.0.session.get() {
            None => SockRef::from(self.tcp()).peek(&mut [MaybeUninit::uninit()]),
            Some(session) => locked(session)
                .look(self.tcp(), self.at_once())
                .map(usize::from),
        }
    }

    /// Whether nothing has come on it that was not read, not even its end.
    pub(super) fn is_quiet(&self) -> bool {
        self.peek()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Says that a read got all there was, so that the next one waits instead of finding nothing:
    /// what comes from now on, an end included, is told anew (epoll(7), edge-triggered).
    pub(super) fn wait_for_more(&self) {
        // In TLS it is said where the socket is read.
        if !self.is_secure() {
            wait_for_more(self.tcp());
        }
    }

    /// Tells how much of what was written has arrived.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter {
            written: Arc::clone(&self.0.written),
            socket: Arc::downgrade(&self.0.0),
            before: 0,
        }
    }

    /// Says that nothing more will be written, in TLS, too, where the socket takes that. A connection
    /// that has ended both ways already has been told.
    pub(super) fn end(&self) -> io::Result<()> {
        if let Some(session) = self.0.session.get() {
            let mut session = locked(session);
            session.close();
            // A peer that takes nothing learns of the end by the socket.
            let _ = session.flush_last(self.tcp());
        }
        self.end_socket()
    }

    /// The same without a word of TLS: whatever was said may be a part.
    pub(super) fn end_socket(&self) -> io::Result<()> {
        match SockRef::from(self.tcp()).shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        }
    }

    /// Notes that so many bytes were written.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Relaxed);
        if let Some(size) = locked(&self.0.sent).moved(bytes, self.0.among.beginning()) {
            self.0
                .among
                .open
                .enlarger
                .enlarge(&self.0.tcp, Queue::Sent, size);
        }
    }
}

impl Socket {
    /// Says that nothing more will be sent. Gives whether a close then leaves nothing: it is a
    /// reset, or all has arrived.
    fn closes_at_once(&self) -> bool {
        let socket = SockRef::from(&self.tcp);
        self.ends_with_a_reset() || socket.shutdown(Shutdown::Write).is_err() || self.unsent() == 0
    }

    fn ends_with_a_reset(&self) -> bool {
        SockRef::from(&self.tcp)
            .linger()
            .is_ok_and(|linger| linger == Some(Duration::ZERO))
    }

    /// Bytes that have not arrived, and, if the connection is gone, never will.
    fn under_way(&self) -> u64 {
        // Of a socket that can't be asked, nothing is known to be missing.
        buffers::queued(&self.tcp).map_or(0, |(unsent, _)| unsent as u64)
    }

    /// Bytes that have not arrived. None are left of a connection that is gone.
    fn unsent(&self) -> usize {
        if self.tcp.peer_addr().is_err() {
            return 0;
        }
        buffers::queued(&self.tcp).map_or(0, |(unsent, _)| unsent)
    }

    /// Makes what is quiet for so long, and empty, no larger than `small`. Gives whether something
    /// still is.
    fn calm(&self, small: usize, quiet: Duration) -> bool {
        let (mut received, mut sent) = (locked(&self.received), locked(&self.sent));
        if received.is_quiet_over(small, quiet) || sent.is_quiet_over(small, quiet) {
            // Unknown counts as full: what may still be in use isn't given back.
            let (unsent, unread) = buffers::queued(&self.tcp).unwrap_or((usize::MAX, usize::MAX));
            if received.is_quiet_over(small, quiet) && unread == 0 {
                received.make(small, |size| {
                    buffers::bound(&self.tcp, Queue::Received, size)
                });
            }
            if sent.is_quiet_over(small, quiet) && unsent == 0 {
                sent.make(small, |size| buffers::bound(&self.tcp, Queue::Sent, size));
            }
        }
        received.is_over(small) || sent.is_over(small)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.tcp.as_fd()
    }
}

#[cfg(test)]
mod tests;
