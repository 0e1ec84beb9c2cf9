//! A gateway that is begun before there is a container: `create`, which is about to become the real
//! runtime, leaves a copy of itself behind (no program is loaded for it), and while the runtime makes
//! the container, that copy makes what needs none. Then the hook comes, and the copy is the keeper.
//!
//! It ends where no hook comes before `create` has ended, in whose process the real runtime runs.
//! Invariant: no hook depends on it. Where nobody answers, the hook starts a keeper as it would have
//! without this.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::keeper::{Ground, Groundwork, keep};
use super::order::{Hook, Order, TAKEN, heed};
use crate::container::meeting::{self, Meeting};
use crate::container::plan::Plan;
use crate::logging::{self, System};
use crate::sys::fork::Child;
use crate::sys::process::{self, Process};
use crate::sys::{confine, memory, signal, title};

/// The most that is read of an order: as of the record that is made of it.
const ORDER_LIMIT: u64 = 4 << 20;

/// How long a hook may take for all of its order.
const ORDERED_WITHIN: Duration = Duration::from_secs(5);

/// The most that is read of a keeper's words.
const WORDS_LIMIT: u64 = 4096;

/// Begins the gateway of this plan, if it is one of the container's `own`, and does `meanwhile`,
/// for which nobody has to wait: in copies of this process, which has no second thread.
///
/// # Errors
/// What opening the place to meet the hook, and `fork(2)`, give: nothing is begun then.
pub fn begin(plan: &Plan, own: bool, meanwhile: impl FnOnce()) -> anyhow::Result<()> {
    let caller = Process::open(std::process::id().cast_signed())?;
    let meeting = own.then(|| Meeting::open(&plan.state)).transpose();
    let meeting = meeting.context("open a place to meet the hook")?;
    let begun = Child::start(|| {
        let left = leave(plan, meeting.as_ref(), &caller, meanwhile);
        left.inspect_err(|error| log::warn!("can't begin the gateway before its hook: {error:#}"))
            .map_or(1, |()| 0)
    });
    if let (Err(_), Some(meeting)) = (&begun, meeting) {
        meeting.close();
    }
    Ok(begun.map(drop)?)
}

/// The copy's part: it leaves the keeper behind in its turn, so that this is no child of the real
/// runtime's, which may wait for any.
fn leave(
    plan: &Plan,
    meeting: Option<&Meeting>,
    caller: &Process,
    meanwhile: impl FnOnce(),
) -> anyhow::Result<()> {
    // The engine waits until its pipes are closed.
    process::leave_caller()?;
    signal::forget_callers()?;
    logging::to(System::about(&plan.container), plan.log_level);
    logging::tell_of_panics();
    let kept = meeting.map(AsFd::as_fd).into_iter().chain([caller.as_fd()]);
    confine::close_all_but(&kept.collect::<Vec<_>>())?;
    if let Some(meeting) = meeting {
        Child::start(|| i32::from(keeper(plan, meeting, caller).is_err()))?;
    }
    meanwhile();
    Ok(())
}

/// The keeper's life.
fn keeper(plan: &Plan, meeting: &Meeting, caller: &Process) -> anyhow::Result<()> {
    let found = be_ready(plan, meeting, caller);
    // Nobody else is to come.
    meeting.close();
    // The hook makes it then, and hears why it can't be made.
    let found = found.inspect_err(|error| log::warn!("the gateway was not begun: {error:#}"))?;
    let Some((begun, order, stream)) = found else {
        return Ok(());
    };
    let waits = !order.plan.ready_by_start;
    keep(
        order,
        Hook::Came { stream, waits },
        Ground::Laid(Box::new(begun)),
    )
}

/// Makes what needs no container, and waits for one.
fn be_ready(
    plan: &Plan,
    meeting: &Meeting,
    caller: &Process,
) -> anyhow::Result<Option<(Groundwork, Order, UnixStream)>> {
    confine::be_called(c"boundary-shim")?;
    title::go_by(&format!("boundary-shim proxy {}", plan.called()))?;
    let begun = Groundwork::lay(plan)?;
    // What `create` needed to decide the plan.
    memory::give_back();
    let found = await_order(plan, meeting, caller)?;
    Ok(found.map(|(order, stream)| (begun, order, stream)))
}

/// Waits for the hook; none where `create` has ended first.
fn await_order(
    plan: &Plan,
    meeting: &Meeting,
    caller: &Process,
) -> anyhow::Result<Option<(Order, UnixStream)>> {
    loop {
        let mut awaited =
            [meeting.as_fd(), caller.as_fd()].map(|one| PollFd::new(one, PollFlags::POLLIN));
        poll(&mut awaited, PollTimeout::NONE)?;
        let [_, ended] = awaited;
        if ended.any().unwrap_or(true) {
            return Ok(None);
        }
        // Who says nothing only looked whether anybody is here; and what was decided for another
        // policy has no use for what was begun.
        match meeting.receive().and_then(read) {
            Ok((order, stream)) if order.plan.policy == plan.policy => {
                return Ok(Some((order, stream)));
            }
            Ok(_) => log::info!("its hook came with another policy than create decided"),
            Err(error) => log::debug!("whoever came to the begun gateway gave no order: {error}"),
        }
    }
}

fn read(stream: UnixStream) -> io::Result<(Order, UnixStream)> {
    stream.set_read_timeout(Some(ORDERED_WITHIN))?;
    let mut text = Vec::new();
    (&stream).take(ORDER_LIMIT).read_to_end(&mut text)?;
    Ok((serde_json::from_slice(&text)?, stream))
}

/// Gives a container to the keeper that was begun for it. Returns once that has it, and, but for
/// one that may be ready by the container's start, once its gateway is ready. Says whether there was
/// such a keeper.
///
/// # Errors
/// The keeper's own, or that it says nothing within `patience`: the container must not be created
/// then.
pub fn hand_over(order: &Order, patience: Duration) -> anyhow::Result<bool> {
    let come = meeting::come(&order.plan.state).context("can't meet the begun gateway")?;
    let Some(stream) = come else {
        return Ok(false);
    };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut words = BufReader::new((&stream).take(WORDS_LIMIT));
    let (mut first, mut last) = (String::new(), String::new());
    let sent = (&stream)
        .write_all(&serde_json::to_vec(order)?)
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| words.read_line(&mut first));
    match sent {
        Err(error) if is_gone(&error) => return Ok(false),
        Ok(0) => return Ok(false),
        sent => sent.context("the begun gateway does not take the container")?,
    };
    if first.trim_end() == TAKEN && order.plan.ready_by_start {
        return Ok(true);
    }
    words
        .read_to_string(&mut last)
        .context("the begun gateway is not ready")?;
    match first.strip_prefix("taken\n") {
        Some(_) => heed(&last),
        None => heed(&format!("{first}{last}")),
    }
    .map(|()| true)
}

/// Whether the other end was closed without a word.
fn is_gone(error: &io::Error) -> bool {
    [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset].contains(&error.kind())
}
