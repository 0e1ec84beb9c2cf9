//! coder/boundary's rules and requests with the verdicts that it gives, seen by running it, and ours
//! where it is another on purpose: in clear text and within TLS alike.

use super::*;
use crate::policy::rule::{Rule, plain_path};

/// What becomes of a request, or of the rule itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    /// 400: the path can be understood in several ways.
    Unclear,
    /// The policy doesn't load.
    Mistake,
}

use Outcome::{Allowed, Denied, Mistake, Unclear};

fn outcome(rule: &str, protocol: Protocol, (method, name, path): (&str, &str, &str)) -> Outcome {
    if Rule::parse(rule).is_err() {
        return Mistake;
    }
    let Some(path) = plain_path(path) else {
        return Unclear;
    };
    let attempt = match protocol {
        Protocol::Http => Try::http(method, name, &path),
        _ => Try::https_request(method, name, &path),
    };
    match attempt.is_allowed(&policy(&[rule], &[])) {
        true => Allowed,
        false => Denied,
    }
}

fn check(rule: &str, request: (&str, &str, &str), expected: Outcome) {
    for protocol in [Protocol::Http, Protocol::Https] {
        let found = outcome(rule, protocol, request);
        assert_eq!(found, expected, "{rule}: {protocol:?} {request:?}");
    }
}

#[test]
fn the_vectors_of_its_engine_have_its_verdicts() {
    let get = |name, path| ("GET", name, path);
    for (rule, request, allowed) in [
        ("method=GET", get("example.com", "/api"), true),
        ("method=POST", get("example.com", "/api"), false),
        ("method=*", ("PUT", "example.com", "/api"), true),
        (
            "domain=example.com",
            ("DELETE", "example.com", "/api"),
            true,
        ),
        ("domain=example.com", get("example.com", "/api"), true),
        ("domain=example.org", get("example.com", "/api"), false),
        (
            "domain=example.com",
            get("api.example.com", "/users"),
            false,
        ),
        (
            "domain=*.example.com",
            get("api.example.com", "/users"),
            true,
        ),
        ("domain=*.example.com", get("example.com", "/users"), false),
        (
            "domain=v1.api.example.com",
            get("api.example.com", "/users"),
            false,
        ),
        ("domain=*.com", get("test.com", "/api"), true),
        ("path=/api/users", get("example.com", "/api/users"), true),
        ("path=/api/posts", get("example.com", "/api/users"), false),
        ("path=/api", get("example.com", "/api/users/123"), false),
        ("path=/api/*", get("example.com", "/api/users/123"), true),
        ("path=/api/*", get("example.com", "/api/foo/bar/baz"), true),
        (
            "path=/api/*/foo",
            get("example.com", "/api/users/admin/foo"),
            false,
        ),
        (
            "path=/api/v1/users/profile",
            get("example.com", "/api/v1/users"),
            false,
        ),
        (
            "path=/api/*/profile",
            get("example.com", "/api/users/profile"),
            true,
        ),
        ("path=/*/*", get("example.com", "/api/users/123"), true),
        (
            "method=POST domain=api.com path=/users",
            ("POST", "api.com", "/users"),
            true,
        ),
        (
            "method=POST domain=api.com path=/users",
            ("GET", "api.com", "/users"),
            false,
        ),
        (
            "method=POST domain=api.com path=/users",
            ("POST", "other.com", "/users"),
            false,
        ),
        (
            "method=POST domain=api.com path=/users",
            ("POST", "api.com", "/posts"),
            false,
        ),
        (
            "method=* domain=*.*.com path=/*/*",
            ("PATCH", "a.test.com", "/api/users/123"),
            true,
        ),
        ("domain=localhost", get("localhost", "/api"), true),
        (
            "domain=X.com path=/api/v1,/api/v2",
            get("x.com", "/api/v2"),
            true,
        ),
        ("path=/api/v1/*,/api/v2/*", get("x.com", "/api/v2/a"), true),
    ] {
        check(rule, request, if allowed { Allowed } else { Denied });
    }
}

#[test]
fn the_edges_of_its_language_are_ours() {
    let get = |name, path| ("GET", name, path);
    for (rule, request, expected) in [
        ("path=/api/", get("x.com", "/api"), Allowed),
        ("path=/api/*", get("x.com", "/api/"), Allowed),
        ("path=/api/*", get("x.com", "/api"), Denied),
        ("path=/*abc", get("x.com", "/"), Mistake),
        ("path=/api//users", get("x.com", "/"), Mistake),
        ("path=/a?x", get("x.com", "/"), Mistake),
        ("domain=a.com, path=/x", get("x.com", "/"), Mistake),
        ("method=GET,", get("x.com", "/"), Mistake),
        ("method=", get("x.com", "/"), Mistake),
        ("method=@invalid", get("x.com", "/"), Mistake),
        ("invalid=value", get("x.com", "/"), Mistake),
        ("domain=test..com", get("x.com", "/"), Mistake),
        ("domain=[::1]", get("x.com", "/"), Mistake),
        ("domain=bücher.de", get("x.com", "/"), Mistake),
        ("domain=api*.com", get("x.com", "/"), Mistake),
        ("domain=*x.com", get("x.com", "/"), Mistake),
        ("domain=github.com:8080", get("x.com", "/"), Mistake),
        ("domain=github.*", get("x.com", "/"), Mistake),
        ("domain=*.com", get("a.b.com", "/"), Allowed),
        ("domain=*.*.com", get("a.b.com", "/"), Allowed),
        ("domain=*.*.com", get("b.com", "/"), Denied),
        ("domain=*.a.*.com", get("x.y.a.b.com", "/"), Allowed),
        ("domain=api.*.com", get("x.api.a.com", "/"), Denied),
        ("path=*", get("x.com", "/"), Allowed),
    ] {
        check(rule, request, expected);
    }
}

#[test]
fn what_differs_from_it_does_so_on_purpose() {
    let get = |name, path| ("GET", name, path);
    // There, and here.
    for (rule, request, there, here) in [
        // What would open everything, or means something that nobody wrote, is a mistake.
        ("", get("x.com", "/"), Allowed, Mistake),
        ("path=", get("x.com", "/a/b"), Allowed, Mistake),
        (
            "domain=a.com domain=b.com",
            get("a.com.b.com", "/"),
            Allowed,
            Mistake,
        ),
        (
            "method=GET method=POST",
            get("x.com", "/"),
            Allowed,
            Mistake,
        ),
        ("path=/a path=/b", get("x.com", "/b"), Allowed, Mistake),
        (
            "path=/api/user*",
            get("x.com", "/api/user*"),
            Allowed,
            Mistake,
        ),
        ("domain=127.0.0.1", get("x.com", "/"), Denied, Mistake),
        // The root is the root, and a slash at the end the same as none in the pattern.
        ("path=/", get("x.com", "/a/b"), Allowed, Denied),
        ("path=/api/", get("x.com", "/api/"), Denied, Allowed),
        // Paths are compared in one form, in which no segment is empty.
        ("path=/a%20b", get("x.com", "/a%20b"), Denied, Allowed),
        (
            "path=/api/*",
            get("x.com", "/api/../admin"),
            Allowed,
            Unclear,
        ),
        (
            "path=/api/*",
            get("x.com", "/api/%2e%2e/admin"),
            Allowed,
            Unclear,
        ),
        ("path=/api/*", get("x.com", "/api%2Fadmin"), Allowed, Denied),
        (
            "path=/a/*",
            get("x.com", "/a/..%2f..%2fadmin"),
            Allowed,
            Unclear,
        ),
        ("path=/a/*/c", get("x.com", "/a//c"), Allowed, Unclear),
        // Case doesn't count in names and methods, nor a dot behind a name; names have `_`, and `-`
        // anywhere.
        ("domain=GitHub.com", get("github.com", "/"), Denied, Allowed),
        ("domain=github.com", get("GitHub.com", "/"), Denied, Allowed),
        (
            "domain=github.com",
            get("github.com.", "/"),
            Denied,
            Allowed,
        ),
        ("method=get", get("x.com", "/"), Denied, Allowed),
        ("domain=-x-.com", get("-x-.com", "/"), Mistake, Allowed),
        (
            "domain=my_host.com",
            get("my_host.com", "/"),
            Mistake,
            Allowed,
        ),
    ] {
        assert_ne!(there, here, "{rule}");
        check(rule, request, here);
    }
}

#[test]
fn a_domain_alone_means_the_usual_ports_and_no_address() {
    for protocol in [Protocol::Http, Protocol::Https] {
        let request = Some(("GET".to_owned(), "/".to_owned()));
        let at = |destination, name| Try {
            request: request.clone(),
            ..Try::new(protocol, name, destination)
        };
        // There: any port, and any address.
        assert!(!at("192.0.2.1:22", "github.com").is_allowed(&policy(&["domain=github.com"], &[])));
        assert!(
            at("192.0.2.1:22", "github.com")
                .is_allowed(&policy(&["domain=github.com port=22"], &[]))
        );
        for address in ["[::1]:443", "169.254.169.254:80", "192.0.2.1:443"] {
            assert!(
                !at(address, "").is_allowed(&policy(&["domain=*"], &[])),
                "{address}"
            );
        }
    }
}
