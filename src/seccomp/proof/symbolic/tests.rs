//! The diagram of a program says of every call what the program says, and nothing makes it panic or
//! run on.

use super::*;
use crate::seccomp::filter::{Action, Filter};
use crate::seccomp::proof::cbpf::Call;
use crate::seccomp::proof::interpreter::evaluate;
use proptest::prelude::*;
use serde_json::json;

/// Instructions as libseccomp has them, mostly with words and numbers that are near each other.
fn any_instruction() -> impl Strategy<Value = Instruction> {
    let code = prop::sample::select(vec![
        code::LOAD_CALL,
        code::LOAD_CALL,
        code::AND,
        code::JUMP,
        code::JUMP_EQUAL,
        code::JUMP_GREATER,
        code::JUMP_GREATER_OR_EQUAL,
        code::JUMP_ANY_BIT,
        code::RETURN,
    ]);
    (code, 0..4_u8, 0..4_u8, any_number()).prop_map(|(code, when_true, when_false, number)| {
        let constant = match code {
            code::LOAD_CALL => number % 5 * 4,
            code::JUMP => number % 4,
            code::RETURN => 0x7fff_0000 - number % 3,
            _ => number,
        };
        Instruction {
            code,
            when_true,
            when_false,
            constant,
        }
    })
}

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..6_u32,
        any::<u32>(),
        (0..32_u32).prop_map(|place| 1 << place),
        (0..6_u32).prop_map(|below| u32::MAX - below)
    ]
}

/// Programs that begin by loading and end by returning.
fn any_program() -> impl Strategy<Value = Program> {
    prop::collection::vec(any_instruction(), 0..24).prop_map(|middle| {
        let plain = |code, constant| Instruction {
            code,
            when_true: 0,
            when_false: 0,
            constant,
        };
        let last = [plain(code::RETURN, 0x7fff_0000); 5];
        let instructions = [plain(code::LOAD_CALL, 0)]
            .into_iter()
            .chain(middle)
            .chain(last)
            .collect();
        Program {
            instructions,
            big_endian: false,
        }
    })
}

proptest! {
    #[test]
    fn a_diagram_says_what_its_program_says(
        program in any_program(),
        calls in prop::collection::vec((any_number(), any_number(), any_number(), any_number(), any_number()), 16),
    ) {
        let diagram = diagram(&program).unwrap();
        for (number, architecture, pointer, low, high) in calls {
            let arguments = [u64::from(low) | u64::from(high) << 32, 0, 0, 0, 0, 0];
            let call = Call { number, architecture, instruction_pointer: pointer.into(), arguments };
            prop_assert_eq!(diagram.says(&call.words(false)), Answer::Action(evaluate(&program, &call).unwrap()));
        }
    }

    #[test]
    fn no_program_panics(instructions in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any_number()), 0..40)) {
        let one = |(code, when_true, when_false, constant)| Instruction { code: code & 0x7f, when_true, when_false, constant };
        let _ = diagram(&Program { instructions: instructions.into_iter().map(one).collect(), big_endian: false });
    }
}

#[test]
fn numbers_at_the_edge_of_a_comparison_fall_on_the_right_side() {
    for (code, holds) in [
        (code::JUMP_EQUAL, [false, true, false]),
        (code::JUMP_GREATER, [false, false, true]),
        (code::JUMP_GREATER_OR_EQUAL, [false, true, true]),
    ] {
        for number in [1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1] {
            let plain = |code, constant| Instruction {
                code,
                when_true: 0,
                when_false: 0,
                constant,
            };
            let compare = Instruction {
                code,
                when_true: 0,
                when_false: 1,
                constant: number,
            };
            let instructions = vec![
                plain(code::LOAD_CALL, 0),
                compare,
                plain(code::RETURN, 0x7fff_0000),
                plain(code::RETURN, 0),
            ];
            let diagram = diagram(&Program {
                instructions,
                big_endian: false,
            })
            .unwrap();
            for (near, holds) in [number - 1, number, number + 1].into_iter().zip(holds) {
                let verdict = if holds {
                    Action::Allow
                } else {
                    Action::KillThread
                };
                let said = diagram.says(
                    &Call {
                        number: near,
                        ..Call::default()
                    }
                    .words(false),
                );
                assert_eq!(
                    said,
                    Answer::Action(verdict),
                    "{code:#x} {number:#x} {near:#x}"
                );
            }
        }
    }
}

/// Each condition looks at bits of its own, in an order that makes the diagram twice as large with
/// each.
#[test]
fn conditions_made_to_be_hard_are_refused_in_bounded_time() {
    let rules: Vec<_> = (0..16_u32)
        .map(|place| {
            let bits = 1_u64 << place | 1_u64 << (place + 16) | 1_u64 << (63 - place);
            let condition =
                json!({"index": 0, "value": bits, "valueTwo": bits, "op": "SCMP_CMP_MASKED_EQ"});
            json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [condition]})
        })
        .collect();
    let filter =
        Filter::read(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).unwrap();
    let program = crate::seccomp::proof::compile::compile(&filter).unwrap();
    let made = diagram(&program);
    assert!(
        matches!(made, Ok(_) | Err(NotUnderstood::TooLarge(_))),
        "{made:?}"
    );
}

#[test]
fn what_libseccomp_does_not_do_is_an_error() {
    let told = |instructions: &[(u16, u32)]| {
        let one = |&(code, constant): &_| Instruction {
            code,
            when_true: 0,
            when_false: 0,
            constant,
        };
        let program = Program {
            instructions: instructions.iter().map(one).collect(),
            big_endian: false,
        };
        format!("{:#}", anyhow::Error::from(diagram(&program).unwrap_err()))
    };
    let unexpected = "libseccomp made an unexpected program: instruction";
    assert_eq!(
        told(&[]),
        format!("{unexpected} 0 of the program: it leads past the end")
    );
    assert_eq!(
        told(&[(code::LOAD_CALL, 0)]),
        format!("{unexpected} 0 of the program: it leads past the end")
    );
    assert_eq!(
        told(&[(code::JUMP_EQUAL, 0)]),
        format!("{unexpected} 0 of the program: nothing was loaded")
    );
    assert_eq!(
        told(&[(0x07, 0)]),
        format!("{unexpected} 0 of the program: libseccomp makes none like it")
    );
}
