//! Which of a command's system calls wait for the supervisor, and which fail at once: by registers
//! alone, which nobody can change while a call waits.
//!
//! Calls that take an address wait, and those that make a socket. What could reach the network
//! otherwise isn't there at all: io_uring, and the calls of other machines (32 bits, x32), which would
//! have numbers of their own.

use std::fs::File;
use std::io::{Read, Seek};

use anyhow::Context;
use libseccomp::{
    ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, error::SeccompError,
};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::sys::ioctl;

/// A program of classic BPF, instruction by instruction (`struct sock_filter`).
pub type Program = Vec<[u8; 8]>;

/// What waits for the supervisor, whatever its arguments.
const ASKED: &[&str] = &[
    "socket",
    "connect",
    "bind",
    "listen",
    "getsockname",
    "getpeername",
    "sendmsg",
    "sendmmsg",
    "recvmsg",
];

/// What waits where this argument, the address, isn't null.
const ASKED_WITH_ADDRESS: &[(&str, u32)] = &[("sendto", 4), ("recvfrom", 4)];

/// Options of UDP and of IP, which the socket that stands in for one of UDP's hasn't.
const ASKED_AT_LEVELS: &[i32] = &[libc::SOL_IP, libc::SOL_IPV6, libc::SOL_UDP];

/// What doesn't exist.
const MISSING: &[&str] = &["io_uring_setup", "io_uring_enter", "io_uring_register"];

/// What would reach into processes outside, of the same user, which nothing else keeps apart where
/// there is no Landlock.
const INTO_OTHERS: &[&str] = &[
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
];

/// An `int`'s bits: the kernel looks at no others.
const INT: u64 = 0xffff_ffff;

/// The program. `keeps_apart`: whether Landlock keeps the command from processes outside; else what
/// would reach into any process is forbidden.
///
/// # Errors
/// What libseccomp gives.
pub fn program(keeps_apart: bool) -> anyhow::Result<Program> {
    let context = rules(keeps_apart).context("make the seccomp filter")?;
    // Before 2.6 libseccomp exports to a descriptor only.
    let memory = memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC)?;
    context.export_bpf(&memory)?;
    let mut bytes = Vec::new();
    let mut file = File::from(memory);
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let (instructions, _) = bytes.as_chunks();
    Ok(instructions.to_vec())
}

fn rules(keeps_apart: bool) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    context.set_act_badarch(ScmpAction::Errno(libc::ENOSYS))?;
    for name in ASKED {
        context.add_rule(ScmpAction::Notify, ScmpSyscall::from_name(name)?)?;
    }
    for (name, address) in ASKED_WITH_ADDRESS {
        let given = ScmpArgCompare::new(*address, ScmpCompareOp::NotEqual, 0);
        let call = ScmpSyscall::from_name(name)?;
        context.add_rule_conditional(ScmpAction::Notify, call, &[given])?;
    }
    // Without a name, it connects by its first bytes.
    let fast_open = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
    let fast_open = ScmpArgCompare::new(3, ScmpCompareOp::MaskedEqual(fast_open), fast_open);
    let unnamed = ScmpArgCompare::new(4, ScmpCompareOp::Equal, 0);
    context.add_rule_conditional(
        ScmpAction::Errno(libc::EOPNOTSUPP),
        ScmpSyscall::from_name("sendto")?,
        &[unnamed, fast_open],
    )?;
    for level in ASKED_AT_LEVELS {
        let at = u64::from(level.cast_unsigned());
        let at = ScmpArgCompare::new(1, ScmpCompareOp::MaskedEqual(INT), at);
        let call = ScmpSyscall::from_name("setsockopt")?;
        context.add_rule_conditional(ScmpAction::Notify, call, &[at])?;
    }
    let other_pair = ScmpArgCompare::new(
        0,
        ScmpCompareOp::NotEqual,
        u64::from(libc::AF_UNIX.cast_unsigned()),
    );
    context.add_rule_conditional(
        ScmpAction::Errno(libc::EAFNOSUPPORT),
        ScmpSyscall::from_name("socketpair")?,
        &[other_pair],
    )?;
    // Words put into the terminal, which its shell would take for its user's.
    for request in [libc::TIOCSTI, libc::TIOCLINUX].map(ioctl::request) {
        let is = ScmpArgCompare::new(1, ScmpCompareOp::MaskedEqual(INT), request);
        let call = ScmpSyscall::from_name("ioctl")?;
        context.add_rule_conditional(ScmpAction::Errno(libc::EPERM), call, &[is])?;
    }
    for name in MISSING {
        let call = ScmpSyscall::from_name(name)?;
        context.add_rule(ScmpAction::Errno(libc::ENOSYS), call)?;
    }
    for name in INTO_OTHERS.iter().filter(|_| !keeps_apart) {
        let call = ScmpSyscall::from_name(name)?;
        context.add_rule(ScmpAction::Errno(libc::EPERM), call)?;
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::cbpf;

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    /// What a program says of a call.
    fn verdict(keeps_apart: bool, machine: u32, call: i64, arguments: [u64; 6]) -> u32 {
        let program = program(keeps_apart).unwrap();
        let instructions: Vec<_> = program
            .iter()
            .map(|raw| libc::sock_filter {
                code: u16::from_ne_bytes([raw[0], raw[1]]),
                jt: raw[2],
                jf: raw[3],
                k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
            })
            .collect();
        let mut words = [0; 16];
        words[0] = u32::try_from(call).unwrap();
        words[1] = machine;
        for (at, argument) in arguments.iter().enumerate() {
            words[4 + 2 * at] = u32::try_from(argument & 0xffff_ffff).unwrap();
            words[5 + 2 * at] = u32::try_from(argument >> 32).unwrap();
        }
        cbpf::evaluate(&instructions, &words).unwrap_or_else(|_| panic!("an invalid program"))
    }

    fn errno(number: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | number.cast_unsigned()
    }

    const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_takes_an_address_waits() {
        let of = |call, arguments| verdict(true, X86_64, call, arguments);
        for call in [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_sendmsg,
            libc::SYS_sendmmsg,
            libc::SYS_recvmsg,
        ] {
            assert_eq!(of(call, [0; 6]), NOTIFY, "{call}");
            assert_eq!(of(call, [u64::MAX; 6]), NOTIFY, "{call}");
        }
        assert_eq!(of(libc::SYS_sendto, [3, 1, 1, 0, 0, 0]), ALLOW);
        assert_eq!(of(libc::SYS_sendto, [3, 1, 1, 0, 1 << 32, 16]), NOTIFY);
        assert_eq!(of(libc::SYS_recvfrom, [3, 1, 1, 0, 0, 0]), ALLOW);
        assert_eq!(of(libc::SYS_recvfrom, [3, 1, 1, 0, 1 << 32, 1]), NOTIFY);
        assert_eq!(of(libc::SYS_write, [3; 6]), ALLOW);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_would_go_around_it_is_not_there() {
        let of = |call, arguments| verdict(true, X86_64, call, arguments);
        for call in [
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ] {
            assert_eq!(of(call, [0; 6]), errno(libc::ENOSYS));
        }
        let fast = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
        for flags in [fast, fast | 0x4000, fast | (1 << 40)] {
            let says = of(libc::SYS_sendto, [3, 1, 1, flags, 0, 0]);
            assert_eq!(says, errno(libc::EOPNOTSUPP));
        }
        for family in [libc::AF_TIPC, libc::AF_INET] {
            let family = u64::from(family.cast_unsigned());
            let pair = of(libc::SYS_socketpair, [family, 1, 0, 0, 0, 0]);
            assert_eq!(pair, errno(libc::EAFNOSUPPORT));
        }
        // What the kernel doesn't look at doesn't make a pair of Unix sockets of it.
        let disguised = of(libc::SYS_socketpair, [(1 << 32) | 30, 1, 0, 0, 0, 0]);
        assert_eq!(disguised, errno(libc::EAFNOSUPPORT));
        assert_eq!(of(libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]), ALLOW);
        // x32, and 32 bits.
        let x32 = 0x4000_0000 + libc::SYS_socket;
        assert_eq!(of(x32, [2, 1, 0, 0, 0, 0]), errno(libc::ENOSYS));
        let socketcall = verdict(true, I386, 102, [1, 0, 0, 0, 0, 0]);
        assert_eq!(socketcall, errno(libc::ENOSYS));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn without_landlock_nothing_reaches_into_other_processes() {
        for call in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
        ] {
            let forbidden = verdict(false, X86_64, call, [0; 6]);
            assert_eq!(forbidden, errno(libc::EPERM));
            assert_eq!(verdict(true, X86_64, call, [0; 6]), ALLOW);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn options_that_a_stand_in_has_not_wait() {
        let of = |level: u64| verdict(true, X86_64, libc::SYS_setsockopt, [3, level, 11, 0, 0, 0]);
        for level in [0, 41, 17, 1 << 32] {
            assert_eq!(of(level), NOTIFY);
        }
        assert_eq!(of(1), ALLOW);
        assert_eq!(of(6), ALLOW);
    }
}
