//! The decision about traffic whose bytes name nobody (opaque TCP, UDP): by the names that the container had resolved.
//!
//! Owns the order in which names and the bare address are judged, for every such protocol; what each verdict is, is the
//! policy's. Not to be forgotten: a deny rule for any of an address's names holds for the bare address too, or a `cidr`
//! rule would open what was denied by name.

use crate::policy::{Denial, Hostname, Permit};

/// Names that are tried for one address: more than this share it only on the largest hosters.
const NAMES: usize = 16;

/// The first name that is allowed; else the address where it is allowed and no deny rule is about one of its names; else
/// the freshest name's denial, which is about what the client most probably meant.
pub(super) fn decide(
    names: &[Hostname],
    judge: impl Fn(Option<&Hostname>) -> Result<Permit, Denial>,
) -> (Option<&Hostname>, Result<Permit, Denial>) {
    let mut first_denial = None;
    let mut forbidden = None;
    for name in names.iter().take(NAMES) {
        match judge(Some(name)) {
            Ok(permit) => return (Some(name), Ok(permit)),
            Err(denial) if denial.rule.is_some() => forbidden = forbidden.or(Some((name, denial))),
            Err(denial) => first_denial = first_denial.or(Some((name, denial))),
        }
    }
    if let Some((name, denial)) = forbidden {
        return (Some(name), Err(denial));
    }
    match (judge(None), first_denial) {
        (Err(_), Some((name, denial))) => (Some(name), Err(denial)),
        (verdict, _) => (None, verdict),
    }
}
