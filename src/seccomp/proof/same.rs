//! Whether a program of ours means what libseccomp's does: of every call there can be.

use libseccomp::ScmpFilterContext;

use super::bdd;
use super::cbpf::{Call, Instruction, Program};
use super::{compile, symbolic};
use crate::sys::call_filter;

/// Panics, with a call, unless both say the same of every call.
#[track_caller]
pub(crate) fn must_be(ours: &call_filter::Program, theirs: &ScmpFilterContext) {
    let big_endian = cfg!(target_endian = "big");
    let ours = ours.instructions().iter().map(|one| Instruction {
        code: one.code,
        when_true: one.jt,
        when_false: one.jf,
        constant: one.k,
    });
    let both = [ours.collect(), compile::export(theirs, big_endian).unwrap()];
    let [ours, theirs] = both.map(|instructions| {
        let program = Program {
            instructions,
            big_endian,
        };
        symbolic::diagram(&program).unwrap()
    });
    let found = bdd::find([&ours, &theirs], |[ours, theirs]| ours != theirs).unwrap();
    if let Some(found) = found {
        let call = Call::from_words(found.words, big_endian);
        panic!("of {call:x?} they say {:?}", found.answers);
    }
}
