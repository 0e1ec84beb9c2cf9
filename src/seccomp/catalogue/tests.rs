//! What is handed out, held against the real profiles: the files where they are at hand, and
//! fingerprints of them everywhere.
//!
//! A fingerprint that differs means that a filter does. Compare with the engine's own
//! before changing it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

/// Every distinct profile, by the releases at the ends of each row that has it, and what
/// [`Flat::fingerprint`] makes of it.
///
/// Docker's were compared with the files of all 145 releases from 20.10.0 to 29.7.2; containerd's
/// with what its own code gives for each of the 110 releases from 1.6.0 to 2.3.4, on all of Go's
/// architectures, kernels before and after 4.8, and with none, each, each two and all of the
/// capabilities that it asks for.
const FINGERPRINTS: [(Engine, &str, &str); 29] = [
    (Engine::Docker, "20.10.0 20.10.3", "a35c47025f2d1b52"),
    (Engine::Docker, "20.10.4 20.10.9", "7dcb4c786608f802"),
    (Engine::Docker, "20.10.10 20.10.17", "514453ed129c21f7"),
    (
        Engine::Docker,
        "20.10.18 20.10.21 20.10.23 20.10.25",
        "9f8e96c5d701054f",
    ),
    (Engine::Docker, "20.10.22", "8c5787b248cc0470"),
    (Engine::Docker, "20.10.26 20.10.27", "b16f6b8abaa5ecb4"),
    (
        Engine::Docker,
        "23.0.0 23.0.6 24.0.0 24.0.2",
        "6a03a9a50560d6e5",
    ),
    (
        Engine::Docker,
        "23.0.7 23.0.9 24.0.3 24.0.9",
        "53a462db207f330c",
    ),
    (Engine::Docker, "23.0.10 23.0.18", "a5c91e12a9afcfae"),
    (Engine::Docker, "25.0.0 25.0.2", "def30105355c30b0"),
    (Engine::Docker, "25.0.3 28.1.1", "900bc30c50ef6139"),
    (Engine::Docker, "28.2.0 29.4.1", "4bece872c6583ced"),
    (Engine::Docker, "29.4.2", "bbcb1bbef114d39c"),
    (Engine::Docker, "29.4.3 29.7.2", "291a52bf5525e30f"),
    (Engine::Containerd, "1.6.0 1.6.6", "37670c38c9269a4a"),
    (Engine::Containerd, "1.6.7 1.6.8", "5d1a8be049e19f13"),
    (Engine::Containerd, "1.6.9 1.6.15", "523585f816e66684"),
    (Engine::Containerd, "1.6.16 1.6.21", "4a3c64bfb6ff9beb"),
    (Engine::Containerd, "1.6.22 1.6.27", "135608df72d038ab"),
    (Engine::Containerd, "1.6.28 1.6.39", "88c86bc8a1385b68"),
    (Engine::Containerd, "1.7.0 1.7.2", "ca43171168cdff84"),
    (Engine::Containerd, "1.7.3 1.7.12", "3df5e7ad01684403"),
    (Engine::Containerd, "1.7.13 1.7.31", "ca622e5d5ea90970"),
    (Engine::Containerd, "1.7.32 1.7.34", "be06e6020828fba8"),
    (Engine::Containerd, "2.0.0 2.0.8", "a7c68f20d826b762"),
    (Engine::Containerd, "2.0.9 2.0.11", "ed290dbcfe120934"),
    (Engine::Containerd, "2.1.0 2.1.9", "22a54d7a1c5f6b6b"),
    (Engine::Containerd, "2.2.0 2.2.3 2.3.0", "d24e4f4999f5b830"),
    (
        Engine::Containerd,
        "2.2.4 2.2.7 2.3.1 2.3.4",
        "9e839a306cba0385",
    ),
];

/// The real profiles, by the names of their files.
const REAL: [(&str, Engine, Option<&str>); 12] = [
    ("moby-v20.10.24", Engine::Docker, Some("20.10.24")),
    ("moby-v23.0.0", Engine::Docker, Some("23.0.0")),
    ("moby-v24.0.9", Engine::Docker, Some("24.0.9")),
    ("moby-v25.0.13", Engine::Docker, Some("25.0.13")),
    ("moby-v26.1.5", Engine::Docker, Some("26.1.5")),
    ("moby-v27.5.1", Engine::Docker, Some("27.5.1")),
    ("moby-v28.0.0", Engine::Docker, Some("28.0.0")),
    ("profiles-seccomp-v0.1.0", Engine::Docker, Some("28.5.2")),
    ("profiles-seccomp-v0.1.0", Engine::Docker, Some("29.4.1")),
    ("profiles-seccomp-v0.2.3", Engine::Docker, Some("29.4.3")),
    ("profiles-seccomp-v0.2.3", Engine::Docker, None),
    ("container-libs", Engine::Podman, None),
];

/// A profile without its arrangement: what is said of calls that nothing names, of architectures,
/// and of each call, in order.
///
/// Resolving a profile takes every rule on its own: it stays or goes by the rule's conditions and
/// the container's capabilities, architecture and kernel alone. So two profiles whose calls have
/// the same rules, conditions included, in the same order, give the same filter for every
/// combination of these.
#[derive(Debug, PartialEq)]
struct Flat {
    default: Value,
    architectures: Vec<Value>,
    calls: BTreeMap<String, Vec<Value>>,
}

impl Flat {
    fn of(profile: &Value) -> Self {
        let list = |holder: &Value, key: &str| holder[key].as_array().cloned().unwrap_or_default();
        let default = json!([profile["defaultAction"], profile["defaultErrnoRet"]]);
        let architecture =
            |entry: &Value| json!([entry["architecture"], list(entry, "subArchitectures")]);
        let mut calls = BTreeMap::<_, Vec<_>>::new();
        for entry in list(profile, "syscalls") {
            let condition = |arg: &Value| {
                json!([
                    arg["index"],
                    arg["op"],
                    arg["value"],
                    arg["valueTwo"].as_u64().unwrap_or(0)
                ])
            };
            let conditions: Vec<_> = list(&entry, "args").iter().map(condition).collect();
            let gate =
                |gate: &Value| json!([list(gate, "caps"), list(gate, "arches"), gate["minKernel"]]);
            let gates = [gate(&entry["includes"]), gate(&entry["excludes"])];
            for name in list(&entry, "names") {
                let rule = json!([entry["action"], entry["errnoRet"], conditions, gates]);
                calls
                    .entry(name.as_str().unwrap().to_owned())
                    .or_default()
                    .push(rule);
            }
        }
        Self {
            default,
            architectures: list(profile, "archMap").iter().map(architecture).collect(),
            calls,
        }
    }

    fn fingerprint(&self) -> String {
        let text = json!([self.default, self.architectures, self.calls]).to_string();
        Sha256::digest(text)
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn flat(engine: Engine, version: Option<&str>) -> Flat {
    Flat::of(&profile(engine, version).unwrap())
}

/// The files, each with its name.
fn files() -> [(&'static str, Value); 4] {
    let read = |name, text| (name, serde_json::from_str(text).unwrap());
    let [docker, containerd, podman] = Engine::ALL.map(|engine| read(engine.name(), engine.text()));
    [read("common", COMMON), docker, containerd, podman]
}

/// A release of every line, and the newest of all.
fn every_line() -> Vec<(Engine, Option<&'static str>)> {
    let lines = |engine: Engine| {
        ProfileFile::read(engine.text())
            .lines
            .into_iter()
            .map(move |line| (engine, Some(line)))
    };
    let newest = Engine::ALL.map(|engine| (engine, None));
    Engine::ALL
        .into_iter()
        .flat_map(lines)
        .chain(newest)
        .collect()
}

#[test]
fn each_profile_equals_the_real_one_under_all_conditions() {
    let Some(folder) = crate::seccomp::real_data::folder("seccomp") else {
        return;
    };
    for (file, engine, version) in REAL {
        let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
        let (real, ours) = (
            Flat::of(&serde_json::from_str(&text).unwrap()),
            flat(engine, version),
        );
        assert_eq!(ours.default, real.default, "{file}");
        assert_eq!(ours.architectures, real.architectures, "{file}");
        for name in ours.calls.keys().chain(real.calls.keys()) {
            assert_eq!(ours.calls.get(name), real.calls.get(name), "{file}: {name}");
        }
    }
}

#[test]
fn each_profile_is_the_one_that_was_compared_with_the_engines() {
    for (engine, releases, fingerprint) in FINGERPRINTS {
        for release in releases.split(' ') {
            assert_eq!(
                flat(engine, Some(release)).fingerprint(),
                fingerprint,
                "{} {release}",
                engine.name()
            );
        }
    }
    assert_eq!(flat(Engine::Podman, None).fingerprint(), "e3587804fc7db92d");
}

#[test]
fn a_line_means_its_newest_release_and_none_the_newest_of_all() {
    for (short, full) in [
        ("25", "25.0.13"),
        ("v23.0", "23.0.18"),
        ("28", "28.5.2"),
        ("29", "29.7.2"),
        ("29.9.9", "29.7.2"),
    ] {
        assert_eq!(
            profile(Engine::Docker, Some(short)),
            profile(Engine::Docker, Some(full)),
            "{short}"
        );
    }
    assert_eq!(
        profile(Engine::Docker, None),
        profile(Engine::Docker, Some("29.7.2"))
    );
    assert_eq!(
        profile(Engine::Containerd, None),
        profile(Engine::Containerd, Some("2.3.4"))
    );
    assert_ne!(
        profile(Engine::Docker, Some("29.4.1")),
        profile(Engine::Docker, Some("29.4"))
    );
}

#[test]
fn a_version_that_nobody_looked_at_is_refused_in_one_line() {
    for asked in [
        "",
        "17",
        "19.03",
        "22.06",
        "25.1",
        "26.2",
        "30",
        "abc",
        "25.0.13.1",
        "25.0.13-rc.1",
    ] {
        assert!(profile(Engine::Docker, Some(asked)).is_err(), "{asked}");
    }
    let told = |engine, asked| profile(engine, Some(asked)).unwrap_err().to_string();
    assert_eq!(
        told(Engine::Containerd, "1.5\n"),
        r#"containerd "1.5\n" is not known; known are 1.6, 1.7, 2.0, 2.1, 2.2, 2.3"#
    );
    assert_eq!(
        told(Engine::Podman, "5"),
        r#"podman "5" is not known; its profile has no versions, only the newest"#
    );
}

#[test]
fn a_word_names_its_engine_and_no_other_does() {
    for engine in Engine::ALL {
        assert_eq!(Engine::parse(engine.name()), Some(engine));
    }
    for word in ["", "Docker", "docker ", "crio"] {
        assert_eq!(Engine::parse(word), None, "{word:?}");
    }
}

#[test]
fn every_group_has_its_reason() {
    for (file, book) in files() {
        for group in book["groups"].as_array().unwrap() {
            let (name, why) = (
                group["group"].as_str().unwrap(),
                group["why"].as_str().unwrap(),
            );
            assert!(
                why.ends_with('.') && why.split(' ').count() > 3,
                "{file}: {name}: {why:?} is not a sentence"
            );
        }
    }
}

#[test]
fn every_group_names_calls_once_and_in_order() {
    for (file, book) in files() {
        for group in book["groups"].as_array().unwrap() {
            let calls: Vec<_> = group["calls"]
                .as_array()
                .unwrap()
                .iter()
                .map(|call| call.as_str().unwrap())
                .collect();
            assert!(
                !calls.is_empty() && calls.is_sorted_by(|one, next| one < next),
                "{file}: {}",
                group["group"]
            );
            let is_name = |call: &str| {
                call.bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            };
            assert!(
                calls.iter().all(|call| is_name(call)),
                "{file}: {}",
                group["group"]
            );
        }
    }
}

#[test]
fn no_version_names_a_call_twice_under_the_same_conditions() {
    for (engine, line) in every_line() {
        for (name, rules) in flat(engine, line).calls {
            let distinct: BTreeSet<_> = rules.iter().map(Value::to_string).collect();
            assert_eq!(
                distinct.len(),
                rules.len(),
                "{} {line:?}: {name}",
                engine.name()
            );
        }
    }
}

#[test]
fn a_profile_is_tidy() {
    fn no_empty_field(value: &Value) -> bool {
        match value {
            Value::Object(fields) => !fields.is_empty() && fields.values().all(no_empty_field),
            Value::Array(items) => !items.is_empty() && items.iter().all(no_empty_field),
            Value::String(text) => !text.is_empty(),
            other => !other.is_null(),
        }
    }
    for (engine, line) in every_line() {
        let profile = profile(engine, line).unwrap();
        assert!(no_empty_field(&profile), "{} {line:?}", engine.name());
        let entries = profile["syscalls"].as_array().unwrap();
        let keys = |entry: &Value| {
            entry
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&entries[0]), ["names", "action"]);
        let terms = |entry: &Value| {
            let mut entry = entry.clone();
            entry["names"].take();
            entry.to_string()
        };
        let distinct: BTreeSet<_> = entries.iter().map(terms).collect();
        assert_eq!(
            distinct.len(),
            entries.len(),
            "{} {line:?}: two entries on the same terms",
            engine.name()
        );
        for entry in entries {
            assert!(
                entry["names"]
                    .as_array()
                    .unwrap()
                    .is_sorted_by_key(|name| name.as_str()),
                "{entry}"
            );
        }
    }
}
