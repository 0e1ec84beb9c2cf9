//! Which policy is chosen, and that nobody less trusted widens what the host allows.

use std::cell::RefCell;

use super::*;
use crate::policy::Intercept;
use crate::settings::Annotations;

/// A host: its files, and what its settings let annotations do.
struct Host {
    settings: Settings,
    files: BTreeMap<PathBuf, String>,
}

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let path = |name: &str| PathBuf::from(format!("/etc/boundary/policies/{name}.yaml"));
        let files = files
            .iter()
            .map(|(name, content)| (path(name), (*content).to_owned()))
            .collect();
        Self {
            settings: Settings::default(),
            files,
        }
    }

    fn opening(mut self, policies: &[&str], modes: &[Mode], ceiling: Option<&str>) -> Self {
        let name = |text: &str| PolicyName::parse(text).unwrap();
        self.settings.annotations = Annotations {
            policies: policies.iter().map(|text| name(text)).collect(),
            modes: modes.to_vec(),
            ceiling: ceiling.map(name),
        };
        self
    }

    fn select(
        &self,
        named: Option<&str>,
        annotations: &[(&str, &str)],
    ) -> Result<PolicySource, Vec<Mistake>> {
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let named = Named {
            policy: named,
            mode: None,
        };
        select(&self.settings, named, &annotations, |path| {
            Ok(self.files.get(path).cloned())
        })
    }

    fn source(&self, named: Option<&str>, annotations: &[(&str, &str)]) -> PolicySource {
        self.select(named, annotations)
            .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }

    fn mistakes(&self, named: Option<&str>, annotations: &[(&str, &str)]) -> Vec<String> {
        self.select(named, annotations)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

const NPM: &str = "allow: [domain=registry.npm.test]\ndeny: [domain=evil.test]\n";

#[test]
fn no_policy_at_all_denies_everything_and_says_why() {
    let source = Host::new(&[]).source(None, &[]);
    assert_eq!(
        source.note.as_deref(),
        Some("no policy: /etc/boundary/policies/default.yaml does not exist")
    );
    assert_eq!(
        (source.name.as_str(), source.allow.len(), source.mode),
        ("default", 0, Mode::Enforce)
    );
}

#[test]
fn the_runtimes_name_beats_the_settings_and_an_annotation_beats_both_where_it_is_let() {
    let files = [
        ("default", "allow: [domain=d.test]"),
        ("npm", NPM),
        ("pip", "allow: [domain=pip.test]"),
    ];
    let host = Host::new(&files).opening(&["pip"], &[Mode::Enforce], None);
    assert_eq!(host.source(None, &[]).allow, ["domain=d.test"]);
    let npm = host.source(Some("npm"), &[]);
    assert_eq!(
        (npm.name.as_str(), &npm.allow[..], &npm.deny[..], npm.note),
        (
            "npm",
            &["domain=registry.npm.test".to_owned()][..],
            &["domain=evil.test".to_owned()][..],
            None
        )
    );
    assert_eq!(
        host.source(Some("npm"), &[("boundary.policy", "pip")]).name,
        "pip"
    );
    let found = host.mistakes(None, &[("boundary.policy", "npm")]);
    assert_eq!(
        found,
        [
            "annotation: boundary.policy: policy npm is not allowed here: the host's setting annotations.policies allows pip"
        ]
    );
}

#[test]
fn a_policy_that_was_asked_for_must_exist() {
    let mut host = Host::new(&[]).opening(&["pip"], &[Mode::Enforce], None);
    let missing = |name: &str| {
        [format!(
            "/etc/boundary/policies/{name}.yaml: no such file (policy {name})"
        )]
    };
    assert_eq!(host.mistakes(Some("npm"), &[]), missing("npm"));
    assert_eq!(host.mistakes(Some("default"), &[]), missing("default"));
    assert_eq!(
        host.mistakes(None, &[("boundary.policy", "pip")]),
        missing("pip")
    );
    host.settings.policy = PolicyName::parse("corp").unwrap();
    assert_eq!(host.mistakes(None, &[]), missing("corp"));
}

#[test]
fn a_mode_is_chosen_only_among_those_the_host_lists() {
    let host = Host::new(&[]);
    assert_eq!(
        host.source(None, &[("boundary.mode", "enforce")]).mode,
        Mode::Enforce
    );
    let found = host.mistakes(None, &[("boundary.mode", "observe")]);
    assert_eq!(
        found,
        [
            "annotation: boundary.mode: mode observe is not allowed here: the host's setting annotations.modes allows enforce"
        ]
    );
    let found = host.mistakes(None, &[("boundary.mode", "off\u{1b}")]);
    assert_eq!(
        found,
        ["annotation: boundary.mode: unknown mode \"off\\u{1b}\" (expected enforce or observe)"]
    );
    let host = Host::new(&[]).opening(&[], &[Mode::Observe], None);
    assert_eq!(
        host.source(None, &[("boundary.mode", "observe")]).mode,
        Mode::Observe
    );
    assert_eq!(
        host.mistakes(None, &[("boundary.mode", "enforce")]).len(),
        1
    );
}

#[test]
fn annotated_rules_come_with_their_ceiling_or_not_at_all() {
    let files = [
        ("default", "allow: [domain=d.test]"),
        ("top", "allow: [domain=*.test]\ndeny: [domain=evil.test]"),
    ];
    let host = Host::new(&files);
    let found = host.mistakes(None, &[("boundary.allow", "domain=a.test")]);
    assert!(found[0].contains("annotations.ceiling"), "{found:?}");
    let host = Host::new(&files).opening(&[], &[Mode::Enforce], Some("top"));
    let source = host.source(None, &[("boundary.allow", "domain=a.test;domain=b.test")]);
    assert_eq!(source.allow, ["domain=d.test"]);
    assert_eq!(source.annotated, ["domain=a.test", "domain=b.test"]);
    assert_eq!(source.ceiling, ["domain=*.test"]);
    assert_eq!(source.deny, ["domain=evil.test"]);
    let plain = host.source(None, &[]);
    assert!(plain.ceiling.is_empty() && plain.deny.is_empty());
    let gone = Host::new(&files[..1]).opening(&[], &[Mode::Enforce], Some("top"));
    let found = gone.mistakes(None, &[("boundary.allow", "domain=a.test")]);
    assert_eq!(
        found,
        ["/etc/boundary/policies/top.yaml: no such file (policy top)"]
    );
}

#[test]
fn an_annotation_is_bounded() {
    let host = Host::new(&[("top", "")]).opening(&[], &[Mode::Enforce], Some("top"));
    let longest = format!("domain={}.test", "a;domain=".repeat(2000));
    let found = host.mistakes(None, &[("boundary.allow", &longest)]);
    assert_eq!(
        found,
        ["annotation: boundary.allow: longer than 8192 bytes"]
    );
}

#[test]
fn a_mistyped_annotation_is_not_silent_and_foreign_ones_are_left_alone() {
    let host = Host::new(&[]);
    assert!(
        host.select(
            None,
            &[
                ("boundary.original-network", "x"),
                ("io.kubernetes.x", "y"),
                ("boundaryx", "")
            ]
        )
        .is_ok()
    );
    let found = host.mistakes(None, &[("boundary.alow", "domain=*"), ("boundary.", "")]);
    assert_eq!(found.len(), 2);
    assert!(
        found[1].starts_with(
            "annotation: boundary.alow: unknown annotation (expected boundary.policy,"
        ),
        "{found:?}"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let host = Host::new(&[("default", "allow: [foo=1]\ndeny: [port=x]")]);
    let found = host.mistakes(
        None,
        &[
            ("boundary.x", ""),
            ("boundary.mode", "off"),
            ("boundary.allow", "bar=2"),
        ],
    );
    let starts = [
        "annotation: boundary.x: ",
        "/etc/boundary/policies/default.yaml:1: foo: ",
        "/etc/boundary/policies/default.yaml:2: port: ",
        "annotation: boundary.mode: ",
        "annotation boundary.allow: bar: ",
        "annotation: boundary.allow: not allowed here",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} {start}");
    }
    let found = host.mistakes(Some("../x"), &[("boundary.policy", "a/b")]);
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn which_tls_is_intercepted_only_the_policys_own_file_says() {
    let host = Host::new(&[
        (
            "npm",
            "allow: [domain=a.test]\ntls: {intercept: never, passthrough: [b.test]}\n",
        ),
        (
            "top",
            "allow: ['domain=*.test']\ntls: {intercept: always}\n",
        ),
    ]);
    let host = host.opening(&[], &[Mode::Enforce], Some("top"));
    let source = host.source(Some("npm"), &[("boundary.allow", "domain=c.test")]);
    assert_eq!(
        (source.tls.intercept, source.tls.passthrough),
        (Intercept::Never, vec!["b.test".to_owned()])
    );
    let found = host.mistakes(
        Some("npm"),
        &[("boundary.allow", "method=GET domain=c.test")],
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("annotation boundary.allow: tls: the rule needs TLS"),
        "{found:?}"
    );
    let found = host.mistakes(Some("npm"), &[("boundary.tls", "never")]);
    assert!(found[0].contains("unknown annotation"), "{found:?}");
}

#[test]
fn a_name_leads_nowhere_but_into_the_directory() {
    for name in ["default", "npm", "a", "0", "a.b-c_d", &"a".repeat(64)] {
        assert!(PolicyName::parse(name).is_ok(), "{name}");
    }
    let read = RefCell::new(Vec::new());
    for name in [
        "",
        ".",
        "..",
        "a..b",
        "/etc/passwd",
        "a/b",
        "../a",
        ".a",
        "-a",
        "_a",
        "A",
        "a b",
        "a\0",
        "ä",
        &"a".repeat(65),
    ] {
        assert!(PolicyName::parse(name).is_err(), "{name:?}");
        let result = select(
            &Settings::default(),
            Named {
                policy: Some(name),
                mode: None,
            },
            &BTreeMap::new(),
            |path| {
                read.borrow_mut().push(path.to_owned());
                Ok(None)
            },
        );
        assert!(result.is_err(), "{name:?}");
    }
    let is_ours = |path: &PathBuf| *path == Settings::default().policies.join(SYNCED);
    assert!(read.into_inner().iter().all(is_ours));
}

#[test]
fn a_file_that_can_not_be_read_is_a_mistake_and_no_empty_policy() {
    let failing = |_: &Path| Err(io::Error::other("writable by others (mode 0666)"));
    let found = select(
        &Settings::default(),
        Named::default(),
        &BTreeMap::new(),
        failing,
    )
    .unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "/etc/boundary/policies/default.yaml: writable by others (mode 0666)"
    );
}

#[test]
fn what_is_in_force_is_compared_with_what_the_same_choices_give_now() {
    let host = Host::new(&[
        ("npm", "allow:\n- domain=a.test\n"),
        ("top", "allow:\n- domain=*.test\ndeny:\n- domain=x.test\n"),
    ]);
    let host = host.opening(&[], &[Mode::Enforce, Mode::Observe], Some("top"));
    let before = host.source(
        Some("npm"),
        &[
            ("boundary.allow", "domain=b.test; domain=c.test"),
            ("boundary.mode", "observe"),
        ],
    );
    let now = |host: &Host| {
        again(&host.settings, &before, |path| {
            Ok(host.files.get(path).cloned())
        })
    };
    assert_eq!(now(&host).unwrap().hash(), before.hash());
    let mut other = Host::new(&[
        ("npm", "allow:\n- domain=a.test port=8443\n"),
        ("top", "allow:\n- domain=*.test\n"),
    ]);
    other.settings = host.settings;
    assert_ne!(now(&other).unwrap().hash(), before.hash());
    assert!(
        now(&Host::new(&[("npm", "allow:\n- domain=a.test\n")])).is_err(),
        "neither is open any more"
    );
}

#[test]
fn a_default_without_a_file_is_the_same_until_it_has_one() {
    let before = Host::new(&[]).source(None, &[]);
    let now = |host: &Host| {
        again(&host.settings, &before, |path| {
            Ok(host.files.get(path).cloned())
        })
        .unwrap()
    };
    assert_eq!(now(&Host::new(&[])).hash(), before.hash());
    assert_ne!(
        now(&Host::new(&[("default", "allow:\n- domain=a.test\n")])).hash(),
        before.hash()
    );
}

fn layered(mut host: Host, layers: &[(&str, &str)]) -> Host {
    for (name, content) in layers {
        let file = PathBuf::from(format!("/etc/boundary/ceiling.d/{name}.yaml"));
        host.settings.layers.push(file.clone());
        host.files.insert(file, (*content).to_owned());
    }
    host
}

#[test]
fn every_policy_is_bounded_by_the_hosts_layers() {
    let files = [("default", "allow: [domain=d.test]"), ("npm", NPM)];
    let host = Host::new(&files).opening(&["npm"], &[Mode::Observe], None);
    let host = layered(
        host,
        &[
            ("a", "include: [npm]\nallow: [domain=a.test]\n"),
            ("b", "deny: [domain=b.test]"),
        ],
    );
    for (named, annotations) in [
        (None, &[][..]),
        (Some("npm"), &[]),
        (None, &[("boundary.policy", "npm")]),
        (None, &[("boundary.mode", "observe")]),
    ] {
        let source = host.source(named, annotations);
        let [a, b] = source.layers.as_slice() else {
            panic!("{:?}", source.layers);
        };
        assert_eq!(
            (&*a.name, &*b.name),
            ("ceiling.d/a.yaml", "ceiling.d/b.yaml")
        );
        let allow = ["domain=a.test", "domain=registry.npm.test"];
        assert_eq!(a.allow.as_deref(), Some(&allow.map(str::to_owned)[..]));
        assert_eq!(
            (&a.deny[..], b.allow.as_deref()),
            (&["domain=evil.test".to_owned()][..], None)
        );
        assert_eq!(b.deny, ["domain=b.test"]);
    }
    let rules = text::parse_file("x", "allow: [domain=x.test]").unwrap();
    let read = |path: &Path| Ok(host.files.get(path).cloned());
    let applied = with_rules(&host.settings, &PolicySource::default(), "x", rules, read).unwrap();
    assert_eq!(applied.layers.len(), 2, "and what is applied");
}

#[test]
fn where_a_layer_can_not_bound_nothing_starts() {
    for (content, expected) in [
        ("", "neither allows nor denies"),
        ("# emptied\n", "neither allows nor denies"),
        ("deny: []", "neither allows nor denies"),
        (
            "tls: {intercept: always}\nallow: []",
            "which TLS is intercepted, policies say",
        ),
        ("alow: []", "unknown key"),
        ("include: [none]", "there is no policy none"),
    ] {
        let host = layered(Host::new(&[]), &[("corp", content)]);
        let found = host.mistakes(None, &[]);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{content}: {found:?}"
        );
        assert!(
            found[0].starts_with("/etc/boundary/ceiling.d/corp.yaml"),
            "{found:?}"
        );
    }
    let mut gone = layered(Host::new(&[]), &[("corp", "allow: []")]);
    gone.files.clear();
    assert!(gone.mistakes(None, &[])[0].contains("no such file"));
    let shut = layered(Host::new(&[]), &[("corp", "allow: []")]).source(None, &[]);
    assert_eq!(shut.layers[0].allow, Some(Vec::new()), "said, and meant");
}

#[test]
fn a_policy_includes_policies_then_the_administrators_presets_then_ours() {
    let mut host = Host::new(&[
        ("default", "include: [npm, git, github]\n"),
        ("npm", NPM),
        ("bad", "include: [evil]"),
    ]);
    for (name, content) in [
        ("npm", "allow: [domain=other.test]"),
        ("git", "allow: [domain=git.test]"),
    ] {
        let file = PathBuf::from(format!("/etc/boundary/presets.d/{name}.yaml"));
        host.files.insert(file, content.to_owned());
    }
    let source = host.source(None, &[]);
    assert_eq!(
        source.allow[..2],
        ["domain=registry.npm.test", "domain=git.test"]
    );
    assert_eq!(source.deny, ["domain=evil.test"]);
    let names: Vec<_> = source.places.files.iter().map(|file| &*file.name).collect();
    assert_eq!(
        names,
        [
            "default.yaml",
            "npm.yaml",
            "presets.d/git.yaml",
            "preset github"
        ]
    );
    let found = host.mistakes(Some("bad"), &[]);
    assert!(found[0].contains("there is no policy evil"), "{found:?}");
}

#[test]
fn the_runtimes_name_chooses_the_mode_and_an_annotation_only_what_the_host_lets() {
    let host = Host::new(&[("default", "allow: [domain=d.test]")]);
    let read = |path: &Path| Ok(host.files.get(path).cloned());
    let observe = Named {
        policy: None,
        mode: Some(Mode::Observe),
    };
    let mode = |annotation: Option<&str>| {
        let annotations = annotation.map(|mode| ("boundary.mode".to_owned(), mode.to_owned()));
        select(
            &host.settings,
            observe,
            &annotations.into_iter().collect(),
            read,
        )
    };
    let observed = mode(None).unwrap();
    assert_eq!(observed.mode, Mode::Observe);
    let enforced = mode(Some("enforce")).unwrap();
    assert_eq!(enforced.mode, Mode::Enforce, "it may be stricter");
    assert!(
        mode(Some("observe")).is_err(),
        "which the host lets no annotation choose"
    );
    // A change of its file leaves it as it is.
    for started in [observed, enforced] {
        assert_eq!(again(&host.settings, &started, read).unwrap(), started);
        let rules = text::parse_file("x", "").unwrap();
        let applied = with_rules(&host.settings, &started, "x", rules, read).unwrap();
        assert_eq!(applied.mode, started.mode);
    }
}
