//! The arithmetic of a grant: which calls a rule's conditions share with it, and what is left of
//! the rule without them.
//!
//! It must not know of files, nor of other rules.
//!
//! Invariant: whatever is concluded holds for the lower halves of numbers alone, too, since on
//! 32-bit architectures libseccomp drops the upper half of every mask and value; a grant's bits are
//! all in the lower half. libseccomp compares under the mask (`_db_node_mask_fixup` in its db.c):
//! bits of a value outside its mask don't count, and a mask of 0 is not a condition.

use super::outcome::Why;
use crate::seccomp::filter::{Condition, Rule, Test};
use crate::seccomp::tier::Grant;

/// Conditions that must all hold, at most one on each argument. None: the rule is unconditional.
pub(super) type Alternative = Vec<Condition>;

/// More than any profile has for a call. A kernel takes 4096 instructions in all (BPF_MAXINSNS), at
/// several for each.
pub(super) const MOST: usize = 256;

/// The granted calls: those with none of the `forbidden` bits set in an argument. No bits: all
/// calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) argument: u32,
    pub(super) forbidden: u64,
}

impl Allowance {
    pub(super) fn new(grant: &Grant, s390: bool) -> Self {
        match grant.flags {
            None => Self {
                argument: 0,
                forbidden: 0,
            },
            Some(flags) if s390 => Self {
                argument: flags.argument_on_s390,
                forbidden: flags.forbidden,
            },
            Some(flags) => Self {
                argument: flags.argument,
                forbidden: flags.forbidden,
            },
        }
    }

    /// Whether it is all calls, whatever their arguments.
    pub(super) fn is_everything(self) -> bool {
        self.forbidden == 0
    }

    /// The condition for just these calls; none, if it is all.
    pub(super) fn condition(self) -> Option<Condition> {
        let test = Test::Masked {
            mask: self.forbidden,
            value: 0,
        };
        (!self.is_everything()).then_some(Condition {
            argument: self.argument,
            test,
        })
    }

    /// Whether every granted call is one that the conditions are for.
    pub(super) fn is_within(self, alternative: &Alternative) -> bool {
        alternative.iter().all(|condition| {
            let within = |(mask, value)| mask & !self.forbidden == 0 && value == 0;
            condition.argument == self.argument && bits(condition.test).is_some_and(within)
        })
    }

    /// Whether some granted call may be one that the conditions are for.
    pub(super) fn meets(self, alternative: &Alternative) -> bool {
        !self
            .tests(alternative)
            .filter_map(bits)
            .any(|(_, value)| value & self.forbidden != 0)
    }

    /// What is left of a rule without the granted calls: alternatives that together mean just that.
    pub(super) fn taken_from(self, alternatives: &[Alternative]) -> Result<Vec<Alternative>, Why> {
        let mut left: Vec<Alternative> = Vec::new();
        for alternative in alternatives {
            if self.meets(alternative) {
                left.extend(self.split(alternative)?);
            } else {
                left.push(alternative.clone());
            }
            if left.len() > MOST {
                return Err(Why::TooMany);
            }
        }
        Ok(without_redundant(left))
    }

    /// The part of an alternative in which a forbidden bit is set: one new alternative for each bit
    /// on which it is silent.
    fn split(self, alternative: &Alternative) -> Result<Vec<Alternative>, Why> {
        if !self.is_everything() && self.tests(alternative).any(|test| bits(test).is_none()) {
            return Err(Why::Comparison);
        }
        let (mask, value) = self.tests(alternative).find_map(bits).unwrap_or_default();
        let others = || {
            alternative
                .iter()
                .filter(|condition| condition.argument != self.argument)
                .copied()
        };
        let silent = (0..u64::BITS)
            .map(|bit| 1_u64 << bit)
            .filter(|bit| self.forbidden & !mask & bit != 0);
        let with = |bit| {
            let test = Test::Masked {
                mask: mask | bit,
                value: value | bit,
            };
            others()
                .chain([Condition {
                    argument: self.argument,
                    test,
                }])
                .collect()
        };
        Ok(silent.map(with).collect())
    }

    fn tests(self, alternative: &Alternative) -> impl Iterator<Item = Test> {
        alternative
            .iter()
            .filter(move |condition| condition.argument == self.argument)
            .map(|condition| condition.test)
    }
}

/// A rule's alternatives, without conditions that always hold.
pub(super) fn alternatives(rule: &Rule) -> Result<Vec<Alternative>, Why> {
    let mut alternatives = rule.alternatives();
    if alternatives.len() > MOST {
        return Err(Why::TooMany);
    }
    for alternative in &mut alternatives {
        alternative.retain(|condition| bits(condition.test).is_none_or(|(mask, _)| mask != 0));
        if alternative
            .iter()
            .filter_map(|condition| bits(condition.test))
            .any(|(mask, _)| lower(mask) == 0)
        {
            return Err(Why::UpperHalf);
        }
    }
    Ok(alternatives)
}

/// Whether it is certain that no call meets both, on 32-bit architectures neither.
pub(super) fn disjoint(one: &Alternative, other: &Alternative) -> bool {
    let contradict = |a: &Condition, b: &Condition| match (bits(a.test), bits(b.test)) {
        (Some((mask, value)), Some((mask2, value2))) => {
            a.argument == b.argument && lower((value ^ value2) & mask & mask2) != 0
        }
        _ => false,
    };
    one.iter().any(|a| other.iter().any(|b| contradict(a, b)))
}

/// Without those whose calls another one has, too.
fn without_redundant(alternatives: Vec<Alternative>) -> Vec<Alternative> {
    let mut kept: Vec<Alternative> = Vec::new();
    for alternative in alternatives {
        if !kept.iter().any(|wider| covers(wider, &alternative)) {
            kept.retain(|narrower| !covers(&alternative, narrower));
            kept.push(alternative);
        }
    }
    kept
}

/// Whether every call that the one is for is one that the other is for: each condition of `wide`
/// follows from one of `narrow`.
fn covers(wide: &Alternative, narrow: &Alternative) -> bool {
    let follows = |one: &Condition, from: &Condition| {
        let masked = match (bits(one.test), bits(from.test)) {
            (Some((mask, value)), Some((mask2, value2))) => {
                mask & !mask2 == 0 && value2 & mask == value
            }
            _ => one.test == from.test,
        };
        one.argument == from.argument && masked
    };
    wide.iter()
        .all(|one| narrow.iter().any(|from| follows(one, from)))
}

/// A test of bits, as mask and value. Equality looks at all of them.
fn bits(test: Test) -> Option<(u64, u64)> {
    match test {
        Test::Equal(value) => Some((u64::MAX, value)),
        Test::Masked { mask, value } => Some((mask, value & mask)),
        _ => None,
    }
}

/// What 32-bit architectures see of a number.
fn lower(number: u64) -> u64 {
    number & u64::from(u32::MAX)
}
