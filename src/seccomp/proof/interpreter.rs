//! For tests: runs a program on a call, by an interpreter that shares nothing with the product.

use test_support::cbpf;

use super::cbpf::{BadProgram, Call, Program, verdict};
use crate::seccomp::filter::Action;

pub(crate) fn evaluate(program: &Program, call: &Call) -> Result<Action, BadProgram> {
    let instructions: Vec<_> = program
        .instructions
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.when_true,
            jf: instruction.when_false,
            k: instruction.constant,
        })
        .collect();
    cbpf::evaluate(&instructions, &call.words(program.big_endian))
        .map(verdict)
        .map_err(|bad| BadProgram {
            at: bad.at,
            cause: bad.cause,
        })
}
