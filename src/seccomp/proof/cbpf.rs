//! Programs of classic BPF as seccomp runs them, and what they say of one call.
//!
//! The instructions are those that the kernel accepts in a filter (`seccomp_check_filter` in
//! kernel/seccomp.c); what else it refuses (`bpf_check_classic` in net/core/filter.c) is an error
//! here when it is met. The fact to remember: all jumps go forward, so that a program ends after as
//! many steps as it is long.

use crate::seccomp::filter::Verdict;

/// `sizeof(struct seccomp_data)`.
const CALL_BYTES: u32 = 64;
/// `BPF_MEMWORDS`.
const MEMORY_WORDS: usize = 16;

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
pub fn verdict(returned: u32) -> Verdict {
    let [.., high, low] = returned.to_be_bytes();
    let data = u16::from_be_bytes([high, low]);
    match returned & 0xffff_0000 {
        0x0000_0000 => Verdict::KillThread,
        0x0003_0000 => Verdict::Trap,
        0x0005_0000 => Verdict::Errno(data),
        0x7fc0_0000 => Verdict::Notify,
        0x7ff0_0000 => Verdict::Trace(data),
        0x7ffc_0000 => Verdict::Log,
        0x7fff_0000 => Verdict::Allow,
        _ => Verdict::KillProcess,
    }
}

/// Codes of instructions, put together from linux/bpf_common.h. Those with `_X` after their names
/// take the index register instead of the constant.
pub(super) mod code {
    pub(in super::super) const LOAD_CALL: u16 = 0x20;
    pub(super) const LOAD: u16 = 0x00;
    pub(super) const LOAD_MEMORY: u16 = 0x60;
    pub(super) const LOAD_LENGTH: u16 = 0x80;
    pub(super) const INDEX: u16 = 0x01;
    pub(super) const INDEX_MEMORY: u16 = 0x61;
    pub(super) const INDEX_LENGTH: u16 = 0x81;
    pub(super) const STORE: u16 = 0x02;
    pub(super) const STORE_INDEX: u16 = 0x03;
    pub(in super::super) const AND: u16 = 0x54;
    pub(in super::super) const JUMP: u16 = 0x05;
    pub(in super::super) const JUMP_EQUAL: u16 = 0x15;
    pub(in super::super) const JUMP_GREATER: u16 = 0x25;
    pub(in super::super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    pub(in super::super) const JUMP_ANY_BIT: u16 = 0x45;
    pub(in super::super) const RETURN: u16 = 0x06;
    pub(super) const RETURN_ACCUMULATOR: u16 = 0x16;
    pub(super) const TO_INDEX: u16 = 0x07;
    pub(super) const FROM_INDEX: u16 = 0x87;

    /// Set in codes of arithmetic and comparison that take the index register.
    pub(super) const X: u16 = 0x08;
    /// The bits that say which class an instruction is of, and two of the classes.
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const ARITHMETIC: u16 = 0x04;
    pub(super) const COMPARISON: u16 = 0x05;
}

/// What a program says of a call.
///
/// # Errors
/// [`BadProgram`] where it comes to an instruction that the kernel would not have let in.
pub fn evaluate(program: &Program, call: &Call) -> Result<Verdict, BadProgram> {
    let words = call.words(program.big_endian);
    let mut machine = Registers::default();
    let mut at = 0;
    loop {
        let bad = |cause| BadProgram { at, cause };
        let instruction = program
            .instructions
            .get(at)
            .ok_or_else(|| bad("it goes on past its end"))?;
        match machine.step(instruction, &words).map_err(bad)? {
            Step::Return(returned) => return Ok(verdict(returned)),
            Step::Leap(over) => at = at.saturating_add(1).saturating_add(over),
        }
    }
}

enum Step {
    Return(u32),
    Leap(usize),
}

#[derive(Default)]
struct Registers {
    accumulator: u32,
    index: u32,
    memory: [Option<u32>; MEMORY_WORDS],
}

impl Registers {
    fn step(
        &mut self,
        instruction: &Instruction,
        words: &[u32; WORDS],
    ) -> Result<Step, &'static str> {
        let k = instruction.constant;
        match instruction.code {
            code::LOAD_CALL => {
                self.accumulator = *word(k).and_then(|at| words.get(at)).ok_or(NO_WORD)?
            }
            code::LOAD => self.accumulator = k,
            code::LOAD_MEMORY => self.accumulator = self.remembered(k)?,
            code::LOAD_LENGTH => self.accumulator = CALL_BYTES,
            code::INDEX => self.index = k,
            code::INDEX_MEMORY => self.index = self.remembered(k)?,
            code::INDEX_LENGTH => self.index = CALL_BYTES,
            code::STORE => *self.cell(k)? = Some(self.accumulator),
            code::STORE_INDEX => *self.cell(k)? = Some(self.index),
            code::TO_INDEX => self.index = self.accumulator,
            code::FROM_INDEX => self.accumulator = self.index,
            code::RETURN => return Ok(Step::Return(k)),
            code::RETURN_ACCUMULATOR => return Ok(Step::Return(self.accumulator)),
            code::JUMP => return usize::try_from(k).map(Step::Leap).or(Err("a jump too far")),
            other if other & code::CLASS == code::COMPARISON => {
                return self.compare(instruction).map(Step::Leap);
            }
            other if other & code::CLASS == code::ARITHMETIC => return self.calculate(other, k),
            _ => return Err(UNKNOWN),
        }
        Ok(Step::Leap(0))
    }

    fn compare(&self, instruction: &Instruction) -> Result<usize, &'static str> {
        let by_index = instruction.code & code::X != 0;
        let operand = if by_index {
            self.index
        } else {
            instruction.constant
        };
        let holds = match instruction.code & !code::X {
            code::JUMP_EQUAL => self.accumulator == operand,
            code::JUMP_GREATER => self.accumulator > operand,
            code::JUMP_GREATER_OR_EQUAL => self.accumulator >= operand,
            code::JUMP_ANY_BIT => self.accumulator & operand != 0,
            _ => return Err(UNKNOWN),
        };
        Ok(usize::from(if holds {
            instruction.when_true
        } else {
            instruction.when_false
        }))
    }

    fn calculate(&mut self, code: u16, constant: u32) -> Result<Step, &'static str> {
        let by_index = code & code::X != 0;
        let (a, operand) = (
            self.accumulator,
            if by_index { self.index } else { constant },
        );
        self.accumulator = match code & !code::X {
            0x04 => a.wrapping_add(operand),
            0x14 => a.wrapping_sub(operand),
            0x24 => a.wrapping_mul(operand),
            // By nothing: the kernel has a program end with 0 there, or doesn't let it in.
            0x34 if operand == 0 && by_index => return Ok(Step::Return(0)),
            0x34 => a.checked_div(operand).ok_or("a division by nothing")?,
            0x44 => a | operand,
            code::AND => a & operand,
            0x64 | 0x74 if operand >= u32::BITS && !by_index => {
                return Err("a shift by more than a word has");
            }
            0x64 => a.wrapping_shl(operand),
            0x74 => a.wrapping_shr(operand),
            0x84 if !by_index => a.wrapping_neg(),
            0xa4 => a ^ operand,
            _ => return Err(UNKNOWN),
        };
        Ok(Step::Leap(0))
    }

    fn cell(&mut self, at: u32) -> Result<&mut Option<u32>, &'static str> {
        usize::try_from(at)
            .ok()
            .and_then(|at| self.memory.get_mut(at))
            .ok_or("no such cell of memory")
    }

    fn remembered(&mut self, at: u32) -> Result<u32, &'static str> {
        self.cell(at)?
            .ok_or("a cell is read that nothing was stored in")
    }
}

const UNKNOWN: &str = "not one that a filter may have";
pub(super) const NO_WORD: &str = "not a word of a call";

/// Which word of a call lies at an offset in bytes.
pub(super) fn word(offset: u32) -> Option<usize> {
    let whole = offset.is_multiple_of(4) && offset < CALL_BYTES;
    usize::try_from(offset / 4).ok().filter(|_| whole)
}

#[cfg(test)]
mod tests;
