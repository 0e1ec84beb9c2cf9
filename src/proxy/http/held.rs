//! What one end of a conversation in HTTP keeps in this process, and the socket that hands it no
//! more than there is room for.
//!
//! Owns the counts of two kinds of bytes: those that were read and not understood yet (a head, the
//! rest of a piece), and those that are to be written. Must not know requests or answers.
//! Invariant: a body needs no more room than what is taken before it begins, so it always goes on,
//! however slowly; only a head may need more, and it is refused where there is none.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::proxy::budget::{Budget, Share};
use crate::proxy::stream::Stream;

/// What an end takes from its beginning: hyper's two buffers, a piece on its way, and half of what
/// the exchange itself takes.
pub(super) const END: usize = 24 * 1024;
/// Of it, what may be read and not understood; and what may be waiting to be written before more is
/// taken for it.
pub(super) const PIECE: usize = 8 * 1024;
/// The most that waits to be written before more is taken for it.
const WINDOW: usize = 64 * 1024;
/// What a byte takes that is kept to be understood: buffers grow by doubling.
const KEPT: usize = 2;

/// The account of one end.
#[derive(Debug)]
pub(in crate::proxy) struct Held {
    room: Mutex<Share>,
    /// Bytes that may be read and not understood.
    may_read: AtomicUsize,
    /// Bytes that are.
    unread: AtomicUsize,
    /// Bytes that were given to be written and have not been.
    unwritten: AtomicUsize,
    /// How many there may be before no more is given.
    window: AtomicUsize,
    /// Whoever waits to give more.
    giver: Mutex<Option<Waker>>,
    /// Whether something was refused for want of room.
    short: AtomicBool,
}

impl Held {
    /// Takes what an end needs. None: the budget is used up.
    pub(in crate::proxy) fn take(budget: &Budget) -> Option<Self> {
        Some(Self {
            room: Mutex::new(budget.take(END)?),
            may_read: AtomicUsize::new(PIECE),
            unread: AtomicUsize::new(0),
            unwritten: AtomicUsize::new(0),
            window: AtomicUsize::new(PIECE),
            giver: Mutex::default(),
            short: AtomicBool::new(false),
        })
    }

    /// What was read has been understood, and is kept no more.
    pub(super) fn understood(&self) {
        self.unread.store(0, Relaxed);
    }

    /// Whether something was refused for want of room.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Relaxed)
    }

    /// How many bytes may be read now. `full`: whether the last read got all that it might have.
    fn may_read(&self, full: bool) -> usize {
        let (may, unread) = (self.may_read.load(Relaxed), self.unread.load(Relaxed));
        let grown = may * 2;
        let wanted = unread >= may || (full && may < WINDOW);
        if wanted
            && self
                .room
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .grow_to(END + KEPT * (grown - PIECE))
        {
            self.may_read.store(grown, Relaxed);
            return grown - unread;
        }
        may.saturating_sub(unread)
    }

    fn written(&self) {
        self.unwritten.store(0, Relaxed);
        if let Some(giver) = self
            .giver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            giver.wake();
        }
    }
}

/// The way of a body from one end to the other.
#[derive(Debug)]
pub(super) struct Passage {
    /// Where it is read.
    pub(super) from: Arc<Held>,
    /// Where it is written.
    pub(super) to: Arc<Held>,
}

impl Passage {
    /// Waits until what was given before has been written, but for a window. The largest is hyper's
    /// own, which sees to it without that this task has to be woken for each piece.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let window = self.to.window.load(Relaxed);
        if window >= WINDOW || self.to.unwritten.load(Relaxed) < window {
            return Poll::Ready(());
        }
        *self.to.giver.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::Pending
    }

    /// So many bytes have gone from the one to the other.
    pub(super) fn passed(&self, bytes: usize) {
        self.from.understood();
        self.to.unwritten.fetch_add(bytes, Relaxed);
    }
}

/// A socket that is read no further than there is room for.
#[derive(Debug)]
pub(super) struct HttpSocket {
    stream: Stream,
    held: Arc<Held>,
    /// Bytes that were read before, and are read again first.
    early: Vec<u8>,
    /// Whether the last read got all that it might have.
    full: bool,
    /// What is done without room: try again a little later; or, where there is none, fail.
    patience: Option<Pin<Box<Sleep>>>,
}

/// How long until it is looked again whether there is room.
const AGAIN: Duration = Duration::from_millis(50);

impl HttpSocket {
    /// A client's: a request without room is refused.
    pub(super) fn client(stream: Stream, held: Arc<Held>, early: Vec<u8>) -> Self {
        Self {
            stream,
            held,
            early,
            full: false,
            patience: None,
        }
    }

    /// A server's: an answer without room waits, since its request has been sent.
    pub(super) fn server(stream: Stream, held: Arc<Held>) -> Self {
        Self {
            stream,
            held,
            early: Vec::new(),
            full: false,
            patience: Some(Box::pin(sleep(AGAIN))),
        }
    }

    /// The socket, and what is still to be read again.
    pub(super) fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.stream, self.early)
    }

    /// Reads what there is room for.
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return self
                .stream
                .poll_read_some(cx, buffer, most.min(self.stream.at_once()));
        }
        let now = self.early.len().min(buffer.remaining()).min(most);
        let rest = self.early.split_off(now);
        // The connection may live long: what was read again isn't kept.
        buffer.put_slice(&std::mem::replace(&mut self.early, rest));
        Poll::Ready(Ok(now))
    }
}

impl AsyncRead for HttpSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut most = this.held.may_read(this.full);
        while most == 0 {
            let Some(patience) = &mut this.patience else {
                this.held.short.store(true, Relaxed);
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            };
            ready!(patience.as_mut().poll(cx));
            patience.as_mut().reset(tokio::time::Instant::now() + AGAIN);
            most = this.held.may_read(this.full);
        }
        let most = most.min(buffer.remaining());
        let count = ready!(this.poll_read_some(cx, buffer, most))?;
        this.full = count == most;
        this.held.unread.fetch_add(count, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called by hyper when all that it had has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held
            .window
            .store(self.stream.send_size().clamp(PIECE, WINDOW), Relaxed);
        self.held.written();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
