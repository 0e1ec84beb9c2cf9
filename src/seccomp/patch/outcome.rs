//! What comes of a patch: what was changed for each grant, or what stands in the way.

use std::fmt;

use crate::seccomp::Fault;
use crate::seccomp::tier::Grant;

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
