//! The decision about traffic whose bytes contain no name (opaque TCP, UDP): by the names that the
//! container has resolved.
//!
//! Owns the order in which names and the bare address are judged, for every such protocol; each
//! verdict is the policy's. Invariant: a deny rule for any of an address's names also holds for the
//! bare address, or a `cidr` rule would open what was denied by name.

use crate::policy::{Denial, Hostname, Permit};

/// Names that are tried for one address: more than this share it only on the largest hosters.
const NAMES: usize = 16;

/// The names that are allowed, the freshest first, and behind them the address where it is allowed
/// and no deny rule is about one of its names; else the freshest name's denial, which is about what
/// the client most probably meant.
pub(super) fn decide(
    names: &[Hostname],
    judge: impl Fn(Option<&Hostname>) -> Result<Permit, Denial>,
) -> (Option<&Hostname>, Result<Permit, Denial>) {
    let mut allowed: Option<(&Hostname, Permit)> = None;
    let mut forbidden = None;
    let mut unmatched = None;
    for name in names.iter().take(NAMES) {
        match judge(Some(name)) {
            // Without the way to the address: another of its names may be denied.
            Ok(permit) if permit.name().is_some() => {
                allowed = Some(match allowed {
                    Some((first, permits)) => (first, permits.or(permit.alone())),
                    None => (name, permit.alone()),
                });
            }
            // A rule for the address let it pass: not yet, for the same reason.
            Ok(_) => {}
            Err(denial) if denial.rule.is_some() => forbidden = forbidden.or(Some((name, denial))),
            Err(denial) => unmatched = unmatched.or(Some((name, denial))),
        }
    }
    let by_address = judge(None);
    match (allowed, forbidden, by_address, unmatched) {
        (Some((name, permit)), None, Ok(address), _) => (Some(name), Ok(permit.or(address))),
        (Some((name, permit)), ..) => (Some(name), Ok(permit)),
        (None, Some((name, denial)), ..) | (None, None, Err(_), Some((name, denial))) => {
            (Some(name), Err(denial))
        }
        (None, None, verdict, _) => (None, verdict),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::policy::{Attempt, Policy, PolicySource, Protocol, Verdict};

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            allow: owned(allow),
            deny: owned(deny),
            ..PolicySource::default()
        };
        Policy::compile(&source).unwrap()
    }

    fn verdict(policy: &Policy, name: Option<&Hostname>) -> Result<Permit, Denial> {
        let attempt = Attempt {
            protocol: Protocol::Tcp,
            name,
            destination: SocketAddr::from(([192, 0, 2, 1], 9000)),
            method: None,
            path: None,
        };
        match policy.decide(&attempt) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// The name decided about, and whether it may pass.
    fn decided(allow: &[&str], deny: &[&str], names: &[&str]) -> (Option<String>, bool) {
        let policy = policy(allow, deny);
        let names: Vec<_> = names
            .iter()
            .map(|name| Hostname::parse(name).unwrap())
            .collect();
        let (name, verdict) = decide(&names, |name| verdict(&policy, name));
        (name.map(Hostname::to_string), verdict.is_ok())
    }

    const RANGE: &str = "cidr=192.0.2.0/24 proto=tcp port=9000";
    const NAME: &str = "domain=a.example proto=tcp port=9000";

    #[test]
    fn an_allowed_name_is_chosen_whichever_others_the_address_has() {
        let chosen = (Some("a.example".to_owned()), true);
        assert_eq!(decided(&[NAME], &[], &["b.example", "a.example"]), chosen);
        assert_eq!(
            decided(
                &[NAME, RANGE],
                &["domain=b.example"],
                &["b.example", "a.example"]
            ),
            chosen
        );
    }

    #[test]
    fn a_denied_name_closes_its_address_whatever_other_names_the_address_has() {
        for names in [
            &["b.example"][..],
            &["c.example", "b.example"],
            &["b.example", "c.example"],
        ] {
            assert_eq!(
                decided(&[RANGE], &["domain=b.example"], names),
                (Some("b.example".to_owned()), false),
                "{names:?}"
            );
        }
        assert_eq!(
            decided(&[RANGE], &["domain=b.example"], &["c.example"]),
            (None, true)
        );
    }

    #[test]
    fn every_allowed_name_and_then_the_address_is_a_way_unless_one_of_the_names_is_denied() {
        let ways = |deny: &[&str]| {
            let policy = policy(&[NAME, "domain=c.example proto=tcp port=9000", RANGE], deny);
            let names =
                ["c.example", "b.example", "a.example"].map(|name| Hostname::parse(name).unwrap());
            let (_, permit) = decide(&names, |name| verdict(&policy, name));
            let target = |route: &Permit| route.name().map(Hostname::to_string);
            permit.unwrap().routes().map(target).collect::<Vec<_>>()
        };
        let names = ["c.example", "a.example"].map(|name| Some(name.to_owned()));
        assert_eq!(ways(&[]), [&names[..], &[None]].concat());
        assert_eq!(ways(&["domain=b.example"]), names);
    }

    #[test]
    fn a_denial_is_about_the_freshest_name() {
        assert_eq!(
            decided(&[], &[], &["c.example", "d.example"]),
            (Some("c.example".to_owned()), false)
        );
        assert_eq!(decided(&[], &[], &[]), (None, false));
    }
}
