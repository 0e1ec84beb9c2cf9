//! `nsjail`: the command in a user and a network namespace of its own, in which every address of the
//! world is local and what is sent is captured by the kernel, as in a container's gateway.
//!
//! The filter stays outside, and dials as its caller does. Its sockets are opened inside and handed
//! out; those that answer datagrams are raw, so that nobody of ours has to be inside.

mod judge;
pub(super) mod masks;
mod network;
pub(super) mod restrictions;
mod user;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use caps::Capability;
use nix::sched::CloneFlags;

use super::init::Init;
use super::inner::{Handed, Outer, TargetSide};
use super::jailed::{Jailed, Wanted};
use super::obstacle::Obstacle;
use super::options::Type;
use super::ports;
use crate::policy::CapturedPorts;
use crate::proxy::Sockets;
use crate::sys::call_filter::CallVerdict;
use crate::sys::probe::Probe;
use crate::sys::sock_diag::UnixSockets;
use crate::sys::{confine, socket};
use judge::UNIX_SOCKETS;
use masks::Masks;
use restrictions::Kept;

/// Jails the command.
///
/// # Errors
/// Why it can't be had here, and what would help.
pub(super) fn jail(wanted: &Wanted<'_>) -> anyhow::Result<Jailed> {
    let in_user_namespace = !wanted.options.no_user_namespace;
    if !in_user_namespace {
        for needed in [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN] {
            let (why, fix) = Obstacle::NoCapabilities.why_and_fix();
            ensure!(
                confine::has(needed)?,
                "{why}, and this process hasn't {needed}: {fix}"
            );
        }
    }
    let side = Inside {
        in_user_namespace,
        captured: wanted.policy.captured_ports(),
        host_ports: wanted.options.host_ports.clone(),
        masks: Masks::for_caller(
            &wanted.options.allow_sockets,
            wanted.options.audit_socket.as_deref(),
            !in_user_namespace,
        ),
        kept: Kept::of_caller()?,
    };
    let init = Init::start(side, wanted.target)
        .map_err(|error| anyhow!("{}", refused(&error, in_user_namespace)))?;
    if in_user_namespace {
        user::map(init.pid())?;
    }
    let handed = init.begin().context("nsjail")?;
    let each = handed
        .into_iter()
        .map(|Handed { what, descriptor }| (what, descriptor));
    let (ports, each): (Vec<_>, Vec<_>) = each.partition(|(what, _)| what.starts_with(HOST_PORT));
    let ports = ports.into_iter().filter_map(|(what, listener)| {
        let port = what.strip_prefix(HOST_PORT)?.parse().ok()?;
        Some((port, listener))
    });
    let ports: Vec<(u16, OwnedFd)> = ports.collect();
    let (own, each): (Vec<_>, Vec<_>) =
        each.into_iter().partition(|(what, _)| what == UNIX_SOCKETS);
    let (_, own) = own
        .into_iter()
        .next()
        .context("nsjail: nothing tells of its Unix sockets")?;
    let own = UnixSockets::from_descriptor(own);
    let sockets = Sockets::from_handed(each).context("take the filter's sockets")?;
    let allowed = Arc::clone(wanted.allowed);
    Ok(Jailed {
        jail_type: Type::Nsjail,
        sockets,
        init,
        beside: Some(Box::new(|handed| {
            Box::pin(async move {
                tokio::select! {
                    failed = ports::lead_outside(ports) => failed,
                    failed = judge::judge(handed, own, allowed) => failed,
                }
            })
        })),
    })
}

/// The word, before the port, for a listener that leads to a port of this host.
const HOST_PORT: &str = "host port ";

/// What happens inside.
struct Inside {
    in_user_namespace: bool,
    captured: CapturedPorts,
    host_ports: Vec<u16>,
    masks: Masks,
    kept: Kept,
}

impl TargetSide for Inside {
    fn namespaces(&self) -> CloneFlags {
        if self.in_user_namespace {
            CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET
        } else {
            // Nothing else keeps root from tracing the processes outside that have no more rights than
            // it has left; nor from entering what belongs to its user, by their namespaces.
            CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID
        }
    }

    fn settle(&mut self, outer: &Outer<'_>) -> anyhow::Result<()> {
        network::set_up(&self.captured)?;
        Sockets::open_for_outsider()
            .and_then(|sockets| sockets.hand_out(|what, socket| outer.hand(what, socket)))
            .context("open the filter's sockets")?;
        for port in &self.host_ports {
            socket::listen_on_own_port(*port)
                .and_then(|listener| outer.hand(&format!("{HOST_PORT}{port}"), listener.as_fd()))
                .with_context(|| format!("open port {port} of this host to the command"))?;
        }
        judge::hand_out_sockets(outer)?;
        self.masks.put_on()
    }

    fn confine(&mut self, outer: &Outer<'_>) -> anyhow::Result<()> {
        self.kept.give_up_others().context("give up capabilities")?;
        let rules = restrictions::rules(self.masks.must_last());
        let mut judged = rules.clone();
        judged.add(libc::SYS_connect, &[], CallVerdict::Notify);
        judge::install(&judged, &rules, outer).context("deny system calls")
    }
}

/// Why there are no namespaces, and what would help: the kernel's errno tells who denied them.
fn refused(error: &io::Error, in_user_namespace: bool) -> String {
    let which = if in_user_namespace {
        "a user and a network namespace"
    } else {
        "a network namespace"
    };
    let obstacle = match error.raw_os_error() {
        // The kernel's own refusal has the same number: it is told apart by a call that it refuses
        // for another reason, if it gets to see it.
        Some(libc::EPERM) if in_user_namespace && !Probe::Namespaces.is_denied() => {
            Some(Obstacle::KernelSetting)
        }
        Some(libc::EPERM) => Some(Obstacle::Seccomp),
        Some(libc::EACCES) => Some(Obstacle::SecurityModule),
        Some(libc::ENOSPC) => Some(Obstacle::NamespacesUsedUp),
        Some(libc::EINVAL | libc::ENOSYS) => Some(Obstacle::NoNamespaces),
        _ => None,
    };
    let (why, fix) = obstacle.map_or(
        ("the kernel refuses", "look at its log"),
        Obstacle::why_and_fix,
    );
    format!("nsjail can't be had here, because {which} can't be made ({error}): {why}; {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_tells_who_denies() {
        let says = |errno| refused(&io::Error::from_raw_os_error(errno), true);
        // No filter denies it to this test.
        assert!(says(libc::EPERM).contains("kernel.unprivileged_userns_clone"));
        let alone = refused(&io::Error::from_raw_os_error(libc::EPERM), false);
        assert!(alone.contains("gen-seccomp"));
        assert!(says(libc::EACCES).contains("AppArmor"));
        assert!(says(libc::ENOSPC).contains("user.max_user_namespaces"));
    }
}
