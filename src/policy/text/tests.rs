//! Policy files: both spellings, every mistake with its line, and hostile YAML.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::mistakes::MAX_MISTAKES;
use super::*;
use crate::policy::source::TlsSource;

fn mistakes(content: &str) -> Vec<String> {
    parse_file("p.yaml", content)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn rules(content: &str) -> (Vec<String>, Vec<String>) {
    let file =
        parse_file("p.yaml", content).unwrap_or_else(|mistakes| panic!("{content}: {mistakes:?}"));
    (file.allow(), file.deny())
}

#[test]
fn a_policy_is_lists_of_rules() {
    let (allow, deny) = rules(
        "# ours\nallow:\n  - domain=a.test\n  - \"method=GET domain=b.test\"\ndeny: [domain=c.test]\n",
    );
    assert_eq!(allow, ["domain=a.test", "method=GET domain=b.test"]);
    assert_eq!(deny, ["domain=c.test"]);
}

#[test]
fn nothing_in_it_means_no_rules() {
    for content in [
        "",
        "# only a comment\n",
        "---\n",
        "{}",
        "allow:\n",
        "allow: []\ndeny: ~\n",
        "allow: null\n",
        "\u{feff}allow: []\n",
    ] {
        assert_eq!(rules(content), (vec![], vec![]), "{content:?}");
    }
}

#[test]
fn a_file_of_coder_boundary_loads_as_it_is() {
    let (allow, deny) = rules(concat!(
        "allowlist:\n",
        "  - \"domain=api.anthropic.com\"\n",
        "  - \"method=GET,HEAD domain=api.github.com path=/repos/*,/users/*\"\n",
        "jail_type: nsjail\nlog_dir: /tmp/boundary_logs\nlog_level: warn\nproxy_port: 8087\n",
        "session_id_inject_targets:\n  - {domain: [x]}\n",
    ));
    assert_eq!(
        allow,
        [
            "domain=api.anthropic.com",
            "method=GET,HEAD domain=api.github.com path=/repos/*,/users/*"
        ]
    );
    assert!(deny.is_empty());
}

#[test]
fn all_mistakes_are_told_at_once_each_with_file_line_and_key() {
    let content = concat!(
        "allow:\n",
        "  - domain=ok.test\n",
        "  - domian=x.test\n",
        "  - domain=api*.com port=0\n",
        "  - domain: x.test\n",
        "  -\n",
        "alow: []\n",
        "deny: domain=x.test\n",
        "allow: []\n",
    );
    let found = mistakes(content);
    for (mistake, expected) in found.iter().zip([
        "p.yaml:3: domian: unknown key; ",
        "p.yaml:4: domain: \"api*.com\": `*` stands for whole labels",
        "p.yaml:4: port: \"0\": ",
        "p.yaml:5: allow: a rule must be a plain string",
        "p.yaml:6: rule: empty; ",
        "p.yaml:7: alow: unknown key; a policy has allow, deny, include and tls",
        "p.yaml:8: deny: expected a list of rules",
        "p.yaml:9: allow: written twice",
    ]) {
        assert!(mistake.starts_with(expected), "{mistake}\n{expected}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn a_policy_says_which_tls_is_intercepted() {
    let tls = |content: &str| parse_file("p.yaml", content).unwrap().tls;
    for empty in ["", "tls:\n", "tls: {}", "tls: {passthrough: }"] {
        assert_eq!(tls(empty), TlsSource::default(), "{empty}");
    }
    for (content, intercept, passthrough) in [
        ("tls: {intercept: auto}", Intercept::Auto, &[][..]),
        ("tls: {intercept: never}", Intercept::Never, &[]),
        (
            "tls:\n  passthrough:\n    - a.test\n    - '*.b.test'\n  intercept: always\nallow: []\n",
            Intercept::Always,
            &["a.test", "*.b.test"],
        ),
    ] {
        let read = tls(content);
        assert_eq!(
            (read.intercept, read.passthrough.as_slice()),
            (
                intercept,
                &*passthrough
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            ),
            "{content}"
        );
    }
    for (content, expected) in [
        (
            "tls: auto\n",
            "p.yaml:1: tls: expected intercept and passthrough",
        ),
        ("tls: [auto]\n", "p.yaml:1: tls: expected intercept"),
        (
            "tls:\n  intercept: off\n",
            "p.yaml:2: intercept: expected never, auto or always",
        ),
        ("tls:\n  intercept:\n", "p.yaml:2: intercept: expected"),
        (
            "tls: {intercept: [auto]}\n",
            "p.yaml:1: intercept: expected",
        ),
        (
            "tls: {pasthrough: []}\n",
            "p.yaml:1: pasthrough: unknown key; tls has intercept and passthrough",
        ),
        (
            "tls: {passthrough: a.test}\n",
            "p.yaml:1: passthrough: expected a list of names",
        ),
        (
            "tls: {passthrough: [[a]]}\n",
            "p.yaml:1: passthrough: a name must be",
        ),
        (
            "tls:\n  passthrough:\n  - a.test\n  - a.*\n",
            "p.yaml:4: passthrough: \"a.*\": `*` can't be the last",
        ),
        (
            "tls: {passthrough: ['']}\n",
            "p.yaml:1: passthrough: \"\": a name is missing",
        ),
        (
            "tls: {intercept: auto, intercept: auto}\n",
            "p.yaml:1: intercept: written twice",
        ),
        ("tls: {}\ntls: {}\n", "p.yaml:2: tls: written twice"),
    ] {
        let found = mistakes(content);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{content} {found:?}"
        );
    }
}

#[test]
fn where_nothing_is_intercepted_a_rule_that_needs_it_is_a_mistake_with_its_line() {
    let content = concat!(
        "allow:\n",
        "  - domain=a.test\n",
        "  - method=GET domain=a.test\n",
        "  - method=GET proto=http domain=a.test\n",
        "  - path=/a proto=http,https domain=a.test\n",
        "deny:\n",
        "  - path=/admin/*\n",
        "tls: {intercept: never}\n",
    );
    let found = mistakes(content);
    let lines: Vec<_> = found
        .iter()
        .map(|mistake| mistake.split(": ").next().unwrap())
        .collect();
    assert_eq!(lines, ["p.yaml:3", "p.yaml:5", "p.yaml:7"], "{found:?}");
    assert!(
        found[0].starts_with("p.yaml:3: tls: the rule needs TLS to be intercepted"),
        "{found:?}"
    );
    assert!(parse_file("p.yaml", &content.replace("never", "auto")).is_ok());
    let list = |intercept| {
        parse_list(
            "annotation",
            "domain=a.test; method=GET domain=a.test",
            intercept,
        )
    };
    assert!(list(Intercept::Always).is_ok());
    assert_eq!(list(Intercept::Never).unwrap_err().len(), 1);
}

#[test]
fn what_is_no_policy_is_refused() {
    for (content, expected) in [
        ("[]", "p.yaml:1: a policy is a mapping"),
        ("- domain=x.test", "p.yaml:1: a policy is a mapping"),
        ("domain=x.test", "p.yaml:1: a policy is a mapping"),
        ("allow: [\n", "p.yaml:"),
        (
            "allow:\n  - domain=a.test\n  - *.example.org\n",
            "p.yaml:3: not a rule; did you mean domain=*.example.org?",
        ),
        (
            "allow:\n  - domain: a.test\n",
            "p.yaml:2: allow: a rule must be a plain string like domain=example.org, with = and no colon",
        ),
        (
            "allow: [domain=*.corp except=jira.corp]\n",
            "p.yaml:1: except: ends a denial and allows nothing",
        ),
        ("allow: ]\n", "p.yaml:1: not YAML: "),
        (
            "allow: []\n---\nallow: []\n",
            "p.yaml:2: a second YAML document",
        ),
        ("a: &x []\nallow: *x\n", "p.yaml:1: a: unknown key"),
        (
            "allow: &x [domain=a.test]\ndeny: *x\n",
            "p.yaml:2: deny: expected a list of rules",
        ),
        ("allow: [*x]\n", "p.yaml:"),
        ("? [a]\n: b\n", "p.yaml:1: a key must be a plain string"),
        (
            "<<: {allow: [domain=x.test]}\n",
            "p.yaml:1: <<: unknown key",
        ),
        (
            "allow: {domain: x}\n",
            "p.yaml:1: allow: expected a list of rules",
        ),
        (
            "allow: [\"\\e[31m\"]\n",
            "p.yaml:1: \\u{1b}[31m: not a key=value word",
        ),
        ("allow: [\"\"]\n", "p.yaml:1: rule: empty"),
    ] {
        let found = mistakes(content);
        assert!(
            found[0].starts_with(expected),
            "{content:?} {expected:?}: {found:#?}"
        );
    }
}

#[test]
fn a_long_list_of_mistakes_ends() {
    let found = mistakes(&format!("allow:\n{}", "  - x\n".repeat(100_000)));
    assert_eq!(found.len(), MAX_MISTAKES + 1);
    assert_eq!(
        found[MAX_MISTAKES],
        "p.yaml: there are more mistakes, not listed"
    );
}

#[test]
fn a_hostile_file_takes_no_longer_than_reading_it() {
    let pieces = [
        "[",
        "{",
        "- ",
        "? ",
        "&a ",
        "a: ",
        "- - ",
        "[[],",
        "\"",
        "'",
        "|\n ",
        "!a ",
        "*a ",
        "%",
        "\n",
        "{a: [",
        ",",
        ": ",
        "#",
        "a\n",
        "a #\n",
        "\"a\n",
        "[a,\n",
        "a,",
        "\u{1b}",
        "- a\n",
        "&a a: *a\n",
        " \n",
        "\t",
        "\\u0000",
        "log_dir: x\n",
        "---\n",
        "- domain=a.test\n",
        "{},",
        "'',",
        "? a\n",
        "- - a\n",
        "a: b\n",
        "b, c: d, ",
        "\r",
        "\u{85}",
        "|",
        ">-\n",
        "...\n",
    ];
    let size = MAX_FILE / 8;
    for (piece, prefix) in pieces
        .iter()
        .flat_map(|piece| ["", "allow:\n ", "log_dir: [", "\""].map(|prefix| (piece, prefix)))
    {
        let content = format!("{prefix}{}", piece.repeat(size / piece.len()));
        let started = Instant::now();
        let _ = parse_file("p.yaml", &content);
        // Measured in a debug build: 0.15 s for the slowest. What grows with the square of the
        // length takes minutes.
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{prefix:?} {piece:?}: {:?}",
            started.elapsed()
        );
    }
    assert_eq!(
        mistakes(&" ".repeat(MAX_FILE + 1)),
        [format!("p.yaml: longer than {MAX_FILE} bytes")]
    );
}

#[test]
fn a_list_of_rules_is_separated_by_lines_or_semicolons() {
    let rules = parse_list(
        "annotation",
        "domain=a.test; method=GET domain=b.test\n\n domain=c.test;",
        Intercept::Auto,
    )
    .unwrap();
    assert_eq!(
        rules,
        ["domain=a.test", "method=GET domain=b.test", "domain=c.test"]
    );
    for empty in ["", " ;\n; "] {
        assert_eq!(
            parse_list("annotation", empty, Intercept::Auto).unwrap_err()[0].to_string(),
            "annotation: contains no rule"
        );
    }
    let found = parse_list("annotation", "domain=*x;foo=1", Intercept::Auto).unwrap_err();
    assert_eq!(
        found
            .iter()
            .map(|mistake| mistake.key.as_str())
            .collect::<Vec<_>>(),
        ["domain", "foo"]
    );
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = parse_file("p.yaml", &text);
        let _ = parse_list("annotation", &text, Intercept::Auto);
    }

    #[test]
    fn texts_that_look_like_policies_are_judged_without_a_panic(
        text in "(allow|deny|tls|intercept|passthrough|never|x|\\? |- |: |:\n|\n|  |\\[|\\]|\\{|\\}|,|&a |\\*a|!t |\"|'|\\||>|domain=a\\.test|#|---\n|\\.\\.\\.\n){0,30}",
    ) {
        if let Ok(file) = parse_file("p.yaml", &text) {
            for rule in file.allow().iter().chain(&file.deny()) {
                prop_assert!(Rule::parse(rule).is_ok());
            }
        }
    }
}
