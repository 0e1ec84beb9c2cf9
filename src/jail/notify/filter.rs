//! Which of a command's system calls wait for the supervisor, and which fail at once: by registers
//! alone, which nobody can change while a call waits.
//!
//! Calls that take an address wait, and those that make a socket. What could reach the network
//! otherwise isn't there at all: io_uring, and the calls of other machines (32 bits, x32), which would
//! have numbers of their own.

use libc::c_long;

use crate::jail::nsjail::restrictions::deny_words_to_terminal;
use crate::sys::call_filter::{CallVerdict, INT, Rules};
use crate::sys::upcalls;

/// What waits for the supervisor, whatever its arguments.
const ASKED: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
];

/// Options of UDP and of IP, which the socket that stands in for one of UDP's hasn't.
const ASKED_AT_LEVELS: &[i32] = &[libc::SOL_IP, libc::SOL_IPV6, libc::SOL_UDP];

/// What doesn't exist.
const MISSING: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What would reach into processes outside, of the same user, which nothing else keeps apart where
/// there is no Landlock.
const INTO_OTHERS: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
];

/// All bits of an argument that is a pointer.
const POINTER: u64 = u64::MAX;

/// The rules. `keeps_apart`: whether Landlock keeps the command from processes outside; else what would
/// reach into any process is forbidden.
#[must_use]
pub fn rules(keeps_apart: bool) -> Rules {
    let refused = |number| CallVerdict::Errno(number);
    let mut rules = Rules::new(CallVerdict::Allow, refused(libc::ENOSYS));
    rules.add_all(ASKED, CallVerdict::Notify);
    // Without an address, the first bytes that are sent connect.
    let unnamed = (4, POINTER, 0);
    let fast_open = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
    let fast_open = (3, fast_open, fast_open);
    let sendto = libc::SYS_sendto;
    rules.add(sendto, &[unnamed, fast_open], refused(libc::EOPNOTSUPP));
    // What waits where its address isn't null.
    for call in [sendto, libc::SYS_recvfrom] {
        rules.add(call, &[unnamed], CallVerdict::Allow);
        rules.add(call, &[], CallVerdict::Notify);
    }
    for level in ASKED_AT_LEVELS {
        let at = (1, INT, u64::from(level.cast_unsigned()));
        rules.add(libc::SYS_setsockopt, &[at], CallVerdict::Notify);
    }
    let unix = (0, INT, u64::from(libc::AF_UNIX.cast_unsigned()));
    rules.add(libc::SYS_socketpair, &[unix], CallVerdict::Allow);
    rules.add(libc::SYS_socketpair, &[], refused(libc::EAFNOSUPPORT));
    deny_words_to_terminal(&mut rules);
    upcalls::deny(&mut rules);
    rules.add_all(MISSING, refused(libc::ENOSYS));
    if !keeps_apart {
        rules.add_all(INTO_OTHERS, refused(libc::EPERM));
    }
    rules
}

#[cfg(test)]
mod tests {
    use libseccomp::error::SeccompError;
    use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
    use test_support::cbpf;

    use super::*;
    use crate::seccomp::proof::same;

    /// The same rules, as libseccomp takes them.
    fn by_libseccomp(keeps_apart: bool) -> Result<ScmpFilterContext, SeccompError> {
        let call = |name: &str| ScmpSyscall::from_name(name).unwrap();
        let errno = ScmpAction::Errno;
        let compare = ScmpArgCompare::new;
        let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
        context.set_act_badarch(errno(libc::ENOSYS))?;
        let asked = "socket connect bind listen getsockname getpeername sendmsg sendmmsg recvmsg";
        for name in asked.split(' ') {
            context.add_rule(ScmpAction::Notify, call(name))?;
        }
        for name in ["sendto", "recvfrom"] {
            let given = compare(4, ScmpCompareOp::NotEqual, 0);
            context.add_rule_conditional(ScmpAction::Notify, call(name), &[given])?;
        }
        let fast_open = compare(3, ScmpCompareOp::MaskedEqual(0x2000_0000), 0x2000_0000);
        let unnamed = [compare(4, ScmpCompareOp::Equal, 0), fast_open];
        context.add_rule_conditional(errno(libc::EOPNOTSUPP), call("sendto"), &unnamed)?;
        for level in [0, 41, 17] {
            let at = compare(1, ScmpCompareOp::MaskedEqual(INT), level);
            context.add_rule_conditional(ScmpAction::Notify, call("setsockopt"), &[at])?;
        }
        // All of a register but a family's number: libseccomp has no word for another `int`.
        for bit in (0..32).map(|bit| 1_u64 << bit) {
            let differs = compare(0, ScmpCompareOp::MaskedEqual(bit), bit ^ (bit & 1));
            let refused = errno(libc::EAFNOSUPPORT);
            context.add_rule_conditional(refused, call("socketpair"), &[differs])?;
        }
        for request in [0x5412, 0x541c] {
            let is = compare(1, ScmpCompareOp::MaskedEqual(INT), request);
            context.add_rule_conditional(errno(libc::EPERM), call("ioctl"), &[is])?;
        }
        for name in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
            context.add_rule(errno(libc::ENOSYS), call(name))?;
        }
        let called_out = compare(2, ScmpCompareOp::NotEqual, 0);
        context.add_rule_conditional(errno(libc::EPERM), call("request_key"), &[called_out])?;
        let into_others = "ptrace process_vm_readv process_vm_writev pidfd_getfd";
        for name in into_others.split(' ').filter(|_| !keeps_apart) {
            context.add_rule(errno(libc::EPERM), call(name))?;
        }
        Ok(context)
    }

    #[test]
    fn the_program_is_what_libseccomp_makes_of_the_rules() {
        for keeps_apart in [false, true] {
            let ours = rules(keeps_apart).program().unwrap();
            same::must_be(&ours, &by_libseccomp(keeps_apart).unwrap());
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    /// What a program says of a call.
    fn verdict(keeps_apart: bool, machine: u32, call: i64, arguments: [u64; 6]) -> u32 {
        let program = rules(keeps_apart).program().unwrap();
        let mut words = [0; 16];
        words[0] = u32::try_from(call).unwrap();
        words[1] = machine;
        for (at, argument) in arguments.iter().enumerate() {
            words[4 + 2 * at] = u32::try_from(argument & 0xffff_ffff).unwrap();
            words[5 + 2 * at] = u32::try_from(argument >> 32).unwrap();
        }
        cbpf::evaluate(program.instructions(), &words)
            .unwrap_or_else(|_| panic!("an invalid program"))
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
