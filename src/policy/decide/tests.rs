//! Decisions, rule by rule; `laws` has what holds for all of them.

use std::net::IpAddr;

use super::*;

mod approvals;
mod coder_boundary;
mod interception;
mod laws;
mod layers;

fn texts(rules: &[&str]) -> Vec<String> {
    rules.iter().map(ToString::to_string).collect()
}

fn compile(source: &PolicySource) -> Policy {
    Policy::compile(source).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    compile(&PolicySource {
        allow: texts(allow),
        deny: texts(deny),
        ..PolicySource::default()
    })
}

/// An attempt that owns its parts: `GET http://name:port/path@address`, as a table writes it.
#[derive(Debug, Clone)]
struct Try {
    protocol: Protocol,
    name: Option<Hostname>,
    destination: SocketAddr,
    request: Option<(String, String)>,
}

impl Try {
    fn new(protocol: Protocol, name: &str, destination: &str) -> Self {
        let name = (!name.is_empty()).then(|| Hostname::parse(name).unwrap());
        Self {
            protocol,
            name,
            destination: destination.parse().unwrap(),
            request: None,
        }
    }

    /// Plain HTTP on port 80.
    fn http(method: &str, name: &str, path: &str) -> Self {
        let request = Some((method.to_owned(), path.to_owned()));
        Self {
            request,
            ..Self::new(Protocol::Http, name, "192.0.2.1:80")
        }
    }

    /// Within TLS that is intercepted.
    fn https_request(method: &str, name: &str, path: &str) -> Self {
        let request = Some((method.to_owned(), path.to_owned()));
        Self {
            request,
            ..Self::https(name)
        }
    }

    fn https(name: &str) -> Self {
        Self::new(Protocol::Https, name, "192.0.2.1:443")
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            protocol: self.protocol,
            name: self.name.as_ref(),
            destination: self.destination,
            method: self.request.as_ref().map(|(method, _)| method.as_str()),
            path: self.request.as_ref().map(|(_, path)| path.as_str()),
        }
    }

    fn permit(&self, policy: &Policy) -> Permit {
        match policy.decide(&self.attempt()) {
            Verdict::Allow(permit) => permit,
            Verdict::Deny(denial) => panic!("{self:?}: {denial:?}"),
        }
    }

    fn denial(&self, policy: &Policy) -> Denial {
        match policy.decide(&self.attempt()) {
            Verdict::Allow(permit) => panic!("{self:?}: {permit:?}"),
            Verdict::Deny(denial) => denial,
        }
    }

    fn is_allowed(&self, policy: &Policy) -> bool {
        matches!(policy.decide(&self.attempt()), Verdict::Allow(_))
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn requests_are_judged_as_coder_boundary_judges_them() {
    for (rule, method, name, path, expected) in [
        ("method=GET", "GET", "example.org", "/api", true),
        ("method=POST", "GET", "example.org", "/api", false),
        ("method=*", "PUT", "example.org", "/api", true),
        ("domain=example.org", "DELETE", "example.org", "/api", true),
        ("domain=example.org", "GET", "example.test", "/api", false),
        (
            "domain=example.org",
            "GET",
            "api.example.org",
            "/users",
            false,
        ),
        (
            "domain=*.example.org",
            "GET",
            "api.example.org",
            "/users",
            true,
        ),
        (
            "domain=*.example.org",
            "GET",
            "example.org",
            "/users",
            false,
        ),
        ("path=/api/users", "GET", "example.org", "/api/users", true),
        ("path=/api/*", "GET", "example.org", "/api/users/123", true),
        (
            "method=POST domain=api.com path=/users",
            "POST",
            "api.com",
            "/users",
            true,
        ),
        (
            "method=POST domain=api.com path=/users",
            "GET",
            "api.com",
            "/users",
            false,
        ),
        (
            "method=POST domain=api.com path=/users",
            "POST",
            "other.com",
            "/users",
            false,
        ),
        (
            "method=POST domain=api.com path=/users",
            "POST",
            "api.com",
            "/posts",
            false,
        ),
        (
            "method=* domain=* path=/*/*",
            "PATCH",
            "test.example.org",
            "/api/users/123",
            true,
        ),
        ("domain=localhost", "GET", "localhost", "/api", true),
        (
            "method=GET,HEAD domain=api.github.com path=/repos/*,/users/*",
            "HEAD",
            "api.github.com",
            "/users/a/b",
            true,
        ),
        // Never compared raw: a path that the caller didn't normalise counts as unread.
        (
            "domain=x.test path=/api/*",
            "GET",
            "x.test",
            "/api/../admin",
            false,
        ),
        (
            "domain=x.test path=/api/*",
            "GET",
            "x.test",
            "/api%2Fadmin",
            false,
        ),
    ] {
        let policy = policy(&[rule], &[]);
        assert_eq!(
            Try::http(method, name, path).is_allowed(&policy),
            expected,
            "{rule}: {method} {name}{path}"
        );
    }
}

#[test]
fn nothing_matched_means_denied() {
    let denial = Try::https("x.test").denial(&policy(&[], &[]));
    assert_eq!(denial.reason, "no rule allows it");
    assert_eq!(denial.rule, None);
}

#[test]
fn a_denial_beats_every_allowance() {
    let policy = policy(
        &["domain=*", "cidr=198.51.100.0/24"],
        &["domain=evil.test", "port=25"],
    );
    let denial = Try::https("evil.test").denial(&policy);
    assert_eq!(denial.reason, "rule \"deny domain=evil.test\" forbids it");
    assert_eq!(denial.rule.as_deref(), Some("domain=evil.test"));
    assert_eq!(denial.suggestion, None);
    assert!(Try::https("good.test").is_allowed(&policy));
    Try::new(Protocol::Tcp, "", "198.51.100.1:25").denial(&policy);
    Try::new(Protocol::Tcp, "evil.test", "198.51.100.1:22").denial(&policy);
}

#[test]
fn a_denial_that_can_not_be_read_says_so() {
    let policy = policy(&["domain=x.test"], &["domain=x.test method=POST"]);
    let denial = Try::https("x.test").denial(&policy);
    assert!(
        denial.reason.ends_with(
            "forbids it, because this TLS is not intercepted, so its requests are not read"
        ),
        "{denial:?}"
    );
    assert!(Try::http("GET", "x.test", "/").is_allowed(&policy));
}

#[test]
fn a_rule_for_a_name_gives_leave_for_the_name_and_not_for_the_address_the_client_chose() {
    let policy = policy(&["cidr=192.0.2.0/24", "domain=x.test"], &[]);
    let permit = Try::https("x.test").permit(&policy);
    assert_eq!(permit.name().map(Hostname::as_str), Some("x.test"));
    assert_eq!(permit.address(), None);
    assert_eq!(&*permit.grounds().rule, "domain=x.test");
    let upstream = permit.upstream(address("203.0.113.5"), &[]).unwrap();
    assert_eq!(upstream.socket_addr(), "203.0.113.5:443".parse().unwrap());
}

#[test]
fn a_rule_for_addresses_gives_leave_for_that_address_alone() {
    let policy = policy(&["cidr=192.0.2.0/24 port=22"], &[]);
    for destination in ["192.0.2.1:22", "[::ffff:192.0.2.1]:22"] {
        let permit = Try::new(Protocol::Tcp, "", destination).permit(&policy);
        assert_eq!(
            (permit.name(), permit.address()),
            (None, Some(address("192.0.2.1")))
        );
        let upstream = permit.upstream(address("192.0.2.1"), &[]).unwrap();
        assert_eq!(upstream.socket_addr(), "192.0.2.1:22".parse().unwrap());
        permit.upstream(address("192.0.2.2"), &[]).unwrap_err();
    }
    // A name that no rule names doesn't close what the address opens.
    assert!(
        Try::new(Protocol::Https, "x.test", "192.0.2.1:22")
            .permit(&policy)
            .address()
            .is_some()
    );
    Try::new(Protocol::Tcp, "", "192.0.3.1:22").denial(&policy);
    Try::new(Protocol::Tcp, "", "[64:ff9b::192.0.2.1]:22").denial(&policy);
}

#[test]
fn special_addresses_are_shut_whatever_the_rules_say() {
    let open = [
        "domain=*",
        "cidr=0.0.0.0/0,::/0,127.0.0.0/8,169.254.0.0/16,::1",
        "cidr=0.0.0.0/0,::/0 proto=udp",
    ];
    for policy in [policy(&open, &[]), observing(&open)] {
        let permit = Try::https("x.test").permit(&policy);
        for special in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "fe80::1",
        ] {
            let denial = permit.upstream(address(special), &[]).unwrap_err();
            assert!(denial.reason.starts_with("x.test leads to "), "{denial:?}");
            assert_eq!(denial.suggestion, None);
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let destination = SocketAddr::new(address(special), 443).to_string();
                let denial = Try::new(protocol, "", &destination).denial(&policy);
                assert_eq!(denial.suggestion, None);
            }
        }
    }
    let denial = Try::new(Protocol::Http, "", "169.254.169.254:80").denial(&policy(&[], &[]));
    assert_eq!(
        denial.reason,
        "169.254.169.254 is link-local (169.254.0.0/16)"
    );
}

#[test]
fn ones_own_addresses_are_never_dialled() {
    let own = [
        address("192.0.2.7"),
        address("10.0.0.7"),
        address("2001:db8::7"),
    ];
    let permit = Try::https("x.test").permit(&policy(&["domain=x.test", "cidr=10.0.0.0/8"], &[]));
    for text in [
        "192.0.2.7",
        "10.0.0.7",
        "2001:db8::7",
        "::ffff:192.0.2.7",
        "64:ff9b::192.0.2.7",
    ] {
        let denial = permit.upstream(address(text), &own).unwrap_err();
        assert!(denial.reason.contains("own"), "{denial:?}");
    }
    assert!(permit.upstream(address("192.0.2.8"), &own).is_ok());
}

#[test]
fn private_addresses_open_only_to_a_rule_that_names_them() {
    for (rules, resolved, expected) in [
        (vec!["domain=x.test"], "10.0.0.5", false),
        (vec!["domain=x.test", "cidr=10.0.0.0/8"], "10.0.0.5", true),
        (
            vec!["domain=x.test", "cidr=10.0.0.0/8 port=443"],
            "10.0.0.5",
            true,
        ),
        (
            vec!["domain=x.test", "cidr=10.0.0.0/8 port=22"],
            "10.0.0.5",
            false,
        ),
        (
            vec!["domain=x.test", "cidr=10.0.0.0/8 proto=udp"],
            "10.0.0.5",
            false,
        ),
        (vec!["domain=x.test", "cidr=10.1.0.0/16"], "10.0.0.5", false),
        (
            vec!["domain=x.test", "domain=y.test cidr=10.0.0.0/8"],
            "10.0.0.5",
            false,
        ),
        (vec!["domain=x.test cidr=10.0.0.0/8"], "10.0.0.5", true),
        (vec!["domain=x.test cidr=10.0.0.0/8"], "203.0.113.1", false),
        (
            vec!["domain=x.test cidr=10.0.0.0/8", "domain=x.test"],
            "203.0.113.1",
            true,
        ),
        (
            vec!["domain=x.test cidr=10.0.0.0/8", "domain=x.test"],
            "10.0.0.5",
            true,
        ),
        // Who opens the internet has not asked for the neighbours.
        (vec!["domain=x.test", "cidr=0.0.0.0/0"], "10.0.0.5", false),
        (vec!["domain=x.test cidr=0.0.0.0/0"], "10.0.0.5", false),
        (vec!["domain=x.test", "cidr=fd00::/8"], "fd00:1::1", true),
        (
            vec!["domain=x.test", "cidr=fd00::/8"],
            "fd00:ec2::254",
            false,
        ),
        (
            vec!["domain=x.test", "cidr=100.64.0.0/10"],
            "100.100.100.200",
            false,
        ),
    ] {
        let policy = policy(&rules, &[]);
        let upstream = Try::https("x.test")
            .permit(&policy)
            .upstream(address(resolved), &[]);
        assert_eq!(
            upstream.is_ok(),
            expected,
            "{rules:?} {resolved}: {upstream:?}"
        );
    }
    let denial = Try::https("x.test")
        .permit(&policy(&["domain=x.test"], &[]))
        .upstream(address("10.0.0.5"), &[]);
    let denial = denial.unwrap_err();
    assert_eq!(
        denial.reason,
        "x.test leads to 10.0.0.5, which is private (10.0.0.0/8), and no rule names it by cidr"
    );
    assert_eq!(
        denial.suggestion.as_deref(),
        Some("domain=x.test cidr=10.0.0.5/32")
    );
    let nameless = Try::new(Protocol::Tcp, "", "10.0.0.5:5432");
    assert!(
        nameless
            .permit(&policy(&["cidr=10.0.0.0/8"], &[]))
            .upstream(address("10.0.0.5"), &[])
            .is_ok()
    );
    assert!(
        nameless
            .permit(&policy(&["cidr=0.0.0.0/0"], &[]))
            .upstream(address("10.0.0.5"), &[])
            .is_err()
    );
}

#[test]
fn denied_ranges_are_looked_at_again_when_the_name_is_resolved() {
    let policy = policy(
        &["domain=*"],
        &[
            "cidr=203.0.113.0/24",
            "domain=y.test cidr=198.51.100.0/24",
            "cidr=192.0.2.9 port=22",
        ],
    );
    let permit = Try::https("x.test").permit(&policy);
    let denial = permit.upstream(address("203.0.113.7"), &[]).unwrap_err();
    assert_eq!(denial.rule.as_deref(), Some("cidr=203.0.113.0/24"));
    assert_eq!(
        denial.reason,
        "x.test leads to 203.0.113.7, which is forbidden by rule \"deny cidr=203.0.113.0/24\""
    );
    permit
        .upstream(address("64:ff9b::203.0.113.7"), &[])
        .unwrap_err();
    assert!(permit.upstream(address("198.51.100.1"), &[]).is_ok());
    assert!(permit.upstream(address("192.0.2.9"), &[]).is_ok());
    Try::https("y.test")
        .permit(&policy)
        .upstream(address("198.51.100.1"), &[])
        .unwrap_err();
    Try::new(Protocol::Https, "x.test", "203.0.113.7:443").denial(&policy);
}

#[test]
fn a_denial_names_the_narrowest_rule_that_would_allow_it() {
    let restricted = ["method=GET domain=api.test path=/v1/*"];
    for (rules, attempt, suggestion) in [
        (&[][..], Try::https("evil.test"), "domain=evil.test"),
        (&[], Try::http("GET", "evil.test", "/a"), "domain=evil.test"),
        (
            &[],
            Try::new(Protocol::Http, "x.test", "192.0.2.1:8080"),
            "domain=x.test port=8080",
        ),
        (
            &[],
            Try::new(Protocol::Https, "x.test", "192.0.2.1:80"),
            "domain=x.test port=80",
        ),
        (
            &[],
            Try::new(Protocol::Tcp, "x.test", "192.0.2.1:22"),
            "proto=tcp domain=x.test port=22",
        ),
        (
            &[],
            Try::new(Protocol::Udp, "x.test", "192.0.2.1:123"),
            "proto=udp domain=x.test port=123",
        ),
        (
            &[],
            Try::new(Protocol::Tcp, "", "192.0.2.1:22"),
            "cidr=192.0.2.1/32 port=22",
        ),
        (
            &[],
            Try::new(Protocol::Https, "", "192.0.2.1:443"),
            "cidr=192.0.2.1/32 port=443",
        ),
        (
            &[],
            Try::new(Protocol::Udp, "", "[2001:db8::1]:53"),
            "proto=udp cidr=2001:db8::1/128 port=53",
        ),
        (
            &restricted,
            Try::http("POST", "api.test", "/v1/a"),
            "method=POST domain=api.test path=/v1/a",
        ),
        (
            &restricted,
            Try::http("GET", "api.test", "/v2/a,b/c"),
            "method=GET domain=api.test path=/v2/*/c",
        ),
        (
            &restricted,
            Try::http("GET", "other.test", "/v2"),
            "domain=other.test",
        ),
        (&restricted, Try::https("api.test"), "domain=api.test"),
    ] {
        let denial = attempt.denial(&policy(rules, &[]));
        assert_eq!(
            denial.suggestion.as_deref(),
            Some(suggestion),
            "{rules:?} {attempt:?}"
        );
    }
}

#[test]
fn nobody_can_have_a_wildcard_suggested_that_opens_more_than_was_asked_for() {
    let policy = policy(&["method=GET domain=api.test path=/v1/x"], &[]);
    for (method, path) in [
        ("GET", "/*"),
        ("GET", "/v2/*"),
        ("GET", "/a,b"),
        ("GET", "/a%2F*"),
        ("*", "/v1/x"),
    ] {
        let denial = Try::http(method, "api.test", path).denial(&policy);
        assert_eq!(denial.suggestion, None, "{method} {path}");
    }
}

#[test]
fn a_denial_says_when_a_rule_needed_what_https_hides() {
    let policy = policy(&["method=GET domain=api.test"], &[]);
    assert_eq!(
        Try::https("api.test").denial(&policy).reason,
        "no rule allows it: \"method=GET domain=api.test\" needs a method and a path, but this TLS is not intercepted, so its requests are not read"
    );
}

#[test]
fn a_note_is_told_with_every_denial_that_no_rule_caused() {
    let source = PolicySource {
        note: Some("no policy: /x.yaml does not exist".into()),
        ..PolicySource::default()
    };
    let policy = compile(&source);
    assert_eq!(
        Try::https("x.test").denial(&policy).reason,
        "no rule allows it; no policy: /x.yaml does not exist"
    );
    let denial = policy
        .decide_lookup(&Hostname::parse("x.test").unwrap())
        .unwrap_err();
    assert_eq!(
        denial.reason,
        "no rule allows it; no policy: /x.yaml does not exist"
    );
}

fn annotated(annotated: &[&str], ceiling: &[&str]) -> Policy {
    compile(&PolicySource {
        allow: texts(&["domain=base.test"]),
        annotated: texts(annotated),
        ceiling: texts(ceiling),
        ..PolicySource::default()
    })
}

#[test]
fn annotated_rules_count_only_under_the_ceiling() {
    let policy = annotated(&["domain=*"], &["domain=*.ok.test"]);
    assert!(Try::https("base.test").is_allowed(&policy));
    assert_eq!(
        &*Try::https("a.ok.test").permit(&policy).grounds().rule,
        "domain=*"
    );
    let denial = Try::https("evil.test").denial(&policy);
    assert_eq!(
        denial.reason,
        "no rule allows it: \"domain=*\" of boundary.allow is beyond the host's ceiling"
    );
    assert!(!Try::https("a.ok.test").is_allowed(&annotated(&["domain=*"], &[])));
    assert!(!Try::https("a.ok.test").is_allowed(&annotated(&[], &["domain=*"])));
    // A ceiling for names is none for addresses, and the other way round.
    assert!(!Try::https("a.test").is_allowed(&annotated(&["cidr=192.0.2.0/24"], &["domain=*"])));
    assert!(
        !Try::https("a.test").is_allowed(&annotated(&["domain=a.test"], &["cidr=192.0.2.0/24"]))
    );
    // Where the annotation names a private range, the ceiling must name it too.
    let both = annotated(&["domain=a.test cidr=10.0.0.0/8"], &["domain=a.test"]);
    Try::https("a.test")
        .permit(&both)
        .upstream(address("10.0.0.5"), &[])
        .unwrap_err();
    let both = annotated(
        &["domain=a.test cidr=10.0.0.0/8"],
        &["domain=a.test cidr=10.0.0.0/16"],
    );
    assert!(
        Try::https("a.test")
            .permit(&both)
            .upstream(address("10.0.0.5"), &[])
            .is_ok()
    );
    Try::https("a.test")
        .permit(&both)
        .upstream(address("10.9.0.5"), &[])
        .unwrap_err();
}

fn observing(allow: &[&str]) -> Policy {
    let deny = texts(&["domain=bad.test"]);
    compile(&PolicySource {
        mode: Mode::Observe,
        allow: texts(allow),
        deny,
        ..PolicySource::default()
    })
}

#[test]
fn observing_lets_pass_what_would_be_denied_and_says_so() {
    let policy = observing(&["domain=good.test"]);
    assert_eq!(
        &*Try::https("good.test").permit(&policy).grounds().rule,
        "domain=good.test"
    );
    let permit = Try::https("x.test").permit(&policy);
    assert_eq!(&*permit.grounds().rule, "would deny: no rule allows it");
    assert_eq!(
        permit.grounds().suggestion.as_deref(),
        Some("domain=x.test")
    );
    assert!(permit.upstream(address("203.0.113.1"), &[]).is_ok());
    assert_eq!(
        &*Try::https("bad.test").permit(&policy).grounds().rule,
        "would deny: rule \"deny domain=bad.test\" forbids it"
    );
    let permit = Try::new(Protocol::Udp, "", "192.0.2.1:123").permit(&policy);
    assert_eq!(permit.address(), Some(address("192.0.2.1")));
    Try::new(Protocol::Tcp, "", "127.0.0.1:80").denial(&policy);
    let rule = policy
        .decide_lookup(&Hostname::parse("x.test").unwrap())
        .unwrap();
    assert_eq!(&*rule.rule, "would deny: no rule allows it");
}

#[test]
fn observing_lets_pass_wherever_a_name_leads_and_suggests_the_rule_for_it() {
    for (attempt, leads_to, rule, suggestion) in [
        (
            Try::https("good.test"),
            "10.0.0.1",
            "would deny: good.test leads to 10.0.0.1, which is private (10.0.0.0/8), and no rule names it by cidr",
            "domain=good.test cidr=10.0.0.1/32",
        ),
        (
            Try::https("near.test"),
            "10.9.0.1",
            "would deny: near.test leads to 10.9.0.1, which is outside the cidr of the rules for it",
            "domain=near.test cidr=10.9.0.1/32",
        ),
        (
            Try::https("x.test"),
            "10.0.0.1",
            "would deny: no rule allows it",
            "domain=x.test cidr=10.0.0.1/32",
        ),
        (
            Try::new(Protocol::Tcp, "", "10.0.0.1:5432"),
            "10.0.0.1",
            "would deny: no rule allows it",
            "cidr=10.0.0.1/32 port=5432",
        ),
    ] {
        let rules = ["domain=good.test", "domain=near.test cidr=10.1.0.0/16"];
        let permit = attempt.permit(&observing(&rules));
        let upstream = permit.upstream(address(leads_to), &[]).unwrap();
        let grounds = permit.grounds_at(upstream);
        let said = (&*grounds.rule, grounds.suggestion.as_deref());
        assert_eq!(said, (rule, Some(suggestion)), "{attempt:?}");
        let followed = policy(&[&rules[..], &[suggestion]].concat(), &[]);
        assert!(reaches(&followed, &attempt, address(leads_to)));
    }
}

#[test]
fn observing_opens_nothing_that_is_never_open() {
    let own = address("10.0.0.2");
    for policy in [observing(&["domain=*"]), observing(&[])] {
        for route in Try::https("x.test").permit(&policy).routes() {
            for never in ["169.254.169.254", "127.0.0.1", "::1", "fe80::1", "10.0.0.2"] {
                let denial = route.upstream(address(never), &[own]).unwrap_err();
                assert_eq!(denial.suggestion, None, "{never}");
            }
        }
        Try::new(Protocol::Tcp, "", "169.254.169.254:80").denial(&policy);
    }
}

#[test]
fn observing_leads_where_the_container_addressed_it_if_the_name_leads_nowhere() {
    for policy in [observing(&["domain=web"]), observing(&[])] {
        let permit = Try::new(Protocol::Http, "web", "10.1.2.20:80").permit(&policy);
        let routes: Vec<_> = permit
            .routes()
            .map(|route| (route.name().is_some(), route.address()))
            .collect();
        let chosen = address("10.1.2.20");
        assert_eq!(routes, [(true, None), (false, Some(chosen))]);
        let last = permit.routes().last().unwrap();
        let grounds = last.grounds_at(last.upstream(chosen, &[]).unwrap());
        let said = (&*grounds.rule, grounds.suggestion.as_deref());
        assert_eq!(
            said,
            (
                "would deny: no rule allows it",
                Some("cidr=10.1.2.20/32 port=80")
            )
        );
    }
}

#[test]
fn a_rule_for_the_name_leaves_the_way_that_a_rule_for_the_address_gives() {
    let attempt = Try::new(Protocol::Http, "web", "10.1.2.20:80");
    let permit = attempt.permit(&policy(&["cidr=10.1.2.0/24", "domain=web"], &[]));
    let ways: Vec<_> = permit
        .routes()
        .map(|route| &*route.grounds().rule)
        .collect();
    assert_eq!(ways, ["domain=web", "cidr=10.1.2.0/24"]);
    let only = attempt.permit(&policy(&["cidr=10.1.3.0/24", "domain=web"], &[]));
    assert_eq!(only.routes().count(), 1, "no rule allows the address");
}

#[test]
fn a_name_is_looked_up_only_if_some_rule_could_let_a_connection_to_it_through() {
    for (allow, deny, name, expected) in [
        (&["domain=x.test"][..], &[][..], "x.test", true),
        (&["domain=x.test"], &[], "y.test", false),
        (&["domain=x.test"], &[], "a.x.test", false),
        (&["domain=x.test proto=udp port=123"], &[], "x.test", true),
        (&["method=GET"], &[], "any.test", true),
        // Addresses are reached without names; a look-up would only carry data out.
        (&["cidr=0.0.0.0/0"], &[], "any.test", false),
        (
            &["domain=*"],
            &["domain=*.evil.test"],
            "data.evil.test",
            false,
        ),
        (&["domain=*"], &["domain=x.test port=25"], "x.test", true),
        (
            &["domain=*"],
            &["domain=x.test method=POST"],
            "x.test",
            true,
        ),
        (
            &["domain=*"],
            &["domain=x.test cidr=10.0.0.0/8"],
            "x.test",
            true,
        ),
        (&["domain=*"], &["proto=udp"], "x.test", true),
    ] {
        let verdict = policy(allow, deny).decide_lookup(&Hostname::parse(name).unwrap());
        assert_eq!(
            verdict.is_ok(),
            expected,
            "{allow:?} {deny:?} {name}: {verdict:?}"
        );
    }
    let denial = policy(&[], &[])
        .decide_lookup(&Hostname::parse("x.test").unwrap())
        .unwrap_err();
    assert_eq!(denial.suggestion.as_deref(), Some("domain=x.test"));
    let both = annotated(&["domain=*"], &["domain=ok.test"]);
    assert!(
        both.decide_lookup(&Hostname::parse("ok.test").unwrap())
            .is_ok()
    );
    assert!(
        both.decide_lookup(&Hostname::parse("x.test").unwrap())
            .is_err()
    );
}

#[test]
fn every_port_on_which_something_could_be_allowed_is_captured() {
    for (rules, tcp, udp) in [
        (&[][..], vec![(80, 80), (443, 443)], vec![]),
        (&["domain=x.test"], vec![(80, 80), (443, 443)], vec![]),
        (
            &["domain=x.test port=8000-8080,81"],
            vec![(80, 81), (443, 443), (8000, 8080)],
            vec![],
        ),
        (&["cidr=192.0.2.1"], vec![(0, 65535)], vec![]),
        (
            &["proto=tcp port=22 domain=x.test"],
            vec![(22, 22), (80, 80), (443, 443)],
            vec![],
        ),
        (
            &["proto=udp domain=x.test port=50-60"],
            vec![(80, 80), (443, 443)],
            vec![(50, 52), (54, 60)],
        ),
        (
            &["proto=udp domain=x.test port=53"],
            vec![(80, 80), (443, 443)],
            vec![],
        ),
        (
            &["proto=udp,tcp cidr=192.0.2.1"],
            vec![(0, 65535)],
            vec![(0, 52), (54, 65535)],
        ),
    ] {
        assert_eq!(
            policy(rules, &[]).captured_ports(),
            CapturedPorts { tcp, udp },
            "{rules:?}"
        );
    }
    let all = CapturedPorts {
        tcp: vec![(0, 65535)],
        udp: vec![(0, 52), (54, 65535)],
    };
    assert_eq!(observing(&[]).captured_ports(), all);
    let annotated = annotated(&["domain=x.test port=8080"], &["domain=*"]);
    assert_eq!(
        annotated.captured_ports().tcp,
        [(80, 80), (443, 443), (8080, 8080)]
    );
}

#[test]
fn any_tcp_may_be_allowed_by_addresses_and_by_names_but_not_by_web_rules() {
    for (rules, destination, expected) in [
        (&["cidr=192.0.2.0/24"][..], "192.0.2.1:22", true),
        (&["cidr=192.0.2.0/24"], "192.0.2.1:443", true),
        (&["cidr=192.0.2.0/24"], "198.51.100.1:22", false),
        (&["domain=a.test port=22 proto=tcp"], "192.0.2.1:22", true),
        (&["domain=a.test port=22 proto=tcp"], "192.0.2.1:443", false),
        (&["domain=a.test"], "192.0.2.1:443", false),
        (&["domain=a.test port=22"], "192.0.2.1:22", false),
        (&["cidr=192.0.2.0/24 proto=udp"], "192.0.2.1:22", false),
    ] {
        let verdict = policy(rules, &[]).may_allow_any_tcp(destination.parse().unwrap());
        assert_eq!(verdict, expected, "{rules:?} {destination}");
    }
    assert!(observing(&[]).may_allow_any_tcp("192.0.2.1:25".parse().unwrap()));
    assert!(!observing(&[]).may_allow_any_tcp("192.0.2.1:443".parse().unwrap()));
}

#[test]
fn a_denial_could_apply_by_its_ports_protocols_and_ranges_whatever_its_names() {
    for (rule, destination, expected) in [
        ("domain=b.test", "192.0.2.1:80", Denials::ByName),
        ("domain=b.test", "[2001:db8::1]:9000", Denials::ByName),
        ("domain=b.test port=443", "192.0.2.1:80", Denials::None),
        ("domain=b.test proto=udp", "192.0.2.1:80", Denials::None),
        (
            "domain=b.test proto=https",
            "192.0.2.1:443",
            Denials::ByName,
        ),
        ("cidr=198.51.100.0/24", "192.0.2.1:80", Denials::None),
        (
            "domain=b.test cidr=192.0.2.0/24",
            "192.0.2.1:80",
            Denials::ByName,
        ),
        (
            "domain=b.test cidr=192.0.2.0/24",
            "[::ffff:192.0.2.1]:80",
            Denials::ByName,
        ),
        (
            "domain=b.test path=/secret",
            "192.0.2.1:8080",
            Denials::ByRequest,
        ),
        ("method=DELETE", "192.0.2.1:8080", Denials::ByRequest),
    ] {
        let policy = policy(&["cidr=0.0.0.0/0"], &["domain=x.test port=1", rule]);
        assert_eq!(
            policy.denials_at(destination.parse().unwrap()),
            expected,
            "{rule} {destination}"
        );
    }
    assert_eq!(
        policy(&["domain=a.test"], &[]).denials_at("192.0.2.1:80".parse().unwrap()),
        Denials::None
    );
}

#[test]
fn compiling_reports_every_mistake_of_every_list() {
    let source = PolicySource {
        name: "npm".into(),
        allow: texts(&["domain=*x", "domain=ok.test"]),
        deny: texts(&["foo=1"]),
        annotated: texts(&[""]),
        ceiling: texts(&["port=0"]),
        ..PolicySource::default()
    };
    let mistakes = Policy::compile(&source).unwrap_err();
    let keys: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.key.as_str())
        .collect();
    assert_eq!(keys, ["domain", "foo", "rule", "port"]);
    assert!(
        mistakes[0]
            .to_string()
            .starts_with("policy npm: domain: \"*x\""),
        "{}",
        mistakes[0]
    );
}

#[test]
fn a_source_travels_as_json() {
    let source = PolicySource {
        mode: Mode::Observe,
        allow: texts(&["domain=a.test"]),
        ..PolicySource::default()
    };
    let json = serde_json::to_string(&source).unwrap();
    let back: PolicySource = serde_json::from_str(&json).unwrap();
    assert_eq!((back.mode, back.allow), (source.mode, source.allow));
}

/// Whether the attempt comes through to this address.
fn reaches(policy: &Policy, attempt: &Try, resolved: IpAddr) -> bool {
    match policy.decide(&attempt.attempt()) {
        Verdict::Allow(permit) => permit
            .upstream(permit.address().unwrap_or(resolved), &[])
            .is_ok(),
        Verdict::Deny(_) => false,
    }
}

#[test]
fn tls_may_be_intercepted_only_where_a_rule_for_it_reads_requests() {
    for (allow, deny, expected) in [
        (&["domain=a.test"][..], &[][..], false),
        (&["domain=a.test method=GET"], &[], true),
        (&["domain=a.test path=/x"], &[], true),
        (&["domain=a.test proto=http method=GET"], &[], false),
        (&["domain=a.test"], &["domain=a.test method=POST"], true),
        (
            &["domain=a.test"],
            &["domain=a.test proto=http method=POST"],
            false,
        ),
        (&["cidr=192.0.2.0/24"], &[], false),
    ] {
        assert_eq!(
            policy(allow, deny).may_intercept(),
            expected,
            "{allow:?} {deny:?}"
        );
    }
    let annotated = compile(&PolicySource {
        annotated: texts(&["domain=a.test method=GET"]),
        ..PolicySource::default()
    });
    assert!(annotated.may_intercept());
}
