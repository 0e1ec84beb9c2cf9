//! End to end with podman, its conmon and its netavark, in a private bed: as the runtime, and as a
//! hook alone.
//!
//! `cargo test --test podman` needs root and podman. `BED_ENGINE_ROOT=DIR` takes podman from another
//! root file system (`scripts/newer-docker`).
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod as_a_hook;
mod as_the_runtime;
mod podman;

use libtest_mimic::Trial;
use test_support::harness::{Suite, Test};
use test_support::needs::Needs;

const GROUPS: [(&str, &[Test]); 2] = [
    ("as_the_runtime", as_the_runtime::TESTS),
    ("as_a_hook", as_a_hook::TESTS),
];

fn main() {
    let needs = Needs::root().and(|| Needs::new("podman, runc and crun", podman::is_there()));
    let suite = Suite::begin(needs, podman::bed);
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        // The captures are of everything that leaves the bed.
        tests
            .iter()
            .map(|test| suite.trial_alone(group, *test))
            .collect()
    };
    let trials = GROUPS.iter().flat_map(all).collect();
    suite.conclude(trials);
}
