//! What runs on the target's side: the reaper, the init, and the target until it is its program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use caps::Capability;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::inner::{Outer, TargetSide, ToInner, ToJail};
use super::target::{self, Target};
use crate::sys::channel::Channel;
use crate::sys::confine;
use crate::sys::fork::Child;
use crate::sys::process::Process;
use crate::sys::reaper::{self, ExitCode};
use crate::sys::signal::{self, CallersSignals, Ends};
use crate::sys::socket;

/// Where the target's side fails, the jail is told why; this is only for whoever looks at processes.
const FAILED: i32 = 1;

/// The reaper's life, from the clone to its end.
pub(super) fn live(outer: &Channel, side: impl TargetSide, target: &Target) -> i32 {
    told(outer, || reap(outer, side, target))
}

fn reap(outer: &Channel, mut side: impl TargetSide, target: &Target) -> anyhow::Result<i32> {
    let Some(ToInner::Begin) = hear(outer)? else {
        return Ok(FAILED);
    };
    side.settle(&Outer(outer))?;
    Outer(outer).tell(&ToJail::Settled)?;
    // The filter starts meanwhile. All waits for the jail's word when it is about to run.
    let callers = CallersSignals::kept()?;
    let ends = Ends::awaited()?;
    reaper::take_orphans()?;
    let itself = Process::open(std::process::id().cast_signed())?;
    let init = Child::start(|| told(outer, || init(outer, &itself, side, target, &callers)))?;
    let ended = settle_down().map_err(anyhow::Error::from).and_then(|()| {
        let above = [outer.as_fd()];
        await_end(&ends, &above, init.pid(), None)
    });
    end_all(target);
    Ok(ended?.map_or(FAILED, i32::from))
}

/// The init's life.
fn init(
    outer: &Channel,
    reaper: &Process,
    side: impl TargetSide,
    target: &Target,
    callers: &CallersSignals,
) -> anyhow::Result<i32> {
    let ends = Ends::awaited()?;
    reaper::take_orphans()?;
    let itself = std::process::id().cast_signed();
    let go = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
    let child = Child::start(|| {
        let life = || run(outer, itself, &go, side, target, callers);
        told(outer, life)
    })?;
    let ended = settle_down().map_err(anyhow::Error::from).and_then(|()| {
        let above = [outer.as_fd(), reaper.as_fd()];
        await_end(&ends, &above, child.pid(), Some((outer, &go)))
    });
    end_all(target);
    let code = ended?;
    if let Some(code) = code {
        Outer(outer).tell(&ToJail::Ended(code))?;
    }
    Ok(code.map_or(FAILED, i32::from))
}

/// Waits until this child has ended, and gives how; none where somebody above is gone. `heard`: does
/// meanwhile what the jail says, and passes on by the other that the child may run.
fn await_end(
    ends: &Ends,
    above: &[BorrowedFd<'_>],
    child: i32,
    heard: Option<(&Channel, &EventFd)>,
) -> anyhow::Result<Option<ExitCode>> {
    loop {
        match (wait(ends, above, heard.is_some())?, heard) {
            (Event::Gone, _) => return Ok(None),
            (Event::Heard, Some((outer, go))) => match hear(outer)? {
                Some(ToInner::Go) => {
                    go.write(1)?;
                }
                Some(ToInner::Signal(number)) => signal::send(child, number),
                Some(ToInner::Connect(port)) => connect(outer, port)?,
                _ => {}
            },
            (Event::Heard, None) => {}
            (Event::Ended, _) => {
                if let Some(code) = reaper::bury(child)? {
                    return Ok(Some(code));
                }
            }
        }
    }
}

/// Whatever happened: nothing of the target's is to be left.
fn end_all(target: &Target) {
    reaper::end_descendants(None);
    target.remove_folder();
}

/// Makes a connection to a server of the target's. Never waits: a server that takes none would have the
/// init deaf.
fn connect(outer: &Channel, port: u16) -> io::Result<()> {
    match socket::to_own_port(port) {
        Ok(connection) => Outer(outer).hand_connection(connection.as_fd()),
        Err(_) => Outer(outer).tell(&ToJail::NotConnected),
    }
}

/// The target, until it is its program.
fn run(
    outer: &Channel,
    init: i32,
    go: &EventFd,
    mut side: impl TargetSide,
    target: &Target,
    callers: &CallersSignals,
) -> anyhow::Result<i32> {
    callers.restore()?;
    side.confine(&Outer(outer))?;
    confine::end_with_parent(init)?;
    // If nobody is left who would say so, this ends with the init.
    await_go(go)?;
    let error = target.become_it();
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
    Outer(outer).tell(&ToJail::CantRun(errno))?;
    Ok(target::code_of(&error).into())
}

fn await_go(go: &EventFd) -> io::Result<()> {
    loop {
        match go.read() {
            Err(Errno::EINTR) => {}
            told => return Ok(told.map(drop)?),
        }
    }
}

/// Does a task, and tells the jail why it failed. (Where the jail is gone, there is nobody to be
/// told.)
fn told(outer: &Channel, task: impl FnOnce() -> anyhow::Result<i32>) -> i32 {
    task().unwrap_or_else(|error| {
        let _ = Outer(outer).tell(&ToJail::Failed(format!("{error:#}")));
        FAILED
    })
}

/// What the reaper and the init become when their child runs: deaf to what is meant for that, and
/// without any right but to end what runs below them as another user.
fn settle_down() -> io::Result<()> {
    signal::ignore_requests()?;
    confine::keep_at_most(&[Capability::CAP_KILL])
}

enum Event {
    /// Somebody above is gone.
    Gone,
    /// The jail says something.
    Heard,
    /// A child has ended.
    Ended,
}

/// Waits for what is next. `above`: the jail's words first; readable, or hung up, when those above are
/// gone. `heard`: the jail's words are no end.
fn wait(ends: &Ends, above: &[BorrowedFd<'_>], heard: bool) -> io::Result<Event> {
    let (words, others) = above.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let wanted = if heard {
        PollFlags::POLLIN
    } else {
        PollFlags::empty()
    };
    let mut polled = vec![
        PollFd::new(ends.as_fd(), PollFlags::POLLIN),
        PollFd::new(*words, wanted),
    ];
    polled.extend(
        others
            .iter()
            .map(|one| PollFd::new(*one, PollFlags::POLLIN)),
    );
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled?,
        };
        let happened: Vec<PollFlags> = polled
            .iter()
            .map(|one| one.revents().unwrap_or(PollFlags::POLLERR))
            .collect();
        let [child, words, others @ ..] = happened.as_slice() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if words.contains(PollFlags::POLLHUP) || others.iter().any(|one| !one.is_empty()) {
            return Ok(Event::Gone);
        }
        if words.contains(PollFlags::POLLIN) {
            return Ok(Event::Heard);
        }
        if !child.is_empty() {
            ends.clear()?;
            return Ok(Event::Ended);
        }
    }
}

/// What the jail says; none where it is gone.
fn hear(outer: &Channel) -> anyhow::Result<Option<ToInner>> {
    let message = outer.receive(true)?;
    if message.bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&message.bytes)?))
}
