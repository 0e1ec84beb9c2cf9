//! The evaluator against programs by hand, and against anything.

use super::*;
use crate::seccomp::proof::interpreter::evaluate;
use proptest::prelude::*;

fn program(instructions: &[(u16, u8, u8, u32)]) -> Program {
    let one = |&(code, when_true, when_false, constant): &_| Instruction {
        code,
        when_true,
        when_false,
        constant,
    };
    Program {
        instructions: instructions.iter().map(one).collect(),
        big_endian: false,
    }
}

/// What a program returns, by way of the error number.
fn returns(instructions: &[(u16, u8, u8, u32)]) -> u16 {
    match evaluate(&program(instructions), &Call::default()) {
        Ok(Action::Errno(number)) => number,
        other => panic!("{other:?}"),
    }
}

const ERRNO: u32 = 0x0005_0000;

#[test]
fn arithmetic_is_the_kernels() {
    // The accumulator is 6; the operand is 3, as a constant or in the index register.
    for (code, result) in [
        (0x04, 9),
        (0x14, 3),
        (0x24, 18),
        (0x34, 2),
        (0x44, 7),
        (0x54, 2),
        (0x64, 48),
        (0x74, 0),
        (0xa4, 5),
    ] {
        let or_errno = (0x44, 0, 0, ERRNO);
        assert_eq!(
            returns(&[(0x00, 0, 0, 6), (code, 0, 0, 3), or_errno, (0x16, 0, 0, 0)]),
            result,
            "{code:#x}"
        );
        let by_index = [
            (0x01, 0, 0, 3),
            (0x00, 0, 0, 6),
            (code | 0x08, 0, 0, 0),
            or_errno,
            (0x16, 0, 0, 0),
        ];
        assert_eq!(returns(&by_index), result, "{code:#x} by index");
    }
    let negated = [
        (0x00, 0, 0, 1),
        (0x84, 0, 0, 0),
        (0x54, 0, 0, 0xffff),
        (0x44, 0, 0, ERRNO),
        (0x16, 0, 0, 0),
    ];
    assert_eq!(returns(&negated), 0xffff);
}

#[test]
fn memory_and_the_index_register_keep_what_was_put_there() {
    let kept = [
        (0x00, 0, 0, ERRNO | 7),
        (0x02, 0, 0, 15),
        (0x80, 0, 0, 0),
        (0x07, 0, 0, 0),
        (0x03, 0, 0, 0),
        (0x60, 0, 0, 15),
        (0x61, 0, 0, 0),
        (0x0c, 0, 0, 0),
        (0x16, 0, 0, 0),
    ];
    // 7, and the length of a call.
    assert_eq!(returns(&kept), 71);
}

#[test]
fn what_the_kernel_would_not_let_in_is_an_error() {
    let cause = |instructions: &[_]| {
        evaluate(&program(instructions), &Call::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        cause(&[]),
        "instruction 0 of the program: it goes on past its end"
    );
    assert_eq!(
        cause(&[(0x05, 0, 0, u32::MAX)]),
        "instruction 4294967296 of the program: it goes on past its end"
    );
    assert_eq!(
        cause(&[(0x20, 0, 0, 64)]),
        "instruction 0 of the program: not a word of a call"
    );
    assert_eq!(
        cause(&[(0x20, 0, 0, 2)]),
        "instruction 0 of the program: not a word of a call"
    );
    assert_eq!(
        cause(&[(0x60, 0, 0, 3)]),
        "instruction 0 of the program: a cell is read that nothing was stored in"
    );
    assert_eq!(
        cause(&[(0x02, 0, 0, 16)]),
        "instruction 0 of the program: no such cell of memory"
    );
    assert_eq!(
        cause(&[(0x34, 0, 0, 0)]),
        "instruction 0 of the program: a division by nothing"
    );
    assert_eq!(
        cause(&[(0x28, 0, 0, 0)]),
        "instruction 0 of the program: not one that a filter may have"
    );
    // By an index of nothing: the kernel ends the program with 0.
    assert_eq!(
        evaluate(&program(&[(0x3c, 0, 0, 0)]), &Call::default()),
        Ok(Action::KillThread)
    );
}

proptest! {
    #[test]
    fn no_program_panics_or_runs_on(
        instructions in prop::collection::vec((any_code(), 0..8_u8, 0..8_u8, prop_oneof![0..70_u32, any::<u32>()]), 0..64),
        arguments in any::<[u64; 6]>(),
        big_endian: bool,
    ) {
        let program = Program { big_endian, ..program(&instructions) };
        let _ = evaluate(&program, &Call { arguments, ..Call::default() });
    }

    #[test]
    fn words_are_read_back_as_the_call_they_came_from(
        number: u32, architecture: u32, instruction_pointer: u64, arguments: [u64; 6], big_endian: bool,
    ) {
        let call = Call { number, architecture, instruction_pointer, arguments };
        prop_assert_eq!(Call::from_words(call.words(big_endian), big_endian), call);
    }
}

/// Codes that mean something, for the most part.
fn any_code() -> impl Strategy<Value = u16> {
    prop_oneof![9 => 0..0x100_u16, 1 => any::<u16>()]
}
