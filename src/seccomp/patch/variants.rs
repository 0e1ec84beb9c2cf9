//! The machines and containers that a profile in Docker's form tells apart: which of a call's rules
//! hold together on them, and what a grant means there.
//!
//! It must not know what rules mean once they hold.

use std::collections::BTreeSet;

use super::allowances::Allowance;
use crate::seccomp::docker::conditions::{Circumstances, Conditions};
use crate::seccomp::filter::Action;
use crate::seccomp::tier::Grant;

/// dockerd's words for the architectures on which `clone` has its arguments in another order.
pub(super) const S390: [&str; 2] = ["s390", "s390x"];
/// The most combinations that are looked at. Docker's own profiles have six.
const MOST: usize = 512;

/// Machines on which a grant means the same calls.
pub(super) struct Variant {
    /// Which those are.
    pub(super) place: Place,
    /// What the grant means there.
    pub(super) allowance: Allowance,
    /// Every combination of rules that can hold there.
    pub(super) contexts: Vec<Context>,
}

/// Rules that hold together.
#[derive(PartialEq)]
pub(super) struct Context {
    /// What befalls calls that no rule names.
    pub(super) default: Action,
    /// The rules, in order, by their place in the list.
    pub(super) rules: Vec<usize>,
}

/// Some machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All.
    Any,
    /// s390 and s390x.
    S390,
    /// All others.
    Elsewhere,
}

impl Place {
    /// Whether a machine is one of them; none is one that no rule names.
    pub(super) fn has(self, architecture: Option<&str>) -> bool {
        let s390 = architecture.is_some_and(|name| S390.contains(&name));
        match self {
            Self::Any => true,
            Self::S390 => s390,
            Self::Elsewhere => !s390,
        }
    }
}

/// Every combination of a call's rules that holds on some machine, by where the flags are there.
/// The conditions are those of the rules that name the call, with their places in the list. None:
/// those are too many combinations to look at.
pub(super) fn told_apart(
    default: Action,
    conditions: &[(usize, Conditions)],
    grant: &Grant,
) -> Option<Vec<Variant>> {
    let all = circumstances(conditions)?;
    let variant = |place: Place, allowance| Variant {
        place,
        allowance,
        contexts: contexts(
            default,
            conditions,
            all.iter().filter(|one| place.has(one.architecture)),
        ),
    };
    let (usual, s390) = (Allowance::new(grant, false), Allowance::new(grant, true));
    Some(if usual == s390 {
        vec![variant(Place::Any, usual)]
    } else {
        vec![variant(Place::Elsewhere, usual), variant(Place::S390, s390)]
    })
}

/// The rules that hold together under some circumstances, each combination once.
fn contexts<'a>(
    default: Action,
    conditions: &[(usize, Conditions)],
    circumstances: impl Iterator<Item = &'a Circumstances<'a>>,
) -> Vec<Context> {
    let mut contexts: Vec<Context> = Vec::new();
    for one in circumstances {
        let held = conditions
            .iter()
            .filter(|(_, conditions)| conditions.hold(one));
        let rules: Vec<_> = held.map(|(at, _)| *at).collect();
        for default in defaults(default) {
            let context = Context {
                default,
                rules: rules.clone(),
            };
            if !contexts.contains(&context) {
                contexts.push(context);
            }
        }
    }
    contexts
}

/// What Docker makes of a default verdict: before version 23 it passed over its error number.
fn defaults(written: Action) -> Vec<Action> {
    match written {
        Action::Errno(number) if number != 1 => vec![written, Action::Errno(1)],
        Action::Trace(number) if number != 1 => vec![written, Action::Trace(1)],
        _ => vec![written],
    }
}

/// All circumstances that the conditions tell apart; none if those are too many to look at.
fn circumstances(conditions: &[(usize, Conditions)]) -> Option<Vec<Circumstances<'_>>> {
    let limits = || {
        conditions
            .iter()
            .flat_map(|(_, conditions)| conditions.limits())
    };
    let named = limits().flat_map(|limits| &limits.capabilities);
    let capabilities = distinct(named.map(String::as_str));
    let named = limits().flat_map(|limits| &limits.architectures);
    let named = S390.into_iter().chain(named.map(String::as_str));
    let architectures = distinct(named.map(Some).chain([None]));
    let kernels = distinct(limits().filter_map(|limits| limits.kernel).chain([(0, 0)]));
    let sets = u32::try_from(capabilities.len())
        .ok()
        .and_then(|count| 1_usize.checked_shl(count))?;
    if sets
        .checked_mul(architectures.len() * kernels.len())
        .is_none_or(|count| count > MOST)
    {
        return None;
    }
    let mut all = Vec::new();
    for set in 0..sets {
        let held = capabilities
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1);
        let held: Vec<&str> = held.map(|(_, name)| *name).collect();
        for architecture in &architectures {
            all.extend(kernels.iter().map(|kernel| Circumstances {
                capabilities: held.clone(),
                architecture: *architecture,
                kernel: *kernel,
            }));
        }
    }
    Some(all)
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<BTreeSet<_>>().into_iter().collect()
}
