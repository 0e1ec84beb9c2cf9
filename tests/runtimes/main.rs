//! The same containers on every real runtime that is here, the embedded one among them, without any
//! engine.
//!
//! `cargo test --test runtimes` needs root and busybox (statically linked). It runs in mount and
//! network namespaces of its own: nothing of this host's `/run`, its network, its audit files or
//! its containers is seen or touched.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs, make namespaces, and write files nobody else reads"
)]

mod bundles;
mod doctor;
mod execs;
mod files;
mod groups;
mod host;
mod lives;
mod pods;
mod says;
mod starts;
mod updates;
mod world;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use test_support::needs::{Needs, not_here};

/// The runtimes of the table that can be tried without services of their own.
const RUNTIMES: [&str; 4] = ["runc", "crun", "youki", "embedded"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Needs::tried("root", &host::make_private());
    let mut trials = Vec::new();
    for runtime in RUNTIMES {
        let there = runtime == "embedded" || host::has(runtime);
        // There is none that could be told of hooks.
        let hooks = pods::HOOK_TESTS.iter().filter(|_| runtime != "embedded");
        let all = lives::TESTS
            .iter()
            .chain(groups::TESTS)
            .chain(execs::TESTS)
            .chain(bundles::TESTS)
            .chain(pods::TESTS)
            .chain(updates::TESTS)
            .chain(starts::TESTS)
            .chain(hooks);
        for (name, test) in all {
            let run = move || {
                test(runtime);
                Ok(())
            };
            let trial = root.trial(format!("{runtime}::{name}"), run);
            trials.push(match there {
                true => trial,
                false => not_here(trial, runtime),
            });
        }
    }
    for (name, test) in host::TESTS
        .iter()
        .chain(doctor::TESTS)
        .chain(says::TESTS)
        .chain(files::TESTS)
        .chain(starts::ONCE)
    {
        let run = move || {
            test();
            Ok(())
        };
        trials.push(root.trial(*name, run));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
