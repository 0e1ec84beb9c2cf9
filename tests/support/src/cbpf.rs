//! An interpreter of classic BPF as seccomp runs it: what a program says of one call. The measure
//! that the product's reading of whole programs is held against, and with which tests look at
//! filters that the kernel gives back.
//!
//! The instructions are those that the kernel accepts in a filter (`seccomp_check_filter` in
//! kernel/seccomp.c); what else it refuses (`bpf_check_classic` in net/core/filter.c) is an error
//! here when it is met. All jumps go forward, so a program ends after as many steps as it is long.
//!
//! It shares no code with the product that reads programs.

use libc::sock_filter;

/// `sizeof(struct seccomp_data)`.
const CALL_BYTES: u32 = 64;
/// `BPF_MEMWORDS`.
const MEMORY_WORDS: usize = 16;

/// Codes of instructions, put together from linux/bpf_common.h.
mod code {
    pub(super) const LOAD_CALL: u16 = 0x20;
    pub(super) const LOAD: u16 = 0x00;
    pub(super) const LOAD_MEMORY: u16 = 0x60;
    pub(super) const LOAD_LENGTH: u16 = 0x80;
    pub(super) const INDEX: u16 = 0x01;
    pub(super) const INDEX_MEMORY: u16 = 0x61;
    pub(super) const INDEX_LENGTH: u16 = 0x81;
    pub(super) const STORE: u16 = 0x02;
    pub(super) const STORE_INDEX: u16 = 0x03;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const JUMP_EQUAL: u16 = 0x15;
    pub(super) const JUMP_GREATER: u16 = 0x25;
    pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    pub(super) const JUMP_ANY_BIT: u16 = 0x45;
    pub(super) const RETURN: u16 = 0x06;
    pub(super) const RETURN_ACCUMULATOR: u16 = 0x16;
    pub(super) const TO_INDEX: u16 = 0x07;
    pub(super) const FROM_INDEX: u16 = 0x87;

    /// Set in codes of arithmetic and comparison that take the index register instead of the
    /// constant.
    pub(super) const X: u16 = 0x08;
    /// The bits that say which class an instruction is of, and two of the classes.
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const ARITHMETIC: u16 = 0x04;
    pub(super) const COMPARISON: u16 = 0x05;
}

/// Words of a call (`struct seccomp_data`, 64 bytes).
pub const WORDS: usize = 16;

/// An instruction that the kernel would not have let in, and that the program comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadInstruction {
    /// Which, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// What a program returns for a call, given as its words lie in memory.
///
/// # Errors
/// [`BadInstruction`].
pub fn evaluate(program: &[sock_filter], words: &[u32; WORDS]) -> Result<u32, BadInstruction> {
    let mut machine = Registers::default();
    let mut at = 0;
    loop {
        let bad = |cause| BadInstruction { at, cause };
        let instruction = program
            .get(at)
            .ok_or_else(|| bad("it goes on past its end"))?;
        match machine.step(instruction, words).map_err(bad)? {
            Step::Return(returned) => return Ok(returned),
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
        instruction: &sock_filter,
        words: &[u32; WORDS],
    ) -> Result<Step, &'static str> {
        let k = instruction.k;
        match instruction.code {
            code::LOAD_CALL => {
                self.accumulator = *word(k)
                    .and_then(|at| words.get(at))
                    .ok_or("not a word of a call")?
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

    fn compare(&self, instruction: &sock_filter) -> Result<usize, &'static str> {
        let by_index = instruction.code & code::X != 0;
        let operand = if by_index { self.index } else { instruction.k };
        let holds = match instruction.code & !code::X {
            code::JUMP_EQUAL => self.accumulator == operand,
            code::JUMP_GREATER => self.accumulator > operand,
            code::JUMP_GREATER_OR_EQUAL => self.accumulator >= operand,
            code::JUMP_ANY_BIT => self.accumulator & operand != 0,
            _ => return Err(UNKNOWN),
        };
        Ok(usize::from(if holds {
            instruction.jt
        } else {
            instruction.jf
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
            0x54 => a & operand,
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

/// Which word of a call lies at an offset in bytes.
fn word(offset: u32) -> Option<usize> {
    let whole = offset.is_multiple_of(4) && offset < CALL_BYTES;
    usize::try_from(offset / 4).ok().filter(|_| whole)
}
