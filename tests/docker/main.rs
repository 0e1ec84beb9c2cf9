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

mod annotations;
mod attacks;
mod audit;
#[path = "../support/bed.rs"]
mod bed;
mod by_hand;
mod control;
mod endings;
mod filter;
#[path = "../support/little_internet/hosts.rs"]
mod hosts;
#[path = "../support/loaded_filter.rs"]
mod loaded_filter;
mod nesting;
mod networks;
mod refusals;
mod traces;
mod transparency;
mod wire;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bed::Bed;
use libtest_mimic::{Arguments, Failed, Trial};

/// One test: what it proves, and how.
type Test = (&'static str, fn(&Bed));

/// Tests that belong together; the name leads theirs, so that `cargo test --test docker -- filter` runs one group.
#[derive(Clone, Copy)]
struct Group {
    name: &'static str,
    tests: &'static [Test],
    /// Whether its tests have to pass without any filter.
    proves_the_bed: bool,
    /// The first major version of Docker that can do what they do, where it isn't any.
    since: Option<u32>,
    /// A program of this machine that they need, where not every system packages it.
    program: Option<&'static str>,
    /// Whether no other test may run meanwhile: so many containers at once leave the others no time.
    alone: bool,
}

const fn group(name: &'static str, tests: &'static [Test]) -> Group {
    Group { name, tests, proves_the_bed: false, since: None, program: None, alone: false }
}

const GROUPS: [Group; 13] = [
    Group { proves_the_bed: true, ..group("control", control::TESTS) },
    Group { proves_the_bed: true, ..group("transparency", transparency::TESTS) },
    group("filter", filter::TESTS),
    group("attacks", attacks::TESTS),
    group("networks", networks::TESTS),
    group("endings", endings::TESTS),
    Group { alone: true, ..group("crowd", endings::CROWD) },
    group("by_hand", by_hand::TESTS),
    group("audit", audit::TESTS),
    group("refusals", refusals::TESTS),
    Group { since: Some(24), ..group("annotations", annotations::TESTS) },
    group("nesting", nesting::TESTS),
    Group { program: Some("chromium-headless-shell"), ..group("nesting_browser", nesting::BROWSER_TESTS) },
];

/// What one test may take: the longest, three hundred containers, takes a quarter on an idle machine.
const TEST_DEADLINE: Duration = Duration::from_secs(600);

/// Held by every test that runs; by one that must be alone, for writing.
static COMPANY: RwLock<()> = RwLock::new(());

fn main() {
    let arguments = Arguments::from_args();
    let privileged = nix::unistd::geteuid().is_root();
    if !privileged && !arguments.list && std::env::var_os("CI").is_some() {
        eprintln!("these tests need root, and with CI set that is a failure");
        std::process::exit(1);
    }
    let shared = Arc::new(SharedBed::new());
    let engine = if privileged { bed::engine_version() } else { None };
    let trials = GROUPS
        .iter()
        .filter(|group| group.proves_the_bed || bed::runtime() != "runc")
        .flat_map(|group| group.tests.iter().map(|test| trial(group, *test, &shared, engine)))
        .map(|trial| if privileged { trial } else { trial.with_ignored_flag(true) })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let clean = conclusion.has_failed() || shared.get().and_then(Option::as_ref).is_none_or(is_as_it_was);
    // Here, and not at exit: nobody drops what is alive when a process exits.
    drop(shared);
    if !clean {
        std::process::exit(101);
    }
    conclusion.exit();
}

fn trial(group: &Group, (name, test): Test, shared: &Arc<SharedBed>, engine: Option<u32>) -> Trial {
    let (shared, alone) = (Arc::clone(shared), group.alone);
    let trial = Trial::test(format!("{}::{name}", group.name), move || {
        // A test that failed poisons them, and that is all it does.
        let _company = (!alone).then(|| COMPANY.read().unwrap_or_else(PoisonError::into_inner));
        let _solitude = alone.then(|| COMPANY.write().unwrap_or_else(PoisonError::into_inner));
        within_deadline(shared, test)
    });
    match (group.since, group.program) {
        // An unknown version runs, and fails, rather than pass for tested.
        (Some(since), _) if engine.is_some_and(|engine| engine < since) => {
            trial.with_kind(format!("needs Docker {since}")).with_ignored_flag(true)
        }
        (_, Some(program)) if !bed::is_installed(program) => {
            trial.with_kind(format!("needs {program}")).with_ignored_flag(true)
        }
        _ => trial,
    }
}

/// A test that doesn't end is left behind; its commands end by their own deadlines.
fn within_deadline(shared: Arc<SharedBed>, test: fn(&Bed)) -> Result<(), Failed> {
    let (over, end) = mpsc::channel();
    let running = std::thread::spawn(move || {
        // Sends by being dropped, in a panic too.
        let _over: mpsc::Sender<()> = over;
        run(&shared, test)
    });
    match end.recv_timeout(TEST_DEADLINE) {
        Err(RecvTimeoutError::Timeout) => Err(format!("no end after {} s", TEST_DEADLINE.as_secs()).into()),
        _ => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Whether nothing that a container brought is still in the bed; says what is.
fn is_as_it_was(bed: &Bed) -> bool {
    let outcome = std::panic::catch_unwind(|| {
        bed::wait_for("the bed to be as it was before the tests", || bed.inventory() == *bed.pristine());
    });
    if outcome.is_err() {
        eprintln!("before: {:#?}\nafter: {:#?}", bed.pristine(), bed.inventory());
    }
    outcome.is_ok()
}

/// A bed that doesn't come up is tried once, not by every test.
type SharedBed = OnceLock<Option<Bed>>;

fn run(shared: &SharedBed, test: fn(&Bed)) -> Result<(), Failed> {
    let bed = shared.get_or_init(|| std::panic::catch_unwind(|| Bed::up("docker")).ok());
    test(bed.as_ref().ok_or("the bed did not come up: see the first failure")?);
    Ok(())
}
