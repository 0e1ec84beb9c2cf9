//! End to end with podman, its conmon and its netavark, in a private bed: as the runtime, and as a
//! hook alone.
//!
//! `cargo test --test podman` needs root and podman; without them every test is reported as
//! ignored, and with `CI` set that is a failure. `BED_ENGINE_ROOT=DIR` takes podman from another
//! root file system (`scripts/newer-docker`).
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::print_stderr,
    reason = "what a failed run needs is told on standard error"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bed is made of other programs"
)]

mod as_a_hook;
mod as_the_runtime;
#[expect(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
#[path = "../support/src/bed.rs"]
mod bed;
#[expect(dead_code, reason = "its tests run one at a time")]
#[path = "../support/src/harness.rs"]
mod harness;
#[expect(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
#[path = "../support/src/hosts.rs"]
mod hosts;
mod podman;
#[expect(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
#[path = "../support/src/traces.rs"]
mod traces;
#[path = "../support/src/wire.rs"]
mod wire;

use bed::Bed;
use harness::{Suite, Test};
use libtest_mimic::Trial;

const GROUPS: [(&str, &[Test]); 2] = [
    ("as_the_runtime", as_the_runtime::TESTS),
    ("as_a_hook", as_a_hook::TESTS),
];

fn main() {
    let suite = Suite::begin(Bed::with_podman);
    let there = !suite.privileged || podman::is_there();
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        // The captures are of everything that leaves the bed.
        tests
            .iter()
            .map(|test| suite.trial_alone(group, *test))
            .collect()
    };
    let trials = GROUPS.iter().flat_map(all).map(|trial| match there {
        true => trial,
        false => trial.with_kind("needs podman").with_ignored_flag(true),
    });
    let trials = trials.collect();
    suite.conclude(trials);
}
