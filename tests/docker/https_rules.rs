//! coder/boundary's rules, asked for as HTTPS requests of a real client in a real container: a rule
//! written for it decides here as it does there, but where `docs/` says otherwise.
//!
//! Each rule has a name of its own in the policy `https`.

use test_support::bed::Bed;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("of_methods_decide", methods),
    ("of_names_decide", names),
    ("of_paths_decide", paths),
    ("see_paths_as_servers_could", spellings),
];

const RUNTIME: &str = "boundary-https";

/// What comes of a request.
const PASSES: &str = "200";
const DENIED: &str = "403";
/// What servers could understand differently, whatever rules say.
const UNCLEAR: &str = "400";
/// There is no such name.
const NO_NAME: &str = "000";

/// Asks for each URL with its method, byte for byte, and compares what comes of it.
#[track_caller]
fn decides(bed: &Bed, vectors: &[(&str, &str, &str)]) {
    let asks = vectors.iter().map(|(method, url, _)| {
        let head = if *method == "HEAD" { "--head" } else { "" };
        format!(
            "curl -sS -g -m 10 --path-as-is {head} -X {method} -o /dev/null -w '%{{http_code}}\\n' 'https://{url}' 2>/dev/null"
        )
    });
    let script = format!("{}\ntrue", asks.collect::<Vec<_>>().join("\n"));
    let said = bed.run_with(RUNTIME, &[], &script);
    let said: Vec<&str> = said.must_succeed().stdout.lines().collect();
    let wrong: Vec<_> = vectors
        .iter()
        .zip(&said)
        .filter(|((_, _, wanted), came)| wanted != *came)
        .collect();
    assert!(
        wrong.is_empty() && said.len() == vectors.len(),
        "{wrong:#?}"
    );
}

fn methods(bed: &Bed) {
    decides(
        bed,
        &[
            ("GET", "get.wild.test/api", PASSES),
            ("POST", "get.wild.test/api", DENIED),
            ("HEAD", "get.wild.test/api", DENIED),
            ("GET", "post.wild.test/api", DENIED),
            ("POST", "post.wild.test/api", PASSES),
            ("PUT", "any-method.wild.test/api", PASSES),
            ("ODD-1", "any-method.wild.test/api", PASSES),
            // In either case, unlike there: servers exist that take `post`.
            ("GET", "small.wild.test/api", PASSES),
            ("get", "small.wild.test/api", PASSES),
            ("get", "get.wild.test/api", PASSES),
            ("GET", "two-methods.wild.test/", PASSES),
            ("POST", "two-methods.wild.test/", PASSES),
            ("PUT", "two-methods.wild.test/", DENIED),
            ("POST", "all-three.wild.test/users", PASSES),
            ("GET", "all-three.wild.test/users", DENIED),
            ("POST", "all-three.wild.test/posts", DENIED),
            ("POST", "all-four.wild.test/users", NO_NAME),
        ],
    );
}

fn names(bed: &Bed) {
    decides(
        bed,
        &[
            ("DELETE", "exact.wild.test/api", PASSES),
            ("GET", "EXACT.Wild.Test/api", PASSES),
            ("GET", "exact.wild.test./api", PASSES),
            ("GET", "api.exact.wild.test/users", NO_NAME),
            ("GET", "other.wild.test/api", NO_NAME),
            ("GET", "api.below.wild.test/users", PASSES),
            ("GET", "a.b.below.wild.test/users", PASSES),
            ("GET", "below.wild.test/users", NO_NAME),
            ("GET", "api.deep.wild.test/users", NO_NAME),
            ("GET", "v1.api.deep.wild.test/users", PASSES),
            ("GET", "middle.a.wild.test/", PASSES),
            ("GET", "middle.a.b.wild.test/", NO_NAME),
            ("GET", "middle.wild.test/", NO_NAME),
            ("GET", "exact.wild.test@denied.test/", NO_NAME),
            // Not on any port, as there.
            ("GET", "exact.wild.test:993/", NO_NAME),
        ],
    );
}

fn paths(bed: &Bed) {
    decides(
        bed,
        &[
            ("GET", "users.wild.test/api/users", PASSES),
            ("GET", "users.wild.test/api/users?limit=10", PASSES),
            ("GET", "users.wild.test/api/posts", DENIED),
            ("GET", "api.wild.test/api/users/123", DENIED),
            ("GET", "api-all.wild.test/api/users/123", PASSES),
            ("GET", "api-all.wild.test/api/foo/bar/baz", PASSES),
            ("GET", "api-all.wild.test/api/", PASSES),
            ("GET", "api-all.wild.test/api", DENIED),
            ("GET", "api-all.wild.test/", DENIED),
            ("GET", "foo.wild.test/api/users/admin/foo", DENIED),
            ("GET", "foo.wild.test/api/users/foo", PASSES),
            ("GET", "profile.wild.test/api/v1/users", DENIED),
            ("GET", "any-profile.wild.test/api/users/profile", PASSES),
            ("GET", "two-any.wild.test/api/users/123", PASSES),
            ("GET", "two-any.wild.test/api", DENIED),
            ("GET", "two-paths.wild.test/a", PASSES),
            ("GET", "two-paths.wild.test/b", PASSES),
            ("GET", "two-paths.wild.test/c", DENIED),
            ("GET", "list.wild.test/a", PASSES),
            ("GET", "list.wild.test/b/c", PASSES),
            ("GET", "list.wild.test/b", DENIED),
            ("GET", "star.wild.test", PASSES),
            ("GET", "star.wild.test/a/b", PASSES),
        ],
    );
}

/// Where it differs on purpose: paths are compared as servers could understand them.
fn spellings(bed: &Bed) {
    decides(
        bed,
        &[
            ("GET", "root.wild.test/", PASSES),
            ("GET", "root.wild.test/a/b", DENIED),
            ("GET", "api-slash.wild.test/api", PASSES),
            ("GET", "api-slash.wild.test/api/", PASSES),
            ("GET", "api-slash.wild.test/api/x", DENIED),
            ("GET", "api-all.wild.test/api/../admin", UNCLEAR),
            ("GET", "api-all.wild.test/api/%2e%2e/admin", UNCLEAR),
            ("GET", "api-all.wild.test/api/x/../y", UNCLEAR),
            ("GET", "api-all.wild.test/api%2Fadmin", DENIED),
            ("GET", "api-all.wild.test/api/a%2Fb", PASSES),
            ("GET", "api-all.wild.test/api/..%2f..%2fadmin", UNCLEAR),
            ("GET", "api-all.wild.test/api/..;/admin", UNCLEAR),
            ("GET", "api-all.wild.test/api/%75sers", PASSES),
            ("GET", "users.wild.test/api/%75sers", PASSES),
            ("GET", "users.wild.test/%61pi/users", PASSES),
            ("GET", "blank.wild.test/a%20b", PASSES),
            ("GET", "a-any-c.wild.test/a/b/c", PASSES),
            ("GET", "a-any-c.wild.test/a//c", UNCLEAR),
            ("GET", "api-all.wild.test/api/\\x", UNCLEAR),
        ],
    );
}
