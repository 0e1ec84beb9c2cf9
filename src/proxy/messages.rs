//! What the filter logs: sent to the keeper, which has the system's log, and, if it is a warning or
//! worse, also written to the record.
//!
//! Invariant: logging never waits. Trouble with the record itself is among what is logged, so the
//! record is written by a task of its own ([`record`]) and not from in here.

use std::convert::Infallible;
use std::sync::Arc;

use log::Level;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::keeper::{ToKeeper, tell_now};
use crate::audit::Journal;
use crate::escape::clean;
use crate::logging::{LONGEST, Sink};
use crate::sys::channel::Channel;

/// Warnings that wait to be written into the record.
const WAITING: usize = 16;

/// The filter's messages.
#[derive(Debug)]
pub(super) struct Messages {
    keeper: Arc<Channel>,
    notices: Sender<String>,
}

impl Messages {
    /// They, and what of them is for the record.
    pub(super) fn to(keeper: Arc<Channel>) -> (Self, Receiver<String>) {
        let (notices, waiting) = channel(WAITING);
        (Self { keeper, notices }, waiting)
    }
}

impl Sink for Messages {
    fn write(&mut self, level: Level, text: &str) -> bool {
        let text = clean(text, LONGEST);
        if level <= Level::Warn {
            // Of so many at once, those that are first tell enough.
            let _ = self.notices.try_send(text.clone());
        }
        tell_now(&self.keeper, &ToKeeper::Log { level, text }).is_ok()
    }
}

/// Writes what is for the record into it.
pub(super) async fn record(journal: Journal, mut notices: Receiver<String>) -> Infallible {
    while let Some(notice) = notices.recv().await {
        journal.notice(&notice);
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_keeper_is_told_and_the_record_of_what_is_grave() {
        let (theirs, ours) = Channel::pair().unwrap();
        let (mut messages, mut notices) = Messages::to(Arc::new(ours));
        for (level, text) in [
            (Level::Info, "as always".to_owned()),
            (Level::Warn, "\n".repeat(10_000)),
        ] {
            assert!(messages.write(level, &text));
            let told = ToKeeper::decode(&theirs.receive(false).unwrap().bytes).unwrap();
            assert_eq!(
                told,
                ToKeeper::Log {
                    level,
                    text: clean(&text, LONGEST)
                }
            );
        }
        assert_eq!(
            notices.try_recv().unwrap(),
            clean(&"\n".repeat(10_000), LONGEST)
        );
        assert!(notices.try_recv().is_err());
    }

    #[test]
    fn a_keeper_that_hears_nothing_is_not_waited_for() {
        let (_theirs, ours) = Channel::pair().unwrap();
        let (mut messages, _notices) = Messages::to(Arc::new(ours));
        let mut told = 0;
        while messages.write(Level::Warn, "again") {
            told += 1;
            assert!(told < 100_000, "its queue has no end");
        }
        assert!(told > WAITING);
    }
}
