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

mod arrivals;
mod attacks;
mod boundary;
mod clients;
mod day;
mod ends;
mod interception;
mod jail;
mod mistakes;
mod network;
mod record;
mod sandboxes;
mod supervised;
mod walls;
mod world;

use libtest_mimic::Trial;
use test_support::bed::Bed;
use test_support::docker::is_installed;
use test_support::harness::{Suite, Test};
use test_support::jail_attacks;
use test_support::needs::{Needs, not_here};

const GROUPS: [(&str, &[Test]); 8] = [
    ("boundary", boundary::TESTS),
    ("record", record::TESTS),
    ("network", network::TESTS),
    ("ends", ends::TESTS),
    ("walls", walls::TESTS),
    ("supervised", supervised::TESTS),
    ("attacks", attacks::TESTS),
    ("mistakes", mistakes::TESTS),
];

/// Not every system packages it.
const BROWSER: &str = "chromium-headless-shell";

fn main() {
    let suite = Suite::begin(Needs::root(), up);
    let all = |(group, tests): &(&str, &'static [Test])| -> Vec<Trial> {
        let tests = tests.iter();
        tests.map(|test| suite.trial(group, *test)).collect()
    };
    let needing = |group: &'static str, tests: &'static [Test], needs: Needs| {
        let trial = |test: &Test| suite.trial_needing(group, *test, &needs);
        tests.iter().map(trial).collect::<Vec<Trial>>()
    };
    let root = || suite.needs.clone();
    let programs = root().and(world::needs);
    let bubblewrap = root().and(|| Needs::new("bwrap", is_installed("bwrap")));
    let browser = sandboxes::BROWSER_TESTS.iter().map(|test| {
        let trial = suite.trial("sandboxes", *test);
        match is_installed(BROWSER) {
            true => trial,
            false => not_here(trial, BROWSER),
        }
    });
    let trials = GROUPS.iter().flat_map(all);
    let mut trials: Vec<Trial> = trials
        .chain(needing("clients", clients::TESTS, programs.clone()))
        .chain(needing(
            "interception",
            interception::TESTS,
            programs.clone(),
        ))
        .chain(needing("day", day::TESTS, programs))
        .chain(needing("sandboxes", sandboxes::TESTS, bubblewrap))
        .chain(browser)
        .collect();
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test(
        "security_md_names_tests_of_this_suite",
        move || {
            jail_attacks::must_be_tests_of("jail", &names);
            Ok(())
        },
    ));
    suite.conclude(trials);
}

/// A bed without any engine that runs.
fn up() -> Bed {
    Bed::up("podman", "tests/docker/etc", |_| {}).remembered()
}
