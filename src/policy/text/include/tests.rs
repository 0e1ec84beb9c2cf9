//! What is included, from where, and how far.

use std::collections::BTreeMap;

use super::*;
use crate::policy::PolicySource;
use crate::policy::text::List;

/// A folder of policies.
struct Folder(BTreeMap<String, String>);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        Self(
            files
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }

    fn read(&self, name: &str) -> Result<RuleFile, Vec<String>> {
        let find = |name: &PolicyName| {
            if name.as_str() == "foreign" {
                return Err("owned by user 1000, not by root".to_owned());
            }
            Ok(self.0.get(name.as_str()).map(|content| Found {
                origin: format!("/p/{name}.yaml"),
                name: format!("{name}.yaml"),
                content: content.clone().into(),
            }))
        };
        let whole = parse_whole(&format!("/p/{name}.yaml"), &self.0[name], &find);
        whole.map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    fn source(&self, name: &str) -> PolicySource {
        let read = self.read(name).unwrap_or_else(|found| panic!("{found:?}"));
        read.source(name.to_owned())
    }
}

#[test]
fn what_is_included_counts_as_if_it_stood_there_and_keeps_its_place() {
    let folder = Folder::of(&[
        (
            "default",
            "include: [npm, git]\nallow:\n- domain=own.test\ndeny: [domain=evil.test]\n",
        ),
        (
            "npm",
            "# for npm\ninclude: [cdn]\nallow:\n- domain=npm.test\n",
        ),
        (
            "cdn",
            "allow: [domain=cdn.test]\ndeny: [domain=x.cdn.test]\n",
        ),
        ("git", "include: [cdn]\nallow: [domain=git.test]\n"),
    ]);
    let source = folder.source("default");
    let names = ["own", "npm", "cdn", "git"].map(|name| format!("domain={name}.test"));
    assert_eq!(
        source.allow, names,
        "one that is included twice counts once"
    );
    assert_eq!(source.deny, ["domain=evil.test", "domain=x.cdn.test"]);
    let places: Vec<_> = (0..5)
        .map(|rule| source.places.of(List::Allow, rule))
        .collect();
    let places: Vec<_> = places.iter().map(Option::as_deref).collect();
    assert_eq!(
        places,
        [
            Some("default.yaml:3"),
            Some("npm.yaml:4, included by default.yaml:1"),
            Some("cdn.yaml:1, included by npm.yaml:2, included by default.yaml:1"),
            Some("git.yaml:2, included by default.yaml:1"),
            None,
        ]
    );
    assert_eq!(
        source.places.of(List::Deny, 1).as_deref(),
        Some("cdn.yaml:2, included by npm.yaml:2, included by default.yaml:1")
    );
}

#[test]
fn what_can_not_be_included_is_told_where_it_is_named() {
    let of_kinds = |own: &str| {
        let folder = Folder::of(&[
            ("a", own),
            ("back", "include: [a]"),
            ("self", "include:\n- self\n"),
            ("bad", "allow:\n- domian=x.test\n"),
            ("tls", "tls: {intercept: always}"),
            ("reads", "allow:\n\n- method=GET domain=x.test\n"),
        ]);
        folder.read("a").unwrap_err()
    };
    for (own, expected) in [
        (
            "include: [none]",
            "/p/a.yaml:1: include: there is no policy none, ",
        ),
        (
            "\ninclude: [back]",
            "/p/back.yaml:1: include: files include each other: a.yaml includes back.yaml includes a.yaml",
        ),
        (
            "include: [a]",
            "/p/a.yaml:1: include: files include each other: a.yaml includes a.yaml",
        ),
        (
            "include: [self]",
            "/p/self.yaml:2: include: files include each other: self.yaml includes self.yaml",
        ),
        ("include: [bad]", "/p/bad.yaml:2: domian: unknown key"),
        (
            "include: [foreign]",
            "/p/a.yaml:1: include: policy foreign: owned by user 1000, not by root",
        ),
        (
            "include: [tls]",
            "/p/tls.yaml: include: tls stands in a policy's own file alone",
        ),
        (
            "include: [reads]\ntls: {intercept: never}",
            "/p/reads.yaml:3: tls: the rule needs TLS to be intercepted",
        ),
        (
            "include: npm",
            "/p/a.yaml:1: include: expected a list of policies' names",
        ),
        (
            "include: [../npm]",
            "/p/a.yaml:1: include: \"../npm\" is not a valid policy name",
        ),
        (
            "include: [[npm]]",
            "/p/a.yaml:1: include: a policy's name must be",
        ),
    ] {
        let found = of_kinds(own);
        assert_eq!(found.len(), 1, "{own}: {found:?}");
        assert!(found[0].starts_with(expected), "{own}: {found:?}");
    }
}

#[test]
fn depth_number_and_length_are_bounded() {
    let chain = |length: usize| {
        let file = |place: usize| match place + 1 < length {
            true => format!("include: [f{}]", place + 1),
            false => String::new(),
        };
        let files = (0..length).map(|place| (format!("f{place}"), file(place)));
        Folder(files.collect()).read("f0")
    };
    assert_eq!(chain(MAX_DEPTH).unwrap().files.len(), MAX_DEPTH);
    assert!(chain(MAX_DEPTH + 1).unwrap_err()[0].contains("more than 8 deep"));

    let star = |leaves: usize, text: &str| {
        let names: Vec<_> = (0..leaves).map(|leaf| format!("f{leaf}")).collect();
        let mut files: BTreeMap<_, _> = names
            .iter()
            .map(|name| (name.clone(), text.to_owned()))
            .collect();
        files.insert("top".to_owned(), format!("include: [{}]", names.join(", ")));
        Folder(files).read("top")
    };
    assert!(star(MAX_FILES - 1, "").is_ok());
    assert!(star(MAX_FILES, "").unwrap_err()[0].contains("more than 64 files"));
    let half = "#".repeat(MAX_FILE / 2 - 100);
    assert!(star(2, &half).is_ok());
    assert!(star(3, &half).unwrap_err()[0].contains("longer than 1048576 bytes"));
    // Mistakes, too.
    let found = star(MAX_FILES - 1, "allow: [x=1, x=2, x=3]").unwrap_err();
    assert_eq!(found.len(), MAX_MISTAKES + 1);
}

#[test]
fn where_nothing_can_be_included_it_is_a_mistake() {
    let found = parse_file("p.yaml", "allow: []\ninclude:\n- npm\n").unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "p.yaml:3: include: no other file can be included here"
    );
}
