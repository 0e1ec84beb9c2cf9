//! Tells another process of each judged request, besides the record: what it is to hand on to Coder's
//! workspace agent.
//!
//! Invariant: nothing waits for it. What the other can't take now is lost, and shows as a gap in the
//! numbers; how many, is said with the next that it takes.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use super::boundary_log;
use super::line::Line;
use crate::sys::channel::Channel;

/// Bytes that say how many were lost so far, before the log.
pub const COUNT: usize = 8;

/// Whom it is told.
#[derive(Debug)]
pub(super) struct Reporter {
    other: Channel,
    next: AtomicI32,
    lost: AtomicU64,
}

impl Reporter {
    pub(super) fn to(other: Channel) -> Self {
        Self {
            other,
            next: AtomicI32::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Tells of a line, where it is about a judged request.
    pub(super) fn tell(&self, line: &Line) {
        let Some(log) = boundary_log::log(line, self.next.load(Relaxed)) else {
            return;
        };
        self.next.fetch_add(1, Relaxed);
        if self.send(&log).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Says how many were lost, when nothing more will come.
    pub(super) fn end(&self) {
        // Where not even this is taken, the gap in the numbers is all that tells.
        let _ = self.send(&[]);
    }

    fn send(&self, log: &[u8]) -> std::io::Result<()> {
        let count = self.lost.load(Relaxed).to_be_bytes();
        self.other.send_now(&[&count, log].concat())
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.other.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Event, RecordedVerdict};
    use super::super::record::Kind;
    use super::*;

    #[test]
    fn nobody_is_waited_for_and_what_is_lost_is_counted() {
        let (ours, theirs) = Channel::pair().unwrap();
        let reporter = Reporter::to(ours);
        let line = Line {
            protocol: Some(Kind::Http),
            verdict: Some(RecordedVerdict::Deny),
            name: Some("a.dev".to_owned()),
            ..Line::new(Event::End, String::new(), "c")
        };
        const ALL: u64 = 5000;
        (0..ALL).for_each(|_| reporter.tell(&line));
        let mut taken = 0;
        while let Ok(message) = theirs.receive(false) {
            assert!(message.bytes.starts_with(&[0; COUNT]));
            taken += 1;
        }
        assert!((1..ALL).contains(&taken), "{taken}");
        reporter.end();
        let last = theirs.receive(false).unwrap().bytes;
        assert_eq!(last, (ALL - taken).to_be_bytes());
    }
}
