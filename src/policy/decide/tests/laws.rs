//! What holds for all policies and attempts: what one more rule can do, what a suggestion does, what
//! `observe` mode passes.

use proptest::prelude::*;

use super::*;

fn any_rule() -> impl Strategy<Value = String> {
    let domain = prop::sample::select(vec![
        "",
        " domain=x.test",
        " domain=*.test",
        " domain=*",
        " domain=y.test,z.test",
    ]);
    let cidr = prop::sample::select(vec![
        "",
        " cidr=192.0.2.0/24",
        " cidr=10.0.0.0/8",
        " cidr=0.0.0.0/0",
        " cidr=::/0,fd00::/8",
    ]);
    let port = prop::sample::select(vec!["", " port=80", " port=1-1024", " port=8080,443"]);
    let rest = prop::sample::select(vec![
        "",
        " proto=tcp",
        " proto=udp,http",
        " method=GET",
        " path=/a/*",
        " proto=https",
    ]);
    (domain, cidr, port, rest)
        .prop_map(|(domain, cidr, port, rest)| {
            format!("{domain}{cidr}{port}{rest}").trim().to_owned()
        })
        .prop_filter("empty", |rule| !rule.is_empty())
}

/// A rule as it may stand in a list of denials.
pub(super) fn any_denial() -> impl Strategy<Value = String> {
    let except = prop::sample::select(vec!["", " except=x.test", " except=*.test"]);
    (any_rule(), except).prop_map(|(rule, except)| match rule.contains("domain=") {
        true => format!("{rule}{except}"),
        false => rule,
    })
}

pub(super) fn any_rules() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any_rule(), 0..4)
}

pub(super) fn any_try() -> impl Strategy<Value = Try> {
    use Protocol::{Http, Https, Tcp, Udp};
    let protocol = prop::sample::select(vec![Http, Https, Tcp, Udp]);
    let name = prop::sample::select(vec!["", "x.test", "y.test", "other.example"]);
    let port = prop::sample::select(vec![22u16, 80, 443, 8080, 40000]);
    let request = prop::sample::select(vec![
        ("GET", "/a/b"),
        ("POST", "/a/"),
        ("GET", "/"),
        ("PUT", "/x,y/*"),
    ]);
    (protocol, name, any_address(), port, request).prop_map(
        |(protocol, name, address, port, (method, path))| {
            // Of TLS, what is intercepted.
            let is_read = protocol == Http || (protocol == Https && path != "/");
            let request = is_read.then(|| (method.to_owned(), path.to_owned()));
            Try {
                request,
                ..Try::new(protocol, name, &SocketAddr::new(address, port).to_string())
            }
        },
    )
}

pub(super) fn any_address() -> impl Strategy<Value = IpAddr> {
    let addresses = [
        "192.0.2.1",
        "203.0.113.1",
        "10.0.0.5",
        "2001:db8::1",
        "fd00:1::1",
        "127.0.0.1",
        "64:ff9b::10.0.0.5",
        "::ffff:10.0.0.5",
    ];
    prop::sample::select(addresses.map(address).to_vec())
}

/// Every address that is connected to in turn, until one answers, where the name leads to
/// `resolved`.
pub(super) fn tried(policy: &Policy, attempt: &Try, resolved: IpAddr) -> Vec<IpAddr> {
    let Verdict::Allow(permit) = policy.decide(&attempt.attempt()) else {
        return Vec::new();
    };
    let of_route = |route: &Permit| {
        route
            .upstream(route.address().unwrap_or(resolved), &[])
            .ok()
    };
    let addresses = permit.routes().filter_map(of_route);
    addresses
        .map(|address| address.socket_addr().ip())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_suggestion_allows_what_it_was_made_for(mut allow in any_rules(), attempt in any_try(), resolved in any_address()) {
        let source = |allow: &[String]| compile(&PolicySource { allow: allow.to_vec(), ..PolicySource::default() });
        let before = source(&allow);
        if let Verdict::Deny(Denial { suggestion: Some(rule), .. }) = before.decide(&attempt.attempt()) {
            allow.push(rule);
            prop_assert!(attempt.is_allowed(&source(&allow)), "{:?}", allow);
        }
        let after = source(&allow);
        if let Verdict::Allow(permit) = after.decide(&attempt.attempt()) {
            let resolved = permit.address().unwrap_or(resolved);
            if let Err(Denial { suggestion: Some(rule), .. }) = permit.upstream(resolved, &[]) {
                allow.push(rule);
                prop_assert!(reaches(&source(&allow), &attempt, resolved), "{:?}", allow);
            }
        }
    }

    #[test]
    fn one_more_rule_that_allows_takes_nothing_away(
        allow in any_rules(), deny in any_rules(), more in any_rule(), attempt in any_try(), resolved in any_address(),
    ) {
        let source = |allow: &[String]| compile(&PolicySource { allow: allow.to_vec(), deny: deny.clone(), ..PolicySource::default() });
        let before = tried(&source(&allow), &attempt, resolved);
        let after = source(&[&allow[..], &[more]].concat());
        let now = tried(&after, &attempt, resolved);
        for address in before {
            prop_assert!(now.contains(&address), "{} is no longer tried", address);
        }
        // And no address is open but by rules for addresses.
        let nameless = tried(&after, &Try { name: None, ..attempt }, resolved);
        for address in now {
            prop_assert!(address == resolved.to_canonical() || nameless.contains(&address), "{}", address);
        }
    }

    #[test]
    fn observing_passes_all_that_enforcing_passes_and_all_that_a_rule_could(
        allow in any_rules(), deny in any_rules(), attempt in any_try(), resolved in any_address(),
    ) {
        let source = |mode| compile(&PolicySource { allow: allow.clone(), deny: deny.clone(), mode, ..PolicySource::default() });
        let observed = tried(&source(Mode::Observe), &attempt, resolved);
        for address in tried(&source(Mode::Enforce), &attempt, resolved) {
            prop_assert!(observed.contains(&address));
        }
        let wanted = if attempt.name.is_some() { resolved } else { attempt.destination.ip() }.to_canonical();
        let never = matches!(net::classify(wanted), Class::Special(_));
        prop_assert_eq!(observed.contains(&wanted), !never);
    }

    #[test]
    fn annotations_reach_nothing_that_the_ceiling_alone_would_not(
        annotated in any_rules(), ceiling in any_rules(), attempt in any_try(), resolved in any_address(),
    ) {
        let bounded = PolicySource { annotated, ceiling: ceiling.clone(), ..PolicySource::default() };
        let whole = PolicySource { allow: ceiling, ..PolicySource::default() };
        if reaches(&compile(&bounded), &attempt, resolved) {
            // The ceiling may let it through by the name or, where that leads elsewhere, by the
            // address alone.
            let nameless = Try { name: None, ..attempt.clone() };
            let whole = compile(&whole);
            prop_assert!(reaches(&whole, &attempt, resolved) || reaches(&whole, &nameless, resolved));
        }
    }

    #[test]
    fn one_more_denial_opens_nothing(
        allow in any_rules(), mut deny in any_rules(), more in any_rule(), attempt in any_try(), resolved in any_address(),
    ) {
        let source = |deny: &[String]| compile(&PolicySource { allow: allow.clone(), deny: deny.to_vec(), ..PolicySource::default() });
        let before = source(&deny);
        deny.push(more);
        if reaches(&source(&deny), &attempt, resolved) {
            prop_assert!(reaches(&before, &attempt, resolved));
        }
    }

    #[test]
    fn what_another_rule_allows_can_be_taken_away(one in any_rule(), other in any_rule(), attempt in any_try(), resolved in any_address()) {
        let source = |allow: &[&String]| {
            let allow = allow.iter().map(ToString::to_string).collect();
            compile(&PolicySource { allow, ..PolicySource::default() })
        };
        let read = |text| Rule::parse(text).unwrap();
        if read(&one).allows_all_of(&read(&other)) {
            let both = tried(&source(&[&one, &other]), &attempt, resolved);
            prop_assert_eq!(tried(&source(&[&one]), &attempt, resolved), both, "{} {}", one, other);
        }
    }

    #[test]
    fn what_another_rule_denies_can_be_taken_away(
        allow in any_rules(), one in any_denial(), other in any_denial(), attempt in any_try(), resolved in any_address(),
    ) {
        let source = |deny: &[&String]| {
            let deny = deny.iter().map(ToString::to_string).collect();
            compile(&PolicySource { allow: allow.clone(), deny, ..PolicySource::default() })
        };
        let read = |text| Rule::parse(text).unwrap();
        if read(&one).denies_all_of(&read(&other)) {
            let both = tried(&source(&[&one, &other]), &attempt, resolved);
            prop_assert_eq!(tried(&source(&[&one]), &attempt, resolved), both, "{} {}", one, other);
        }
    }

    #[test]
    fn what_a_denial_denies_whole_is_never_reached(allow in any_rule(), deny in any_denial(), attempt in any_try(), resolved in any_address()) {
        let read = |text| Rule::parse(text).unwrap();
        if read(&deny).denies_all_allowed_by(&read(&allow)) {
            let policy = compile(&PolicySource { allow: vec![allow.clone()], deny: vec![deny.clone()], ..PolicySource::default() });
            prop_assert!(tried(&policy, &attempt, resolved).is_empty(), "{} {}", allow, deny);
        }
    }

    #[test]
    fn what_can_be_allowed_is_captured(allow in any_rules(), attempt in any_try()) {
        let policy = compile(&PolicySource { allow, ..PolicySource::default() });
        let CapturedPorts { tcp, udp } = policy.captured_ports();
        let ranges = if attempt.protocol == Protocol::Udp { udp } else { tcp };
        if attempt.is_allowed(&policy) {
            prop_assert!(ranges.iter().any(|&(first, last)| (first..=last).contains(&attempt.destination.port())));
        }
    }

    #[test]
    fn a_name_that_may_be_connected_to_may_be_looked_up(allow in any_rules(), deny in any_rules(), attempt in any_try()) {
        let policy = compile(&PolicySource { allow, deny, ..PolicySource::default() });
        if let Verdict::Allow(permit) = policy.decide(&attempt.attempt()) && let Some(name) = permit.name() {
            prop_assert!(policy.decide_lookup(name).is_ok());
        }
    }
}
