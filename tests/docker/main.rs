//! End to end: real dockerd, containerd and runc in a private bed, a little internet behind it, and captures on the wire.
//!
//! `cargo test --test docker` needs root; without it every test is reported as ignored, and with `CI` set that is a
//! failure. `BED_ENGINE_ROOT=DIR` takes Docker from another root file system (`scripts/newer-docker`), and
//! `BOUNDARY_TEST_RUNTIME=runc` runs only what proves the bed itself.
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "what a failed run needs is told on standard error")]
#![expect(clippy::disallowed_methods, reason = "the bed is made of other programs")]

mod attacks;
mod audit;
#[path = "../support/bed.rs"]
mod bed;
mod control;
mod endings;
mod filter;
#[path = "../support/little_internet/hosts.rs"]
mod hosts;
mod networks;
mod refusals;
mod transparency;
mod wire;

use std::sync::{Arc, OnceLock};

use bed::Bed;
use libtest_mimic::{Arguments, Failed, Trial};

/// One test: what it proves, and how.
type Test = (&'static str, fn(&Bed));

/// Tests that belong together; the name leads theirs, so that `cargo test --test docker -- filter` runs one group.
struct Group {
    name: &'static str,
    tests: &'static [Test],
    /// Whether its tests have to pass without any filter.
    proves_the_bed: bool,
}

const fn group(name: &'static str, tests: &'static [Test], proves_the_bed: bool) -> Group {
    Group { name, tests, proves_the_bed }
}

const GROUPS: [Group; 8] = [
    group("control", control::TESTS, true),
    group("transparency", transparency::TESTS, true),
    group("filter", filter::TESTS, false),
    group("attacks", attacks::TESTS, false),
    group("networks", networks::TESTS, false),
    group("endings", endings::TESTS, false),
    group("audit", audit::TESTS, false),
    group("refusals", refusals::TESTS, false),
];

fn main() {
    let arguments = Arguments::from_args();
    let privileged = nix::unistd::geteuid().is_root();
    if !privileged && !arguments.list && std::env::var_os("CI").is_some() {
        eprintln!("these tests need root, and with CI set that is a failure");
        std::process::exit(1);
    }
    let shared = Arc::new(SharedBed::new());
    let trials = GROUPS
        .iter()
        .filter(|group| group.proves_the_bed || bed::runtime() != "runc")
        .flat_map(|group| group.tests.iter().map(|(name, test)| (format!("{}::{name}", group.name), *test)))
        .map(|(name, test)| {
            let shared = Arc::clone(&shared);
            Trial::test(name, move || run(&shared, test)).with_ignored_flag(!privileged)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Here, and not at exit: nobody drops what is alive when a process exits.
    drop(shared);
    conclusion.exit();
}

/// A bed that doesn't come up is tried once, not by every test.
type SharedBed = OnceLock<Option<Bed>>;

fn run(shared: &SharedBed, test: fn(&Bed)) -> Result<(), Failed> {
    let bed = shared.get_or_init(|| std::panic::catch_unwind(Bed::up).ok());
    test(bed.as_ref().ok_or("the bed did not come up: see the first failure")?);
    Ok(())
}
