//! A body with its trailers, passed on from one stream to another.
//!
//! Owns the backpressure: the one who sends is let send more only when what it sent before has been
//! written to the other, so what is kept is bounded by its window ([`Window`]). Small frames that
//! have to wait are put together, so that nobody can make us keep thousands of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use super::request::size;
use super::window::Window;
use crate::audit::Traffic;
use crate::proxy::http::request::may_be_late;

/// Frames of one body that wait to be written to a connection at the same time. Further ones are
/// put together first.
const PIECES: usize = 8;
/// The most that goes as one.
const PIECE: usize = 16 * 1024;
/// A frame that is smaller is copied: the block of memory that it came in is as long as the largest.
const COPIED: usize = PIECE / 2;

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the server.
    Out,
    /// To the client.
    Back,
}

/// Bytes on their way into a connection.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    length: usize,
    way: Option<Arc<Way>>,
}

impl Piece {
    /// Of our own words.
    pub(super) fn ours(bytes: Bytes) -> Self {
        Self {
            bytes,
            length: 0,
            way: None,
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(way) = &self.way {
            way.moved(count);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(way) = &self.way {
            way.gone(self.length);
        }
    }
}

/// What is under way of one body.
#[derive(Debug)]
struct Way {
    direction: Direction,
    traffic: Arc<Traffic>,
    state: Mutex<WayState>,
}

#[derive(Debug, Default)]
struct WayState {
    pieces: usize,
    /// Bytes that are gone, and for which the sender has not been let send more.
    gone: usize,
    waker: Option<Waker>,
}

impl Way {
    fn count(&self, bytes: u64) {
        match self.direction {
            Direction::Out => self.traffic.add_out(bytes),
            Direction::Back => self.traffic.add_back(bytes),
        }
    }

    /// Bytes were written. Called with the connection's lock held: it must not ask for another's.
    fn moved(&self, bytes: usize) {
        self.count(bytes as u64);
    }

    /// A piece is written, or nobody wants it any more. As [`Self::moved`].
    fn gone(&self, bytes: usize) {
        let mut state = self.locked();
        state.pieces -= 1;
        state.gone += bytes;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn locked(&self) -> MutexGuard<'_, WayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a body is not passed on to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The one who sent it broke off.
    Source(h2::Error),
    /// The one it was for takes no more of it; with its reason, if it said one.
    Target(Option<Reason>),
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Body {
    source: RecvStream,
    pub(super) target: SendStream<Piece>,
    window: Arc<Window>,
    way: Arc<Way>,
    /// What is passed on next.
    next: VecDeque<Bytes>,
    /// What came in small frames behind it.
    small: BytesMut,
    /// Bytes that came and are not gone.
    kept: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// More may come.
    Open,
    /// It has ended, but for its trailers.
    Ended,
    /// It has broken off.
    Broken(h2::Error),
    /// Its end is under way.
    Over,
}

impl Body {
    /// One from a stream of the connection with this window.
    pub(super) fn new(
        source: RecvStream,
        target: SendStream<Piece>,
        window: Arc<Window>,
        direction: Direction,
        traffic: Arc<Traffic>,
    ) -> Self {
        let way = Way {
            direction,
            traffic,
            state: Mutex::default(),
        };
        Self {
            source,
            target,
            window,
            way: Arc::new(way),
            next: VecDeque::new(),
            small: BytesMut::new(),
            kept: 0,
            state: State::Open,
        }
    }

    /// Passes it on, with its trailers, until all of it has been written.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.way.locked().waker = Some(cx.waker().clone());
        self.release();
        if let Poll::Ready(reason) = self.target.poll_reset(cx) {
            return Poll::Ready(Err(Broken::Target(reason.ok())));
        }
        loop {
            if self.next.is_empty() && !self.small.is_empty() {
                let small = self.small.split().freeze();
                self.next.push_back(small);
            }
            if !self.next.is_empty() {
                let sent = self.poll_send(cx)?;
                if sent.is_pending() {
                    self.gather(cx);
                    return Poll::Pending;
                }
                continue;
            }
            match &self.state {
                State::Open => ready!(self.poll_take(cx)),
                State::Ended => ready!(self.poll_trailers(cx))?,
                State::Broken(_) | State::Over if self.way.locked().pieces > 0 => {
                    return Poll::Pending;
                }
                State::Broken(_) => {
                    let broken = std::mem::replace(&mut self.state, State::Over);
                    return Poll::Ready(match broken {
                        State::Broken(error) => Err(Broken::Source(error)),
                        _ => Ok(()),
                    });
                }
                State::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Lets the sender send as much as is gone, once that is worth a frame or all is.
    fn release(&mut self) {
        let gone = {
            let mut way = self.way.locked();
            if way.gone < PIECE && way.gone < self.kept {
                return;
            }
            std::mem::take(&mut way.gone)
        };
        if gone > 0 {
            self.kept -= gone;
            self.window.went(gone);
            // A stream that is over has no window any more.
            let _ = self.source.flow_control().release_capacity(gone);
        }
    }

    /// Takes what has come, while the other has no room: put together.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while matches!(self.state, State::Open) && self.poll_take(cx).is_ready() {}
    }

    /// Takes the next frame.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.source.poll_data(cx)) {
            Some(Ok(bytes)) => {
                self.kept += bytes.len();
                self.window.came(bytes.len());
                self.keep(bytes);
            }
            // What RFC 9113 8.1 has a server say that needs no more of the request.
            Some(Err(error)) if error.is_remote() && error.reason() == Some(Reason::NO_ERROR) => {
                self.state = State::Ended;
            }
            Some(Err(error)) => self.state = State::Broken(error),
            None => self.state = State::Ended,
        }
        Poll::Ready(())
    }

    fn keep(&mut self, bytes: Bytes) {
        let fits = !self.small.is_empty() && self.small.len() + bytes.len() <= PIECE;
        if bytes.len() < COPIED || fits {
            self.small.extend_from_slice(&bytes);
            return;
        }
        if !self.small.is_empty() {
            let small = self.small.split().freeze();
            self.next.push_back(small);
        }
        self.next.push_back(bytes);
    }

    /// Sends a part of what is next, as far as the other has room.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.join_small();
        let Some(next) = self.next.front_mut() else {
            return Poll::Ready(Ok(()));
        };
        if self.way.locked().pieces >= PIECES {
            return Poll::Pending;
        }
        let wanted = next.len().min(PIECE);
        self.target.reserve_capacity(wanted);
        let room = self.target.capacity();
        if room == 0 {
            return match ready!(self.target.poll_capacity(cx)) {
                Some(Ok(_)) => Poll::Ready(Ok(())),
                Some(Err(error)) => Poll::Ready(Err(Broken::Target(error.reason()))),
                None => Poll::Ready(Err(Broken::Target(None))),
            };
        }
        let bytes = next.split_to(wanted.min(room));
        if next.is_empty() {
            self.next.pop_front();
        }
        let is_last = self.next.is_empty() && self.small.is_empty() && self.source.is_end_stream();
        if is_last {
            self.state = State::Over;
        }
        Poll::Ready(self.send(bytes, is_last))
    }

    /// Puts a small rest together with what follows it: whoever is sent little lets us send little, and
    /// it would remain so.
    fn join_small(&mut self) {
        if self.next.len() > 1
            && self.next.front().is_some_and(|first| first.len() < COPIED)
            && let Some(first) = self.next.pop_front()
            && let Some(second) = self.next.pop_front()
        {
            self.next.push_front([first, second].concat().into());
        }
    }

    fn send(&mut self, bytes: Bytes, is_last: bool) -> Result<(), Broken> {
        self.way.locked().pieces += 1;
        let piece = Piece {
            length: bytes.len(),
            bytes,
            way: Some(Arc::clone(&self.way)),
        };
        let sent = self.target.send_data(piece, is_last);
        sent.map_err(|error| Broken::Target(error.reason()))
    }

    /// Ends it as it ended.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let trailers = match ready!(self.source.poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(error) if error.is_remote() && error.reason() == Some(Reason::NO_ERROR) => None,
            Err(error) => {
                self.state = State::Broken(error);
                return Poll::Ready(Ok(()));
            }
        };
        // A server may merge trailers into the head (RFC 9110 6.5.1): none may decide about the request.
        let decides = |trailers: &HeaderMap| !trailers.keys().all(|key| may_be_late(key.as_str()));
        if self.way.direction == Direction::Out && trailers.as_ref().is_some_and(decides) {
            self.state = State::Broken(Reason::PROTOCOL_ERROR.into());
            return Poll::Ready(Ok(()));
        }
        self.state = State::Over;
        let Some(trailers) = trailers else {
            return Poll::Ready(self.send(Bytes::new(), true));
        };
        self.way.count(size(&trailers));
        let sent = self.target.send_trailers(trailers);
        Poll::Ready(sent.map_err(|error| Broken::Target(error.reason())))
    }
}

impl Drop for Body {
    /// What is kept of it will not be wanted any more.
    fn drop(&mut self) {
        self.window.went(self.kept);
    }
}
