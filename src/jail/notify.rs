//! `notify`: no namespace, no capability. A supervisor, in the jail's own process, makes the command's
//! sockets and connects them (seccomp_unotify(2)).
//!
//! ```text
//! the command ── socket(), connect(), … ──► the supervisor ── connect() ──► the filter ──► …
//!        ◄────────── a socket that leads there ──┘    └── whom it is for ──────┘
//! ```
//!
//! The command's sockets of TCP's are bound to the loopback interface by the supervisor, which it can't
//! undo; those of UDP's are Unix sockets. Landlock, where there is one, denies it every connection of
//! TCP's besides. `landjail` is the same where Landlock has to be there.
//!
//! Invariant: if the supervisor ends, nothing answers any more: every call that waits for it fails
//! (ENOSYS).

pub mod address;
mod arriving;
mod datagrams;
pub mod filter;
pub mod loopback;
pub mod message;
pub(super) mod pool;
mod ports;
pub mod request;
mod side;
mod sockets;
mod supervisor;
mod tcp;
mod udp;
mod unix;
pub(super) mod unix_sockets;

use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use caps::Capability;
use tokio::sync::mpsc::UnboundedReceiver;

use super::init::Init;
use super::inner::{Handed, LISTENER};
use super::jailed::{Jailed, Wanted};
use super::nsjail::masks::Masks;
use super::obstacle::Obstacle;
use super::options::Type;
use crate::jail::nsjail::restrictions::Kept;
use crate::proxy::{Sockets, told};
use crate::sys::notify::{self, Answer, Listener};
use crate::sys::{confine, stand_in};
use side::{Landlock, Side};
use supervisor::{Post, Supervisor};

/// What of the descriptors that this process may have is left for all else.
const KEPT_FREE: u64 = 256;
/// Descriptors that one socket takes at most.
const EACH: u64 = 3;
/// Threads that answer, at most. One waits as long as a Unix socket's server takes no connection.
const THREADS: usize = 64;

/// Jails the command.
///
/// # Errors
/// Why it can't be had here, and what would help.
pub(super) fn jail(wanted: &Wanted<'_>, jail_type: Type) -> anyhow::Result<Jailed> {
    refuse_by_yama()?;
    let side = Side {
        kept: Kept::of_caller()?,
        landlock: match jail_type {
            Type::Landjail => Landlock::Needed,
            _ => Landlock::IfThere,
        },
        settings: Masks::of_settings(),
    };
    let listener = stand_in::listen_for_ourselves(false).context("listen on the loopback")?;
    let v6 = stand_in::listen_for_ourselves(true).ok();
    let (filter, filter_v6) = (
        listener.local_addr()?,
        v6.as_ref().and_then(|v6| v6.local_addr().ok()),
    );
    let (telling, told) = told::pair()?;
    let init = Init::start(side, wanted.target).context("start the inner init")?;
    let root = init.pid();
    init.begin().context(jail_type.name())?;
    let allowed = Arc::clone(wanted.allowed);
    let policy = wanted.policy.clone();
    let host_ports = wanted.options.host_ports.clone();
    let post = move |listener| Post {
        listener,
        telling,
        filter,
        filter_v6,
        policy,
        host_ports,
        allowed,
        root,
        most: sockets_at_most(),
    };
    Ok(Jailed {
        jail_type,
        sockets: Sockets::told([listener].into_iter().chain(v6).collect(), told),
        init,
        beside: Some(Box::new(move |handed| {
            Box::pin(async move {
                match supervise(handed, post).await {
                    Ok(never) => match never {},
                    Err(error) => error.context("the supervisor"),
                }
            })
        })),
    })
}

fn sockets_at_most() -> usize {
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let files = files.map_or(KEPT_FREE, |(soft, _)| soft);
    usize::try_from(files.saturating_sub(KEPT_FREE) / EACH).unwrap_or_default()
}

/// Begins to answer when the command has handed out where its calls arrive, and goes on until that
/// fails.
async fn supervise(
    mut handed: UnboundedReceiver<Handed>,
    post: impl FnOnce(Listener) -> Post,
) -> anyhow::Result<std::convert::Infallible> {
    let listener = loop {
        let Handed { what, descriptor } = handed.recv().await.context("the inner init is gone")?;
        if what == LISTENER {
            break Listener::from_sent(descriptor);
        }
    };
    ensure!(
        listener.can_give(),
        "this kernel can't give sockets to the command (Linux 5.9): use --jail-type nsjail"
    );
    listener.run_in_turns();
    see(&listener)?;
    let supervisor = Arc::new(Supervisor::new(post(listener))?);
    pool::answer(Arc::clone(&supervisor), THREADS)?;
    let (failed, ends) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("datagrams".to_owned())
        .spawn(move || failed.send(supervisor.carry()))?;
    let ended = ends.await.context("a thread is gone")?;
    Err(ended.err().map_or_else(|| anyhow!("it ended"), Into::into))
}

/// Answers the command's first call, which only asks whether it can be read.
fn see(listener: &Listener) -> anyhow::Result<()> {
    let call = listener.receive().context("wait for its first call")?;
    let mut seen = [0; notify::PROBE.len()];
    let [_, at, ..] = call.arguments;
    let read = notify::read_memory(call.thread, at, &mut seen)
        .and_then(|()| notify::Memory::of(call.thread).map(drop));
    listener.answer(call.id, Answer::Errno(libc::EBADF));
    read.map_err(|error| anyhow!("{}", unreadable(&error)))?;
    if seen != notify::PROBE {
        bail!("the command's memory says something else");
    }
    Ok(())
}

/// Why a command's memory can't be read.
fn unreadable(error: &std::io::Error) -> String {
    format!(
        "the command's memory can't be read ({error}): something forbids it (a seccomp filter and /proc, or a \
         security module)"
    )
}

/// Refuses where Yama would let nobody read the command's memory: up to 1 those above a process may, at 2
/// who has the right to trace all, at 3 nobody (ptrace(2), "/proc/sys/kernel/yama/ptrace_scope").
fn refuse_by_yama() -> anyhow::Result<()> {
    // Where there is no such file, there is no Yama.
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let may_trace = confine::has(Capability::CAP_SYS_PTRACE)?;
    if let Some(obstacle) = yama_forbids(scope.trim_ascii(), may_trace) {
        let (why, fix) = obstacle.why_and_fix();
        bail!("notify can't be had here, because {why}: {fix}");
    }
    Ok(())
}

fn yama_forbids(scope: &str, may_trace: bool) -> Option<Obstacle> {
    match scope {
        "2" if !may_trace => Some(Obstacle::TracingNeedsRight),
        "3" => Some(Obstacle::NoTracing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yama_forbids_at_two_without_the_right_and_at_three() {
        for scope in ["", "0", "1"] {
            assert_eq!(yama_forbids(scope, false), None);
        }
        assert!(yama_forbids("2", false).is_some());
        assert_eq!(yama_forbids("2", true), None);
        for may_trace in [false, true] {
            assert!(yama_forbids("3", may_trace).is_some());
        }
    }
}
