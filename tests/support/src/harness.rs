//! What every end-to-end suite does: one bed for all tests, a deadline for each, and a look at the
//! end at what is left in it.
use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::bed::Bed;
use crate::command::wait_for;
use crate::needs::Needs;

/// One test: what it proves, and how.
pub type Test = (&'static str, fn(&Bed));

/// What one test may take: the longest, three hundred containers, takes a quarter on an idle
/// machine.
const TEST_DEADLINE: Duration = Duration::from_secs(600);

/// What is shown of a test that no other runs beside.
const ALONE: &str = "alone";

/// Held by every test that runs; by one that must be alone, for writing. What failed poisons it,
/// and that is all it does.
static COMPANY: RwLock<()> = RwLock::new(());

/// The tests of one binary.
#[derive(Debug)]
pub struct Suite {
    arguments: Arguments,
    /// What all tests need.
    pub needs: Needs,
    shared: Arc<SharedBed>,
}

/// A bed that doesn't come up is tried once, not by every test.
#[derive(Debug)]
struct SharedBed {
    up: fn() -> Bed,
    bed: OnceLock<Option<Bed>>,
}

impl Suite {
    /// Reads the command line; `up` makes the bed when the first test runs.
    pub fn begin(needs: Needs, up: fn() -> Bed) -> Self {
        Self {
            arguments: Arguments::from_args(),
            needs,
            shared: Arc::new(SharedBed {
                up,
                bed: OnceLock::new(),
            }),
        }
    }

    /// A test of a group; the group's name leads its own, so that `-- GROUP` runs one group.
    pub fn trial(&self, group: &str, test: Test) -> Trial {
        self.trial_beside(group, test, true, &self.needs)
    }

    /// One that needs these instead of what all need.
    pub fn trial_needing(&self, group: &str, test: Test, needs: &Needs) -> Trial {
        self.trial_beside(group, test, true, needs)
    }

    /// One that no other test runs beside: it would disturb them, or they it.
    pub fn trial_alone(&self, group: &str, test: Test) -> Trial {
        let trial = self.trial_beside(group, test, false, &self.needs);
        if trial.kind().is_empty() {
            trial.with_kind(ALONE)
        } else {
            trial
        }
    }

    fn trial_beside(&self, group: &str, (name, test): Test, others: bool, needs: &Needs) -> Trial {
        let shared = Arc::clone(&self.shared);
        needs.trial(format!("{group}::{name}"), move || {
            let _company = others.then(|| COMPANY.read().unwrap_or_else(PoisonError::into_inner));
            let _solitude =
                (!others).then(|| COMPANY.write().unwrap_or_else(PoisonError::into_inner));
            within_deadline(shared, test)
        })
    }

    /// Runs the tests, and ends the process.
    pub fn conclude(self, trials: Vec<Trial>) -> ! {
        let conclusion = libtest_mimic::run(&self.arguments, in_turns(trials));
        let bed = self.shared.bed.get().and_then(Option::as_ref);
        let clean = conclusion.has_failed() || bed.is_none_or(is_as_it_was);
        // Here, and not at exit: nobody drops what is alive when a process exits.
        drop(self.shared);
        if !clean {
            std::process::exit(101);
        }
        conclusion.exit();
    }
}

/// The tests in an order in which few wait for each other: those of a group need the same at times, so each
/// group has its turn; and whoever must be alone waits for all that run, as all that follow do for it, so
/// these come last.
fn in_turns(trials: Vec<Trial>) -> Vec<Trial> {
    let mut turns: HashMap<String, usize> = HashMap::new();
    let mut trials: Vec<_> = trials
        .into_iter()
        .map(|trial| {
            let group = trial.name().split("::").next().unwrap_or_default();
            let turn = turns.entry(group.to_owned()).or_default();
            *turn += 1;
            ((trial.kind() == ALONE, *turn), trial)
        })
        .collect();
    trials.sort_by_key(|(when, _)| *when);
    trials.into_iter().map(|(_, trial)| trial).collect()
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
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("no end after {} s", TEST_DEADLINE.as_secs()).into())
        }
        _ => running
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Whether nothing that a container brought is still in the bed; says what is.
fn is_as_it_was(bed: &Bed) -> bool {
    let outcome = std::panic::catch_unwind(|| {
        wait_for("the bed to be as it was before the tests", || {
            bed.inventory() == *bed.pristine()
        });
    });
    if outcome.is_err() {
        eprintln!(
            "before: {:#?}\nafter: {:#?}",
            bed.pristine(),
            bed.inventory()
        );
    }
    outcome.is_ok()
}

fn run(shared: &SharedBed, test: fn(&Bed)) -> Result<(), Failed> {
    let bed = shared
        .bed
        .get_or_init(|| std::panic::catch_unwind(shared.up).ok());
    test(
        bed.as_ref()
            .ok_or("the bed did not come up: see the first failure")?,
    );
    Ok(())
}
