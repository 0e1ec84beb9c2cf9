//! What the command may not do in its jail, by its capabilities and a small seccomp filter.
//!
//! Owns both lists. Invariant: the command gets nothing that its caller hadn't; a new user namespace
//! hands out every capability.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};

use crate::sys::call_filter::{CallVerdict, INT, Rules};
use crate::sys::upcalls;
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

/// Families of sockets that are of the network namespace, or of none: Unix, IPv4, IPv6, netlink and
/// packet sockets. AF_VSOCK isn't of it, and reaches the host of a virtual machine.
const FAMILIES: [i32; 5] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
];

/// What the command may not call. `no_user_namespaces`: nor make a user namespace, where that could undo a
/// mask.
pub(super) fn rules(no_user_namespaces: bool) -> Rules {
    // 32-bit programs, whose calls have other numbers.
    let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Errno(libc::ENOSYS));
    rules.add_all(
        &[
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ],
        CallVerdict::Errno(libc::ENOSYS),
    );
    // By all bits of the argument: those that the kernel doesn't look at are of no use to anybody.
    for family in FAMILIES {
        let is = (0, u64::MAX, u64::from(family.unsigned_abs()));
        rules.add(libc::SYS_socket, &[is], CallVerdict::Allow);
    }
    // (Pairs are of Unix sockets alone.)
    rules.add(
        libc::SYS_socket,
        &[],
        CallVerdict::Errno(libc::EAFNOSUPPORT),
    );
    deny_words_to_terminal(&mut rules);
    upcalls::deny(&mut rules);
    if no_user_namespaces {
        add_no_user_namespaces(&mut rules);
    }
    rules
}

/// Puts no words into the terminal, which its shell would take for its user's.
pub(in crate::jail) fn deny_words_to_terminal(rules: &mut Rules) {
    for request in [libc::TIOCSTI, libc::TIOCLINUX].map(ioctl::request) {
        let is = (1, INT, request);
        rules.add(libc::SYS_ioctl, &[is], CallVerdict::Errno(libc::EPERM));
    }
}

/// Makes no user namespace any more.
///
/// # Errors
/// What the kernel gives.
pub(in crate::jail) fn deny_user_namespaces() -> io::Result<()> {
    let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Errno(libc::ENOSYS));
    add_no_user_namespaces(&mut rules);
    rules.program()?.install()
}

fn add_no_user_namespaces(rules: &mut Rules) {
    let new = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        rules.add(call, &[(0, new, new)], CallVerdict::Errno(libc::EPERM));
    }
    // Its flags are in memory. Who is told that there is no such call takes the other.
    rules.add(libc::SYS_clone3, &[], CallVerdict::Errno(libc::ENOSYS));
}

#[cfg(test)]
mod tests {
    use libseccomp::error::SeccompError;
    use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

    use super::*;
    use crate::seccomp::proof::same;

    /// The same rules, as libseccomp takes them.
    fn by_libseccomp(no_user_namespaces: bool) -> Result<ScmpFilterContext, SeccompError> {
        let call = |name| ScmpSyscall::from_name(name).unwrap();
        let errno = ScmpAction::Errno;
        let compare = ScmpArgCompare::new;
        let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
        context.set_act_badarch(errno(libc::ENOSYS))?;
        for name in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
            context.add_rule(errno(libc::ENOSYS), call(name))?;
        }
        let refused = errno(libc::EAFNOSUPPORT);
        for family in (0..=17).filter(|family| !FAMILIES.contains(family)) {
            let is = ScmpCompareOp::MaskedEqual(INT);
            let is = compare(0, is, u64::from(family.unsigned_abs()));
            context.add_rule_conditional(refused, call("socket"), &[is])?;
        }
        let beyond = compare(0, ScmpCompareOp::Greater, 17);
        context.add_rule_conditional(refused, call("socket"), &[beyond])?;
        for request in [0x5412, 0x541c] {
            let is = compare(1, ScmpCompareOp::MaskedEqual(INT), request);
            context.add_rule_conditional(errno(libc::EPERM), call("ioctl"), &[is])?;
        }
        let called_out = compare(2, ScmpCompareOp::NotEqual, 0);
        context.add_rule_conditional(errno(libc::EPERM), call("request_key"), &[called_out])?;
        if no_user_namespaces {
            let new = 0x1000_0000;
            for name in ["clone", "unshare"] {
                let asks = compare(0, ScmpCompareOp::MaskedEqual(new), new);
                context.add_rule_conditional(errno(libc::EPERM), call(name), &[asks])?;
            }
            context.add_rule(errno(libc::ENOSYS), call("clone3"))?;
        }
        Ok(context)
    }

    #[test]
    fn the_program_is_what_libseccomp_makes_of_the_rules() {
        for no_user_namespaces in [false, true] {
            let ours = rules(no_user_namespaces).program().unwrap();
            same::must_be(&ours, &by_libseccomp(no_user_namespaces).unwrap());
        }
    }
}
