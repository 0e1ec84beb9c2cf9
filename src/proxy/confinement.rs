//! What the filter may still do: move bytes between its sockets, open new ones for the internet
//! protocols, append to its record, and exit. Everything else is denied, and what only an intruder
//! would try kills it.
//!
//! Owns the list of system calls. What would need another one goes through the keeper instead.

use std::io;

use anyhow::Context;
use caps::Capability;
use libc::c_long;

use crate::sys::call_filter::{CallVerdict, INT, Rules, Test};
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
/// What the kernel gives.
pub fn deny_the_rest() -> io::Result<()> {
    rules().program()?.install()
}

fn rules() -> Rules {
    let mut rules = Rules::new(CallVerdict::Errno(libc::EPERM), CallVerdict::Kill);
    rules.add_all(DEADLY, CallVerdict::Kill);
    rules.add_all(ALLOWED, CallVerdict::Allow);
    for (call, tests) in ALLOWED_WITH {
        rules.add(*call, tests, CallVerdict::Allow);
    }
    let itself = (0, u64::MAX, u64::from(std::process::id()));
    rules.add(libc::SYS_tgkill, &[itself], CallVerdict::Allow);
    rules
}

/// kexec_file_load(2), which libc doesn't know everywhere (`scripts/syscall.tbl` of Linux).
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: c_long = 294;
#[cfg(not(target_arch = "aarch64"))]
const KEXEC_FILE_LOAD: c_long = libc::SYS_kexec_file_load;

/// What only an intruder tries.
#[rustfmt::skip]
const DEADLY: &[c_long] = &[
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd, libc::SYS_kcmp, // others' memory
    libc::SYS_setns, libc::SYS_unshare, libc::SYS_chroot, libc::SYS_pivot_root, libc::SYS_open_by_handle_at, // another place
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fspick, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_mount_setattr,
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_kexec_load, KEXEC_FILE_LOAD, libc::SYS_bpf, libc::SYS_perf_event_open,
    libc::SYS_userfaultfd, libc::SYS_io_uring_setup, libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key, // the kernel
];

/// What may be done whatever the arguments.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Move bytes.
    libc::SYS_read, libc::SYS_readv, libc::SYS_write, libc::SYS_writev, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_splice,
    // Make and end connections.
    libc::SYS_accept4, libc::SYS_bind, libc::SYS_connect, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_shutdown, libc::SYS_pipe2, libc::SYS_close,
    // Wait.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_eventfd2, #[cfg(target_arch = "x86_64")] libc::SYS_poll, libc::SYS_ppoll, libc::SYS_futex, libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_gettimeofday, libc::SYS_restart_syscall, libc::SYS_sched_yield,
    // Have memory, and look at a file that is open (by a path, there is none).
    libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_getrandom,
    // End.
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack, libc::SYS_getpid, libc::SYS_gettid,
];

/// The kind of a socket, without its flags (`SOCK_TYPE_MASK`).
const KIND: u64 = 0xf;
/// `PROT_EXEC`.
const EXECUTABLE: u64 = 4;

/// What may be done with these arguments only.
#[rustfmt::skip]
const ALLOWED_WITH: &[(c_long, &[Test])] = &[
    // No sockets but TCP's and UDP's.
    (libc::SYS_socket, &[(0, INT, libc::AF_INET as u64), (1, KIND, libc::SOCK_STREAM as u64)]),
    (libc::SYS_socket, &[(0, INT, libc::AF_INET as u64), (1, KIND, libc::SOCK_DGRAM as u64)]),
    (libc::SYS_socket, &[(0, INT, libc::AF_INET6 as u64), (1, KIND, libc::SOCK_STREAM as u64)]),
    (libc::SYS_socket, &[(0, INT, libc::AF_INET6 as u64), (1, KIND, libc::SOCK_DGRAM as u64)]),
    (libc::SYS_setsockopt, &[(1, INT, libc::SOL_SOCKET as u64)]),
    (libc::SYS_setsockopt, &[(1, INT, libc::IPPROTO_IP as u64)]),
    (libc::SYS_setsockopt, &[(1, INT, libc::IPPROTO_IPV6 as u64)]),
    (libc::SYS_setsockopt, &[(1, INT, libc::IPPROTO_TCP as u64)]),
    // Not `F_SETFL`: it could take `O_APPEND` from the record.
    (libc::SYS_fcntl, &[(1, INT, libc::F_DUPFD_CLOEXEC as u64)]),
    (libc::SYS_fcntl, &[(1, INT, libc::F_GETFD as u64)]),
    (libc::SYS_fcntl, &[(1, INT, libc::F_GETFL as u64)]),
    (libc::SYS_fcntl, &[(1, INT, libc::F_SETPIPE_SZ as u64)]),
    (libc::SYS_ioctl, &[(1, INT, request(libc::TIOCOUTQ))]),
    (libc::SYS_ioctl, &[(1, INT, request(libc::FIONREAD))]),
    (libc::SYS_ioctl, &[(1, INT, request(libc::FIONBIO))]),
    // No new code.
    (libc::SYS_mmap, &[(2, EXECUTABLE, 0)]),
    (libc::SYS_mprotect, &[(2, EXECUTABLE, 0)]),
];

#[cfg(test)]
mod tests {
    use libseccomp::error::SeccompError;
    use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

    use super::*;
    use crate::seccomp::proof::same;

    /// What libseccomp makes of the same lists.
    fn by_libseccomp() -> Result<ScmpFilterContext, SeccompError> {
        let number = |call: &c_long| ScmpSyscall::from(i32::try_from(*call).unwrap());
        let mut context = ScmpFilterContext::new(ScmpAction::Errno(libc::EPERM))?;
        context.set_act_badarch(ScmpAction::KillProcess)?;
        for call in DEADLY {
            context.add_rule(ScmpAction::KillProcess, number(call))?;
        }
        for call in ALLOWED {
            context.add_rule(ScmpAction::Allow, number(call))?;
        }
        let itself: &[Test] = &[(0, u64::MAX, u64::from(std::process::id()))];
        let itself = [(libc::SYS_tgkill, itself)];
        for (call, tests) in ALLOWED_WITH.iter().chain(&itself) {
            let is = |(argument, bits, value): &Test| {
                ScmpArgCompare::new(*argument, ScmpCompareOp::MaskedEqual(*bits), *value)
            };
            let tests: Vec<_> = tests.iter().map(is).collect();
            context.add_rule_conditional(ScmpAction::Allow, number(call), &tests)?;
        }
        Ok(context)
    }

    #[test]
    fn the_program_is_what_libseccomp_makes_of_the_lists() {
        same::must_be(&rules().program().unwrap(), &by_libseccomp().unwrap());
    }
}
