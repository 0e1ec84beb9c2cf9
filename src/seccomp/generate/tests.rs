//! Whole profiles, made and proved.

use serde_json::json;

use super::super::catalogue::{Engine, profile};
use super::super::docker::resolve::Generation;
use super::*;

fn here(bounding: &[String]) -> Target<'_> {
    let architecture = Arch::parse(std::env::consts::ARCH).unwrap();
    Target {
        bounding,
        architecture,
        kernel: (6, 1),
        generation: Generation::V23,
    }
}

fn defaults() -> Vec<String> {
    DEFAULT_CAPABILITIES.map(str::to_owned).to_vec()
}

fn ours(engine: Engine, version: Option<&str>) -> Profile {
    Profile::of(profile(engine, version).unwrap()).unwrap()
}

#[test]
fn every_tier_is_proved_for_the_architectures_of_the_profiles_in_use() {
    let caps = defaults();
    for (engine, version) in [
        (Engine::Docker, None),
        (Engine::Docker, Some("20.10")),
        (Engine::Containerd, None),
    ] {
        let base = ours(engine, version);
        for tier in Tier::ALL {
            let made = generate(&base, Origin::Theirs, tier, Form::Docker, &here(&caps));
            made.unwrap_or_else(|error| panic!("{engine:?} {version:?} {tier:?}: {error}"));
        }
    }
}

#[test]
fn every_version_can_be_given_the_default_tier() {
    let caps = defaults();
    for version in [
        "20.10.0", "20.10.9", "20.10.10", "20.10.22", "23.0", "24.0", "25.0", "26.1", "27.5",
        "28.0", "28.5",
    ] {
        let made = generate(
            &ours(Engine::Docker, Some(version)),
            Origin::Ours,
            Tier::Nsjail,
            Form::Docker,
            &here(&caps),
        );
        assert!(!made.unwrap().changes.is_empty(), "{version}");
    }
    let podman = ours(Engine::Podman, None);
    let made = generate(
        &podman,
        Origin::Ours,
        Tier::Nsjail,
        Form::Docker,
        &here(&caps),
    )
    .unwrap();
    assert_eq!(
        (&made.profile, made.changes.is_empty()),
        (podman.tree(), true),
        "podman's allows it as it is"
    );
}

#[test]
fn what_cannot_be_proved_here_is_refused() {
    let caps = defaults();
    let there = Target {
        architecture: Arch::parse("s390x").unwrap(),
        ..here(&caps)
    };
    let made = generate(
        &ours(Engine::Docker, None),
        Origin::Ours,
        Tier::Nsjail,
        Form::Oci,
        &there,
    );
    assert!(matches!(made, Err(GenerateError::OtherByteOrder)));
}

#[test]
fn what_is_not_known_in_a_file_is_kept() {
    let caps = defaults();
    let rule =
        json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "vendorNote": {"kept": [1.5, null]}});
    let base = json!({"defaultAction": "SCMP_ACT_ERRNO", "vendor": "kept", "syscalls": [rule]});
    let base = Profile::of(base).unwrap();
    let made = generate(
        &base,
        Origin::Theirs,
        Tier::Nsjail,
        Form::Docker,
        &here(&caps),
    )
    .unwrap();
    assert_eq!(made.profile["vendor"], "kept");
    assert_eq!(made.profile["syscalls"][0], rule);
}

#[test]
fn the_resolved_form_has_nothing_left_to_depend_on() {
    let caps = defaults();
    let base = ours(Engine::Docker, None);
    let made = generate(&base, Origin::Ours, Tier::Nsjail, Form::Oci, &here(&caps)).unwrap();
    for word in ["includes", "excludes", "archMap", "comment"] {
        assert!(
            !made.profile.to_string().contains(&format!("\"{word}\"")),
            "{word}"
        );
    }
    assert!(made.profile["architectures"].is_array());
}

#[test]
fn a_profile_that_means_no_filter_is_refused() {
    let caps = defaults();
    let empty = Profile::of(json!({"comment": "nothing"})).unwrap();
    for form in [Form::Docker, Form::Oci] {
        let made = generate(&empty, Origin::Theirs, Tier::Nsjail, form, &here(&caps));
        assert!(made.unwrap_err().to_string().contains("no filter at all"));
    }
}
