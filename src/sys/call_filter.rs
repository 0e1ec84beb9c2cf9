//! seccomp filters: rules for system calls, by numbers and registers, and the program that the kernel
//! runs for each call (classic BPF, seccomp(2)).
//!
//! The program is a balanced tree of comparisons of the call's number, made in some microseconds.
//! libseccomp takes milliseconds, for which each start of a filter and of a jail would wait. The tests
//! of whoever has rules hold the programs against what libseccomp makes, for all calls there can be.

use std::collections::BTreeMap;
use std::io;

use libc::{c_long, c_ulong, sock_filter};

use super::process;

/// A program, to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<sock_filter>);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallVerdict {
    /// It is made.
    Allow,
    /// It fails with this number (errno(3)).
    Errno(i32),
    /// It waits for a supervisor.
    Notify,
    /// Its process ends.
    Kill,
}

/// A test of one argument: which it is, from 0, the bits of it that count, and what they must be.
pub type Test = (u32, u64, u64);

/// An `int`'s bits: the kernel looks at no others.
pub const INT: u64 = 0xffff_ffff;

/// Which calls are judged how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    otherwise: CallVerdict,
    foreign: CallVerdict,
    by_call: ByCall,
    of_32_bits: ByCall,
}

/// Rules by a call's number.
type ByCall = BTreeMap<u32, Vec<(Vec<Test>, CallVerdict)>>;

impl Rules {
    /// No rules yet. `otherwise`: what becomes of calls that none fits. `foreign`: what becomes of
    /// calls of other machines that this one runs, too (32 bits, x32).
    #[must_use]
    pub fn new(otherwise: CallVerdict, foreign: CallVerdict) -> Self {
        Self {
            otherwise,
            foreign,
            by_call: BTreeMap::new(),
            of_32_bits: BTreeMap::new(),
        }
    }

    /// Adds a rule for a call of this number (`libc::SYS_…`) of which all these tests hold. The first
    /// that fits decides.
    pub fn add(&mut self, call: c_long, tests: &[Test], verdict: CallVerdict) {
        // No call has a number that isn't one of these.
        if let Ok(call) = u32::try_from(call) {
            let rules = self.by_call.entry(call).or_default();
            rules.push((tests.to_vec(), verdict));
        }
    }

    /// The same for a 32-bit program's call, whose number is another one (i386's, arm's). Calls of these
    /// that no rule fits are judged as foreign ones.
    pub fn add_of_32_bits(&mut self, call: u32, tests: &[Test], verdict: CallVerdict) {
        let rules = self.of_32_bits.entry(call).or_default();
        rules.push((tests.to_vec(), verdict));
    }

    /// Adds a rule for each of these calls, whatever their arguments.
    pub fn add_all(&mut self, calls: &[c_long], verdict: CallVerdict) {
        for call in calls {
            self.add(*call, &[], verdict);
        }
    }

    /// The program.
    ///
    /// # Errors
    /// `InvalidInput` where one call has more tests than a jump leaps over, or 32-bit programs have more
    /// rules.
    pub fn program(&self) -> io::Result<Program> {
        let mut program = vec![load(ARCHITECTURE)];
        if !self.of_32_bits.is_empty() {
            let pieces = pieces(&self.of_32_bits, self.foreign)?;
            let judged = [
                vec![load(NUMBER)],
                tree(&pieces.into_iter().collect::<Vec<_>>()),
            ]
            .concat();
            program.push(compare(EQUAL, MACHINE_OF_32_BITS, 0, leap(&judged)?));
            program.extend(judged);
        }
        program.extend([
            compare(EQUAL, MACHINE, 1, 0),
            end(self.foreign),
            load(NUMBER),
        ]);
        program.extend(tree(&self.pieces()?));
        Ok(Program(program))
    }

    /// All numbers of this machine's calls, in pieces that are judged alike.
    fn pieces(&self) -> io::Result<Vec<(u32, Vec<sock_filter>)>> {
        let mut pieces = pieces(&self.by_call, self.otherwise)?;
        if cfg!(target_arch = "x86_64") {
            // One of x32's that has a rule is in its place by now.
            pieces.entry(X32).or_insert_with(|| vec![end(self.foreign)]);
            // A tracer's word that there is to be no call.
            pieces.insert(u32::MAX, vec![end(self.otherwise)]);
        }
        let mut pieces: Vec<_> = pieces.into_iter().collect();
        pieces.dedup_by(|(_, next), (_, before)| next == before);
        Ok(pieces)
    }
}

/// Where each piece of the numbers begins, and how its calls are judged.
fn pieces(by_call: &ByCall, otherwise: CallVerdict) -> io::Result<BTreeMap<u32, Vec<sock_filter>>> {
    let mut pieces = BTreeMap::from([(0, vec![end(otherwise)])]);
    for (call, rules) in by_call {
        pieces.insert(*call, judged(rules, otherwise)?);
        let next = call.saturating_add(1);
        if !by_call.contains_key(&next) {
            pieces.insert(next, vec![end(otherwise)]);
        }
    }
    Ok(pieces)
}

/// How a call of these rules is judged.
fn judged(
    rules: &[(Vec<Test>, CallVerdict)],
    otherwise: CallVerdict,
) -> io::Result<Vec<sock_filter>> {
    let mut code = vec![end(otherwise)];
    for (tests, verdict) in rules.iter().rev() {
        let mut rule = vec![end(*verdict)];
        for (word, bits, value) in tests.iter().rev().flat_map(halves) {
            // Where a test fails, all that is left of the rule is leapt over.
            let test = [
                load(word),
                and(bits),
                compare(EQUAL, value, 0, leap(&rule)?),
            ];
            rule = [test.as_slice(), &rule].concat();
        }
        code = [rule, code].concat();
    }
    Ok(code)
}

/// A comparison's leap over these.
fn leap(code: &[sock_filter]) -> io::Result<u8> {
    u8::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The two words of an argument, those of which bits count.
fn halves((argument, bits, value): &Test) -> impl Iterator<Item = (u32, u32, u32)> {
    let halves = |of: u64| {
        let [a, b, c, d, e, f, g, h] = of.to_ne_bytes();
        [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes)
    };
    let words = [0, 4].map(|half| ARGUMENTS + 8 * argument + half);
    let halves = words.into_iter().zip(halves(*bits)).zip(halves(*value));
    halves
        .map(|((word, bits), value)| (word, bits, value))
        .filter(|(_, bits, _)| *bits != 0)
}

/// Finds a number's piece by halving.
fn tree(pieces: &[(u32, Vec<sock_filter>)]) -> Vec<sock_filter> {
    let (lower, upper) = pieces.split_at(pieces.len() / 2);
    let Some((middle, first)) = upper.first() else {
        return Vec::new();
    };
    if lower.is_empty() {
        return first.clone();
    }
    let (lower, upper) = (tree(lower), tree(upper));
    let over = match leap(&lower) {
        Ok(over) => vec![compare(AT_LEAST, *middle, over, 0)],
        // Too far for a comparison's own leap.
        Err(_) => {
            let over = u32::try_from(lower.len()).unwrap_or(u32::MAX);
            vec![compare(AT_LEAST, *middle, 0, 1), instruction(LEAP, over)]
        }
    };
    [over, lower, upper].concat()
}

/// Where the words of a call are (`struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// This machine (`AUDIT_ARCH_…` in linux/audit.h).
#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const MACHINE: u32 = 0xc000_00b7;
/// The one whose programs of 32 bits it runs, too: i386, or arm.
#[cfg(target_arch = "x86_64")]
const MACHINE_OF_32_BITS: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const MACHINE_OF_32_BITS: u32 = 0x4000_0028;
/// Where the numbers of x32's calls begin (`__X32_SYSCALL_BIT`): those of 64 bits, with this one.
pub(super) const X32: u32 = 0x4000_0000;

/// Codes of instructions, put together from linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const LEAP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

fn load(word: u32) -> sock_filter {
    instruction(LOAD, word)
}

fn and(bits: u32) -> sock_filter {
    instruction(AND, bits)
}

fn compare(how: u16, with: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        jt: yes,
        jf: no,
        ..instruction(how, with)
    }
}

fn end(verdict: CallVerdict) -> sock_filter {
    let returned = match verdict {
        CallVerdict::Allow => libc::SECCOMP_RET_ALLOW,
        CallVerdict::Errno(number) => {
            libc::SECCOMP_RET_ERRNO | number.cast_unsigned() & libc::SECCOMP_RET_DATA
        }
        CallVerdict::Notify => libc::SECCOMP_RET_USER_NOTIF,
        CallVerdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    instruction(RETURN, returned)
}

fn instruction(code: u16, constant: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k: constant,
    }
}

impl Program {
    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[sock_filter] {
        &self.0
    }

    /// Has the calls of all threads of this process judged by it, for good, and those of all that they
    /// start. They must not be able to gain privileges any more (`no_new_privs`), or this process has
    /// `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// `ESRCH` where a thread can't be had; what else seccomp(2) gives.
    pub fn install(&self) -> io::Result<()> {
        self.install_with(0)
    }

    /// The same, but that nothing gets slower by it: before Linux 5.16, a processor's guesses are bounded
    /// for all who have a filter, unless it says so.
    ///
    /// # Errors
    /// As above.
    pub fn install_for_programs_of_others(&self) -> io::Result<()> {
        self.install_with(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    }

    fn install_with(&self, flags: c_ulong) -> io::Result<()> {
        match self.hand_over(libc::SECCOMP_FILTER_FLAG_TSYNC | flags)? {
            0 => Ok(()),
            // A thread's number.
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    /// The same for the calling thread alone. Gives the descriptor at which calls arrive that wait.
    ///
    /// # Errors
    /// `EBUSY` where there is a supervisor already, `EINVAL` before Linux 5.0; what else seccomp(2) gives.
    pub(super) fn install_with_listener(&self) -> io::Result<std::os::fd::OwnedFd> {
        /// Once taken, a call of ours isn't cut short by a signal that doesn't kill: it would be made
        /// twice (Linux 5.19).
        const FLAGS: c_ulong =
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let listener = match self.hand_over(FLAGS) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.hand_over(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)
            }
            installed => installed,
        };
        process::opened(listener?)
    }

    #[expect(unsafe_code, reason = "no wrapper for seccomp(2) in libc or nix")]
    fn hand_over(&self, flags: c_ulong) -> io::Result<c_long> {
        let length = u16::try_from(self.0.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let program = libc::sock_fprog {
            len: length,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: `program` says where so many instructions lie, and both live during the call, which
        // writes to neither.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(done)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_support::cbpf;

    use super::*;

    /// What a program says of a call of this machine.
    fn said(program: &Program, number: u32, arguments: [u64; 6]) -> u32 {
        let mut words = [0; cbpf::WORDS];
        words[0] = number;
        words[1] = MACHINE;
        for (at, argument) in arguments.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = argument.to_ne_bytes();
            words[4 + 2 * at] = u32::from_ne_bytes([a, b, c, d]);
            words[5 + 2 * at] = u32::from_ne_bytes([e, f, g, h]);
        }
        let said = cbpf::evaluate(program.instructions(), &words);
        said.unwrap_or_else(|_| panic!("an invalid program"))
    }

    /// The same, by the rules themselves.
    fn meant(rules: &Rules, number: u32, arguments: [u64; 6]) -> u32 {
        let fits =
            |(argument, bits, value): &Test| arguments[*argument as usize] & bits == value & bits;
        let all = rules.by_call.get(&number).into_iter().flatten();
        let mut fitting = all.filter(|(tests, _)| tests.iter().all(fits));
        end(fitting
            .next()
            .map_or(rules.otherwise, |(_, verdict)| *verdict))
        .k
    }

    fn a_test() -> impl Strategy<Value = Test> {
        let bits = prop_oneof![Just(u64::MAX), Just(INT), 1_u64..8, Just(1 << 40)];
        (0_u32..3, bits, 0_u64..4)
            .prop_map(|(argument, bits, value)| (argument, bits, value & bits))
    }

    fn some_rules() -> impl Strategy<Value = Rules> {
        let tests = proptest::collection::vec(a_test(), 0..3);
        let rule = (0_i64..400, tests, 1_i32..5);
        proptest::collection::vec(rule, 0..300).prop_map(|all| {
            let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Kill);
            for (call, tests, errno) in all {
                rules.add(call, &tests, CallVerdict::Errno(errno));
            }
            rules
        })
    }

    proptest! {
        #[test]
        fn a_program_says_what_its_rules_say(
            rules in some_rules(),
            calls in proptest::collection::vec((0_u32..410, [0_u64..5, 0_u64..5, 0_u64..5]), 64),
            high in 0_u64..2,
        ) {
            let program = rules.program().unwrap();
            for (number, [a, b, c]) in calls {
                let arguments = [a | high << 40, b, c, 0, 0, 0];
                prop_assert_eq!(
                    said(&program, number, arguments),
                    meant(&rules, number, arguments)
                );
            }
        }
    }

    #[test]
    fn a_test_of_no_bits_is_none() {
        let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Kill);
        rules.add(7, &[(0, 0, 0)], CallVerdict::Errno(1));
        let program = rules.program().unwrap();
        assert_eq!(said(&program, 7, [9; 6]), end(CallVerdict::Errno(1)).k);
    }
}
