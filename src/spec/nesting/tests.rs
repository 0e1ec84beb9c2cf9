//! What a container gets to nest a jail with, and what it is told where it gets less.

use serde_json::{Value, json};

use crate::apparmor::{Confinement, Denied};
use crate::container::plan::Recipients;
use crate::host::Host;
use crate::seccomp::tier::Tier;
use crate::settings::UserNamespace;
use crate::spec::namespaces::namespace;
use crate::spec::tests::{HOST, filtered, input, plain, rewrite, set_path, with_capability};
use crate::spec::{NetworkOrigin, RewriteInput, RuntimeQuirks, SpecError, capabilities};

fn nests() -> RewriteInput {
    RewriteInput {
        nesting: Some(Tier::Nsjail),
        ..input()
    }
}

#[test]
fn a_plain_container_may_nest_a_jail_and_a_user_namespace_bounds_it() {
    let mut spec = plain();
    let outcome = rewrite(&mut spec, &nests()).unwrap();
    assert_eq!(
        (outcome.nesting.capability, outcome.user_namespace),
        (Recipients::Everybody, true)
    );
    assert_eq!(outcome.nesting.obstacles, Vec::<String>::new());
    assert!(capabilities::holds(&spec["process"], "CAP_NET_ADMIN"));
    assert!(namespace(&spec, "user").unwrap().is_some());
    assert_eq!(
        outcome.nesting.seccomp_before.as_ref(),
        Some(&plain()["linux"]["seccomp"])
    );
    assert_ne!(spec["linux"]["seccomp"], plain()["linux"]["seccomp"]);
}

#[test]
fn who_may_not_have_capabilities_under_a_tier_gets_none() {
    let bwrap = RewriteInput {
        nesting: Some(Tier::Bwrap),
        ..input()
    };
    let mut spec = plain();
    assert_eq!(
        rewrite(&mut spec.clone(), &bwrap)
            .unwrap()
            .nesting
            .capability,
        Recipients::Root
    );
    spec["process"]["user"]["uid"] = json!(1000);
    let before = spec["process"].clone();
    let outcome = rewrite(&mut spec, &bwrap).unwrap();
    assert_eq!(
        (outcome.nesting.capability, outcome.nesting.obstacles),
        (Recipients::Nobody, Vec::new())
    );
    assert_eq!(spec["process"], before);
}

#[test]
fn a_capability_that_nothing_can_bound_is_not_given_and_the_reason_said() {
    let mut lost = plain();
    lost["process"]["capabilities"]["bounding"]
        .as_array_mut()
        .unwrap()
        .push("CAP_IPC_LOCK".into());
    let mut shared = plain();
    set_path(&mut shared, "pid", "/proc/7/ns/pid");
    let mut premade = plain();
    set_path(&mut premade, "network", "/run/netns/cni-1");
    let cases = [
        (lost, nests(), "CAP_IPC_LOCK has no effect"),
        (shared, nests(), "pid namespace"),
        (
            premade,
            RewriteInput {
                place: Some(NetworkOrigin::Free),
                ..nests()
            },
            "created outside of a user namespace",
        ),
        (
            plain(),
            RewriteInput {
                place: filtered(None),
                ..nests()
            },
            "no user namespace to share",
        ),
        (
            plain(),
            RewriteInput {
                user_namespace: UserNamespace::Never,
                ..nests()
            },
            "user-namespace is \"never\"",
        ),
        (
            plain(),
            RewriteInput {
                host: Host {
                    user_namespaces: false,
                    ..HOST
                },
                ..nests()
            },
            "user.max_user_namespaces",
        ),
    ];
    for (mut spec, input, said) in cases {
        let before = spec["process"].clone();
        let outcome = rewrite(&mut spec, &input).unwrap();
        assert_eq!(
            (outcome.nesting.capability, outcome.user_namespace),
            (Recipients::Nobody, false),
            "{said}"
        );
        assert_eq!(spec["process"], before, "{said}");
        let obstacles = outcome.nesting.obstacles;
        assert!(
            obstacles.iter().any(|sentence| sentence.contains(said)),
            "{said}: {obstacles:?}"
        );
    }
}

#[test]
fn whoever_drops_all_capabilities_gets_none_to_nest_with() {
    // However an engine writes it down.
    for sets in [
        json!({}),
        json!(null),
        json!({"bounding": []}),
        json!({"bounding": null, "effective": []}),
    ] {
        for user in [0, 1000] {
            let mut spec = plain();
            spec["process"]["capabilities"] = sets.clone();
            spec["process"]["user"]["uid"] = json!(user);
            let before = spec["process"].clone();
            let outcome = rewrite(&mut spec, &nests()).unwrap();
            assert_eq!(
                (outcome.nesting.capability, outcome.user_namespace),
                (Recipients::Nobody, false),
                "{sets}"
            );
            assert_eq!(spec["process"], before, "{sets}");
            assert!(
                outcome.nesting.seccomp_before.is_some(),
                "the filter is patched all the same"
            );
            assert!(
                outcome
                    .nesting
                    .obstacles
                    .iter()
                    .any(|sentence| sentence.contains("were dropped"))
            );
        }
    }
}

#[test]
fn without_user_namespaces_a_capability_that_was_asked_for_is_not_given_to_nest() {
    let mut spec = with_capability("CAP_NET_ADMIN");
    let outcome = rewrite(
        &mut spec,
        &RewriteInput {
            user_namespace: UserNamespace::Never,
            ..nests()
        },
    )
    .unwrap();
    assert_eq!(
        (outcome.nesting.capability, outcome.user_namespace),
        (Recipients::Nobody, false)
    );
    assert!(!capabilities::holds(&spec["process"], "CAP_NET_ADMIN"));
}

#[test]
fn a_pods_container_gets_the_capability_only_in_a_user_namespace_of_the_pod() {
    let mut spec = plain();
    spec["annotations"] = json!({"io.kubernetes.cri.sandbox-namespace": "ci"});
    let outcome = rewrite(&mut spec.clone(), &nests()).unwrap();
    assert_eq!(
        (outcome.nesting.capability, outcome.user_namespace),
        (Recipients::Nobody, false)
    );
    assert!(
        outcome
            .nesting
            .obstacles
            .iter()
            .any(|obstacle| obstacle.contains("hostUsers: false"))
    );

    set_path(&mut spec, "user", "/proc/7/ns/user");
    let outcome = rewrite(
        &mut spec,
        &RewriteInput {
            place: Some(NetworkOrigin::Free),
            ..nests()
        },
    )
    .unwrap();
    assert_eq!(
        (outcome.nesting.capability, outcome.user_namespace),
        (Recipients::Everybody, true)
    );
}

#[test]
fn what_stands_in_a_nested_jails_way_is_said_with_what_would_help() {
    let mut spec = plain();
    spec["process"]["apparmorProfile"] = json!("docker-default");
    spec["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0");
    spec["process"]["capabilities"]["bounding"] = json!([]);
    let host = Host {
        unprivileged_user_namespaces: false,
        apparmor_restricts: true,
        selinux_decides: true,
        ..HOST
    };
    let input = RewriteInput {
        host,
        nesting: Some(Tier::Bwrap),
        ..input()
    };
    let said = |spec: &Value| {
        rewrite(&mut spec.clone(), &input)
            .unwrap()
            .nesting
            .obstacles
            .join("\n")
    };
    for word in [
        "kernel.unprivileged_userns_clone=1",
        "container_t",
        "--cap-add SETFCAP",
    ] {
        assert!(said(&spec).contains(word), "{word}: {}", said(&spec));
    }
    assert!(
        !said(&spec).contains("apparmor_restrict"),
        "its profile is not the unconfined one"
    );
    spec["process"]
        .as_object_mut()
        .unwrap()
        .remove("apparmorProfile");
    assert!(said(&spec).contains("kernel.apparmor_restrict_unprivileged_userns=0"));
}

#[test]
fn our_apparmor_profile_takes_the_place_of_an_engines_and_of_no_other() {
    let confinement = Confinement {
        ours: Some("boundary-default"),
        denied: None,
    };
    let input = RewriteInput {
        confinement,
        ..nests()
    };
    let after = |profile: Value| {
        let mut spec = plain();
        spec["process"]["apparmorProfile"] = profile;
        let outcome = rewrite(&mut spec, &input).unwrap();
        assert_eq!(outcome.nesting.profile, Some("boundary-default"));
        spec["process"]["apparmorProfile"].clone()
    };
    assert_eq!(after(json!("docker-default")), "boundary-default");
    assert_eq!(
        after(json!("containers-default-0.62.2")),
        "boundary-default"
    );
    assert_eq!(after(json!("mine")), "mine");
    assert_eq!(after(Value::Null), Value::Null);
    let mut spec = plain();
    spec["process"]["apparmorProfile"] = json!(1);
    assert!(rewrite(&mut spec, &input).is_err());
}

#[test]
fn what_a_profile_denies_is_said_with_what_would_help() {
    let said = |profile: &str, denied| {
        let mut spec = plain();
        spec["process"]["apparmorProfile"] = json!(profile);
        let confinement = Confinement {
            ours: None,
            denied: Some(denied),
        };
        let outcome = rewrite(
            &mut spec,
            &RewriteInput {
                confinement,
                ..nests()
            },
        )
        .unwrap();
        assert_eq!(spec["process"]["apparmorProfile"], profile);
        outcome.nesting.obstacles.join("\n")
    };
    let engines = said("docker-default", Denied::UserNamespaces);
    assert!(
        engines.contains("docker-default")
            && engines.contains("boundary-shim install for the engine"),
        "{engines}"
    );
    let users = said("mine", Denied::UserNamespaces);
    assert!(
        users.contains("the AppArmor profile mine") && users.contains("allow userns in it"),
        "{users}"
    );
    assert!(said("mine", Denied::Mounts).contains("allow mount and pivot_root in it"));
}

#[test]
fn a_filter_that_cannot_be_patched_stays_as_it_was_and_that_is_said() {
    let mut spec = plain();
    spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_TYPO"});
    let outcome = rewrite(&mut spec, &nests()).unwrap();
    assert_eq!(
        spec["linux"]["seccomp"],
        json!({"defaultAction": "SCMP_ACT_TYPO"})
    );
    assert!(
        outcome.nesting.obstacles[0].contains("SCMP_ACT_TYPO"),
        "{:?}",
        outcome.nesting
    );
    spec["linux"]["seccomp"] = json!({"DefaultAction": "SCMP_ACT_ALLOW"});
    assert!(matches!(
        rewrite(&mut spec, &nests()),
        Err(SpecError::AmbiguousKey { .. })
    ));
}

/// Any JSON.
#[test]
fn a_runtime_that_adds_a_user_namespace_itself_gets_none_from_us_and_a_patched_filter() {
    let quirks = RuntimeQuirks {
        adds_user_namespace: true,
        ..RuntimeQuirks::RUNC
    };
    let mut spec = with_capability("CAP_NET_ADMIN");
    let (namespaces, seccomp) = (
        spec["linux"]["namespaces"].clone(),
        spec["linux"]["seccomp"].clone(),
    );
    let input = RewriteInput {
        quirks,
        nesting: Some(Tier::Nsjail),
        ..input()
    };
    let outcome = rewrite(&mut spec, &input).unwrap();
    assert!(outcome.user_namespace);
    assert_eq!(&spec["linux"]["namespaces"], &namespaces);
    assert_eq!(outcome.nesting.seccomp_before.as_ref(), Some(&seccomp));
    assert_ne!(&spec["linux"]["seccomp"], &seccomp);
}

#[test]
fn a_plain_container_of_podmans_has_no_notice_that_nobody_asked_for() {
    let told = |annotations: Value| {
        let mut spec = plain();
        spec["annotations"] = annotations;
        let input = RewriteInput {
            place: Some(NetworkOrigin::Free),
            nesting: Some(Tier::Nsjail),
            ..input()
        };
        let nesting = rewrite(&mut spec, &input).unwrap().nesting;
        assert_eq!(nesting.capability, Recipients::Nobody);
        nesting
            .obstacles
            .iter()
            .any(|notice| notice.contains("CAP_NET_ADMIN"))
    };
    let podmans = json!({"io.container.manager": "libpod"});
    assert!(!told(podmans));
    assert!(told(json!({})));
}
