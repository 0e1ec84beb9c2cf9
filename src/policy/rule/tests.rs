//! Rules as people write them: what is understood, and what a mistake is told.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn attempt<'a>(protocol: Protocol, name: Option<&'a Hostname>, destination: &str) -> Attempt<'a> {
    let destination: SocketAddr = destination.parse().unwrap();
    Attempt {
        protocol,
        name,
        destination,
        method: None,
        path: None,
    }
}

#[test]
fn what_is_not_written_means_the_usual() {
    use Protocol::{Http, Https, Tcp, Udp};
    for (text, protocol, port, expected) in [
        ("domain=x.test", Http, 80, true),
        ("domain=x.test", Https, 443, true),
        ("domain=x.test", Http, 443, false),
        ("domain=x.test", Https, 80, false),
        ("domain=x.test", Http, 8080, false),
        ("domain=x.test", Tcp, 80, false),
        ("domain=x.test", Udp, 443, false),
        ("domain=x.test port=8080", Http, 8080, true),
        ("domain=x.test port=8080", Https, 8080, true),
        ("domain=x.test port=8080", Http, 80, false),
        ("domain=x.test port=8080", Tcp, 8080, false),
        ("domain=x.test port=80,8000-8999", Http, 8443, true),
        ("domain=x.test proto=https", Https, 443, true),
        ("domain=x.test proto=https", Http, 80, false),
        ("domain=x.test proto=tcp", Tcp, 22, true),
        ("domain=x.test proto=tcp port=22", Tcp, 22, true),
        ("domain=x.test proto=tcp port=22", Tcp, 23, false),
        // HTTP and TLS run over TCP: who allows all of it, allows them.
        ("domain=x.test proto=tcp port=993", Https, 993, true),
        ("domain=x.test proto=tcp port=993", Udp, 993, false),
        ("domain=x.test proto=udp", Udp, 123, true),
        ("domain=x.test proto=udp", Tcp, 123, false),
        ("domain=x.test proto=http,udp", Http, 81, false),
        ("domain=x.test proto=http,udp", Udp, 81, true),
        ("cidr=192.0.2.0/24", Tcp, 22, true),
        ("cidr=192.0.2.0/24", Http, 8080, true),
        ("cidr=192.0.2.0/24", Https, 1, true),
        ("cidr=192.0.2.0/24", Udp, 123, false),
        ("cidr=192.0.2.0/24 port=22", Tcp, 23, false),
        ("cidr=192.0.2.0/24 proto=http", Http, 80, true),
        ("cidr=192.0.2.0/24 proto=http", Http, 81, false),
        ("cidr=192.0.2.0/24 proto=udp port=123", Udp, 123, true),
        ("cidr=192.0.2.0/24 method=GET", Http, 80, true),
        ("cidr=192.0.2.0/24 method=GET", Tcp, 22, false),
        ("domain=x.test cidr=192.0.2.0/24", Https, 443, true),
        ("domain=x.test cidr=192.0.2.0/24", Tcp, 443, false),
    ] {
        assert_eq!(
            rule(text).allows_port(protocol, port),
            expected,
            "{text}: {protocol:?} {port}"
        );
    }
}

#[test]
fn methods_and_paths_fit_what_was_read_and_nothing_else() {
    let read = |method, path| Attempt {
        method,
        path,
        ..attempt(Protocol::Http, None, "192.0.2.1:80")
    };
    for (text, method, path, expected) in [
        ("method=GET", Some("GET"), Some("/"), true),
        ("method=get", Some("GET"), Some("/"), true),
        ("method=GET,HEAD", Some("HEAD"), Some("/"), true),
        ("method=POST", Some("GET"), Some("/"), false),
        ("method=*", Some("PUT"), Some("/"), true),
        ("method=*", None, None, true),
        ("path=/a,/b/*", Some("GET"), Some("/b/c/d"), true),
        ("path=/a,/b/*", Some("GET"), Some("/c"), false),
        ("path=/*", None, None, true),
        ("method=GET", None, Some("/"), false),
        ("path=/a", Some("GET"), None, false),
        ("method=GET path=/a", Some("GET"), Some("/a"), true),
        ("method=GET path=/a", Some("POST"), Some("/a"), false),
    ] {
        assert_eq!(
            rule(text).allows_request(&read(method, path)),
            expected,
            "{text}: {method:?} {path:?}"
        );
    }
    for (protocol, expected) in [
        (Protocol::Http, true),
        (Protocol::Https, true),
        (Protocol::Tcp, false),
        (Protocol::Udp, false),
    ] {
        let attempt = Attempt {
            protocol,
            ..read(Some("GET"), Some("/a"))
        };
        assert_eq!(rule("method=GET").allows_request(&attempt), expected);
    }
}

#[test]
fn a_denial_means_everything_that_it_does_not_limit() {
    use Protocol::{Http, Https, Tcp, Udp};
    let name = Hostname::parse("x.test").unwrap();
    for (text, protocol, destination, expected) in [
        ("domain=x.test", Http, "192.0.2.1:80", true),
        ("domain=x.test", Https, "192.0.2.1:8443", true),
        ("domain=x.test", Tcp, "192.0.2.1:22", true),
        ("domain=x.test", Udp, "192.0.2.1:443", true),
        ("domain=y.test", Http, "192.0.2.1:80", false),
        ("port=25", Tcp, "192.0.2.1:25", true),
        ("port=25", Udp, "192.0.2.1:25", true),
        ("port=25", Tcp, "192.0.2.1:26", false),
        ("proto=http", Http, "192.0.2.1:8080", true),
        ("proto=http", Https, "192.0.2.1:8080", false),
        ("proto=tcp", Https, "192.0.2.1:443", true),
        ("proto=tcp", Udp, "192.0.2.1:443", false),
        ("cidr=192.0.2.0/24", Udp, "192.0.2.1:1", true),
        ("cidr=192.0.2.0/24", Tcp, "192.0.3.1:1", false),
        ("cidr=192.0.2.0/24", Tcp, "[64:ff9b::192.0.2.1]:1", true),
        ("cidr=192.0.2.0/24", Tcp, "[2002:c000:201::1]:1", true),
        ("domain=x.test cidr=192.0.2.0/24", Tcp, "192.0.3.1:1", false),
        // What can't be read could be what is forbidden.
        ("domain=x.test method=POST", Https, "192.0.2.1:443", true),
        ("domain=x.test path=/a", Http, "192.0.2.1:80", true),
        ("domain=x.test method=POST", Tcp, "192.0.2.1:22", false),
    ] {
        let attempt = attempt(protocol, Some(&name), destination);
        assert_eq!(
            rule(text).forbids(&attempt),
            expected,
            "{text}: {protocol:?} {destination}"
        );
    }
    let nameless = attempt(Tcp, None, "192.0.2.1:22");
    assert!(!rule("domain=*").forbids(&nameless));
    let read = Attempt {
        method: Some("GET"),
        path: Some("/b"),
        ..attempt(Http, Some(&name), "192.0.2.1:80")
    };
    assert!(!rule("method=POST").forbids(&read));
    assert!(!rule("path=/a").forbids(&read));
    assert!(rule("method=get path=/b").forbids(&read));
}

#[test]
fn every_mistake_is_told_at_once_with_what_would_be_right() {
    for (text, expected) in [
        ("", vec![("rule", "domain=*")]),
        (" \t\n", vec![("rule", "domain=*")]),
        ("domain", vec![("domain", "key=value")]),
        (
            "example.org",
            vec![("example.org", "did you mean domain=example.org?")],
        ),
        (
            "domian=x.test",
            vec![("domian", "unknown key; did you mean domain?")],
        ),
        ("Domain=x.test", vec![("Domain", "did you mean domain?")]),
        (
            "host=x.test",
            vec![("host", "domain, method, path, port, proto, cidr, except")],
        ),
        (
            "*.example.org",
            vec![("*.example.org", "did you mean domain=*.example.org?")],
        ),
        (
            "10.0.0.0/8",
            vec![("10.0.0.0/8", "did you mean cidr=10.0.0.0/8?")],
        ),
        (
            "port=22 except=x.test",
            vec![("except", "which is missing")],
        ),
        ("domain=", vec![("domain", "missing")]),
        (
            "domain=a.test domain=b.test",
            vec![("domain", "written twice")],
        ),
        ("domain=a.test, path=/x", vec![("domain", "comma too many")]),
        (
            "domain=a.test method=GET,",
            vec![("method", "not a method")],
        ),
        ("method=@x", vec![("method", "GET,HEAD")]),
        (
            "domain=a.test proto=icmp",
            vec![("proto", "http, https, tcp and udp")],
        ),
        ("domain=a.test port=http", vec![("port", "1 to 65535")]),
        (
            "cidr=10.0.0.1/8",
            vec![("cidr", "write 10.0.0.0/8 or 10.0.0.1")],
        ),
        ("cidr=x.test", vec![("cidr", "domain=")]),
        ("cidr=010.0.0.1", vec![("cidr", "not a network")]),
        ("cidr=10.0.0.0/33", vec![("cidr", "not a network")]),
        ("cidr=fe80::1%eth0", vec![("cidr", "not a network")]),
        ("cidr=::ffff:10.0.0.0/104", vec![("cidr", "a.b.c.d")]),
        ("method=GET proto=tcp", vec![("proto", "HTTP and HTTPS")]),
        ("path=/a proto=tcp,udp", vec![("proto", "HTTP and HTTPS")]),
        (
            "domain=*x path=a port=0 foo=1 cidr=z",
            vec![
                ("foo", "unknown"),
                ("domain", "whole"),
                ("path", "begins"),
                ("port", "65535"),
                ("cidr", "network"),
            ],
        ),
        (
            "dom\u{1b}[31m\u{0}=x",
            vec![("dom\\u{1b}[31m\\u{0}", "unknown")],
        ),
    ] {
        let mistakes = Rule::parse(text).unwrap_err();
        let found: Vec<_> = mistakes
            .iter()
            .map(|mistake| mistake.key.as_str())
            .collect();
        assert_eq!(
            found,
            expected.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            "{text}: {mistakes:?}"
        );
        for (mistake, (_, hint)) in mistakes.iter().zip(&expected) {
            assert!(mistake.message.contains(hint), "{text}: {mistake:?}");
        }
    }
}

#[test]
fn a_rule_is_bounded() {
    let longest = format!("domain={}", "a.".repeat(100));
    assert!(Rule::parse(&longest).is_ok());
    let mistakes = Rule::parse(&"domain=a.test ".repeat(1000)).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].message.contains("8192"), "{mistakes:?}");
}

#[test]
fn the_text_is_kept_with_single_blanks() {
    assert_eq!(
        &**rule("  method=GET\t domain=x.test\n").text(),
        "method=GET domain=x.test"
    );
}

#[test]
fn lists_hold_for_every_key() {
    let rule =
        rule("domain=a.test,*.b.test cidr=192.0.2.0/24,2001:db8::1 port=80,443 proto=http,https");
    for name in ["a.test", "x.b.test"] {
        assert!(rule.allows_name(&Hostname::parse(name).unwrap()), "{name}");
    }
    for address in ["192.0.2.9", "2001:db8::1"] {
        assert!(rule.leads_to(address.parse().unwrap()), "{address}");
    }
    assert!(!rule.leads_to("2001:db8::2".parse().unwrap()));
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = Rule::parse(&text);
    }

    #[test]
    fn texts_that_look_like_rules_are_judged_without_a_panic(
        text in "((domain|method|path|port|proto|cidr|x)(=| )[a-z0-9*./,:%-]{0,12} ?){0,5}",
    ) {
        if let Ok(rule) = Rule::parse(&text) {
            // Its own text is a rule as well, and the same one.
            let again = Rule::parse(rule.text()).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{rule:?}"));
        }
    }
}
