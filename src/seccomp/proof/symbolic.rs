//! From a program to its [`Diagram`]: what it says of every call there can be.
//!
//! Understood are programs as libseccomp makes them: load a word of the call, mask it, compare it
//! with a constant, jump forward, return a constant. Anything else is an error, not a guess. As all
//! jumps go forward, one pass from the first instruction to the last finds what the accumulator may
//! hold at each, and one pass back joins the answers.

use super::bdd::{Answer, Builder, Comparison, Diagram, Id, TooLarge};
use super::cbpf::{BadProgram, Instruction, NO_WORD, Program, code, verdict, word};

/// What the accumulator may hold at one instruction, at most. libseccomp's programs have one or
/// two; those whose rules mask one word in many ways, up to some dozens were seen.
const MOST_LOADED: usize = 256;

/// Why a program isn't understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// It isn't one of libseccomp's.
    #[error("libseccomp made an unexpected program")]
    Program(#[from] BadProgram),
    /// It is too much.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// What the accumulator holds: a word of the call, and which of its bits are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loaded {
    word: usize,
    mask: u32,
}

/// What an instruction does.
enum Step {
    Return(u32),
    Go {
        to: usize,
        holding: Option<Loaded>,
    },
    Ask {
        loaded: Loaded,
        comparison: Comparison,
        number: u32,
        yes: usize,
        no: usize,
    },
}

/// What may be held at an instruction, and what the program says from there on, once that is known.
type Seen = Vec<(Option<Loaded>, Option<Id>)>;

/// The diagram of a program.
///
/// # Errors
/// [`NotUnderstood`], where the program does what libseccomp's don't, or is too large.
pub fn diagram(program: &Program) -> Result<Diagram, NotUnderstood> {
    let mut seen: Vec<Seen> = vec![Vec::new(); program.instructions.len()];
    see(&mut seen, 0, 0, None)?;
    for (at, instruction) in program.instructions.iter().enumerate() {
        let held: Vec<_> = seen
            .get(at)
            .into_iter()
            .flatten()
            .map(|(held, _)| *held)
            .collect();
        for held in held {
            match step(at, instruction, held)? {
                Step::Return(_) => {}
                Step::Go { to, holding } => see(&mut seen, at, to, holding)?,
                Step::Ask {
                    loaded, yes, no, ..
                } => {
                    see(&mut seen, at, yes, Some(loaded))?;
                    see(&mut seen, at, no, Some(loaded))?;
                }
            }
        }
    }
    let mut builder = Builder::default();
    for (at, instruction) in program.instructions.iter().enumerate().rev() {
        let held: Vec<_> = seen
            .get(at)
            .into_iter()
            .flatten()
            .map(|(held, _)| *held)
            .collect();
        for held in held {
            let says = join(&mut builder, &seen, at, &step(at, instruction, held)?)?;
            let entry = seen
                .get_mut(at)
                .and_then(|seen| seen.iter_mut().find(|(other, _)| *other == held));
            entry.expect("it was seen").1 = Some(says);
        }
    }
    let root = said(&seen, 0, 0, None)?;
    Ok(builder.finish(root))
}

/// What the program says from a step on.
fn join(builder: &mut Builder, seen: &[Seen], at: usize, step: &Step) -> Result<Id, NotUnderstood> {
    Ok(match *step {
        Step::Return(number) => builder.answer(Answer::Action(verdict(number)))?,
        Step::Go { to, holding } => said(seen, at, to, holding)?,
        Step::Ask {
            loaded,
            comparison,
            number,
            yes,
            no,
        } => {
            let condition = builder.condition(loaded.word, loaded.mask, comparison, number)?;
            let (yes, no) = (
                said(seen, at, yes, Some(loaded))?,
                said(seen, at, no, Some(loaded))?,
            );
            builder.choose(condition, yes, no)?
        }
    })
}

/// Notes that an instruction can be come to with this in the accumulator.
fn see(seen: &mut [Seen], at: usize, to: usize, held: Option<Loaded>) -> Result<(), BadProgram> {
    let seen = seen.get_mut(to).ok_or(BadProgram {
        at,
        cause: "it leads past the end",
    })?;
    if seen.iter().any(|(other, _)| *other == held) {
        return Ok(());
    }
    if seen.len() >= MOST_LOADED {
        return Err(BadProgram {
            at: to,
            cause: "too much may be in the accumulator there",
        });
    }
    seen.push((held, None));
    Ok(())
}

fn said(seen: &[Seen], at: usize, to: usize, held: Option<Loaded>) -> Result<Id, BadProgram> {
    let mut entries = seen.get(to).into_iter().flatten();
    let says = entries
        .find(|(other, _)| *other == held)
        .and_then(|(_, says)| *says);
    says.ok_or(BadProgram {
        at,
        cause: "it leads to nowhere",
    })
}

fn step(at: usize, instruction: &Instruction, held: Option<Loaded>) -> Result<Step, BadProgram> {
    let bad = |cause| BadProgram { at, cause };
    let after = |over: u32| {
        usize::try_from(over)
            .unwrap_or(usize::MAX)
            .saturating_add(at)
            .saturating_add(1)
    };
    let number = instruction.constant;
    let comparison = match instruction.code {
        code::RETURN => return Ok(Step::Return(number)),
        code::JUMP => {
            return Ok(Step::Go {
                to: after(number),
                holding: held,
            });
        }
        code::LOAD_CALL => {
            let word = word(number).ok_or_else(|| bad(NO_WORD))?;
            return Ok(Step::Go {
                to: after(0),
                holding: Some(Loaded {
                    word,
                    mask: u32::MAX,
                }),
            });
        }
        code::AND => {
            let loaded = held.ok_or_else(|| bad("nothing was loaded"))?;
            let holding = Some(Loaded {
                mask: loaded.mask & number,
                ..loaded
            });
            return Ok(Step::Go {
                to: after(0),
                holding,
            });
        }
        code::JUMP_EQUAL => Comparison::Equal,
        code::JUMP_GREATER => Comparison::Greater,
        code::JUMP_GREATER_OR_EQUAL => Comparison::GreaterOrEqual,
        code::JUMP_ANY_BIT => Comparison::AnyBit,
        _ => return Err(bad("libseccomp makes none like it")),
    };
    let loaded = held.ok_or_else(|| bad("nothing was loaded"))?;
    let (yes, no) = (
        after(instruction.when_true.into()),
        after(instruction.when_false.into()),
    );
    Ok(Step::Ask {
        loaded,
        comparison,
        number,
        yes,
        no,
    })
}

#[cfg(test)]
mod tests;
