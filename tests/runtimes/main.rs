//! The same containers on every real runtime that is here, the embedded one among them, without any
//! engine.
//!
//! `cargo test --test runtimes` needs root and busybox (statically linked); without root it is
//! reported as ignored, and with `CI` set that is a failure. It runs in mount and network
//! namespaces of its own: nothing of this host's `/run`, its network, its audit files or its
//! containers is seen or touched.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "a test says why it can't run")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs, make namespaces, and write files nobody else reads"
)]

mod files;
mod groups;
mod host;
mod lives;
#[path = "../support/src/record.rs"]
mod record;
mod says;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The runtimes of the table that can be tried without services of their own.
const RUNTIMES: [&str; 4] = ["runc", "crun", "youki", "embedded"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let private = host::make_private();
    if let (Err(error), true) = (&private, std::env::var_os("CI").is_some()) {
        eprintln!("these tests need root: {error}");
        return ExitCode::FAILURE;
    }
    let mut trials = Vec::new();
    for runtime in RUNTIMES {
        let there = runtime == "embedded" || host::has(runtime);
        for (name, test) in lives::TESTS.iter().chain(groups::TESTS) {
            let run = move || {
                test(runtime);
                Ok(())
            };
            trials.push(
                Trial::test(format!("{runtime}::{name}"), run)
                    .with_ignored_flag(private.is_err() || !there),
            );
        }
    }
    for (name, test) in host::TESTS.iter().chain(says::TESTS).chain(files::TESTS) {
        let run = move || {
            test();
            Ok(())
        };
        trials.push(Trial::test(*name, run).with_ignored_flag(private.is_err()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
