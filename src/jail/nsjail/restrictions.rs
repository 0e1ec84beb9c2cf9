//! What the command may not do in its jail, by its capabilities and a small seccomp filter.
//!
//! Owns both lists. Invariant: the command gets nothing that its caller hadn't; a new user namespace
//! hands out every capability.

use std::io;

use anyhow::Context;
use caps::{CapSet, Capability, CapsHashSet};
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use crate::sys::{confine, ioctl};

/// What it may keep of its caller's: about files, users and processes. Nothing about networks, devices,
/// others' memory or the kernel, by which it could reach past the filter.
const MAY_KEEP: [Capability; 17] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETFCAP,
    Capability::CAP_LINUX_IMMUTABLE,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_IPC_OWNER,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_NICE,
    Capability::CAP_SYS_RESOURCE,
    Capability::CAP_LEASE,
];

/// What the caller's rights come to in the jail: to be found out before there is a namespace.
#[derive(Debug, Clone)]
pub(in crate::jail) struct Kept(Vec<Capability>);

impl Kept {
    /// Of this process's.
    ///
    /// # Errors
    /// What `capget(2)` gives.
    pub(in crate::jail) fn of_caller() -> io::Result<Self> {
        let held: CapsHashSet = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
        let kept = MAY_KEEP.into_iter().filter(|one| held.contains(one));
        Ok(Self(kept.collect()))
    }

    /// Gives up everything else, for good.
    ///
    /// # Errors
    /// What the system calls give: nothing may be run then.
    pub(in crate::jail) fn give_up_others(&self) -> io::Result<()> {
        confine::bound_to(&self.0)
    }
}

/// Gives up everything else, for good; and makes no user namespace, where that could undo a mask.
///
/// # Errors
/// What can't be given up, named: nothing may be run then.
pub(super) fn confine(kept: &Kept, no_user_namespaces: bool) -> anyhow::Result<()> {
    kept.give_up_others().context("give up capabilities")?;
    deny_calls(no_user_namespaces).context("deny system calls")
}

/// Families of sockets that are of the network namespace, or of none: Unix, IPv4, IPv6, netlink and
/// packet sockets. AF_VSOCK isn't of it, and reaches the host of a virtual machine.
const FAMILIES: [i32; 5] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
];

/// An `int`'s bits: the kernel looks at no others.
const INT: u64 = 0xffff_ffff;

fn deny_calls(no_user_namespaces: bool) -> anyhow::Result<()> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Allow)?;
    // 32-bit programs, whose calls have other numbers.
    filter.set_act_badarch(ScmpAction::Errno(libc::ENOSYS))?;
    for name in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        deny(&mut filter, libc::ENOSYS, name, &[])?;
    }
    let last = FAMILIES.into_iter().max().unwrap_or_default();
    // (Pairs are of Unix sockets alone.)
    for family in (0..=last).filter(|family| !FAMILIES.contains(family)) {
        let is = ScmpCompareOp::MaskedEqual(INT);
        let family = ScmpArgCompare::new(0, is, u64::from(family.unsigned_abs()));
        deny(&mut filter, libc::EAFNOSUPPORT, "socket", &[family])?;
    }
    // By all bits of the argument: more than the kernel looks at only makes it larger.
    let beyond = ScmpArgCompare::new(0, ScmpCompareOp::Greater, u64::from(last.unsigned_abs()));
    deny(&mut filter, libc::EAFNOSUPPORT, "socket", &[beyond])?;
    // Words put into the terminal, which its shell would take for its user's.
    for request in [libc::TIOCSTI, libc::TIOCLINUX].map(ioctl::request) {
        let is = ScmpArgCompare::new(1, ScmpCompareOp::MaskedEqual(INT), request);
        deny(&mut filter, libc::EPERM, "ioctl", &[is])?;
    }
    if no_user_namespaces {
        add_no_user_namespaces(&mut filter)?;
    }
    Ok(filter.load()?)
}

/// Makes no user namespace any more.
///
/// # Errors
/// What libseccomp and the kernel give.
pub(in crate::jail) fn deny_user_namespaces() -> anyhow::Result<()> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Allow)?;
    add_no_user_namespaces(&mut filter)?;
    Ok(filter.load()?)
}

fn add_no_user_namespaces(filter: &mut ScmpFilterContext) -> anyhow::Result<()> {
    let new = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    for name in ["clone", "unshare"] {
        let asks = ScmpArgCompare::new(0, ScmpCompareOp::MaskedEqual(new), new);
        deny(filter, libc::EPERM, name, &[asks])?;
    }
    // Its flags are in memory. Who is told that there is no such call takes the other.
    deny(filter, libc::ENOSYS, "clone3", &[])
}

fn deny(
    filter: &mut ScmpFilterContext,
    errno: i32,
    name: &str,
    arguments: &[ScmpArgCompare],
) -> anyhow::Result<()> {
    let action = ScmpAction::Errno(errno);
    // Where this kind of machine has no such call, there is nothing to deny.
    let Ok(call) = ScmpSyscall::from_name(name) else {
        return Ok(());
    };
    if arguments.is_empty() {
        filter.add_rule(action, call)?;
    } else {
        filter.add_rule_conditional(action, call, arguments)?;
    }
    Ok(())
}
