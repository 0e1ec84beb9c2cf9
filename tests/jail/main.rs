//! End to end with jails, in a private bed with a little internet behind it: as root and as a user
//! without any right.
//!
//! `cargo test --test jail` needs root. Every test is a function of its own and takes the shared bed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::print_stdout,
    reason = "the time a start takes is printed, for people"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "commands that run beside others, and files of a bed that is thrown away"
)]

mod boundary;
mod ends;
mod jail;
mod mistakes;
mod network;
mod supervised;
mod walls;

use libtest_mimic::Trial;
use test_support::bed::Bed;
use test_support::harness::{Suite, Test};
use test_support::needs::Needs;

const GROUPS: [(&str, &[Test]); 6] = [
    ("boundary", boundary::TESTS),
    ("network", network::TESTS),
    ("ends", ends::TESTS),
    ("walls", walls::TESTS),
    ("supervised", supervised::TESTS),
    ("mistakes", mistakes::TESTS),
];

fn main() {
    let suite = Suite::begin(Needs::root(), up);
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        let tests = tests.iter();
        tests.map(|test| suite.trial(group, *test)).collect()
    };
    let trials = GROUPS.iter().flat_map(all).collect();
    suite.conclude(trials);
}

/// A bed without any engine that runs.
fn up() -> Bed {
    Bed::up("podman", "tests/docker/etc", |_| {}).remembered()
}
