//! What the filter may still do: move bytes between its sockets, open new ones for the internet
//! protocols, append to its record, and exit. Everything else is denied, and what only an intruder
//! would try kills it.
//!
//! Owns the list of system calls. What would need another one goes through the keeper instead.

use std::io;

use anyhow::Context;
use caps::Capability;
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use crate::sys::confine::{self, keep_for_sockets};
use crate::sys::ioctl::request;
use crate::sys::netns::{Namespace, NamespaceThread};

/// Where the filter will live.
#[derive(Debug)]
pub struct Cell<'a> {
    /// The keeper, whose end is the filter's.
    pub keeper: i32,
    /// The gateway, where the filter doesn't dial from there and so needs a thread that answers
    /// from there.
    pub inside: Option<&'a Namespace>,
    /// What it can give up.
    pub rights: Rights,
}

/// What a process needs to be confined wholly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// It is root: the filter becomes nobody, in an empty root.
    Root {
        /// Whether its sockets are to speak for others, unless a thread of its own does that.
        speaks_for_others: bool,
    },
    /// It has no such rights: the filter stays its caller's user and keeps its root. It can open no
    /// file all the same, since no system call is left that would.
    Callers,
}

impl Rights {
    /// Those of this process, for a filter that speaks for itself alone.
    ///
    /// # Errors
    /// What `capget(2)` gives.
    pub fn of_caller() -> io::Result<Self> {
        const NEEDED: [Capability; 5] = [
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_SYS_CHROOT,
            Capability::CAP_SETUID,
            Capability::CAP_SETGID,
            Capability::CAP_SETPCAP,
        ];
        for needed in NEEDED {
            if !confine::has(needed)? {
                return Ok(Self::Callers);
            }
        }
        Ok(Self::Root {
            speaks_for_others: false,
        })
    }
}

/// Confines this process, which has no second thread, for good. Gives the thread in the gateway.
///
/// # Errors
/// What can't be given up, named: the process must not go on then.
pub fn confine(cell: &Cell<'_>) -> anyhow::Result<Option<NamespaceThread>> {
    confine::be_called(c"boundary-filter")?;
    if cell.rights != Rights::Callers {
        confine::have_no_files().context("leave the host's file system")?;
        confine::become_nobody().context("switch to the user nobody")?;
    }
    confine::end_with_parent(cell.keeper).context("tie its life to the keeper's")?;
    let resident = cell
        .inside
        .map(|gateway| NamespaceThread::move_in(gateway, keep_for_sockets))
        .transpose();
    let resident = resident.context("start the thread in the gateway")?;
    // Who has a thread in the gateway needs no right outside of it.
    let given_up = match cell.rights {
        Rights::Callers => confine::keep_at_most(&[]),
        Rights::Root { speaks_for_others } if speaks_for_others && resident.is_none() => {
            keep_for_sockets()
        }
        Rights::Root { .. } => confine::keep_only(&[]),
    };
    given_up.context("give up privileges")?;
    Ok(resident)
}

/// Denies every system call that isn't on the list, to all threads, for good. (Those of other
/// machines that this one runs too, like 32-bit ones, kill.)
///
/// # Errors
/// What libseccomp and the kernel give.
pub fn deny_the_rest() -> anyhow::Result<()> {
    let mut context = ScmpFilterContext::new(ScmpAction::Errno(libc::EPERM))?;
    context.set_act_badarch(ScmpAction::KillProcess)?;
    context.set_ctl_tsync(true)?;
    context.set_ctl_optimize(BY_NUMBER)?;
    for call in DEADLY.iter().filter_map(known) {
        context.add_rule(ScmpAction::KillProcess, call)?;
    }
    for call in ALLOWED.iter().filter_map(known) {
        context.add_rule(ScmpAction::Allow, call)?;
    }
    for (name, arguments) in ALLOWED_WITH {
        let is = |(place, mask, value): &(u32, u64, u64)| {
            ScmpArgCompare::new(*place, ScmpCompareOp::MaskedEqual(*mask), *value)
        };
        let arguments: Vec<_> = arguments.iter().map(is).collect();
        if let Some(call) = known(name) {
            context.add_rule_conditional(ScmpAction::Allow, call, &arguments)?;
        }
    }
    let itself = ScmpArgCompare::new(0, ScmpCompareOp::Equal, u64::from(std::process::id()));
    context.add_rule_conditional(
        ScmpAction::Allow,
        ScmpSyscall::from_name("tgkill")?,
        &[itself],
    )?;
    Ok(context.load()?)
}

/// A call by its name: none where this kind of machine has no such call.
fn known(name: &&str) -> Option<ScmpSyscall> {
    ScmpSyscall::from_name(name).ok()
}

/// libseccomp's word for a tree of comparisons instead of a chain (seccomp_attr_set(3),
/// `SCMP_FLTATR_CTL_OPTIMIZE`).
const BY_NUMBER: u32 = 2;

/// What only an intruder tries.
#[rustfmt::skip]
const DEADLY: &[&str] = &[
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", // others' memory
    "setns", "unshare", "chroot", "pivot_root", "open_by_handle_at", // another place
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fspick", "fsconfig", "fsmount", "mount_setattr",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open",
    "userfaultfd", "io_uring_setup", "keyctl", "add_key", "request_key", // the kernel
];

/// What may be done whatever the arguments.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    // Move bytes.
    "read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg", "splice",
    // Make and end connections.
    "accept4", "bind", "connect", "getsockname", "getpeername", "getsockopt", "shutdown", "pipe2", "close",
    // Wait.
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "poll", "ppoll", "futex", "clock_gettime",
    "clock_nanosleep", "nanosleep", "gettimeofday", "restart_syscall", "sched_yield",
    // Have memory, and look at a file that is open (by a path, there is none).
    "brk", "munmap", "mremap", "madvise", "fstat", "newfstatat", "statx", "getrandom",
    // End.
    "exit", "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "getpid", "gettid",
];

/// An argument's place, the bits of it that count, and what they must be.
type Argument = (u32, u64, u64);

/// An `int`'s bits: the kernel looks at no others.
const INT: u64 = 0xffff_ffff;
/// The kind of a socket, without its flags (`SOCK_TYPE_MASK`).
const KIND: u64 = 0xf;
/// `PROT_EXEC`.
const EXECUTABLE: u64 = 4;

/// What may be done with these arguments only.
#[rustfmt::skip]
const ALLOWED_WITH: &[(&str, &[Argument])] = &[
    // No sockets but TCP's and UDP's.
    ("socket", &[(0, INT, libc::AF_INET as u64), (1, KIND, libc::SOCK_STREAM as u64)]),
    ("socket", &[(0, INT, libc::AF_INET as u64), (1, KIND, libc::SOCK_DGRAM as u64)]),
    ("socket", &[(0, INT, libc::AF_INET6 as u64), (1, KIND, libc::SOCK_STREAM as u64)]),
    ("socket", &[(0, INT, libc::AF_INET6 as u64), (1, KIND, libc::SOCK_DGRAM as u64)]),
    ("setsockopt", &[(1, INT, libc::SOL_SOCKET as u64)]),
    ("setsockopt", &[(1, INT, libc::IPPROTO_IP as u64)]),
    ("setsockopt", &[(1, INT, libc::IPPROTO_IPV6 as u64)]),
    ("setsockopt", &[(1, INT, libc::IPPROTO_TCP as u64)]),
    // Not `F_SETFL`: it could take `O_APPEND` from the record.
    ("fcntl", &[(1, INT, libc::F_DUPFD_CLOEXEC as u64)]),
    ("fcntl", &[(1, INT, libc::F_GETFD as u64)]),
    ("fcntl", &[(1, INT, libc::F_GETFL as u64)]),
    ("fcntl", &[(1, INT, libc::F_SETPIPE_SZ as u64)]),
    ("ioctl", &[(1, INT, request(libc::TIOCOUTQ))]),
    ("ioctl", &[(1, INT, request(libc::FIONREAD))]),
    ("ioctl", &[(1, INT, request(libc::FIONBIO))]),
    // No new code.
    ("mmap", &[(2, EXECUTABLE, 0)]),
    ("mprotect", &[(2, EXECUTABLE, 0)]),
];
