//! What is said between the jail and the target's side, and what a type of jail does there.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use crate::sys::channel::Channel;
use crate::sys::reaper::ExitCode;

/// What a type of jail does on the target's side.
pub(crate) trait TargetSide {
    /// The namespaces that the reaper, and so the target, is in from its beginning.
    fn namespaces(&self) -> CloneFlags;

    /// Settles everything that needs rights which the target isn't to have: in the reaper, before there
    /// is a target. What is handed out comes with [`super::init::Init::begin`].
    ///
    /// # Errors
    /// Why the target can't be jailed so.
    fn settle(&mut self, outer: &Outer<'_>) -> anyhow::Result<()>;

    /// Confines the target: in its own process, last before it becomes its program. What is handed out
    /// is given to [`super::jailed::Jailed::beside`].
    ///
    /// # Errors
    /// Why it can't be confined: it isn't run then.
    fn confine(&mut self, outer: &Outer<'_>) -> anyhow::Result<()>;
}

/// The jail, as the target's side sees it.
#[derive(Debug)]
pub(crate) struct Outer<'a>(pub(super) &'a Channel);

impl Outer<'_> {
    /// Hands a descriptor out, with a word that says what it is.
    ///
    /// # Errors
    /// `EPIPE` where the jail is gone.
    pub(crate) fn hand(&self, what: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let word = ToJail::Handed(what.to_owned());
        self.0.send(&serde_json::to_vec(&word)?, &[descriptor])
    }

    /// Hands a connection out that was wanted.
    pub(super) fn hand_connection(&self, connection: BorrowedFd<'_>) -> io::Result<()> {
        self.0
            .send(&serde_json::to_vec(&ToJail::Connected)?, &[connection])
    }

    pub(super) fn tell(&self, word: &ToJail) -> io::Result<()> {
        self.0.send(&serde_json::to_vec(word)?, &[])
    }
}

/// The word that comes with where a command's calls arrive that wait.
pub(crate) const LISTENER: &str = "listener";

/// A descriptor that was handed out, and what it is.
#[derive(Debug)]
pub(crate) struct Handed {
    /// The word that came with it.
    pub(crate) what: String,
    /// It.
    pub(crate) descriptor: OwnedFd,
}

/// What the target's side says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToJail {
    /// A descriptor comes with this.
    Handed(String),
    /// The connection that was wanted comes with this.
    Connected,
    /// There is none.
    NotConnected,
    /// All is settled.
    Settled,
    /// The target can't be jailed.
    Failed(String),
    /// Its program can't be executed: errno(3).
    CantRun(i32),
    /// The target has ended, and everything below it.
    Ended(ExitCode),
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToInner {
    /// It may settle: its namespaces are mapped.
    Begin,
    /// The target may run.
    Go,
    /// The target is to get this signal.
    Signal(i32),
    /// A connection to this port of its loopback is wanted.
    Connect(u16),
}
