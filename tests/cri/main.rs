//! End to end with containerd alone, as a Kubernetes node has it: `ctr`, and pods through CRI's own
//! gRPC service, in a private bed with CNI and a little internet.
//!
//! `cargo test --test cri` needs root. `BED_ENGINE_ROOT=DIR` takes containerd from another root file
//! system (`scripts/newer-docker`).
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bed is made of other programs"
)]

mod capabilities;
mod containerd;
mod ctr;
mod endings;
mod pod;
mod pods;
mod protobuf;
mod refusals;

use libtest_mimic::Trial;
use test_support::harness::{Suite, Test};
use test_support::needs::{Needs, not_here};

const GROUPS: [(&str, &[Test]); 5] = [
    ("ctr", ctr::TESTS),
    ("pods", pods::TESTS),
    ("endings", endings::TESTS),
    ("refusals", refusals::TESTS),
    ("capabilities", capabilities::TESTS),
];

/// Tests of what came with a major version.
const SINCE_2: [(&str, &[Test]); 2] = [
    ("own_users", pods::WITH_OWN_USERS),
    ("own_users", capabilities::WITH_OWN_USERS),
];

fn main() {
    let suite = Suite::begin(Needs::root(), containerd::bed).at_a_time(4);
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        tests.iter().map(|test| suite.trial(group, *test)).collect()
    };
    // An unknown version runs them, and fails, rather than pass for tested.
    let older = suite.needs.are_met() && containerd::version().is_some_and(|version| version < 2);
    let newest = SINCE_2.iter().flat_map(all).map(|trial| match older {
        true => not_here(trial, "containerd 2"),
        false => trial,
    });
    let trials = GROUPS.iter().flat_map(all).chain(newest).collect();
    suite.conclude(trials);
}
