//! What may be approved, and what an approval then allows.

use proptest::prelude::*;

use super::laws::{any_address, any_denial, any_rules, any_try};
use super::*;
use crate::policy::DeniedAttempt;

fn source(allow: &[&str], deny: &[&str]) -> PolicySource {
    let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
    PolicySource {
        allow: owned(allow),
        deny: owned(deny),
        ..PolicySource::default()
    }
}

fn https(name: &str, port: u16) -> DeniedAttempt {
    DeniedAttempt {
        protocol: Some(Protocol::Https),
        name: Hostname::parse(name).ok(),
        address: None,
        port,
        method: None,
        path: None,
    }
}

fn at(protocol: Protocol, address: &str, port: u16) -> DeniedAttempt {
    DeniedAttempt {
        protocol: Some(protocol),
        name: None,
        address: address.parse().ok(),
        ..https("", port)
    }
}

fn lookup(name: &str) -> DeniedAttempt {
    DeniedAttempt {
        protocol: None,
        port: 0,
        ..https(name, 0)
    }
}

#[test]
fn an_approval_is_for_exactly_what_was_tried() {
    let requests = source(&["domain=a.test method=GET path=/x"], &[]);
    let post = DeniedAttempt {
        method: Some("POST".to_owned()),
        path: Some("/y".to_owned()),
        ..https("a.test", 443)
    };
    for (source, denied, expected) in [
        (source(&[], &[]), lookup("a.test"), "domain=a.test"),
        (
            source(&[], &[]),
            https("a.test", 443),
            "proto=https domain=a.test port=443",
        ),
        (
            requests,
            post,
            "method=POST proto=https domain=a.test port=443 path=/y",
        ),
        (
            source(&["domain=a.test"], &[]),
            https("a.test", 8443),
            "proto=https domain=a.test port=8443",
        ),
        (
            source(&["domain=a.test"], &[]),
            DeniedAttempt {
                address: "10.0.0.5".parse().ok(),
                ..https("a.test", 443)
            },
            "proto=https domain=a.test port=443 cidr=10.0.0.5/32",
        ),
        (
            source(&[], &[]),
            at(Protocol::Tcp, "192.0.2.1", 22),
            "proto=tcp port=22 cidr=192.0.2.1/32",
        ),
        (
            source(&[], &[]),
            at(Protocol::Udp, "2001:db8::1", 123),
            "proto=udp port=123 cidr=2001:db8::1/128",
        ),
    ] {
        let policy = compile(&source);
        assert_eq!(policy.approval_for(&denied).as_deref(), Some(expected));
        assert!(!policy.would_pass(&denied));
        let allow = [&source.allow[..], &[expected.to_owned()]].concat();
        let widened = compile(&PolicySource { allow, ..source });
        assert!(widened.would_pass(&denied), "{expected}");
        assert_eq!(widened.approval_for(&denied), None, "allowed already");
    }
}

#[test]
fn what_is_denied_for_another_reason_than_the_want_of_a_rule_cant_be_approved() {
    let annotated = PolicySource {
        annotated: vec!["domain=beyond.test".to_owned()],
        ceiling: vec!["domain=within.test".to_owned()],
        ..PolicySource::default()
    };
    let observing = PolicySource {
        mode: Mode::Observe,
        ..PolicySource::default()
    };
    let requests = source(&["domain=a.test path=/x"], &[]);
    let of_path = |path: &str| DeniedAttempt {
        method: Some("GET".to_owned()),
        path: Some(path.to_owned()),
        ..https("a.test", 443)
    };
    for (source, denied) in [
        (source(&[], &["domain=*.test"]), https("a.test", 443)),
        (source(&[], &["domain=*.test"]), lookup("a.test")),
        (
            source(&[], &["port=22"]),
            at(Protocol::Tcp, "192.0.2.1", 22),
        ),
        (
            source(&[], &["cidr=10.0.0.0/8"]),
            DeniedAttempt {
                address: "10.0.0.5".parse().ok(),
                ..https("a.test", 443)
            },
        ),
        (
            source(&["domain=a.test"], &["domain=a.test cidr=10.0.0.0/8"]),
            DeniedAttempt {
                address: "10.0.0.5".parse().ok(),
                ..https("a.test", 443)
            },
        ),
        (source(&[], &[]), at(Protocol::Tcp, "127.0.0.1", 80)),
        (source(&[], &[]), at(Protocol::Http, "169.254.169.254", 80)),
        (
            source(&["domain=a.test"], &[]),
            DeniedAttempt {
                address: "169.254.169.254".parse().ok(),
                ..https("a.test", 443)
            },
        ),
        (
            source(&[], &[]),
            at(Protocol::Tcp, "64:ff9b::a9fe:a9fe", 80),
        ),
        (annotated.clone(), https("beyond.test", 443)),
        (annotated, lookup("beyond.test")),
        (observing, https("a.test", 443)),
        // A wildcard would have to stand for what can't be written.
        (requests.clone(), of_path("/a*/b")),
        (requests.clone(), of_path("/a,b/c")),
        // Without its path, it would be all paths.
        (
            requests,
            DeniedAttempt {
                path: None,
                ..of_path("/")
            },
        ),
        (source(&["domain=a.test"], &[]), https("a.test", 443)),
    ] {
        assert_eq!(
            compile(&source).approval_for(&denied),
            None,
            "{source:?} {denied:?}"
        );
    }
}

/// Bytes that begin as no request may hold one all the same.
#[test]
fn what_could_hold_requests_unread_cant_be_approved_where_rules_look_at_requests() {
    let named = |protocol, port| DeniedAttempt {
        protocol: Some(protocol),
        ..https("a.test", port)
    };
    let own = |rule| source(&[rule], &[]);
    let annotated = PolicySource {
        annotated: vec!["domain=a.test path=/x".to_owned()],
        ceiling: vec!["domain=*.test".to_owned()],
        ..PolicySource::default()
    };
    for (source, denied) in [
        (
            own("domain=*.test method=GET path=/x"),
            named(Protocol::Tcp, 80),
        ),
        (own("domain=a.test path=/x"), named(Protocol::Tcp, 443)),
        (own("domain=a.test path=/x"), named(Protocol::Udp, 443)),
        (
            own("domain=a.test method=GET port=8080 proto=http"),
            named(Protocol::Tcp, 8080),
        ),
        (
            own("cidr=192.0.2.0/24 method=GET port=8080"),
            at(Protocol::Tcp, "192.0.2.1", 8080),
        ),
        (annotated, named(Protocol::Tcp, 443)),
    ] {
        let policy = compile(&source);
        assert_eq!(policy.approval_for(&denied), None, "{source:?} {denied:?}");
        let attempt = denied.attempt(denied.protocol.unwrap());
        let Verdict::Deny(denial) = policy.decide(&attempt) else {
            panic!("{source:?} {denied:?}");
        };
        assert_eq!(denial.suggestion, None, "{source:?} {denied:?}");
        assert_eq!(denial.approvable, None, "{source:?} {denied:?}");
        assert!(
            denial
                .reason
                .contains("needs a method and a path, but what it holds can't be read"),
            "{}",
            denial.reason
        );
        let observing = compile(&PolicySource {
            mode: Mode::Observe,
            ..source.clone()
        });
        let Verdict::Allow(permit) = observing.decide(&attempt) else {
            panic!("{source:?} {denied:?}");
        };
        let somewhere = denied.address.unwrap_or_else(|| address("192.0.2.9"));
        let led = permit.upstream(somewhere, &[]).unwrap();
        assert_eq!(
            permit.grounds_at(led).suggestion,
            None,
            "{source:?} {denied:?}"
        );
    }
    // At ports without requests that rules look at, it is open to approval.
    let requests = source(&["domain=a.test method=GET path=/x"], &[]);
    for denied in [
        named(Protocol::Tcp, 22),
        named(Protocol::Udp, 80),
        https("b.test", 443),
    ] {
        assert!(
            compile(&requests).approval_for(&denied).is_some(),
            "{denied:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the policy is: what may be approved doesn't pass before and passes then, and the rule has
    /// no wildcard, and one name or one address.
    #[test]
    fn an_approval_allows_what_it_is_for(allow in any_rules(), deny in prop::collection::vec(any_denial(), 0..3), attempt in any_try(), leads in any_address(), is_led in any::<bool>()) {
        let attempt = attempt.attempt();
        let address = match (attempt.name, is_led) {
            (Some(_), false) => None,
            (Some(_), true) => Some(leads.to_canonical()),
            (None, _) => Some(attempt.destination.ip().to_canonical()),
        };
        let denied = DeniedAttempt {
            protocol: Some(attempt.protocol),
            name: attempt.name.cloned(),
            address,
            port: attempt.destination.port(),
            method: attempt.method.map(str::to_owned),
            path: attempt.path.map(str::to_owned),
        };
        let source = PolicySource { allow, deny, ..PolicySource::default() };
        let before = compile(&source);
        if let Some(rule) = before.approval_for(&denied) {
            prop_assert!(!rule.contains('*'));
            let allow = [&source.allow[..], std::slice::from_ref(&rule)].concat();
            let after = compile(&PolicySource { allow, ..source.clone() });
            prop_assert!(after.would_pass(&denied), "{:?} {}", source, rule);
        }
    }
}
