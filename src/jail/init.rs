//! The target's side: a copy of this process that settles what the type of jail needs, then an inner
//! init, then the target.
//!
//! ```text
//! the jail ─┬─ the reaper ── the init ── the target ── …
//!           └─ the filter
//! ```
//!
//! Each of jail, reaper and init takes the orphans below it, and ends all of them when one of those
//! above it is gone, so that no two of them have to live for nothing to be left. The init tells how
//! the target ended; the exit code is only for whoever looks at processes.
//!
//! Invariant: nothing of the target runs before the jail says so, which it does when its filter
//! serves.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::unix::AsyncFd;

use super::inner::{Handed, TargetSide, ToInner, ToJail};
use super::life;
use super::target::Target;
use crate::sys::channel::{Channel, Message};
use crate::sys::fork::Child;
use crate::sys::readiness;
use crate::sys::reaper::ExitCode;

/// How long everything may take to be settled, and to be ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a target that runs.
#[derive(Debug)]
pub(super) enum News {
    /// It handed something out.
    Handed(Handed),
    /// A connection that was wanted ([`Init::connect`]); none where it can't be made.
    Connection(Option<OwnedFd>),
    /// Its program can't be executed.
    CantRun(io::Error),
    /// It has ended, and everything below it.
    Ended(ExitCode),
}

/// The target's side, as the jail sees it.
#[derive(Debug)]
pub(crate) struct Init {
    reaper: Child,
    words: Channel,
}

impl Init {
    /// Starts the reaper. It waits for [`Self::begin`].
    ///
    /// # Errors
    /// What `clone(2)` gives ([`Child::start_in`]).
    pub(crate) fn start(side: impl TargetSide, target: &Target) -> io::Result<Self> {
        let (words, theirs) = Channel::pair()?;
        words.wait_at_most(PATIENCE)?;
        let namespaces = side.namespaces();
        let life = || {
            // Its end is to be the jail's.
            words.close_in_copy();
            life::live(&theirs, side, target)
        };
        let reaper = Child::start_in(namespaces, life)?;
        Ok(Self { reaper, words })
    }

    /// The reaper's number.
    pub(crate) fn pid(&self) -> i32 {
        self.reaper.pid()
    }

    /// Has the reaper settle, and waits for that. Gives what it handed out.
    ///
    /// # Errors
    /// Why the target can't be jailed.
    pub(crate) fn begin(&self) -> anyhow::Result<Vec<Handed>> {
        self.tell(&ToInner::Begin)?;
        let mut all = Vec::new();
        loop {
            let message = self
                .words
                .receive(true)
                .context("wait for the inner init")?;
            match understand(message)? {
                (ToJail::Handed(what), Some(descriptor)) => all.push(Handed { what, descriptor }),
                (ToJail::Settled, _) => return Ok(all),
                (ToJail::Failed(error), _) => bail!("{error}"),
                (word, _) => bail!("unexpected message from the inner init: {word:?}"),
            }
        }
    }

    /// Lets the target run.
    pub(super) fn go(&self) -> anyhow::Result<()> {
        self.tell(&ToInner::Go)
    }

    /// Passes a signal on to the target.
    pub(super) fn signal(&self, number: i32) -> anyhow::Result<()> {
        self.tell(&ToInner::Signal(number))
    }

    /// Has a connection be made to a port of the target's loopback. It comes as news.
    pub(super) fn connect(&self, port: u16) -> anyhow::Result<()> {
        self.tell(&ToInner::Connect(port))
    }

    /// What [`Self::news`] waits by. Within a runtime.
    pub(super) fn readiness(&self) -> io::Result<AsyncFd<OwnedFd>> {
        readiness::of(&self.words)
    }

    /// Waits for what comes next.
    pub(super) async fn news(&self, arrived: &AsyncFd<OwnedFd>) -> anyhow::Result<News> {
        loop {
            let mut ready = arrived.readable().await?;
            let Ok(received) = ready.try_io(|_| self.words.receive(false)) else {
                continue;
            };
            return match understand(received?)? {
                (ToJail::Handed(what), Some(descriptor)) => {
                    Ok(News::Handed(Handed { what, descriptor }))
                }
                (ToJail::Connected, connection) => Ok(News::Connection(connection)),
                (ToJail::NotConnected, _) => Ok(News::Connection(None)),
                (ToJail::Failed(error), _) => bail!("{error}"),
                (ToJail::CantRun(errno), _) => {
                    Ok(News::CantRun(io::Error::from_raw_os_error(errno)))
                }
                (ToJail::Ended(code), _) => Ok(News::Ended(code)),
                (word, _) => bail!("unexpected message from the inner init: {word:?}"),
            };
        }
    }

    /// Has everything on the target's side end, and waits for that.
    pub(super) fn end(self) {
        drop(self.words);
        // It may have been killed before.
        let _ = self.reaper.process().end_within(PATIENCE);
        let _ = self.reaper.wait();
    }

    fn tell(&self, word: &ToInner) -> anyhow::Result<()> {
        let sent = self.words.send(&serde_json::to_vec(word)?, &[]);
        sent.context("the inner init is gone")
    }
}

fn understand(message: Message) -> anyhow::Result<(ToJail, Option<OwnedFd>)> {
    if message.bytes.is_empty() {
        bail!("the inner init is gone");
    }
    let word = serde_json::from_slice(&message.bytes)?;
    Ok((word, message.descriptors.into_iter().next()))
}
