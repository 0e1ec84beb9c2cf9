//! One of a socket's two buffers in the kernel: how large it is, and what of it is paid for.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::budget::{Budget, Share};

/// The largest buffer.
pub const MOST: usize = 8 * 1024 * 1024;
/// How long what moved counts; and how long a buffer is quiet before it is made small.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// One direction of a socket.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) size: usize,
    least: usize,
    /// Up to how much is held besides: what was read and is to be passed on.
    besides: usize,
    share: Share,
    /// Bytes of this moment.
    moved: usize,
    moment: Instant,
}

impl Buffer {
    pub(super) fn new(budget: &Budget, size: usize, least: usize, besides: usize) -> Option<Self> {
        let size = size.max(least);
        let share = budget.take(size + besides.min(size))?;
        Some(Self {
            size,
            least,
            besides,
            share,
            moved: 0,
            moment: Instant::now(),
        })
    }

    /// Notes that bytes moved. Gives the new size where it has grown: to that of a beginning at
    /// once, then by doubling.
    pub(super) fn moved(&mut self, bytes: usize, beginning: usize) -> Option<usize> {
        let now = Instant::now();
        if now.duration_since(self.moment) > MOMENT {
            (self.moment, self.moved) = (now, 0);
        }
        self.moved = self.moved.saturating_add(bytes);
        let size = if self.size < beginning {
            beginning
        } else {
            self.size * 2
        };
        let enough = self.size < beginning || self.moved >= self.size / 2;
        if !enough || size > MOST || !self.share.grow_to(size + self.besides.min(size)) {
            return None;
        }
        (self.size, self.moved) = (size, 0);
        Some(size)
    }

    pub(super) fn is_over(&self, small: usize) -> bool {
        self.size > small.max(self.least)
    }

    pub(super) fn is_quiet_over(&self, small: usize, quiet: Duration) -> bool {
        self.is_over(small) && self.moment.elapsed() > quiet
    }

    /// Makes it smaller, where the kernel does.
    pub(super) fn make(&mut self, small: usize, bound: impl Fn(usize) -> io::Result<()>) {
        let size = small.max(self.least);
        if bound(size).is_ok() {
            self.size = size;
            self.share.shrink_to(size + self.besides.min(size));
        }
    }
}
