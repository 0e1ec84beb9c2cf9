//! From a filter to the program that the kernel runs, by libseccomp, in the way of runc
//! (`InitSeccomp` and `matchCall` in its libcontainer/seccomp) and crun.
//!
//! One thing of runc's is left out: the instructions that it puts before libseccomp's, which answer
//! ENOSYS for calls newer than the newest one that the profile names (`patchbpf`). They look at the
//! same names before and after a patch of ours, as our patches name old calls only.

use std::fs::File;
use std::io::{Read, Seek};

use libseccomp::error::{SeccompErrno, SeccompError};
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::cbpf::{Instruction, Program};
use crate::seccomp::Fault;
use crate::seccomp::arch::{self, Machine};
use crate::seccomp::filter::{Action, Condition, Filter, Test};

/// The program of a filter.
///
/// As in runc, a rule whose verdict is the default one is left out, and a name that libseccomp
/// doesn't know is passed over. An architecture that it doesn't know is refused: the calls of that
/// machine would kill, which nobody meant.
///
/// # Errors
/// What runc would refuse to create a container for: an architecture that the linked libseccomp
/// doesn't know, or of another byte order than the first; two rules that have the same conditions
/// and different verdicts; an invalid error number.
pub fn compile(filter: &Filter) -> Result<Program, Fault> {
    let machines = judged_by(filter);
    let mut context = ScmpFilterContext::new(action(filter.default))
        .map_err(|cause| refused("defaultAction", &cause))?;
    judge(&mut context, &machines)?;
    for (at, rule) in filter
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.verdict != filter.default)
    {
        let alternatives: Vec<_> = rule
            .alternatives()
            .iter()
            .map(|all| compared(all))
            .collect();
        for (nth, name) in rule.names.iter().enumerate() {
            let added = add(&mut context, name, action(rule.verdict), &alternatives);
            added.map_err(|cause| {
                refused(&format!("syscalls[{at}].names[{nth}] ({name:?})"), &cause)
            })?;
        }
    }
    let big_endian = machines.first().is_some_and(|first| first.is_big_endian());
    let instructions =
        export(&context, big_endian).map_err(|cause| Fault::new("seccomp", cause))?;
    Ok(Program {
        instructions,
        big_endian,
    })
}

/// The machines whose calls a filter judges: those that it names, and this one, named or not: runc
/// and crun only ever *add* architectures. Calls of all others kill.
///
/// A filter that begins with one of the other byte order is not for this machine (libseccomp mixes
/// no orders in a program, and runc refuses it here): it is taken as for the machines it names
/// alone.
#[must_use]
pub fn judged_by(filter: &Filter) -> Vec<Machine> {
    let own = arch::own();
    let mut judged: Vec<Machine> = Vec::new();
    let named = filter.architectures.iter();
    let named = named.filter_map(|named| named.machine());
    for machine in named.chain(own) {
        let stranger = |first: &Machine| {
            Some(machine) == own && first.is_big_endian() != machine.is_big_endian()
        };
        if !judged.contains(&machine) && !judged.first().is_some_and(stranger) {
            judged.push(machine);
        }
    }
    judged
}

/// Whether a filter is for machines whose bytes are in another order than this one's.
#[must_use]
pub fn is_of_other_byte_order(filter: &Filter) -> bool {
    let first = filter.architectures.first();
    let first = first.and_then(|named| named.machine());
    first
        .zip(arch::own())
        .is_some_and(|(first, own)| first.is_big_endian() != own.is_big_endian())
}

/// Makes the context one for these machines.
fn judge(context: &mut ScmpFilterContext, machines: &[Machine]) -> Result<(), Fault> {
    if arch::own().is_none_or(|own| !machines.contains(&own)) {
        context
            .remove_arch(ScmpArch::Native)
            .map_err(|cause| refused("architectures", &cause))?;
    }
    for machine in machines {
        let name = machine.architecture.name();
        let known = machine
            .for_libseccomp()
            .ok_or_else(|| Fault::new("architectures", format!("{name} is unknown")))?;
        context
            .add_arch(known)
            .map_err(|cause| match cause.errno() {
                Some(SeccompErrno::EINVAL) => Fault::new(
                    "architectures",
                    format!("{name} is unknown to the libseccomp that is built in"),
                ),
                Some(SeccompErrno::EDOM) => Fault::new(
                    "architectures",
                    format!("{name} has another byte order than the others"),
                ),
                _ => refused("architectures", &cause),
            })?;
    }
    Ok(())
}

fn add(
    context: &mut ScmpFilterContext,
    name: &str,
    action: ScmpAction,
    alternatives: &[Vec<ScmpArgCompare>],
) -> Result<(), SeccompError> {
    let Ok(syscall) = ScmpSyscall::from_name(name) else {
        return Ok(());
    };
    for conditions in alternatives {
        context.add_rule_conditional(action, syscall, conditions)?;
    }
    Ok(())
}

fn action(verdict: Action) -> ScmpAction {
    match verdict {
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Errno(number) => ScmpAction::Errno(number.into()),
        Action::Trace(number) => ScmpAction::Trace(number),
        Action::Trap => ScmpAction::Trap,
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Notify => ScmpAction::Notify,
    }
}

fn compared(conditions: &[Condition]) -> Vec<ScmpArgCompare> {
    let one = |condition: &Condition| {
        let (operator, value) = match condition.test {
            Test::NotEqual(value) => (ScmpCompareOp::NotEqual, value),
            Test::Less(value) => (ScmpCompareOp::Less, value),
            Test::LessOrEqual(value) => (ScmpCompareOp::LessOrEqual, value),
            Test::Equal(value) => (ScmpCompareOp::Equal, value),
            Test::GreaterOrEqual(value) => (ScmpCompareOp::GreaterEqual, value),
            Test::Greater(value) => (ScmpCompareOp::Greater, value),
            Test::Masked { mask, value } => (ScmpCompareOp::MaskedEqual(mask), value),
        };
        ScmpArgCompare::new(condition.argument, operator, value)
    };
    conditions.iter().map(one).collect()
}

/// The finished program. libseccomp writes it in the byte order of the machines that it is for.
pub(super) fn export(
    context: &ScmpFilterContext,
    big_endian: bool,
) -> Result<Vec<Instruction>, String> {
    // Before 2.6 libseccomp exports to a descriptor only.
    let memory = memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC)
        .map_err(|cause| format!("no memory file: {cause}"))?;
    context
        .export_bpf(&memory)
        .map_err(|cause| format!("libseccomp makes no program of it: {cause}"))?;
    let mut bytes = Vec::new();
    let mut file = File::from(memory);
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|cause| format!("memory file: {cause}"))?;
    let (instructions, rest) = bytes.as_chunks();
    debug_assert!(rest.is_empty(), "a program is whole instructions");
    Ok(instructions
        .iter()
        .map(|bytes| Instruction::from_bytes(*bytes, big_endian))
        .collect())
}

fn refused(place: &str, cause: &SeccompError) -> Fault {
    match cause.errno() {
        Some(SeccompErrno::EEXIST) => Fault::new(
            place,
            "an earlier rule has the same conditions and another action",
        ),
        _ => Fault::new(place, format!("libseccomp refuses it: {cause}")),
    }
}

#[cfg(test)]
mod tests;
