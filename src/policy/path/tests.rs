//! Paths: one spelling for what servers take as one, and nothing hidden by encoding.

use proptest::prelude::*;

use super::*;

#[test]
fn a_path_has_one_form() {
    for (path, canonical) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/api/../admin", "/admin"),
        ("/api/%2e%2E/admin", "/admin"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("//a///b//", "/a/b/"),
        ("//", "/"),
        ("/%61%7e%2D", "/a~-"),
        ("/a%20b", "/a%20b"),
        ("/%c3%bc", "/%C3%BC"),
        ("/ü", "/%C3%BC"),
        ("/%c0%e0%20%f0", "/%C0%E0%20%F0"),
        ("/%e0%a4%80%f0%90%80%80", "/%E0%A4%80%F0%90%80%80"),
        ("/a|b{c}", "/a%7Cb%7Bc%7D"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/a;v=1/b:c@d,e", "/a;v=1/b:c@d,e"),
        ("/.../..a", "/.../..a"),
        ("/*", "/*"),
        ("/@types%2fnode", "/@types%2Fnode"),
        ("/queues/%2F/jobs", "/queues/%2F/jobs"),
        ("/a%252fb", "/a%252fb"),
    ] {
        assert_eq!(normalise_path(path).as_deref(), Some(canonical), "{path}");
    }
}

#[test]
fn what_servers_could_read_differently_has_no_form() {
    for path in [
        "",
        "a",
        "*",
        "/a/..%2f..%2fadmin",
        "/a%2f.%2fb",
        "/a/..%2fb",
        "/a%2f..;x/b",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0ab",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%+1",
        "/a b",
        "/a\tb",
        "/a?b",
        "/a#b",
        "/a/..;/b",
        "/a/.;x/b",
        "/a/..%3b/b",
        "/a//../b",
        "/a/%c0%ae%c0%ae/b",
        "/a/..%c0%afb",
        "/a/..%C1%9Cb",
        "/a/%e0%80%ae%e0%80%ae/b",
        "/a/%f0%80%80%ae./b",
        "/a/%2e%2e//b",
        "//..",
    ] {
        assert_eq!(normalise_path(path), None, "{path}");
    }
}

#[test]
fn an_encoded_slash_is_read_in_two_ways() {
    for (path, other) in [
        ("/a/b", None),
        ("/@types%2Fnode", Some("/@types/node")),
        ("/queues/%2F/jobs", Some("/queues/jobs")),
        ("/%2Fadmin", Some("/admin")),
        ("/a%252Fb", None),
    ] {
        assert_eq!(with_slashes(path).as_deref(), other, "{path}");
    }
}

#[test]
fn patterns_match_as_coder_boundary_matches_them() {
    for (pattern, path, expected) in [
        ("/api/users", "/api/users", true),
        ("/api/posts", "/api/users", false),
        ("/api", "/api/users/123", false),
        ("/api/*", "/api/users/123", true),
        ("/api/*", "/api/foo/bar/baz", true),
        ("/api/*", "/api", false),
        ("/api/*", "/api/", true),
        ("/api/*/foo", "/api/users/admin/foo", false),
        ("/api/v1/users/profile", "/api/v1/users", false),
        ("/api/*/profile", "/api/users/profile", true),
        ("/*/*", "/api/users/123", true),
        ("/*/*", "/api", false),
        ("/api/", "/api", true),
        ("*", "/", true),
        ("*", "/a/b", true),
        ("/*", "/a", true),
        ("/a%20b", "/a%20b", true),
        ("/a%3ab", "/a%3Ab", true),
        // On purpose otherwise than there: a slash at the end is the same as none, `/` is the root
        // and nothing more, and no segment is empty.
        ("/api/", "/api/", true),
        ("/api", "/api/", false),
        ("/", "/", true),
        ("/", "/a/b", false),
        ("/", "/a", false),
        ("/a/*/c", "/a/c", false),
        ("/a/*/", "/a/", false),
    ] {
        let parsed = PathPattern::parse(pattern).unwrap();
        assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
    }
}

#[test]
fn a_mistake_is_answered_with_what_would_be_right() {
    for (text, hint) in [
        ("", "begins with /"),
        ("api", "begins with /"),
        ("/*abc", "whole segment"),
        ("/api/user*", "whole segment"),
        ("/api//users", "single slashes"),
        ("//", "single slashes"),
        ("/a/../b", "resolved"),
        ("/a/%2e%2e", "resolved"),
        ("/a?x", "query"),
        ("/a#x", "fragment"),
        ("/a%5cb", "%5C"),
        ("/a%", "hexadecimal"),
        ("/a\\b", "backslash"),
        ("/a/..;/b", "always denied"),
    ] {
        let error = PathPattern::parse(text).unwrap_err();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

/// Patterns and paths of few letters, so that they meet.
const FEW: &str = "(/(\\*|a|b)){0,3}(/|/\\*|/a)";

proptest! {
    #[test]
    fn a_pattern_that_has_all_of_another_matches_its_paths(one in FEW, other in FEW, path in "(/(a|b)){0,4}(/|/a)") {
        let read = |text: &str| PathPattern::parse(text).unwrap();
        if read(&one).has_all_of(&read(&other)) && read(&other).matches(&path) {
            prop_assert!(read(&one).matches(&path), "{one} {other} {path}");
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = normalise_path(&text);
        let _ = PathPattern::parse(&text);
    }

    #[test]
    fn a_canonical_path_stays_as_it_is(path in "/([a-z.;*,]|/|%2[eE5]|%41|%c3|\\.\\.|\\{){0,12}") {
        if let Some(once) = normalise_path(&path) {
            prop_assert_eq!(normalise_path(&once), Some(once.clone()));
            prop_assert!(!once.contains("//"));
            prop_assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn a_pattern_without_stars_matches_its_own_path(path in "(/[a-zA-Z0-9;:@=%]{1,4}){1,4}/?") {
        if let (Some(canonical), Ok(pattern)) = (normalise_path(&path), PathPattern::parse(&path)) {
            prop_assert!(pattern.matches(&canonical), "{} {}", path, canonical);
        }
    }
}
