//! The program as its callers see it: the runtime personality, and commands that need nothing but
//! files.
//!
//! The runtime is tried: the built program with a fake runtime that records what reached it.
//!
//! It runs in a mount namespace of its own with an empty `/run`, so that no state of this host is
//! seen or touched. That takes root: without it the tests are reported as ignored, and with `CI`
//! set that is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends, and says why, where something is amiss"
)]

mod create;
mod exec;
mod gen_seccomp;
mod handoff;
mod logs;
mod start;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let private = world::hide_run();
    if let (Err(error), true) = (&private, std::env::var_os("CI").is_some()) {
        eprintln!("these tests need root: {error}");
        return ExitCode::FAILURE;
    }
    let groups = [
        handoff::TESTS,
        create::TESTS,
        start::TESTS,
        exec::TESTS,
        gen_seccomp::TESTS,
        logs::TESTS,
    ];
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(*name, run).with_ignored_flag(private.is_err())
    };
    let trials = groups
        .iter()
        .flat_map(|group| group.iter())
        .map(trial)
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
