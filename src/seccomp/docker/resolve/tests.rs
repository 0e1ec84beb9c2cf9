//! Held against what dockerd wrote: real specifications where they are at hand, and each odd case
//! as dockerd 20.10.24 took it.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn target(bounding: &[String]) -> Target<'_> {
    let architecture = Arch::parse("amd64").unwrap();
    Target {
        bounding,
        architecture,
        kernel: (6, 18),
        generation: Generation::V20,
    }
}

fn resolved(profile: &Value, to: &Target<'_>) -> Option<Value> {
    resolve(
        &Profile::of(profile.clone()).unwrap_or_else(|fault| panic!("{profile}: {fault}")),
        to,
    )
}

/// Whether a rule with these members is there for a target.
fn there(members: &Value, to: &Target<'_>) -> bool {
    let mut rule = json!({"names": ["a"], "action": "SCMP_ACT_ALLOW"});
    rule.as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    resolved(
        &json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}),
        to,
    )
    .unwrap()
    .get("syscalls")
    .is_some()
}

/// Files that engines wrote, if they are at hand: beside the project, or where the variable says.
fn real_data() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("BOUNDARY_REAL_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no real profiles and specifications in {}",
        folder.display()
    );
    None
}

/// What dockerd 20.10.24 made each specification's filter of. The others are of its built-in
/// profile.
const NOT_BUILT_IN: [(&str, Option<&str>); 4] = [
    ("seccomp-custom-v25.0.13.json", Some("moby-v25.0.13.json")),
    (
        "seccomp-custom-v29-net-admin.json",
        Some("profiles-seccomp-v0.2.3.json"),
    ),
    ("seccomp-unconfined.json", None),
    ("privileged.json", None),
];

#[test]
fn every_real_filter_comes_out_as_docker_wrote_it() {
    let Some(data) = real_data() else { return };
    let mut compared = 0;
    for entry in fs::read_dir(data.join("specs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let filter = spec
            .pointer("/linux/seccomp")
            .filter(|filter| !filter.is_null())
            .cloned();
        let source = NOT_BUILT_IN.into_iter().find(|(other, _)| *other == name);
        let Some(source) = source.map_or(Some("moby-v20.10.24.json"), |(_, source)| source) else {
            assert_eq!(filter, None, "{name}");
            continue;
        };
        let bounding = serde_json::from_value(spec["process"]["capabilities"]["bounding"].clone());
        let bounding: Vec<String> = bounding.unwrap();
        let profile = Profile::read(&fs::read(data.join("seccomp").join(source)).unwrap()).unwrap();
        assert!(
            resolve(&profile, &target(&bounding)) == filter,
            "{name} differs from what Docker made of {source}"
        );
        compared += 1;
    }
    assert!(compared >= 12, "only {compared} specifications were found");
}

#[test]
fn every_real_profile_is_read_whole() {
    let Some(data) = real_data() else { return };
    for entry in fs::read_dir(data.join("seccomp")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        let profile =
            Profile::read(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        assert_eq!(
            *profile.tree(),
            serde_json::from_slice::<Value>(&text).unwrap(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_profile_that_says_nothing_gives_no_filter() {
    assert_eq!(resolved(&json!({}), &target(&[])), None);
    assert_eq!(
        resolved(&json!({"flags": ["x"], "syscalls": []}), &target(&[])),
        None
    );
    let bare = json!({"defaultAction": "SCMP_ACT_ERRNO"});
    assert_eq!(
        resolved(
            &json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}),
            &target(&[])
        ),
        Some(bare)
    );
}

#[test]
fn capabilities_include_by_all_and_exclude_by_any() {
    let bounding = ["CAP_A".to_owned(), "CAP_B".to_owned()];
    let to = target(&bounding);
    for (condition, wanted) in [
        (json!({"includes": {"caps": ["CAP_A", "CAP_B"]}}), true),
        (json!({"includes": {"caps": ["CAP_A", "CAP_C"]}}), false),
        (json!({"excludes": {"caps": ["CAP_C", "CAP_A"]}}), false),
        (json!({"excludes": {"caps": ["CAP_C"]}}), true),
        (
            json!({"includes": {"caps": []}, "excludes": {"caps": []}}),
            true,
        ),
        (
            json!({"includes": {"caps": ["CAP_A"]}, "excludes": {"caps": ["CAP_B"]}}),
            false,
        ),
        // Compared letter by letter.
        (json!({"includes": {"caps": ["A"]}}), false),
        (json!({"includes": {"caps": ["cap_a"]}}), false),
        (json!({"includes": {"caps": [null]}}), false),
    ] {
        assert_eq!(there(&condition, &to), wanted, "{condition}");
    }
}

#[test]
fn architectures_go_by_dockers_own_words() {
    for (condition, wanted) in [
        (json!({"includes": {"arches": ["s390x", "amd64"]}}), true),
        (json!({"includes": {"arches": ["x86_64"]}}), false),
        (json!({"includes": {"arches": ["x86"]}}), false),
        (json!({"includes": {"arches": ["AMD64"]}}), false),
        (json!({"excludes": {"arches": ["amd64"]}}), false),
        (
            json!({"excludes": {"arches": ["x86_64", "SCMP_ARCH_X86_64"]}}),
            true,
        ),
    ] {
        assert_eq!(there(&condition, &target(&[])), wanted, "{condition}");
    }
    let on = |name: &str, word: &str, generation: Generation| {
        let to = Target {
            architecture: Arch::parse(name).unwrap(),
            generation,
            ..target(&[])
        };
        there(&json!({"includes": {"arches": [word]}}), &to)
    };
    assert!(on("386", "x86", Generation::V20) && !on("386", "386", Generation::V20));
    assert!(on("mips64le", "mipsel64", Generation::V20));
    assert!(
        on("riscv64", "riscv64", Generation::V23) && !on("riscv64", "riscv64", Generation::V20)
    );
    assert!(
        on("loong64", "loongarch64", Generation::V23) && !on("loong64", "loong64", Generation::V23)
    );
}

#[test]
fn a_kernel_is_compared_by_two_numbers_as_numbers() {
    for (version, reached) in [
        ("6.18", true),
        ("6.9", true),
        ("5.99", true),
        ("6.19", false),
        ("7.0", false),
        ("4.8", true),
        ("", true),
    ] {
        assert_eq!(
            there(&json!({"includes": {"minKernel": version}}), &target(&[])),
            reached,
            "{version}"
        );
        assert_eq!(
            there(&json!({"excludes": {"minKernel": version}}), &target(&[])),
            !reached,
            "{version}"
        );
    }
    for (release, wanted) in [
        ("6.18.44-fc-v595", Some((6, 18))),
        ("3.12-1-amd64", Some((3, 12))),
        ("6.1", Some((6, 1))),
        ("6.1rc5", Some((6, 1))),
        ("6", None),
        ("6.", None),
        ("6.x", None),
        ("+6.1", None),
        ("v6.1", None),
        ("", None),
        ("99999999999.1", None),
    ] {
        assert_eq!(kernel_of(release), wanted, "{release}");
    }
}

#[test]
fn of_the_architecture_map_the_first_entry_for_the_machine_counts() {
    let map = json!([
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_LOONGARCH64"},
        {"architecture": "SCMP_ARCH_RISCV64"},
    ]);
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "archMap": map});
    let on = |name: &str, generation| {
        let to = Target {
            architecture: Arch::parse(name).unwrap(),
            generation,
            ..target(&[])
        };
        resolved(&profile, &to).unwrap()["architectures"].clone()
    };
    assert_eq!(
        on("amd64", Generation::V20),
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    );
    assert_eq!(
        on("aarch64", Generation::V20),
        json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    );
    assert_eq!(on("riscv64", Generation::V23), json!(["SCMP_ARCH_RISCV64"]));
    // Left out where there are none: then the machine's own is the only one that may call.
    for (name, generation) in [
        ("s390x", Generation::V23),
        ("riscv64", Generation::V20),
        ("loong64", Generation::V23),
    ] {
        assert_eq!(on(name, generation), Value::Null, "{name}");
    }
    let listed = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"], "archMap": []});
    assert_eq!(
        resolved(&listed, &target(&[])).unwrap()["architectures"],
        json!(["SCMP_ARCH_ARM"])
    );
}

#[test]
fn the_older_docker_drops_what_the_newer_passes_on() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0, "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/l", "listenerMetadata": "m",
        "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}],
    });
    let older = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": profile["syscalls"]});
    assert_eq!(resolved(&profile, &target(&[])), Some(older));
    let newer = Target {
        generation: Generation::V23,
        ..target(&[])
    };
    assert_eq!(resolved(&profile, &newer), Some(profile));
    let empty = json!({"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": null, "flags": [], "listenerPath": ""});
    assert_eq!(
        resolved(&empty, &newer),
        Some(json!({"defaultAction": "SCMP_ACT_LOG"}))
    );
}

#[test]
fn rules_are_neither_sorted_nor_merged() {
    let rule = |name: &str| json!({"names": [name, name], "action": "SCMP_ACT_ALLOW"});
    let profile =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("b"), rule("a"), rule("b")]});
    assert_eq!(resolved(&profile, &target(&[])), Some(profile));
}

#[test]
fn an_architecture_has_gos_name_and_the_kernels() {
    for arch in Arch::all() {
        assert_eq!(Arch::parse(arch.name()), Some(arch));
    }
    for (kernels, gos) in [
        ("x86_64", "amd64"),
        ("aarch64", "arm64"),
        ("i686", "386"),
        ("loongarch64", "loong64"),
    ] {
        assert_eq!(Arch::parse(kernels).map(Arch::name), Some(gos));
    }
    for name in ["", "AMD64", "amd64 ", "SCMP_ARCH_X86_64", "mips"] {
        assert_eq!(Arch::parse(name), None, "{name:?}");
    }
}

const WORDS: [&str; 8] = [
    "CAP_SYS_ADMIN",
    "CAP_CHOWN",
    "amd64",
    "s390x",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_ARM",
    "clone",
    "socket",
];
const KEYS: [&str; 22] = [
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "archMap",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
    "architecture",
    "subArchitectures",
    "name",
    "names",
    "action",
    "errnoRet",
    "args",
    "comment",
    "includes",
    "excludes",
    "caps",
    "arches",
    "minKernel",
    "op",
];

/// Any JSON, with a bent for the words of profiles.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        Just(json!("SCMP_ACT_ALLOW")),
        ".{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop_oneof![4 => prop::sample::select(&KEYS[..]).prop_map(str::to_owned), 1 => ".{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn words() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..3)
}

fn conditions() -> impl Strategy<Value = Value> {
    (words(), words(), prop::option::of(0..12_u8)).prop_map(|(caps, arches, kernel)| {
        json!({"caps": caps, "arches": arches, "minKernel": kernel.map(|major| format!("6.{major}"))})
    })
}

/// A profile that is read without a fault.
fn profile() -> impl Strategy<Value = Value> {
    let argument = (0..6_u32, any::<u64>(), 0..3_u64).prop_map(|(index, value, second)| {
        json!({"index": index, "value": value, "valueTwo": second, "op": "SCMP_CMP_MASKED_EQ"})
    });
    let action = prop::sample::select(vec!["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG"]);
    let rule = (
        words(),
        action,
        prop::option::of(0..99_u16),
        prop::collection::vec(argument, 0..3),
        conditions(),
        conditions(),
    )
        .prop_map(|(names, action, errno, args, includes, excludes)| {
            json!({"names": names, "action": action, "errnoRet": errno, "args": args, "comment": "why",
                "includes": includes, "excludes": excludes})
        });
    let map = prop::sample::subsequence(
        vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X", "SCMP_ARCH_ARM"],
        0..3,
    );
    (prop::collection::vec(rule, 0..6), map, prop::option::of(0..99_u16), words()).prop_map(|(rules, map, errno, flags)| {
        let map: Vec<_> = map.into_iter().map(|own| json!({"architecture": own, "subArchitectures": ["SCMP_ARCH_ARM"]})).collect();
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno, "archMap": map, "flags": flags, "syscalls": rules})
    })
}

fn any_target() -> impl Strategy<Value = (Vec<String>, Arch, Generation)> {
    let bounding = words().prop_map(|words| words.into_iter().map(str::to_owned).collect());
    let generation = prop::sample::select(vec![Generation::V20, Generation::V23]);
    (
        bounding,
        prop::sample::select(Arch::all().collect::<Vec<_>>()),
        generation,
    )
}

/// The same tree with every key passed through a function, in objects whose keys are all the
/// format's own.
fn rekeyed(value: &Value, change: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| rekeyed(item, change)).collect(),
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, value)| (change(key), rekeyed(value, change)))
                .collect(),
        ),
        leaf => leaf.clone(),
    }
}

/// The same tree with a stranger in every object.
fn with_strangers(value: &Value, stranger: &Value) -> Value {
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| with_strangers(item, stranger))
            .collect(),
        Value::Object(object) => {
            let known = object
                .iter()
                .map(|(key, value)| (key.clone(), with_strangers(value, stranger)));
            Value::Object(
                [("x-stranger".to_owned(), stranger.clone())]
                    .into_iter()
                    .chain(known)
                    .collect(),
            )
        }
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn no_json_is_too_strange(value in anything(), (bounding, architecture, generation) in any_target()) {
        if let Ok(profile) = Profile::read(value.to_string().as_bytes()) {
            let _ = resolve(&profile, &Target { architecture, generation, ..target(&bounding) });
        }
    }

    #[test]
    fn fields_that_nobody_knows_change_nothing_and_survive(
        profile in profile(), stranger in anything(), (bounding, architecture, generation) in any_target(),
    ) {
        let to = Target { kernel: (6, 6), architecture, generation, ..target(&bounding) };
        let strange = with_strangers(&profile, &stranger);
        prop_assert_eq!(resolved(&strange, &to), resolved(&profile, &to));
        let kept = Profile::of(strange.clone()).unwrap();
        prop_assert_eq!(kept.tree(), &strange);
    }

    #[test]
    fn the_case_of_keys_changes_nothing(
        profile in profile(), letters in prop::collection::vec(any::<bool>(), 64),
        (bounding, architecture, generation) in any_target(),
    ) {
        let mut letters = letters.into_iter().cycle();
        let mut fold = |letter: char| match (letters.next().unwrap_or_default(), letter) {
            (false, _) => letter,
            (true, 's') => '\u{17f}',
            (true, 'k' | 'K') => '\u{212a}',
            (true, _) => letter.to_ascii_uppercase(),
        };
        let other = rekeyed(&profile, &mut |key| key.chars().map(&mut fold).collect());
        let to = Target { kernel: (6, 6), architecture, generation, ..target(&bounding) };
        prop_assert_eq!(resolved(&other, &to), resolved(&profile, &to));
        let (other, profile) = (Profile::of(other).unwrap(), Profile::of(profile).unwrap());
        prop_assert_eq!(other.tree(), profile.tree());
    }

    /// What came out depends on nothing any more, and is a profile that means itself.
    #[test]
    fn resolving_what_is_resolved_changes_nothing(
        profile in profile(), (bounding, architecture, generation) in any_target(),
    ) {
        let to = Target { kernel: (6, 6), architecture, generation, ..target(&bounding) };
        let once = resolved(&profile, &to).unwrap();
        let twice = resolved(&once, &to).unwrap();
        prop_assert_eq!(&twice, &once);
        let elsewhere = resolved(&once, &target(&[])).unwrap();
        prop_assert_eq!(elsewhere.get("syscalls"), once.get("syscalls"));
    }

    /// A capability more, and only rules that name it come or go.
    #[test]
    fn a_capability_decides_only_over_rules_that_name_it(profile in profile(), (_, architecture, generation) in any_target()) {
        let to = Target { kernel: (6, 6), architecture, generation, ..target(&[]) };
        let admin = ["CAP_SYS_ADMIN".to_owned()];
        let with = Target { bounding: &admin, ..to };
        let unnamed = |rule: &Value| !rule.to_string().contains("\"CAP_SYS_ADMIN\"");
        let mut without = profile.clone();
        let rules: Vec<Value> = profile["syscalls"].as_array().unwrap().iter().filter(|rule| unnamed(rule)).cloned().collect();
        without["syscalls"] = rules.into();
        prop_assert_eq!(resolved(&without, &to), resolved(&without, &with));
    }
}
