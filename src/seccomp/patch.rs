//! Gives a profile the grants of a tier: the promised calls are allowed, every other call's verdict
//! stays what it was, on every architecture. Pure edits of the JSON tree, in which unknown fields
//! survive.
//!
//! It must not know where a profile comes from nor whether a kernel takes it; `proof` holds the
//! result against libseccomp.
//!
//! A rule can't simply be appended: libseccomp lets the first unconditional rule of a call swallow
//! all others without a word, and decides by itself between conditional rules that overlap. So rules
//! in the way are replaced by what is left of them outside the grant, and a profile whose meaning
//! isn't certain is refused.

mod allowances;
mod outcome;
mod plan;
mod variants;
mod write;

use serde_json::Value;

use self::allowances::Allowance;
pub use self::outcome::{Change, Changes, Kind, PatchError, Why};
use self::plan::Rules;
use self::variants::{Context, Place, Variant};
use super::Fault;
use super::arch::Architecture;
use super::docker::conditions::Conditions;
use super::docker::profile::Profile;
use super::filter::Filter;
use super::tier::{Grant, Tier};

/// Patches a filter of the OCI specification, `linux.seccomp` of a `config.json`.
///
/// # Errors
/// [`PatchError`]; the filter is as it was.
pub fn oci(seccomp: &mut Value, tier: Tier) -> Result<Changes, PatchError> {
    let mut tree = seccomp.clone();
    let changes = patched(&mut tree, tier, |filter, _, grant, rules| {
        of_filter(filter, grant, rules)
    })?;
    if !changes.is_empty() {
        *seccomp = tree;
    }
    Ok(changes)
}

/// Patches a profile in Docker's form, for every set of capabilities, architecture and kernel that
/// its rules tell apart. Where it is changed, it has `names` instead of `name`.
///
/// # Errors
/// [`PatchError`].
pub fn docker(profile: &Profile, tier: Tier) -> Result<(Profile, Changes), PatchError> {
    let mut tree = profile.tree_with_names();
    let changes = patched(&mut tree, tier, of_profile)?;
    let patched = if changes.is_empty() {
        profile.clone()
    } else {
        Profile::of(tree)?
    };
    Ok((patched, changes))
}

/// Edits the tree for one grant after the other. `variants` says on which machines which of a
/// call's rules hold.
fn patched(
    tree: &mut Value,
    tier: Tier,
    variants: impl Fn(&Filter, &Value, &Grant, &Rules) -> Result<Vec<Variant>, PatchError>,
) -> Result<Changes, PatchError> {
    let mut changes = Vec::new();
    let mut filter = Filter::read(tree)?;
    for grant in tier.grants() {
        let rules = plan::rules(&filter, grant.syscall).map_err(|why| refused(grant, why))?;
        let variants = variants(&filter, tree, grant, &rules)?;
        let decisions = plan::decide(&rules, &variants).map_err(|why| refused(grant, why))?;
        let kind = plan::kind(&decisions);
        if kind != Kind::Untouched {
            write::apply(tree, grant, &decisions);
            filter = Filter::read(tree)?;
        }
        changes.push(Change { grant, kind });
    }
    Ok(Changes(changes))
}

fn refused(grant: &Grant, why: Why) -> PatchError {
    PatchError::Refused {
        call: grant.syscall,
        why,
    }
}

/// The variants of a profile in Docker's form, read as [`Profile`] reads it.
fn of_profile(
    filter: &Filter,
    tree: &Value,
    grant: &Grant,
    rules: &Rules,
) -> Result<Vec<Variant>, PatchError> {
    let conditions = |at: &usize| {
        let rule = tree.get("syscalls").and_then(|rules| rules.get(*at));
        let rule = rule.unwrap_or(&Value::Null);
        Ok((*at, Conditions::read(rule, &format!("syscalls[{at}]"))?))
    };
    let conditions = rules
        .keys()
        .map(conditions)
        .collect::<Result<Vec<_>, Fault>>()?;
    variants::told_apart(filter.default, &conditions, grant)
        .ok_or_else(|| refused(grant, Why::Entangled))
}

/// The one variant of a resolved filter: all its rules hold.
fn of_filter(filter: &Filter, grant: &Grant, rules: &Rules) -> Result<Vec<Variant>, PatchError> {
    let variant = |s390| {
        let contexts = vec![Context {
            default: filter.default,
            rules: rules.keys().copied().collect(),
        }];
        Variant {
            place: Place::Any,
            allowance: Allowance::new(grant, s390),
            contexts,
        }
    };
    let native = cfg!(target_arch = "s390x");
    let is_s390 = |arch: &Architecture| {
        if arch.is_native() {
            native
        } else {
            arch.is_s390()
        }
    };
    let mut s390 = filter.architectures.iter().map(is_s390);
    let first = s390.next().unwrap_or(native);
    let mixed = s390.any(|other| other != first)
        && Allowance::new(grant, true) != Allowance::new(grant, false);
    if mixed
        && ![true, false]
            .into_iter()
            .all(|s390| plan::is_settled(rules, &variant(s390)))
    {
        return Err(refused(grant, Why::Mixed));
    }
    Ok(vec![variant(first)])
}

#[cfg(test)]
mod tests;
