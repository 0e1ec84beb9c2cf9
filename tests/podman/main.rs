//! End to end with podman, its conmon and its netavark, in a private bed: as the runtime, and as a hook alone.
//!
//! `cargo test --test podman` needs root and podman; without them every test is reported as ignored, and with `CI` set that
//! is a failure. `BED_ENGINE_ROOT=DIR` takes podman from another root file system (`scripts/newer-docker`).
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what a failed run needs is told on standard error")]
#![expect(clippy::disallowed_methods, reason = "the bed is made of other programs")]

#[expect(dead_code, reason = "the rest of it is Docker's")]
#[path = "../support/bed.rs"]
mod bed;
#[expect(dead_code, reason = "the tests of Docker visit more of them")]
#[path = "../support/little_internet/hosts.rs"]
mod hosts;
mod podman;
#[expect(dead_code, reason = "the rest of it is Docker's")]
#[path = "../docker/traces.rs"]
mod traces;
#[path = "../docker/wire.rs"]
mod wire;

mod as_a_hook;
mod as_the_runtime;

use std::sync::{Arc, OnceLock};

use bed::Bed;
use libtest_mimic::{Arguments, Trial};

/// One test: what it proves, and how.
type Test = (&'static str, fn(&Bed));

/// A bed that doesn't come up is tried once, not by every test.
type SharedBed = OnceLock<Option<Bed>>;

fn main() {
    let mut arguments = Arguments::from_args();
    // The captures are of everything that leaves the bed: one test at a time.
    arguments.test_threads = Some(1);
    let able = nix::unistd::geteuid().is_root() && podman::is_there();
    if !able && !arguments.list && std::env::var_os("CI").is_some() {
        eprintln!("these tests need root and podman, and with CI set that is a failure");
        std::process::exit(1);
    }
    let shared = Arc::new(SharedBed::new());
    let tests = [as_the_runtime::TESTS, as_a_hook::TESTS].concat();
    let trials = tests.into_iter().map(|test| trial(test, &shared).with_ignored_flag(!able)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let clean = conclusion.has_failed() || shared.get().and_then(Option::as_ref).is_none_or(is_as_it_was);
    // Here, and not at exit: nobody drops what is alive when a process exits.
    drop(shared);
    if !clean {
        std::process::exit(101);
    }
    conclusion.exit();
}

fn trial((name, test): Test, shared: &Arc<SharedBed>) -> Trial {
    let shared = Arc::clone(shared);
    Trial::test(name, move || {
        let bed = shared.get_or_init(|| std::panic::catch_unwind(|| Bed::up("podman")).ok());
        test(bed.as_ref().ok_or("the bed did not come up: see the first failure")?);
        Ok(())
    })
}

/// Whether nothing that a container brought is still in the bed, podman's bridge and rules included; says what is.
fn is_as_it_was(bed: &Bed) -> bool {
    let outcome = std::panic::catch_unwind(|| {
        bed::wait_for("the bed to be as it was before the tests", || bed.inventory() == *bed.pristine());
    });
    if outcome.is_err() {
        eprintln!("before: {:#?}\nafter: {:#?}", bed.pristine(), bed.inventory());
    }
    outcome.is_ok()
}
