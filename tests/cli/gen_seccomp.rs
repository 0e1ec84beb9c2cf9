//! `gen-seccomp`: what it writes, and that it writes nothing where something is wrong.

use serde_json::Value;

use crate::world::{World, tests};

tests![
    a_profile_goes_to_standard_output_or_to_a_file,
    an_explanation_is_for_people,
    the_users_own_file_is_patched_and_patching_it_again_changes_nothing,
    what_is_wrong_is_said_in_one_line_and_no_file_is_written,
    options_that_contradict_each_other_are_refused,
];

fn a_profile_goes_to_standard_output_or_to_a_file() {
    let world = World::new();
    let shown = world.operate("gen-seccomp");
    assert!(shown.status.success() && shown.stderr.is_empty());
    let profile: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let written = world.operate("gen-seccomp --output DIR/out.json");
    assert!(written.status.success() && written.stdout.is_empty());
    assert_eq!(world.read("out.json").as_bytes(), shown.stdout);
    let resolved = world.operate("gen-seccomp --format oci --arch arm64 --caps CAP_CHOWN");
    let resolved: Value = serde_json::from_slice(&resolved.stdout).unwrap();
    assert_eq!(resolved["architectures"][0], "SCMP_ARCH_AARCH64");
    assert!(resolved.get("archMap").is_none());
}

fn an_explanation_is_for_people() {
    let world = World::new();
    let said = world.operate("gen-seccomp --tier unshare --explain --output DIR/out.json");
    let said = String::from_utf8(said.stdout).unwrap();
    for word in ["clone", "unshare", "opens", "packet filters"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(world.read("out.json").starts_with('{'));
}

fn the_users_own_file_is_patched_and_patching_it_again_changes_nothing() {
    let world = World::new();
    world.write(
        "own.json",
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "vendor": [1.5], "syscalls": []}"#,
        0o644,
    );
    assert!(
        world
            .operate("gen-seccomp --base DIR/own.json --output DIR/once.json")
            .status
            .success()
    );
    assert!(
        world
            .operate("gen-seccomp --base DIR/once.json --output DIR/twice.json")
            .status
            .success()
    );
    assert_eq!(world.read("once.json"), world.read("twice.json"));
    let patched: Value = serde_json::from_str(&world.read("once.json")).unwrap();
    assert_eq!(patched["vendor"][0], 1.5);
}

fn what_is_wrong_is_said_in_one_line_and_no_file_is_written() {
    let world = World::new();
    let cases = [
        ("{", "line 1 column"),
        ("[]", "not an object"),
        ("{}", "no filter at all"),
        (r#"{"defaultAction": "ALLOW"}"#, "defaultAction"),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}"#,
            "syscalls[0].name",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]}"#,
            "syscalls[0].args[0].value",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8.0"}}]}"#,
            "syscalls[0].includes.minKernel",
        ),
    ];
    for (text, place) in cases {
        world.write("bad.json", text, 0o644);
        let answer = world.operate("gen-seccomp --base DIR/bad.json --output DIR/out.json");
        let said = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(
            (
                answer.status.code(),
                answer.stdout.len(),
                said.lines().count()
            ),
            (Some(1), 0, 1),
            "{said}"
        );
        assert!(
            said.contains("bad.json") && said.contains(place),
            "{place}: {said}"
        );
        assert!(!world.path("out.json").exists(), "{text}");
    }
    for (line, word) in [
        (
            "gen-seccomp --docker-version 17 --output DIR/out.json",
            "20.10",
        ),
        (
            "gen-seccomp --base DIR/missing --output DIR/out.json",
            "missing",
        ),
        (
            "gen-seccomp --output /no/such/folder/out.json",
            "/no/such/folder",
        ),
    ] {
        let answer = world.operate(line);
        let said = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(
            (answer.status.code(), said.lines().count()),
            (Some(1), 1),
            "{said}"
        );
        assert!(said.contains(word), "{said}");
        assert!(!world.path("out.json").exists());
    }
}

fn options_that_contradict_each_other_are_refused() {
    let world = World::new();
    for line in [
        "--arch amd64",
        "--caps CAP_CHOWN",
        "--engine podman --base x",
        "--docker-version 25 --engine docker",
        "--tier none",
    ] {
        let answer = world.operate(&format!("gen-seccomp {line} --output DIR/out.json"));
        assert!(!answer.status.success(), "{line}");
        assert!(!world.path("out.json").exists(), "{line}");
    }
}
