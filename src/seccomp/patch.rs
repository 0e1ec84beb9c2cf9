//! Gives a profile the grants of a tier: the promised calls are allowed, every other call's verdict
//! stays what it was, on every architecture. Pure edits of the JSON tree, in which what we don't
//! know survives.
//!
//! It must not know where a profile comes from nor whether a kernel takes it; `verify` holds the
//! result against libseccomp.
//!
//! What a maintainer must not forget: a rule can't simply be appended. libseccomp lets the first
//! unconditional rule of a call swallow all others without a word, and decides by itself between
//! conditional rules that overlap. So rules in the way are replaced by what is left of them outside
//! the grant, and a profile whose meaning isn't certain is refused.

mod allowances;
mod keys;
mod plan;
mod variants;
mod write;

use std::fmt;

use serde_json::Value;

use self::allowances::Granted;
use self::plan::{Context, Rules, World};
use self::variants::Place;
use super::Fault;
use super::filter::{Architecture, Filter};
use super::tier::{Grant, Tier};

/// Why a profile could not be patched. It was left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It isn't a profile.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It is one, but the grant can't be had without a change to other calls.
    #[error("{call} can't be granted without changing other calls: {why}")]
    Refused {
        /// The system call.
        call: &'static str,
        /// What stands in the way.
        why: Why,
    },
}

/// What stands in the way of an exact patch: something about the rules of the call that is to be
/// granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Conditional rules with different actions overlap.
    #[error(
        "two of its rules overlap and have different actions, so that which of them holds is up to libseccomp"
    )]
    Contradiction,
    /// A comparison other than of bits can't be split.
    #[error(
        "one of its rules compares the flags by size or inequality, which can't be split into bits"
    )]
    Comparison,
    /// A mask with nothing in its lower half always holds for 32-bit calls, and not for others.
    #[error(
        "one of its rules looks at the upper half of an argument only, which 32-bit calls don't have"
    )]
    UpperHalf,
    /// One filter, two places for the flags.
    #[error("the filter is for s390 and for others, where its flags are in different arguments")]
    Mixed,
    /// No edit of single entries is right for all machines.
    #[error("which of its rules hold on which machine is too entangled (includes, excludes)")]
    Entangled,
    /// More rules than a kernel would take.
    #[error("it has too many rules")]
    TooMany,
}

/// What a patch did, in the order of the tier's grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes(pub Vec<Change>);

impl Changes {
    /// Whether the profile is still what it was, byte for byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|change| change.kind == Kind::Untouched)
    }
}

/// What became of one grant. Displayed as a line for people, with what it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The grant.
    pub grant: &'static Grant,
    /// What was done for it.
    pub kind: Kind,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant { syscall, opens, .. } = self.grant;
        match self.kind {
            Kind::Untouched => write!(out, "{syscall}: was allowed already"),
            Kind::Added => write!(out, "{syscall}: a rule was added; it opens: {opens}"),
            Kind::Replaced => {
                write!(
                    out,
                    "{syscall}: rules that denied or narrowed it were replaced; it opens: {opens}"
                )
            }
        }
    }
}

/// What was done for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the calls were allowed already.
    Untouched,
    /// Rules were added.
    Added,
    /// Rules that stood in the way were replaced by what is left of them, or taken away.
    Replaced,
}

/// Patches a filter of the OCI specification, `linux.seccomp` of a `config.json`.
///
/// # Errors
/// [`PatchError`]; the filter is as it was.
pub fn oci(seccomp: &mut Value, tier: Tier) -> Result<Changes, PatchError> {
    let tree = seccomp.clone();
    patched(seccomp, tree, tier, |filter, _, grant, rules| {
        of_filter(filter, grant, rules)
    })
}

/// Patches a profile in Docker's format, for every set of capabilities, architecture and kernel
/// that its entries tell apart. In one that is changed, the keys that we know get their usual
/// spelling, which Docker doesn't insist on.
///
/// # Errors
/// [`PatchError`]; the profile is as it was.
pub fn docker(profile: &mut Value, tier: Tier) -> Result<Changes, PatchError> {
    patched(profile, keys::canonical(profile)?, tier, variants::worlds)
}

fn patched(
    original: &mut Value,
    mut tree: Value,
    tier: Tier,
    worlds: impl Fn(&Filter, &Value, &Grant, &Rules) -> Result<Vec<World>, PatchError>,
) -> Result<Changes, PatchError> {
    let mut changes = Vec::new();
    let mut filter = Filter::read(&tree)?;
    for grant in tier.grants() {
        let refused = |why| PatchError::Refused {
            call: grant.syscall,
            why,
        };
        let rules = plan::rules(&filter, grant.syscall).map_err(refused)?;
        let worlds = worlds(&filter, &tree, grant, &rules)?;
        let decisions = plan::decide(&rules, &worlds).map_err(refused)?;
        let kind = plan::kind(&decisions);
        if kind != Kind::Untouched {
            write::apply(&mut tree, grant, &decisions);
            filter = Filter::read(&tree)?;
        }
        changes.push(Change { grant, kind });
    }
    let changes = Changes(changes);
    if !changes.is_empty() {
        *original = tree;
    }
    Ok(changes)
}

/// The one world of a resolved filter: all its rules hold.
fn of_filter(filter: &Filter, grant: &Grant, rules: &Rules) -> Result<Vec<World>, PatchError> {
    let world = |s390| {
        let contexts = vec![Context {
            default: filter.default,
            rules: rules.keys().copied().collect(),
        }];
        World {
            place: Place::Any,
            granted: Granted::new(grant, s390),
            contexts,
        }
    };
    let native = cfg!(target_arch = "s390x");
    let is_s390 = |arch: &Architecture| {
        if arch.name() == "SCMP_ARCH_NATIVE" {
            native
        } else {
            arch.is_s390()
        }
    };
    let mut s390 = filter.architectures.iter().map(is_s390);
    let first = s390.next().unwrap_or(native);
    let mixed =
        s390.any(|other| other != first) && Granted::new(grant, true) != Granted::new(grant, false);
    if mixed
        && ![true, false]
            .into_iter()
            .all(|s390| plan::is_settled(rules, &world(s390)))
    {
        return Err(PatchError::Refused {
            call: grant.syscall,
            why: Why::Mixed,
        });
    }
    Ok(vec![world(first)])
}

#[cfg(test)]
mod tests;
