//! The host's layers over a policy: what they leave of it, in both modes.

use proptest::prelude::*;

use super::laws::{any_address, any_rules, any_try, tried};
use super::*;
use crate::policy::source::LayerSource;

fn layer(allow: Option<&[&str]>, deny: &[&str]) -> LayerSource {
    LayerSource {
        name: "ceiling.d/corp.yaml".to_owned(),
        allow: allow.map(texts),
        deny: texts(deny),
        ..LayerSource::default()
    }
}

fn under(allow: &[&str], mode: Mode, layers: Vec<LayerSource>) -> Policy {
    compile(&PolicySource {
        allow: texts(allow),
        mode,
        layers,
        ..PolicySource::default()
    })
}

fn reason(policy: &Policy, attempt: &Try) -> String {
    match policy.decide(&attempt.attempt()) {
        Verdict::Allow(permit) => panic!("{:?}", permit.grounds()),
        Verdict::Deny(denial) => {
            assert_eq!(
                denial.suggestion, None,
                "no rule of the policy's would help"
            );
            denial.reason
        }
    }
}

#[test]
fn what_a_layer_does_not_allow_is_denied_in_both_modes_and_the_layer_is_named() {
    let https = |name| Try::new(Protocol::Https, name, "192.0.2.1:443");
    for mode in [Mode::Enforce, Mode::Observe] {
        let listed = layer(Some(&["domain=a.test", "domain=b.test"]), &[]);
        let denying = layer(None, &["domain=b.test"]);
        let policy = under(&["domain=*.test"], mode, vec![listed, denying]);
        assert!(https("a.test").is_allowed(&policy), "{mode}");
        assert_eq!(
            reason(&policy, &https("c.test")),
            "no rule of the host's ceiling.d/corp.yaml allows it, which bounds every policy"
        );
        assert_eq!(
            reason(&policy, &https("b.test")),
            "rule \"deny domain=b.test\" forbids it, in the host's ceiling.d/corp.yaml"
        );
        for (name, open) in [("a.test", true), ("b.test", false), ("c.test", false)] {
            let name = Hostname::parse(name).unwrap();
            assert_eq!(policy.decide_lookup(&name).is_ok(), open, "{mode} {name}");
            let connection = policy.may_allow_in_name(&name, "192.0.2.1:443".parse().unwrap());
            assert_eq!(connection.is_some(), open, "{mode} {name}");
        }
    }
}

/// A name that leads to a private address is as closed as by the layer alone.
#[test]
fn a_layer_has_a_say_in_where_a_name_leads() {
    let to = |layer, mode| {
        let policy = under(&["domain=a.test cidr=10.0.0.0/8"], mode, vec![layer]);
        let attempt = Try::new(Protocol::Https, "a.test", "192.0.2.1:443");
        tried(&policy, &attempt, address("10.0.0.5")).contains(&address("10.0.0.5"))
    };
    for mode in [Mode::Enforce, Mode::Observe] {
        for (layer, open) in [
            (layer(Some(&["domain=a.test"]), &[]), false),
            (layer(Some(&["domain=a.test cidr=10.0.0.0/24"]), &[]), true),
            (layer(Some(&["domain=a.test cidr=10.1.0.0/24"]), &[]), false),
            (
                layer(Some(&["domain=a.test", "cidr=10.0.0.0/8"]), &[]),
                true,
            ),
            (layer(None, &[]), true),
            (layer(None, &["cidr=10.0.0.0/24"]), false),
        ] {
            assert_eq!(to(layer.clone(), mode), open, "{mode} {layer:?}");
        }
    }
}

/// A layer that asks for the request has TLS read, and lets nothing unread pass.
#[test]
fn a_layer_that_asks_for_the_request_has_it_read() {
    let at: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let name = Hostname::parse("a.test").unwrap();
    for mode in [Mode::Enforce, Mode::Observe] {
        let listed = layer(Some(&["method=GET domain=a.test"]), &[]);
        let policy = under(&["domain=a.test", "cidr=192.0.2.1"], mode, vec![listed]);
        assert!(
            policy.may_intercept() && policy.intercepts(&name, at) && policy.reads_requests(at)
        );
        assert!(policy.may_allow_in_name(&name, at).is_some(), "{mode}");
        assert!(policy.allows_unread(at).is_none(), "{mode}");
        if mode == Mode::Observe {
            assert_eq!(
                policy.denials_at(at),
                Denials::ByName,
                "opaque bytes are looked at"
            );
        }
        assert!(Try::https_request("GET", "a.test", "/").is_allowed(&policy));
        assert!(!Try::https_request("POST", "a.test", "/").is_allowed(&policy));
        assert!(!Try::new(Protocol::Https, "a.test", "192.0.2.1:443").is_allowed(&policy));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A layer narrows, and no more than it would do as a policy of its own.
    #[test]
    fn what_passes_is_allowed_by_the_policy_and_by_each_layer_alone(
        allow in any_rules(), deny in any_rules(), over in any_rules(), over_deny in any_rules(), attempt in any_try(), resolved in any_address(),
        observes in any::<bool>(),
    ) {
        let mode = if observes { Mode::Observe } else { Mode::Enforce };
        let bare = PolicySource { allow, deny, mode, ..PolicySource::default() };
        let layers = vec![LayerSource { name: "l".to_owned(), allow: Some(over.clone()), deny: over_deny.clone(), ..LayerSource::default() }];
        let bounded = tried(&compile(&PolicySource { layers, ..bare.clone() }), &attempt, resolved);
        let alone = compile(&PolicySource { allow: over, deny: over_deny, ..PolicySource::default() });
        let of_policy = tried(&compile(&bare), &attempt, resolved);
        let of_layer = tried(&alone, &attempt, resolved);
        for address in &bounded {
            prop_assert!(of_policy.contains(address) && of_layer.contains(address), "{}", address);
        }
        // By the same way: the name's, or the address's.
        if attempt.name.is_none() {
            for address in &of_policy {
                prop_assert!(!of_layer.contains(address) || bounded.contains(address), "{}", address);
            }
        }
    }

    #[test]
    fn a_layer_that_denies_alone_denies_what_the_same_rules_of_the_policy_do(
        allow in any_rules(), deny in any_rules(), attempt in any_try(), resolved in any_address(),
    ) {
        let layers = vec![LayerSource { deny: deny.clone(), ..LayerSource::default() }];
        let own = PolicySource { allow: allow.clone(), deny, ..PolicySource::default() };
        let bounded = PolicySource { allow, layers, ..PolicySource::default() };
        prop_assert_eq!(tried(&compile(&own), &attempt, resolved), tried(&compile(&bounded), &attempt, resolved));
    }
}
