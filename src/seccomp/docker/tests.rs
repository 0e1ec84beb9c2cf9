//! Our reading of Docker's form beside dockerd's own.
//!
//! `testdata/dockerd-seccomp.jsonl` has profiles and what dockerd makes of each: `LoadProfile` of
//! github.com/moby/profiles (seccomp, commit cd3bed8) was run on them, built by Go 1.19, told that
//! it is on amd64 with a kernel 6.1, for a container that holds CAP_CHOWN.

use serde::Deserialize;
use serde_json::Value;

use super::profile::Profile;
use super::resolve::{Arch, Generation, Target, resolve};
use crate::seccomp::generate::{Form, GenerateError, Origin, generate};
use crate::seccomp::tier::Tier;

#[derive(Deserialize)]
struct Case {
    profile: String,
    /// The filter, null for none, or a word: `refused`, `panics`.
    dockerd: Value,
}

fn cases() -> impl Iterator<Item = Case> {
    let lines = include_str!("../../../testdata/dockerd-seccomp.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap())
}

fn with_target<T>(look: impl FnOnce(&Target<'_>) -> T) -> T {
    let bounding = ["CAP_CHOWN".to_owned()];
    look(&Target {
        bounding: &bounding,
        architecture: Arch::parse("amd64").unwrap(),
        kernel: (6, 1),
        generation: Generation::V23,
    })
}

/// Causes for which we refuse what dockerd takes: it would mix two values of a key (for a key that
/// it doesn't know we don't tell), runc would refuse what comes of it, or it is not Unicode.
const REFUSED_BY_US_ALONE: [&str; 7] = [
    "a key stands there twice, and Docker would mix the two values",
    "stands there twice, and Docker would mix the two values",
    "the name of a system call is missing",
    "an architecture is missing",
    "an action (SCMP_ACT_…) is missing",
    "not an object",
    "unexpected end of hex escape",
];

#[test]
fn a_profile_means_what_it_means_to_dockerd_or_is_refused() {
    for Case { profile, dockerd } in cases() {
        match Profile::read(profile.as_bytes()) {
            Ok(read) => {
                let filter = with_target(|target| resolve(&read, target));
                assert_eq!(filter.unwrap_or_default(), dockerd, "{profile}");
            }
            Err(fault) => {
                let cause = fault.cause.as_str();
                assert!(
                    dockerd.is_string() || REFUSED_BY_US_ALONE.contains(&cause),
                    "{profile}: {fault}, but dockerd makes {dockerd} of it"
                );
            }
        }
    }
}

/// The patch reads conditions as the profile's reader does, or the self-check would fail: so it did
/// for `"excludes":{"minKernel":""}`, which the patch took for no condition.
#[test]
fn what_was_read_is_patched_and_proved() {
    for Case { profile, dockerd } in cases() {
        let Ok(read) = Profile::read(profile.as_bytes()) else {
            continue;
        };
        for tier in [Tier::Nsjail, Tier::Bwrap] {
            let made =
                with_target(|target| generate(&read, Origin::Theirs, tier, Form::Docker, target));
            match made {
                Ok(_) => {}
                Err(GenerateError::Unconfined) => assert!(dockerd.is_null(), "{profile}"),
                Err(other) => panic!("{profile}: {other}"),
            }
        }
    }
}
