//! Docker's format: patched once, right on every machine.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::model::{Model, any_args, any_profile, any_tier, resolved};
use super::{
    ALLOW, CALLS, ERRNO, assert_call_exact, assert_exact, assert_same_or_granted, granted_rule,
    masked, model, real,
};

const CAPABILITIES: [&[&str]; 5] = [
    &[],
    &["CAP_SYS_CHROOT", "CAP_NET_RAW"],
    &["CAP_NET_ADMIN"],
    &["CAP_SYS_ADMIN"],
    &["CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
];
const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "s390x", "s390"];

fn read(profile: &Value) -> Profile {
    Profile::of(profile.clone()).unwrap()
}

fn patch(profile: &Value, tier: Tier) -> Value {
    let (patched, _) = docker(&read(profile), tier).unwrap();
    patched.tree().clone()
}

/// Whether there is nothing left to do.
fn is_patched(profile: &Value, tier: Tier) -> bool {
    let (patched, changes) = docker(&read(profile), tier).unwrap();
    changes.is_empty() && patched == read(profile)
}

fn refusal(profile: &Value, tier: Tier) -> PatchError {
    docker(&read(profile), tier).unwrap_err()
}

fn profile(rules: Value) -> Value {
    json!({"defaultAction": ERRNO, "syscalls": rules})
}

fn machines() -> impl Iterator<Item = (&'static [&'static str], &'static str, f64)> {
    let capabilities = CAPABILITIES.into_iter();
    capabilities.flat_map(|caps| {
        ARCHITECTURES
            .into_iter()
            .flat_map(move |arch| [(caps, arch, 4.7), (caps, arch, 6.1)])
    })
}

#[test]
fn real_profiles_get_each_tier_exactly_on_every_machine() {
    let mut seen = HashSet::new();
    for (name, profile) in real("seccomp") {
        for tier in Tier::ALL {
            let patched = patch(&profile, tier);
            for (capabilities, architecture, kernel) in machines().filter(|machine| machine.2 > 5.0)
            {
                let before = resolved(&profile, capabilities, architecture, kernel);
                let after = resolved(&patched, capabilities, architecture, kernel);
                let s390 = architecture.starts_with("s390");
                for call in CALLS {
                    let (was, is) = (Model::new(&before, call), Model::new(&after, call));
                    if !seen.contains(&(tier.name(), call, s390, was.clone(), is.clone())) {
                        assert_call_exact(&was, &is, tier, call, s390);
                        seen.insert((tier.name(), call, s390, was, is));
                    }
                }
            }
            assert!(is_patched(&patched, tier), "{name}");
            if name.starts_with("container-libs") {
                assert_eq!(
                    patched.to_string(),
                    profile.to_string(),
                    "podman's allows it all already"
                );
            }
        }
    }
}

#[test]
fn docker_s_profiles_get_these_rules_at_their_end_and_no_other_change() {
    let elsewhere = |mut rule: Value| {
        rule["excludes"] = json!({"arches": ["s390", "s390x"]});
        rule
    };
    let s390 = |mut rule: Value| {
        rule["args"][0]["index"] = json!(1);
        rule["includes"] = json!({"arches": ["s390", "s390x"]});
        rule
    };
    let unshare = json!({"names": ["unshare"], "action": ALLOW,
        "args": [{"index": 0, "value": 2_952_790_015_u64, "op": "SCMP_CMP_MASKED_EQ"}]});
    for (name, profile) in real("seccomp")
        .into_iter()
        .filter(|(name, _)| !name.starts_with("container-libs"))
    {
        let mut expected = profile.clone();
        let rules = expected["syscalls"].as_array_mut().unwrap();
        rules.extend([elsewhere(granted_rule()), s390(granted_rule())]);
        assert_eq!(
            patch(&profile, Tier::Nsjail).to_string(),
            expected.to_string(),
            "{name}"
        );
        expected["syscalls"]
            .as_array_mut()
            .unwrap()
            .push(unshare.clone());
        assert_eq!(
            patch(&profile, Tier::Unshare).to_string(),
            expected.to_string(),
            "{name}"
        );
        let mut expected = profile.clone();
        let rules = expected["syscalls"].as_array_mut().unwrap();
        rules.retain(|entry| entry["names"] != json!(["clone"]));
        rules.push(json!({"names": ["clone"], "action": ALLOW}));
        assert_eq!(
            patch(&profile, Tier::Seed).to_string(),
            expected.to_string(),
            "{name}"
        );
    }
}

#[test]
fn a_denial_is_split_by_where_the_flags_are_and_keeps_its_conditions() {
    let gate = json!({"caps": ["CAP_NET_ADMIN"], "note": "kept"});
    let denial =
        json!({"names": ["read", "clone"], "action": ERRNO, "errnoRet": 22, "excludes": gate});
    let before = profile(json!([denial]));
    let after = patch(&before, Tier::Nsjail);
    let rules = after["syscalls"].as_array().unwrap();
    assert_eq!(
        rules[0],
        json!({"names": ["read"], "action": ERRNO, "errnoRet": 22, "excludes": gate})
    );
    assert_eq!(rules.len(), 1 + 5 + 5 + 2);
    assert_eq!(
        rules[1]["excludes"],
        json!({"caps": ["CAP_NET_ADMIN"], "note": "kept", "arches": ["s390", "s390x"]})
    );
    assert_eq!(rules[6]["includes"], json!({"arches": ["s390", "s390x"]}));
    assert_eq!(rules[6]["excludes"], gate);
    for (capabilities, architecture, kernel) in machines() {
        let of = |profile| resolved(profile, capabilities, architecture, kernel);
        assert_exact(
            &of(&before),
            &of(&after),
            Tier::Nsjail,
            architecture.starts_with("s390"),
        );
    }
}

/// As people write it at the end of a profile, or before all else.
#[test]
fn a_denial_beside_docker_s_own_rules_is_replaced() {
    let denial = json!({"names": ["clone"], "action": ERRNO, "errnoRet": 22});
    for (name, usual) in real("seccomp")
        .into_iter()
        .filter(|(name, _)| name.starts_with("moby-v2"))
        .step_by(3)
    {
        for first in [true, false] {
            let mut before = usual.clone();
            let rules = before["syscalls"].as_array_mut().unwrap();
            rules.insert(if first { 0 } else { rules.len() }, denial.clone());
            let after = patch(&before, Tier::Nsjail);
            for (capabilities, architecture, kernel) in machines().filter(|machine| machine.2 > 5.0)
            {
                let of = |profile| resolved(profile, capabilities, architecture, kernel);
                assert_exact(
                    &of(&before),
                    &of(&after),
                    Tier::Nsjail,
                    architecture.starts_with("s390"),
                );
            }
            assert!(is_patched(&after, Tier::Nsjail), "{name}");
        }
    }
}

#[test]
fn rules_whose_machines_are_entangled_are_refused() {
    let rules = json!([
        {"names": ["clone"], "action": ERRNO, "errnoRet": 22, "includes": {"caps": ["CAP_NET_RAW"]}},
        masked(ALLOW, 0, 0x7e02_0000, 0),
    ]);
    let refused = PatchError::Refused {
        call: "clone",
        why: Why::Entangled,
    };
    assert_eq!(refusal(&profile(rules), Tier::Nsjail), refused);
}

#[test]
fn more_machines_than_can_be_looked_at_are_refused() {
    let caps: Vec<String> = (0..64).map(|number| format!("CAP_{number}")).collect();
    let many = profile(json!([{"names": ["clone"], "action": ALLOW, "includes": {"caps": caps}}]));
    let refused = PatchError::Refused {
        call: "clone",
        why: Why::Entangled,
    };
    assert_eq!(refusal(&many, Tier::Nsjail), refused);
}

/// Before version 23 Docker dropped the default's number, so that other rules were like the
/// default.
#[test]
fn a_default_s_number_counts_and_does_not_count() {
    let rules = json!([{"names": ["clone"], "action": ERRNO, "errnoRet": 1}]);
    let new = json!({"defaultAction": ERRNO, "defaultErrnoRet": 38, "syscalls": rules});
    let after = patch(&new, Tier::Nsjail);
    for (before, after) in [
        (new.clone(), after.clone()),
        (without_number(&new), without_number(&after)),
    ] {
        for (capabilities, architecture, kernel) in machines() {
            let of = |profile| resolved(profile, capabilities, architecture, kernel);
            assert_exact(
                &of(&before),
                &of(&after),
                Tier::Nsjail,
                architecture.starts_with("s390"),
            );
        }
    }
}

fn without_number(profile: &Value) -> Value {
    let mut profile = profile.clone();
    profile.as_object_mut().unwrap().remove("defaultErrnoRet");
    profile
}

#[test]
fn keys_are_read_as_go_reads_them() {
    let odd = json!({"DefaultAction": ERRNO, "x-ours": {"Names": 1}, "\u{17f}ysCalls": [
        {"Name": "clone", "ACTION": "SCMP_ACT_TRAP", "names": [], "Excludes": {"CAPS": ["CAP_NET_ADMIN"], "X": 1}},
        {"Names": ["clone", "read"], "action": ALLOW, "Args": [{"Index": 0, "VALUE": 0x7e02_0000, "Op": "SCMP_CMP_MASKED_EQ"}],
         "includes": {"Caps": ["CAP_NET_ADMIN"]}},
    ]});
    let usual = json!({"defaultAction": ERRNO, "x-ours": {"Names": 1}, "syscalls": [
        {"names": ["clone"], "action": "SCMP_ACT_TRAP", "excludes": {"caps": ["CAP_NET_ADMIN"], "X": 1}},
        {"names": ["clone", "read"], "action": ALLOW, "args": [{"index": 0, "value": 0x7e02_0000, "op": "SCMP_CMP_MASKED_EQ"}],
         "includes": {"caps": ["CAP_NET_ADMIN"]}},
    ]});
    for tier in Tier::ALL {
        assert_eq!(patch(&odd, tier), patch(&usual, tier));
    }
    let settled = json!({"DefaultAction": ERRNO, "syscalls": [{"NAME": "clone", "action": ALLOW}]});
    assert!(is_patched(&settled, Tier::Nsjail));
    assert_eq!(
        patch(&settled, Tier::Nsjail).to_string(),
        read(&settled).tree().to_string(),
        "what is allowed already keeps its `name`, too"
    );
}

#[test]
fn what_has_no_default_action_is_refused() {
    let told = refusal(&json!({}), Tier::Nsjail).to_string();
    assert_eq!(told, "defaultAction: an action (SCMP_ACT_…) is missing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn on_no_machine_anything_but_the_granted_calls_changes(
        profile in any_profile(),
        tier in any_tier(),
        calls in proptest::collection::vec((proptest::sample::select(model::CALLS.to_vec()), any_args()), 20),
    ) {
        let patched = match docker(&read(&profile), tier) {
            Ok((patched, _)) => patched.tree().clone(),
            Err(error) => {
                prop_assert!(matches!(error, PatchError::Refused { .. }), "{}", error);
                return Ok(());
            }
        };
        for (capabilities, architecture, kernel) in machines() {
            for drop in [false, true] {
                let of = |profile: &Value| {
                    let profile = if drop { without_number(profile) } else { profile.clone() };
                    resolved(&profile, capabilities, architecture, kernel)
                };
                let (before, after) = (of(&profile), of(&patched));
                for (call, args) in &calls {
                    let (was, is) = (Model::new(&before, call), Model::new(&after, call));
                    assert_same_or_granted(&was, &is, tier, call, *args, architecture.starts_with("s390"));
                }
            }
        }
        prop_assert!(is_patched(&patched, tier));
    }
}
