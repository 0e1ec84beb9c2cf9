//! End to end with containerd alone, as a Kubernetes node has it: `ctr`, and pods through CRI's own
//! gRPC service, in a private bed with CNI and a little internet.
//!
//! `cargo test --test cri` needs root; without it every test is reported as ignored, and with `CI`
//! set that is a failure. `BED_ENGINE_ROOT=DIR` takes containerd from another root file system
//! (`scripts/newer-docker`).
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

#[expect(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
#[path = "../support/src/bed.rs"]
mod bed;
mod containerd;
mod ctr;
mod endings;
#[expect(dead_code, reason = "none of its tests must be alone")]
#[path = "../support/src/harness.rs"]
mod harness;
#[expect(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
#[path = "../support/src/hosts.rs"]
mod hosts;
mod pod;
mod pods;
mod protobuf;
mod refusals;
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

const GROUPS: [(&str, &[Test]); 4] = [
    ("ctr", ctr::TESTS),
    ("pods", pods::TESTS),
    ("endings", endings::TESTS),
    ("refusals", refusals::TESTS),
];

/// Tests of what came with a major version.
const SINCE_2: (&str, &[Test]) = ("own_users", pods::WITH_OWN_USERS);

fn main() {
    let suite = Suite::begin(Bed::with_containerd);
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        tests.iter().map(|test| suite.trial(group, *test)).collect()
    };
    // An unknown version runs them, and fails, rather than pass for tested.
    let older = suite.privileged && containerd::version().is_some_and(|version| version < 2);
    let newest = all(&SINCE_2).into_iter().map(|trial| match older {
        true => trial
            .with_kind("needs containerd 2")
            .with_ignored_flag(true),
        false => trial,
    });
    let trials = GROUPS.iter().flat_map(all).chain(newest).collect();
    suite.conclude(trials);
}
