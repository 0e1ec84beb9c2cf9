//! How many bytes the peer of one connection may have under way to us: all that is kept of bodies
//! which the other side has not taken.
//!
//! Invariant: what a window allows has been taken from the budget before. It begins as small as the
//! protocol has it (RFC 9113 6.9.2). It grows for each stream while half of that moves within a second
//! and little is kept; and for all while half of it is kept, so that streams that nobody reads don't
//! hold up the others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::proxy::budget::{Budget, Share};

/// What each connection and each stream has before anybody says a word.
pub(super) const LEAST: u32 = 65_535;
/// The largest of a connection.
pub(super) const MOST: u32 = 8 * 1024 * 1024;
/// How long what moved counts.
const MOMENT: Duration = Duration::from_secs(1);

/// The window of one connection.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug)]
struct State {
    share: Share,
    size: u32,
    /// What each stream has.
    of_stream: u32,
    /// Bytes that are kept.
    kept: usize,
    /// Bytes of this moment.
    moved: usize,
    moment: Instant,
}

impl Window {
    /// The smallest. None: there is no room.
    pub(super) fn new(budget: &Budget) -> Option<Self> {
        let state = State {
            share: budget.take(usize::try_from(LEAST).ok()?)?,
            size: LEAST,
            of_stream: LEAST,
            kept: 0,
            moved: 0,
            moment: Instant::now(),
        };
        Some(Self {
            state: Mutex::new(state),
            grown: Notify::new(),
        })
    }

    /// So many bytes came.
    pub(super) fn came(&self, bytes: usize) {
        let mut state = self.locked();
        state.kept += bytes;
        self.grow(&mut state);
    }

    /// So many of them are gone again.
    pub(super) fn went(&self, bytes: usize) {
        let mut state = self.locked();
        state.kept = state.kept.saturating_sub(bytes);
        let now = Instant::now();
        if now.duration_since(state.moment) > MOMENT {
            (state.moment, state.moved) = (now, 0);
        }
        state.moved = state.moved.saturating_add(bytes);
        self.grow(&mut state);
    }

    /// Waits until it has grown. Gives its size for the connection, and for each stream.
    pub(super) async fn grown(&self) -> (u32, u32) {
        self.grown.notified().await;
        let state = self.locked();
        (state.size, state.of_stream)
    }

    /// Grows, if that is of use: for everybody where much is kept; for each stream where much moves and
    /// little is kept, so that only the window can hold it back.
    fn grow(&self, state: &mut State) {
        let is_half = |bytes: usize, of: u32| bytes as u64 >= u64::from(of / 2);
        let of_stream =
            if is_half(state.moved, state.of_stream) && !is_half(state.kept, state.of_stream) {
                doubled(state.of_stream)
            } else {
                state.of_stream
            };
        let size = if is_half(state.kept, state.size) {
            doubled(state.size)
        } else {
            state.size
        };
        // One stream that nobody reads leaves the others something.
        let size = if of_stream > LEAST {
            size.max(2 * of_stream)
        } else {
            size
        };
        if (size, of_stream) == (state.size, state.of_stream)
            || size > MOST
            || !state.share.grow_to(size as usize)
        {
            return;
        }
        (state.size, state.of_stream, state.moved) = (size, of_stream, 0);
        self.grown.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as much, in round numbers.
fn doubled(size: u32) -> u32 {
    2 * size.next_power_of_two()
}
