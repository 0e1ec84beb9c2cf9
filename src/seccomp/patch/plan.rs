//! Decides, for one grant, what becomes of each rule of its call.
//!
//! It must not know of files: rules are named by their place in the list. It goes by libseccomp's
//! order (`db_rule_add` in its db.c): the first unconditional rule of a call holds, whatever stands
//! before or after it; without one, conditional rules hold side by side. A rule with the default
//! verdict doesn't count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::allowances::{self, Allowance, Alternative};
use super::outcome::{Kind, Why};
use super::variants::{Context, Place, Variant};
use crate::seccomp::filter::{Action, Filter};

/// What is to be done in one variant.
pub(super) struct Decision {
    pub(super) place: Place,
    /// The rule to be added, if one is.
    pub(super) added: Option<Allowance>,
    /// What becomes of each rule of the call that ever holds there.
    pub(super) edits: BTreeMap<usize, Edit>,
}

/// What becomes of a rule, for the call in question.
#[derive(Debug, PartialEq)]
pub(super) enum Edit {
    /// It stays.
    Keep,
    /// It never counts, so it may stay or go.
    Free,
    /// It is replaced by these with the same verdict, or by nothing.
    Replace(Vec<Alternative>),
}

/// Rules that name the call.
pub(super) type Rules = BTreeMap<usize, Named>;

/// A rule that names the call.
pub(super) struct Named {
    verdict: Action,
    alternatives: Vec<Alternative>,
}

impl Named {
    fn is_unconditional(&self) -> bool {
        self.alternatives.iter().any(Vec::is_empty)
    }

    fn meets(&self, allowance: Allowance) -> bool {
        self.alternatives
            .iter()
            .any(|alternative| allowance.meets(alternative))
    }

    fn without(&self, allowance: Allowance) -> Result<Edit, Why> {
        allowance.taken_from(&self.alternatives).map(Edit::Replace)
    }
}

/// The rules of a context that count for something, with their places.
type Live<'a> = Vec<(usize, &'a Named)>;

fn live<'a>(context: &Context, rules: &'a Rules) -> Live<'a> {
    let held = context
        .rules
        .iter()
        .filter_map(|at| Some((*at, rules.get(at)?)));
    held.filter(|(_, rule)| rule.verdict != context.default)
        .collect()
}

/// The rules that name the call, by their place in the list.
pub(super) fn rules(filter: &Filter, call: &str) -> Result<Rules, Why> {
    let mut rules = Rules::new();
    let mut count = 0;
    for (at, rule) in filter
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.names.iter().any(|name| name == call))
    {
        let alternatives = allowances::alternatives(rule)?;
        count += alternatives.len();
        if count > allowances::MOST {
            return Err(Why::TooMany);
        }
        rules.insert(
            at,
            Named {
                verdict: rule.verdict,
                alternatives,
            },
        );
    }
    Ok(rules)
}

/// Decides for each variant.
pub(super) fn decide(rules: &Rules, variants: &[Variant]) -> Result<Vec<Decision>, Why> {
    variants
        .iter()
        .map(|variant| decide_in(variant, rules))
        .collect()
}

/// What the decisions amount to.
pub(super) fn kind(decisions: &[Decision]) -> Kind {
    let mut edits = decisions
        .iter()
        .flat_map(|decision| decision.edits.values());
    if edits.any(|edit| matches!(edit, Edit::Replace(_))) {
        Kind::Replaced
    } else if decisions.iter().any(|decision| decision.added.is_some()) {
        Kind::Added
    } else {
        Kind::Untouched
    }
}

fn decide_in(variant: &Variant, rules: &Rules) -> Result<Decision, Why> {
    let Variant {
        place,
        allowance,
        ref contexts,
    } = *variant;
    let mut edits = BTreeMap::new();
    if is_settled(rules, variant) {
        edits.extend(
            contexts
                .iter()
                .flat_map(|context| live(context, rules))
                .map(|(at, _)| (at, Edit::Keep)),
        );
        return Ok(Decision {
            place,
            added: None,
            edits,
        });
    }
    for context in contexts {
        for (at, edit) in edits_in(context.default, &live(context, rules), allowance)? {
            merge(edits.entry(at), edit)?;
        }
    }
    let added = contexts
        .iter()
        .any(|context| !context.default.allows())
        .then_some(allowance);
    Ok(Decision {
        place,
        added,
        edits,
    })
}

/// Whether the granted calls are allowed as it is, everywhere in a variant.
pub(super) fn is_settled(rules: &Rules, variant: &Variant) -> bool {
    variant
        .contexts
        .iter()
        .all(|context| settled(context.default, &live(context, rules), variant.allowance))
}

fn settled(default: Action, live: &Live<'_>, allowance: Allowance) -> bool {
    if let Some((_, first)) = live.iter().find(|(_, rule)| rule.is_unconditional()) {
        return first.verdict.allows();
    }
    let within = |rule: &Named| {
        rule.alternatives
            .iter()
            .any(|alternative| allowance.is_within(alternative))
    };
    let allowed = default.allows()
        || live
            .iter()
            .any(|(_, rule)| rule.verdict.allows() && within(rule));
    allowed
        && !live
            .iter()
            .any(|(_, rule)| !rule.verdict.allows() && rule.meets(allowance))
}

/// What must become of the rules of one context. Where the default denies, the grant gets a rule of
/// its own beside them.
fn edits_in(
    default: Action,
    live: &Live<'_>,
    allowance: Allowance,
) -> Result<Vec<(usize, Edit)>, Why> {
    let first = live
        .iter()
        .find(|(_, rule)| rule.is_unconditional())
        .copied();
    if first.is_none() && !allowance.is_everything() && contradictory(live) {
        return Err(Why::Contradiction);
    }
    let edit = |&(at, rule): &(usize, &Named)| {
        let edit = match first {
            Some((first, holds)) if holds.verdict.allows() => {
                if at == first {
                    Edit::Keep
                } else {
                    Edit::Free
                }
            }
            Some(_)
                if allowance.is_everything()
                    && rule.is_unconditional()
                    && rule.verdict.allows() =>
            {
                Edit::Keep
            }
            Some((first, _)) if at == first => rule.without(allowance)?,
            // Swallowed so far; it would come to life now that the unconditional rule goes.
            Some(_) => Edit::Replace(Vec::new()),
            None if in_the_way(default, rule, allowance) => rule.without(allowance)?,
            None => Edit::Keep,
        };
        Ok((at, edit))
    };
    live.iter().map(edit).collect()
}

/// Whether a conditional rule can't stay as it is. Beside a rule that is added none may stay that
/// overlaps it with another action, be it one that logs; nor need one stay that the added rule
/// swallows.
fn in_the_way(default: Action, rule: &Named, allowance: Allowance) -> bool {
    if default.allows() {
        !rule.verdict.allows() && rule.meets(allowance)
    } else {
        allowance.is_everything() || (rule.verdict != Action::Allow && rule.meets(allowance))
    }
}

/// Whether conditional rules with different verdicts may be for the same call: libseccomp then has
/// an order of its own.
fn contradictory(live: &Live<'_>) -> bool {
    let overlap = |one: &Named, other: &Named| {
        let apart = |a| {
            other
                .alternatives
                .iter()
                .all(|b| allowances::disjoint(a, b))
        };
        one.verdict != other.verdict && !one.alternatives.iter().all(apart)
    };
    live.iter()
        .enumerate()
        .any(|(at, (_, one))| live.iter().take(at).any(|(_, other)| overlap(one, other)))
}

/// One entry is edited once, for all contexts.
fn merge(so_far: Entry<'_, usize, Edit>, edit: Edit) -> Result<(), Why> {
    match so_far {
        Entry::Vacant(vacant) => {
            vacant.insert(edit);
        }
        Entry::Occupied(mut known) => {
            if *known.get() == Edit::Free {
                known.insert(edit);
            } else if edit != Edit::Free && edit != *known.get() {
                return Err(Why::Entangled);
            }
        }
    }
    Ok(())
}
