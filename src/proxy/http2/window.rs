//! How many bytes the peer of one connection may have under way to us: all that is kept of bodies
//! which the other side has not taken.
//!
//! Invariant: what a window allows has been taken from the budget before. It begins as small as the
//! protocol has it (RFC 9113 6.9.2), and grows while half of it moves within a second, or is kept
//! for streams that nobody reads, so that those don't hold up the others.

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
        let size = self.locked().size;
        (size, of_stream(size))
    }

    fn grow(&self, state: &mut State) {
        let (size, of_stream) = (state.size, of_stream(state.size));
        let enough = |bytes: usize, of: u32| bytes as u64 >= u64::from(of / 2);
        let wanted = enough(state.moved, of_stream) || enough(state.kept, size);
        let larger = (size + 1).next_power_of_two().max(2 * (LEAST + 1));
        if !wanted || larger > MOST || !state.share.grow_to(larger as usize) {
            return;
        }
        (state.size, state.moved) = (larger, 0);
        self.grown.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each stream has of it: at most a half, so that one that nobody reads leaves some.
fn of_stream(size: u32) -> u32 {
    (size / 2).max(LEAST)
}
