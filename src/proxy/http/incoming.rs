//! One side of a conversation in HTTP: its socket, and what was read from it and not passed on yet.
//!
//! Invariant: what is kept here is charged to the budget, since a peer can have it wait for as long
//! as it likes. A little is part of the connection's own room, so that a body always goes on; more
//! is read where there is room, and a head that needs more fails where there is none. Between
//! messages nothing is kept.

use std::io;

use bytes::BufMut;
use tokio::io::AsyncWriteExt;

use super::framing::Framing;
use super::head::Ambiguous;
use crate::proxy::budget::{Budget, Share};
use crate::proxy::splice::{Stop, pass};
use crate::proxy::stream::Stream;

/// How much is read at once: the most heads, and small answers whole.
const READ_AT_ONCE: usize = 16 * 1024;
/// From how many bytes on a chunk is not read but spliced.
const SPLICED: u64 = 16 * 1024;
/// The longest head that is read, in bytes. Servers commonly take 8 to 64 KiB.
pub(super) const LONGEST_HEAD: usize = 1024 * 1024;
/// What is paid for with the connection itself.
const PAID: usize = 2048;

/// A socket that is read message by message.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) stream: Stream,
    bytes: Vec<u8>,
    room: Share,
}

/// Why no head came.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The peer ended before its first byte.
    Ended,
    /// It ended, or broke off, before the head was complete.
    Incomplete(Option<io::Error>),
    /// It is too long.
    TooLong,
    /// There is no room for it.
    NoRoom,
}

/// Why a body was not passed on to its end.
#[derive(Debug)]
pub(super) enum BodyError {
    /// Its bytes can't be a body.
    Malformed(Ambiguous),
    /// Whoever says it ended before its end.
    Incomplete,
    /// A socket broke.
    Stopped(Stop),
}

impl Incoming {
    /// A side that said `bytes` already, which are paid for by `room`.
    pub(super) fn new(stream: Stream, bytes: Vec<u8>, room: Share) -> Self {
        Self {
            stream,
            bytes,
            room,
        }
    }

    /// A side that has said nothing.
    pub(super) fn silent(stream: Stream, budget: &Budget) -> Self {
        Self::new(stream, Vec::new(), budget.nothing())
    }

    /// What was read and not passed on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Puts other bytes in the place of the first.
    pub(super) fn replace(&mut self, first: usize, by: Vec<u8>) {
        let first = first.min(self.bytes.len());
        drop(self.bytes.splice(..first, by));
    }

    /// Forgets the first bytes. When none are left, nothing is kept.
    pub(super) fn forget(&mut self, first: usize) {
        if first >= self.bytes.len() {
            self.bytes = Vec::new();
            self.room.shrink_to(0);
        } else {
            self.bytes.drain(..first);
        }
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Reads until `found` says where a head ends; it is given all bytes, and how many of them it
    /// was given before.
    pub(super) async fn head<T>(
        &mut self,
        found: impl Fn(&[u8], usize) -> Option<T>,
    ) -> Result<T, NoHead> {
        let mut seen = 0;
        loop {
            if let Some(end) = found(&self.bytes, seen) {
                return Ok(end);
            }
            seen = self.bytes.len();
            if seen > LONGEST_HEAD {
                return Err(NoHead::TooLong);
            }
            match self.read().await {
                Ok(0) if self.bytes.is_empty() => return Err(NoHead::Ended),
                Ok(0) => return Err(NoHead::Incomplete(None)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Err(NoHead::NoRoom);
                }
                // Who resets a connection on which it said nothing has ended, too.
                Err(_) if self.bytes.is_empty() => return Err(NoHead::Ended),
                Err(error) => return Err(NoHead::Incomplete(Some(error))),
            }
        }
    }

    /// Reads some more. May be dropped while it waits.
    ///
    /// # Errors
    /// What the socket says; `OutOfMemory` where there is no room to keep what came.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let most = self.make_room()?;
            let mut free = (&mut self.bytes).limit(most);
            match self.stream.try_read(&mut free) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    if (1..most).contains(&count) {
                        self.stream.wait_for_more();
                    }
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
            // Whoever waits long keeps no room for what may come.
            if self.bytes.is_empty() {
                self.forget(0);
            }
        }
    }

    /// Makes room for what is read next. Gives how much that may be.
    fn make_room(&mut self) -> io::Result<usize> {
        let wanted = self.stream.at_once().min(READ_AT_ONCE);
        let whole = self.bytes.len() + wanted;
        if self.room.grow_to(whole.saturating_sub(PAID)) {
            self.bytes.reserve_exact(wanted);
            return Ok(wanted);
        }
        match PAID.saturating_sub(self.bytes.len()) {
            0 => Err(io::ErrorKind::OutOfMemory.into()),
            paid => {
                self.bytes.reserve_exact(paid);
                Ok(paid)
            }
        }
    }

    /// Passes a head of so many bytes on, and its body to the end. `count` is told of what was
    /// written.
    pub(super) async fn pass(
        &mut self,
        head: usize,
        framing: &mut Framing,
        to: &Stream,
        count: impl Fn(usize),
    ) -> Result<(), BodyError> {
        let mut ready = head;
        loop {
            let rest = self.bytes.get(ready..).unwrap_or_default();
            ready += framing.take(rest).map_err(BodyError::Malformed)?;
            self.write(ready, to, &count).await?;
            if framing.is_over() {
                return Ok(());
            }
            self.pass_unseen(framing, to, &count).await?;
            if framing.is_over() {
                return Ok(());
            }
            match self.read().await {
                Ok(0) => return Err(BodyError::Incomplete),
                Ok(_) => ready = 0,
                Err(error) => return Err(BodyError::Stopped(Stop::Reading(error))),
            }
        }
    }

    /// Writes the first bytes, and forgets each as soon as it is written, also where the rest never
    /// is.
    async fn write(
        &mut self,
        first: usize,
        to: &Stream,
        count: &impl Fn(usize),
    ) -> Result<(), BodyError> {
        let mut left = first;
        while let Some(bytes) = self.bytes.get(..left)
            && !bytes.is_empty()
        {
            let written = to.clone().write(bytes).await;
            let written = written.map_err(|error| BodyError::Stopped(Stop::Writing(error)))?;
            count(written);
            self.forget(written);
            left -= written;
        }
        let flushed = to.clone().flush().await;
        flushed.map_err(|error| BodyError::Stopped(Stop::Writing(error)))
    }

    /// Passes what needn't be looked at, where that is much.
    async fn pass_unseen(
        &self,
        framing: &mut Framing,
        to: &Stream,
        count: &impl Fn(usize),
    ) -> Result<(), BodyError> {
        let unseen = framing.unseen();
        if !self.bytes.is_empty() || (unseen < SPLICED && matches!(framing, Framing::Chunked(_))) {
            return Ok(());
        }
        let most = (unseen != u64::MAX).then_some(unseen);
        let passed = pass(&self.stream, to, most, count)
            .await
            .map_err(BodyError::Stopped)?;
        framing.passed(passed);
        match most {
            Some(most) if passed < most => Err(BodyError::Incomplete),
            _ => Ok(()),
        }
    }
}
