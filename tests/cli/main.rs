//! The program as its callers see it: the runtime personality, and commands that need nothing but
//! files.
//!
//! The runtime is tried: the built program with a fake runtime that records what reached it.
//!
//! It runs in a mount namespace of its own with an empty `/run`, so that no state of this host is
//! seen or touched. That takes root.

#![expect(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod create;
mod exec;
mod gen_seccomp;
mod handoff;
mod logs;
mod policy;
mod start;
mod world;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use test_support::needs::Needs;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Needs::tried("root", &world::hide_run());
    let groups = [
        handoff::TESTS,
        create::TESTS,
        start::TESTS,
        exec::TESTS,
        gen_seccomp::TESTS,
        logs::TESTS,
        policy::TESTS,
    ];
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        root.trial(*name, move || {
            test();
            Ok(())
        })
    };
    let trials = groups
        .iter()
        .flat_map(|group| group.iter())
        .map(trial)
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
