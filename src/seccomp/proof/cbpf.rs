//! Programs of classic BPF as seccomp runs them: their instructions, and the call that they look at.
//!
//! They are never run here. `symbolic` reads what libseccomp makes; the tests have an interpreter to
//! hold that against (`test_support::cbpf`).

use crate::seccomp::filter::Action;

/// `sizeof(struct seccomp_data)`.
const CALL_BYTES: u32 = 64;

/// One instruction (`struct sock_filter` in linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to leap over when a comparison holds.
    pub when_true: u8,
    /// How many when it doesn't.
    pub when_false: u8,
    /// The number in it.
    pub constant: u32,
}

impl Instruction {
    /// Reads one as it lies in memory on a machine of that byte order.
    #[must_use]
    pub fn from_bytes(
        [c0, c1, when_true, when_false, k0, k1, k2, k3]: [u8; 8],
        big_endian: bool,
    ) -> Self {
        let (code, constant) = if big_endian {
            (
                u16::from_be_bytes([c0, c1]),
                u32::from_be_bytes([k0, k1, k2, k3]),
            )
        } else {
            (
                u16::from_le_bytes([c0, c1]),
                u32::from_le_bytes([k0, k1, k2, k3]),
            )
        };
        Self {
            code,
            when_true,
            when_false,
            constant,
        }
    }
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its instructions, in order.
    pub instructions: Vec<Instruction>,
    /// Whether it is for machines whose bytes are in the order from the most significant: which
    /// half of an argument lies where depends on it.
    pub big_endian: bool,
}

/// A call as a program sees it (`struct seccomp_data` in linux/seccomp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Call {
    /// The system call's number.
    pub number: u32,
    /// `AUDIT_ARCH_…` (linux/audit.h).
    pub architecture: u32,
    /// Where the program was when it called.
    pub instruction_pointer: u64,
    /// The arguments.
    pub arguments: [u64; 6],
}

/// How many words a call has.
pub const WORDS: usize = 16;

impl Call {
    /// The words of a call as they lie in memory.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "halves are what is wanted")]
    pub fn words(&self, big_endian: bool) -> [u32; WORDS] {
        let mut words = [
            self.number,
            self.architecture,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let [a, b, c, d, e, f] = self.arguments;
        let wide = [self.instruction_pointer, a, b, c, d, e, f];
        for (pair, wide) in words.as_chunks_mut().0.iter_mut().skip(1).zip(wide) {
            let (high, low) = ((wide >> 32) as u32, wide as u32);
            *pair = if big_endian { [high, low] } else { [low, high] };
        }
        words
    }

    /// The call whose words these are.
    #[must_use]
    pub fn from_words(words: [u32; WORDS], big_endian: bool) -> Self {
        let [number, architecture, rest @ ..] = words;
        let mut wide = rest.as_chunks().0.iter().map(|[first, second]: &[u32; 2]| {
            let (high, low) = if big_endian {
                (first, second)
            } else {
                (second, first)
            };
            u64::from(*high) << 32 | u64::from(*low)
        });
        let mut next = || wide.next().unwrap_or_default();
        Self {
            number,
            architecture,
            instruction_pointer: next(),
            arguments: [next(), next(), next(), next(), next(), next()],
        }
    }
}

/// What is wrong with a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instruction {at} of the program: {cause}")]
pub struct BadProgram {
    /// Which instruction, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// What a returned number means (`SECCOMP_RET_…` in linux/seccomp.h). Those without a meaning kill
/// the process.
#[must_use]
pub fn verdict(returned: u32) -> Action {
    let [.., high, low] = returned.to_be_bytes();
    let data = u16::from_be_bytes([high, low]);
    match returned & 0xffff_0000 {
        0x0000_0000 => Action::KillThread,
        0x0003_0000 => Action::Trap,
        0x0005_0000 => Action::Errno(data),
        0x7fc0_0000 => Action::Notify,
        0x7ff0_0000 => Action::Trace(data),
        0x7ffc_0000 => Action::Log,
        0x7fff_0000 => Action::Allow,
        _ => Action::KillProcess,
    }
}

/// Codes of the instructions that libseccomp makes, put together from linux/bpf_common.h.
pub(super) mod code {
    pub(in super::super) const LOAD_CALL: u16 = 0x20;
    pub(in super::super) const AND: u16 = 0x54;
    pub(in super::super) const JUMP: u16 = 0x05;
    pub(in super::super) const JUMP_EQUAL: u16 = 0x15;
    pub(in super::super) const JUMP_GREATER: u16 = 0x25;
    pub(in super::super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    pub(in super::super) const JUMP_ANY_BIT: u16 = 0x45;
    pub(in super::super) const RETURN: u16 = 0x06;
}

pub(super) const NO_WORD: &str = "not a word of a call";

/// Which word of a call lies at an offset in bytes.
pub(super) fn word(offset: u32) -> Option<usize> {
    let whole = offset.is_multiple_of(4) && offset < CALL_BYTES;
    usize::try_from(offset / 4).ok().filter(|_| whole)
}

#[cfg(test)]
mod tests;
