//! The proof that a patched filter allows what its tier promises, and that the verdict on every
//! other call is what it was.
//!
//! Both filters are compiled by libseccomp, as the runtime will do it, and both programs are read
//! as functions of all the bits of a call. The comparison is exact, for every architecture, number
//! and argument there can be: nothing is sampled, and libseccomp is believed in nothing but the
//! numbers of the calls that are granted. libseccomp's ways are why this is done at all: it drops a
//! rule after an unconditional one without a word. What is proved is proved for the libseccomp that
//! is built in; the runtime may have another version.

use std::fmt;

use super::bdd::{self, Answer, Builder, Comparison, Diagram, TooLarge};
use super::cbpf::{Call, WORDS};
use super::compile::{compile, judged_by};
use super::symbolic::{self, NotUnderstood};
use crate::seccomp::Fault;
use crate::seccomp::arch::{self, Machine};
use crate::seccomp::filter::{Action, Filter};
use crate::seccomp::tier::{Flags, Grant, Tier};

/// Why a patched filter isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It says of a call what it should not.
    #[error("the patched seccomp profile is wrong: {0}")]
    Violation(Box<Violation>),
    /// It is for machines of another byte order.
    #[error("the patched seccomp profile is for other architectures")]
    OtherMachines,
    /// No program can be made of one of the two.
    #[error("the {which} seccomp profile makes no filter")]
    Uncompiled {
        /// Which one, for people.
        which: &'static str,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// The program of one of the two isn't understood.
    #[error("the {which} seccomp profile can't be checked")]
    NotUnderstood {
        /// Which one, for people.
        which: &'static str,
        /// Why.
        #[source]
        cause: NotUnderstood,
    },
    /// Each of the two is understood, but not both at once.
    #[error("the seccomp profiles can't be compared")]
    TooLarge(#[from] TooLarge),
}

/// A call of which a patched filter says what it should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The call.
    pub call: Call,
    /// Whether the tier grants it.
    pub granted: bool,
    /// What the filter said of it before.
    pub before: Action,
    /// What it says now.
    pub after: Action,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call,
            granted,
            before,
            after,
        } = self;
        write!(out, "{}(", arch::describe(call.architecture, call.number))?;
        for (at, argument) in call.arguments.iter().enumerate() {
            write!(out, "{}{argument:#x}", if at == 0 { "" } else { ", " })?;
        }
        let promise = if *granted {
            "should be allowed"
        } else {
            "should be as before"
        };
        write!(out, ") {promise}; before: {before}; after: {after}")
    }
}

/// Checks a patched filter against what it was before.
///
/// A call that the tier grants must be made, logged or not, and not logged where it wasn't. Every
/// other call must have the very verdict that it had.
///
/// # Errors
/// [`Unverified`]: the patched filter must not be used.
pub fn verify(before: &Filter, after: &Filter, tier: Tier) -> Result<(), Unverified> {
    let (was, is) = Read::both(before, after);
    let (was, is) = (was?, is?);
    if was.big_endian != is.big_endian {
        return Err(Unverified::OtherMachines);
    }
    let granted = granted(&judged_by(before), tier)?;
    let Some(found) = bdd::find([&granted, &was.says, &is.says], is_wrong)? else {
        return Ok(());
    };
    let [granted, before, after] = found.answers;
    let says = |answer| match answer {
        Answer::Action(verdict) => Some(verdict),
        Answer::Truth(_) => None,
    };
    let (before, after) = says(before)
        .zip(says(after))
        .expect("the diagram of a program ends in verdicts");
    Err(Unverified::Violation(Box::new(Violation {
        call: Call::from_words(found.words, is.big_endian),
        granted: granted == Answer::Truth(true),
        before,
        after,
    })))
}

fn is_wrong([granted, before, after]: [Answer; 3]) -> bool {
    let allowed = Answer::Action(Action::Allow);
    let logged = Answer::Action(Action::Log);
    if granted == Answer::Truth(true) {
        // Logged calls are made, too: in a profile that logs by default, taking a denial away
        // leaves that.
        after != allowed && (after != logged || before == allowed)
    } else {
        before != after
    }
}

/// A filter as it will be run.
struct Read {
    big_endian: bool,
    says: Diagram,
}

impl Read {
    /// Reads both at once, where there can be a second thread: nearly all the time goes by in
    /// libseccomp.
    fn both(
        before: &Filter,
        after: &Filter,
    ) -> (Result<Self, Unverified>, Result<Self, Unverified>) {
        // libseccomp asks the kernel what it can when it is first used: once, not in two threads at
        // once.
        libseccomp::get_api();
        std::thread::scope(|scope| {
            let was =
                std::thread::Builder::new().spawn_scoped(scope, || Self::of(before, "original"));
            let is = Self::of(after, "patched");
            let was = match was {
                Ok(was) => was
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => Self::of(before, "original"),
            };
            (was, is)
        })
    }

    fn of(filter: &Filter, which: &'static str) -> Result<Self, Unverified> {
        let program = compile(filter).map_err(|fault| Unverified::Uncompiled { which, fault })?;
        let says = symbolic::diagram(&program)
            .map_err(|cause| Unverified::NotUnderstood { which, cause })?;
        Ok(Self {
            big_endian: program.big_endian,
            says,
        })
    }
}

/// The calls that a tier grants on these machines. It is made from the tier itself, not by way of
/// libseccomp's rules.
fn granted(machines: &[Machine], tier: Tier) -> Result<Diagram, TooLarge> {
    let mut builder = Builder::default();
    let (yes, no) = (
        builder.answer(Answer::Truth(true))?,
        builder.answer(Answer::Truth(false))?,
    );
    let mut granted = no;
    for (machine, grant) in machines
        .iter()
        .flat_map(|machine| tier.grants().iter().map(move |grant| (machine, grant)))
    {
        let Some(number) = machine.number(grant.syscall) else {
            continue;
        };
        let mut these = yes;
        for (word, (mask, value)) in looked_at(*machine, number, grant).into_iter().enumerate() {
            let condition = builder.condition(word, mask, Comparison::Equal, value)?;
            these = builder.choose(condition, these, no)?;
        }
        granted = builder.choose(these, yes, granted)?;
    }
    Ok(builder.finish(granted))
}

/// The bits of each word of a call that a grant looks at, and what they must be.
fn looked_at(machine: Machine, number: u32, grant: &Grant) -> [(u32, u32); WORDS] {
    let mut arguments = [0; 6];
    if let Some(Flags {
        forbidden,
        argument,
        argument_on_s390,
    }) = grant.flags
    {
        let argument = if machine.architecture.is_s390() {
            argument_on_s390
        } else {
            argument
        };
        let places = arguments.iter_mut().zip(0..);
        places
            .filter(|(_, place)| *place == argument)
            .for_each(|(bits, _)| *bits = forbidden);
    }
    let whole = Call {
        number: u32::MAX,
        architecture: u32::MAX,
        instruction_pointer: 0,
        arguments,
    };
    let exact = Call {
        number,
        architecture: machine.word,
        ..Call::default()
    };
    let (masks, values) = (
        whole.words(machine.is_big_endian()),
        exact.words(machine.is_big_endian()),
    );
    let mut looked_at = masks.into_iter().zip(values);
    [(); WORDS].map(|()| looked_at.next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
