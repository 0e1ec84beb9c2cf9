//! Coder's workspace agent, which is told of each request that was judged: in batches, over its socket,
//! in coder/boundary's format (`audit::boundary_log`).
//!
//! The filter can open no socket. It hands each log to a thread of the jail's own process, which waits
//! for the agent in its place, and has no part in anything else.
//!
//! Invariant: nothing waits for the agent, but the jail's end, for a bounded time. The filter may have
//! been taken over: what it hands over are false logs at worst. The command can't be taken for the
//! agent, whatever it puts in the place of its socket.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, Socket, Type};

use super::filter::Record;
use super::target::Target;
use crate::audit::boundary_log::{self, LONGEST, LONGEST_LOG};
use crate::audit::reporter::COUNT;
use crate::escape::clean;
use crate::sys::channel::{Channel, Message};
use crate::sys::{random, reaper};

/// Logs that are sent together at most.
const BATCH: usize = 10;
/// Bytes of logs that are sent together at most: with what is around them, a message of the agent's.
const BATCH_BYTES: usize = LONGEST - 1024;
/// How long a log waits for others, and how long a failed attempt is followed by none.
const WAITS: Duration = Duration::from_secs(5);
/// How long the agent may take to take something.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the end may take.
const LAST: Duration = Duration::from_secs(2);
/// The longest name of a command that the agent is told, in bytes.
const LONGEST_PROCESS: usize = 255;

/// The agent, before the filter was started.
#[derive(Debug)]
pub(super) struct Agent {
    logs: Channel,
    link: Link,
    batch: Vec<Vec<u8>>,
    /// When the batch is to be sent.
    due: Option<Instant>,
    /// What the filter lost so far, and how many of these the agent was told.
    lost: u64,
    lost_told: u64,
}

/// The agent, while the command runs.
#[derive(Debug)]
pub(super) struct Told(JoinHandle<u64>);

impl Agent {
    /// The agent behind this socket, which is told of what is written to this record. One that can't be
    /// reached is said, and tried again.
    ///
    /// # Errors
    /// What `socketpair(2)` and `getrandom(2)` give.
    pub(super) fn beside(record: &Record, path: &Path, target: &Target) -> anyhow::Result<Self> {
        let (logs, filters) = Channel::pair()?;
        let session = session()?;
        let process = process(&target.program());
        log::debug!("session {session} is audited at {}", path.display());
        let mut link = Link {
            path: path.to_owned(),
            session,
            process,
            stream: None,
        };
        // While nothing of the command's runs that could be in its place.
        if let Err(error) = link.connect() {
            log::warn!("the agent can't be told yet: {} ({error})", path.display());
        }
        record.report_to(filters);
        Ok(Self::new(logs, link))
    }

    fn new(logs: Channel, link: Link) -> Self {
        Self {
            logs,
            link,
            batch: Vec::new(),
            due: None,
            lost: 0,
            lost_told: 0,
        }
    }

    /// Tells it from now on. To be called when the filter has been started: it is a copy of a process
    /// with one thread.
    ///
    /// # Errors
    /// There can't be another thread.
    pub(super) fn serve(self) -> anyhow::Result<Told> {
        let thread = std::thread::Builder::new().name("agent".to_owned());
        let thread = thread.spawn(move || self.tell());
        Ok(Told(
            thread.context("start the thread that tells the agent")?,
        ))
    }

    /// Until the filter is gone. Gives how many logs the agent wasn't told.
    fn tell(mut self) -> u64 {
        while self.take() {
            if self.due.is_some_and(|due| due <= Instant::now()) || self.is_full() {
                self.send();
            }
        }
        self.end()
    }

    /// Takes a log, or waits until there is something to do. While a whole batch can't be sent, nothing
    /// is taken, so that what waits is bounded by the kernel. Says whether more may come.
    fn take(&mut self) -> bool {
        let events = if self.is_full() {
            PollFlags::empty()
        } else {
            PollFlags::POLLIN
        };
        let mut polled = [PollFd::new(self.logs.as_fd(), events)];
        let waits = self
            .due
            .map(|due| due.saturating_duration_since(Instant::now()));
        let waits = waits.map_or(PollTimeout::NONE, |waits| {
            // A millisecond more: it is rounded down.
            let waits = i32::try_from(waits.as_millis() + 1).unwrap_or(i32::MAX);
            PollTimeout::try_from(waits).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, waits) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        let happened = polled[0].revents().unwrap_or(PollFlags::POLLERR);
        happened.contains(PollFlags::POLLIN) && self.receive()
    }

    /// Takes what is there. Says whether there was something.
    fn receive(&mut self) -> bool {
        let Ok(Message { bytes, .. }) = self.logs.receive(false) else {
            return false;
        };
        let Some((count, log)) = bytes.split_first_chunk::<COUNT>() else {
            return false;
        };
        self.lost = u64::from_be_bytes(*count);
        if !log.is_empty() && log.len() <= LONGEST_LOG {
            self.batch.push(log.to_vec());
            self.due.get_or_insert_with(|| Instant::now() + WAITS);
        }
        true
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.batch.iter().map(Vec::len).sum();
        self.batch.len() >= BATCH || bytes + LONGEST_LOG > BATCH_BYTES
    }

    /// Sends the batch. What can't be sent is kept for the next time.
    fn send(&mut self) -> bool {
        if self.batch.is_empty() && self.lost <= self.lost_told {
            self.due = None;
            return true;
        }
        let mut frames = self.link.report(&self.batch);
        if self.lost > self.lost_told {
            frames.extend(boundary_log::status(self.lost - self.lost_told));
        }
        if let Err(error) = self.link.send(&frames) {
            log::debug!("the agent can't be told: {error}");
            self.due = Some(Instant::now() + WAITS);
            return false;
        }
        self.lost_told = self.lost;
        self.batch.clear();
        self.due = None;
        true
    }

    /// Sends what is left.
    fn end(mut self) -> u64 {
        let end = Instant::now() + LAST;
        loop {
            while !self.is_full() && self.receive() {}
            let some_left = self.is_full();
            if !self.send() || !some_left || Instant::now() > end {
                break;
            }
        }
        let mut left = self.batch.len() as u64;
        self.batch.clear();
        while self.receive() {
            left += std::mem::take(&mut self.batch).len() as u64;
        }
        left + self.lost.saturating_sub(self.lost_told)
    }
}

impl Told {
    /// Waits until the agent was told all that it takes. To be called when the filter is gone.
    pub(super) fn finish(self) {
        match self.0.join() {
            Ok(0) => {}
            Ok(lost) => log::warn!("the agent was not told of {lost} requests"),
            Err(_) => log::warn!("the agent was not told of the last requests"),
        }
    }
}

/// The way to the agent.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    session: String,
    process: String,
    stream: Option<Socket>,
}

impl Link {
    fn report(&self, logs: &[Vec<u8>]) -> Vec<u8> {
        if logs.is_empty() {
            return Vec::new();
        }
        boundary_log::report(logs, &self.session, &self.process)
    }

    /// Sends frames whole, over another connection where there is none any more.
    fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        if let Some(mut stream) = self.stream.take()
            && stream.write_all(frames).is_ok()
        {
            self.stream = Some(stream);
            return Ok(());
        }
        // It is closed, or may have got a part of a frame.
        self.connect()?;
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let sent = stream.write_all(frames);
        if sent.is_err() {
            self.stream = None;
        }
        sent
    }

    fn connect(&mut self) -> io::Result<()> {
        let stream = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.connect(&SockAddr::unix(&self.path)?)?;
        let who = getsockopt(&stream, PeerCredentials)?.pid();
        if !is_outside(who) {
            return Err(io::Error::other(
                "whoever listens there may be the jailed command",
            ));
        }
        self.stream = Some(stream);
        Ok(())
    }
}

/// Whether a process that listens can't be the command's: it lives, and isn't below this one. (The
/// command's have numbers here. 0: it has none, so it is elsewhere.)
fn is_outside(process: i32) -> bool {
    if process == 0 {
        return true;
    }
    let lives = Path::new("/proc").join(process.to_string()).exists();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    lives && !reaper::with_descendants(own).contains(&process)
}

/// A session's name: a UUID, version 4.
fn session() -> io::Result<String> {
    let (high, low) = (random::number()?, random::number()?);
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    Ok(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    ))
}

/// What the agent calls the command: its program's name.
fn process(program: &str) -> String {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    clean(name.unwrap_or(program), LONGEST_PROCESS)
}

#[cfg(test)]
mod tests;
