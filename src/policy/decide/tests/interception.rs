//! Which TLS is intercepted, and what is said where a rule would have needed it.

use super::*;
use crate::policy::source::{Intercept, TlsSource};

fn with_tls(intercept: Intercept, passthrough: &[&str], source: PolicySource) -> Policy {
    let passthrough = texts(passthrough);
    compile(&PolicySource {
        tls: TlsSource {
            intercept,
            passthrough,
        },
        ..source
    })
}

fn rules(allow: &[&str], deny: &[&str]) -> PolicySource {
    PolicySource {
        allow: texts(allow),
        deny: texts(deny),
        ..PolicySource::default()
    }
}

fn intercepts(policy: &Policy, name: &str, destination: &str) -> bool {
    let name = Hostname::parse(name).unwrap();
    policy.intercepts(&name, destination.parse().unwrap())
}

const X: &str = "192.0.2.1:443";

#[test]
fn a_name_is_intercepted_where_a_rule_for_it_reads_requests() {
    for (rules, destination, expected) in [
        (&["method=GET domain=x.test"][..], X, true),
        (&["path=/a domain=x.test"], X, true),
        (&["path=/a domain=*.test"], X, true),
        (&["path=/a"], X, true),
        (&["domain=x.test"], X, false),
        (&["method=* path=* domain=x.test"], X, false),
        (&["method=GET domain=y.test", "domain=x.test"], X, false),
        (&["domain=x.test", "method=GET domain=x.test"], X, true),
        // On the ports that it is for.
        (&["method=GET domain=x.test"], "192.0.2.1:8443", false),
        (
            &["method=GET domain=x.test port=8443"],
            "192.0.2.1:8443",
            true,
        ),
        (&["method=GET domain=x.test proto=http port=443"], X, false),
        (&["method=GET domain=x.test proto=https"], X, true),
        // A range that the client's address is in, or isn't.
        (&["method=GET cidr=192.0.2.0/24"], X, true),
        (
            &["method=GET cidr=192.0.2.0/24"],
            "[::ffff:192.0.2.1]:443",
            true,
        ),
        (&["method=GET cidr=192.0.2.0/24"], "198.51.100.1:443", false),
        (
            &["method=GET cidr=192.0.2.0/24 domain=x.test"],
            "198.51.100.1:443",
            true,
        ),
    ] {
        let policy = policy(rules, &[]);
        let told = format!("{rules:?} {destination}");
        assert_eq!(
            intercepts(&policy, "x.test", destination),
            expected,
            "{told}"
        );
        assert!(!expected || policy.may_intercept(), "{told}");
    }
}

#[test]
fn a_denial_that_reads_requests_has_tls_intercepted_too() {
    for (denial, destination, expected) in [
        ("method=POST domain=x.test", X, true),
        ("path=/admin/*", "192.0.2.1:9443", true),
        ("path=/admin/* port=80", X, false),
        ("path=/admin/* proto=http", X, false),
        ("method=POST domain=y.test", X, false),
        ("domain=y.test", X, false),
    ] {
        let policy = policy(&["domain=x.test"], &[denial]);
        assert_eq!(
            intercepts(&policy, "x.test", destination),
            expected,
            "{denial}"
        );
        assert!(!expected || policy.may_intercept(), "{denial}");
    }
}

#[test]
fn rules_of_annotations_and_of_the_ceiling_over_them_ask_too() {
    for (annotated, ceiling) in [
        ("method=GET domain=x.test", "domain=*.test"),
        ("domain=x.test", "method=GET domain=*.test"),
    ] {
        let policy = compile(&PolicySource {
            annotated: texts(&[annotated]),
            ceiling: texts(&[ceiling]),
            ..PolicySource::default()
        });
        assert!(
            intercepts(&policy, "x.test", "192.0.2.1:443"),
            "{annotated}"
        );
        assert!(policy.may_intercept());
    }
}

#[test]
fn the_file_may_say_more_or_less() {
    let asking = || rules(&["method=GET domain=*.test", "domain=plain.example"], &[]);
    for (intercept, passthrough, name, expected) in [
        (Intercept::Auto, &[][..], "x.test", true),
        (Intercept::Auto, &[], "plain.example", false),
        (Intercept::Auto, &["x.test"], "x.test", false),
        (Intercept::Auto, &["*.test"], "x.test", false),
        (Intercept::Auto, &["y.test"], "x.test", true),
        (Intercept::Always, &[], "plain.example", true),
        (Intercept::Always, &[], "unknown.example", true),
        (
            Intercept::Always,
            &["plain.example"],
            "plain.example",
            false,
        ),
        (Intercept::Never, &[], "x.test", false),
    ] {
        let policy = with_tls(intercept, passthrough, asking());
        let told = format!("{intercept:?} {passthrough:?} {name}");
        assert_eq!(
            intercepts(&policy, name, "192.0.2.1:443"),
            expected,
            "{told}"
        );
        assert_eq!(policy.may_intercept(), intercept != Intercept::Never);
    }
    let plain = || {
        rules(
            &["domain=x.test", "method=GET proto=http"],
            &["domain=y.test"],
        )
    };
    assert!(!with_tls(Intercept::Auto, &[], plain()).may_intercept());
    assert!(with_tls(Intercept::Always, &[], plain()).may_intercept());
}

#[test]
fn observing_intercepts_only_where_rules_ask() {
    let policy = compile(&PolicySource {
        mode: Mode::Observe,
        ..rules(&["method=GET domain=x.test"], &[])
    });
    assert!(intercepts(&policy, "x.test", "192.0.2.1:443"));
    assert!(!intercepts(&policy, "y.test", "192.0.2.1:443"));
}

#[test]
fn where_every_name_is_intercepted_nothing_passes_unread() {
    let source = || rules(&["cidr=192.0.2.0/24"], &[]);
    let destination = "192.0.2.1:443".parse().unwrap();
    let unread = |policy: Policy| policy.allows_unread(destination).is_some();
    assert!(unread(with_tls(Intercept::Auto, &[], source())));
    assert!(!unread(with_tls(Intercept::Always, &[], source())));
}

#[test]
fn a_name_passed_through_is_judged_without_its_requests() {
    let policy = with_tls(
        Intercept::Auto,
        &["*.test"],
        rules(
            &["method=GET domain=a.test", "domain=b.test"],
            &["method=POST domain=b.test"],
        ),
    );
    let denial = Try::https("a.test").denial(&policy);
    assert_eq!(
        denial.reason,
        "no rule allows it: \"method=GET domain=a.test\" needs a method and a path, but its name is in tls.passthrough, so its requests \
         are not read"
    );
    assert_eq!(denial.suggestion.as_deref(), Some("domain=a.test"));
    assert_eq!(
        Try::https("b.test").denial(&policy).reason,
        "rule \"deny method=POST domain=b.test\" forbids it, because its name is in tls.passthrough, so its requests are not read"
    );
}

#[test]
fn a_request_that_was_read_within_tls_is_judged_as_one_in_clear_text() {
    let policy = policy(
        &["method=GET domain=a.test path=/v1/*", "domain=b.test"],
        &["method=POST domain=b.test"],
    );
    let get = Try::https_request("GET", "a.test", "/v1/x");
    assert_eq!(
        &*get.permit(&policy).grounds().rule,
        "method=GET domain=a.test path=/v1/*"
    );
    let post = Try::https_request("POST", "a.test", "/v1/x").denial(&policy);
    assert_eq!(post.reason, "no rule allows it");
    assert_eq!(
        post.suggestion.as_deref(),
        Some("method=POST domain=a.test path=/v1/x")
    );
    assert!(Try::https_request("GET", "b.test", "/").is_allowed(&policy));
    let post = Try::https_request("POST", "b.test", "/").denial(&policy);
    assert_eq!(
        post.reason,
        "rule \"deny method=POST domain=b.test\" forbids it"
    );
    assert_eq!(post.rule.as_deref(), Some("method=POST domain=b.test"));
}

#[test]
fn a_denial_by_name_among_spliced_neighbours_is_told_to_be_unsure() {
    let notice = |source: PolicySource| compile(&source).notices();
    for (allow, deny, told) in [
        (&["domain=*.x.test"][..], &["domain=evil.x.test"][..], true),
        (&["domain=*"], &["domain=evil.x.test port=443"], true),
        (&["domain=*.x.test"], &["domain=*.evil.x.test"], true),
        (
            &["proto=tcp domain=*.x.test"],
            &["domain=evil.x.test"],
            true,
        ),
        (&["domain=*.x.test"], &["domain=evil.y.test"], false),
        (&["domain=x.test"], &["domain=x.test"], false),
        (
            &["domain=*.x.test proto=http"],
            &["domain=evil.x.test"],
            false,
        ),
        (
            &["domain=*.x.test"],
            &["domain=evil.x.test proto=udp"],
            false,
        ),
        (&["domain=*.x.test"], &["cidr=192.0.2.0/24"], false),
        // Its neighbours are intercepted.
        (
            &["method=GET domain=*.x.test"],
            &["domain=evil.x.test"],
            false,
        ),
    ] {
        let found = notice(rules(allow, deny));
        assert_eq!(
            found.len(),
            usize::from(told),
            "{allow:?} {deny:?} {found:?}"
        );
    }
    let source = || rules(&["domain=*.x.test"], &["domain=evil.x.test"]);
    assert_eq!(
        notice(source()),
        [
            "\"deny domain=evil.x.test\" under \"domain=*.x.test\": a denial by name under an allowed wildcard is only sure with tls: \
          {intercept: always} in the policy, since on a TLS connection to one name a client can ask for another"
        ]
    );
    assert!(
        with_tls(Intercept::Always, &[], source())
            .notices()
            .is_empty()
    );
    let observing = PolicySource {
        mode: Mode::Observe,
        ..source()
    };
    assert!(notice(observing).is_empty());
}

#[test]
fn a_pattern_that_is_none_is_a_mistake() {
    let source = PolicySource {
        tls: TlsSource {
            passthrough: texts(&["a.*"]),
            ..TlsSource::default()
        },
        name: "npm".to_owned(),
        ..PolicySource::default()
    };
    let found = Policy::compile(&source).unwrap_err();
    assert!(
        found[0]
            .to_string()
            .starts_with("policy npm: tls.passthrough: "),
        "{found:?}"
    );
}
