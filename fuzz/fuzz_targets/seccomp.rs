//! `linux.seccomp` of a container's `config.json`, as anyone who may start containers can write it;
//! and the same bytes as a profile in Docker's form, as it is given to `gen-seccomp`.

#![no_main]

use boundary_shim::seccomp::Fault;
use boundary_shim::seccomp::docker::profile::Profile;
use boundary_shim::seccomp::docker::resolve::{Arch, Generation, Target, resolve};
use boundary_shim::seccomp::filter::Filter;
use boundary_shim::seccomp::patch;
use boundary_shim::seccomp::tier::Tier;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    as_a_profile(bytes);
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    match Filter::read(&value) {
        Ok(filter) => means_something(&filter),
        Err(fault) => can_be_told(&fault),
    }
    patch_twice_is_patch_once(value);
});

fn as_a_profile(bytes: &[u8]) {
    let profile = match Profile::read(bytes) {
        Ok(profile) => profile,
        Err(fault) => return can_be_told(&fault),
    };
    let bounding = ["CAP_SYS_ADMIN".to_owned()];
    for architecture in Arch::all() {
        for generation in [Generation::V20, Generation::V23] {
            let to = Target {
                bounding: &bounding,
                architecture,
                kernel: (6, 1),
                generation,
            };
            let resolved = resolve(&profile, &to);
            assert_eq!(resolved.is_none(), profile.is_unconfined());
            assert_eq!(resolve(&profile, &to), resolved);
        }
    }
    for tier in Tier::ALL {
        if let Ok((patched, _)) = patch::docker(&profile, tier) {
            let (again, changes) = patch::docker(&patched, tier).expect("it was patched before");
            assert!(changes.is_empty());
            assert_eq!(again, patched);
            assert_eq!(
                Profile::of(patched.tree().clone())
                    .expect("a profile that was patched is a profile"),
                patched
            );
        }
    }
}

fn patch_twice_is_patch_once(filter: Value) {
    for tier in Tier::ALL {
        let mut patched = filter.clone();
        if patch::oci(&mut patched, tier).is_ok() {
            let once = patched.clone();
            assert!(
                patch::oci(&mut patched, tier)
                    .expect("it was patched before")
                    .is_empty()
            );
            assert_eq!(patched, once);
        } else {
            assert_eq!(patched, filter);
        }
    }
}

/// A condition on an argument that there is, in every rule.
fn means_something(filter: &Filter) {
    for rule in &filter.rules {
        let alternatives = rule.alternatives();
        assert!(
            !alternatives.is_empty(),
            "a rule without any alternative would never hold"
        );
        for condition in alternatives.iter().flatten() {
            assert!(condition.argument < 6);
            let _ = (condition.holds(0), condition.holds(u64::MAX));
        }
    }
}

/// On one line of some log, whatever stood in the profile.
fn can_be_told(fault: &Fault) {
    let text = fault.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 1000, "{} bytes of message", text.len());
}
