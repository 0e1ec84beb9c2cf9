//! What only a real system shows: Debian 13 with systemd, control groups of version 2, AppArmor,
//! systemd-resolved and Docker, in a virtual machine that `scripts/vm-e2e` starts. Without it every
//! test is reported as ignored.
//!
//! One test after the other, in the order of this file: each may change the machine's settings, and
//! the last ones restart it and take the product off it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};
use test_support::jail_attacks;
use test_support::needs::not_here;

mod apparmor;
mod control_groups;
mod engine;
mod filter;
mod install;
mod jail;
mod machine;
mod record;
mod resolved;

use machine::Machine;
use test_support::command::shell;

/// One test: what it proves, and how.
type Test = (&'static str, fn(&Machine));

/// Groups, whose names lead their tests'.
const GROUPS: [(&str, &[Test]); 9] = [
    ("install", install::TESTS),
    ("filter", filter::TESTS),
    ("control_groups", control_groups::TESTS),
    ("apparmor", apparmor::TESTS),
    ("resolved", resolved::TESTS),
    ("record", record::TESTS),
    ("engine", engine::TESTS),
    ("jail", jail::TESTS),
    ("uninstall", install::LAST),
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let config = std::env::var_os("BOUNDARY_VM_SSH").map(PathBuf::from);
    let machine: Arc<OnceLock<Option<Machine>>> = Arc::default();
    let trials = GROUPS
        .iter()
        .flat_map(|(group, tests)| tests.iter().map(move |test| (*group, *test)));
    let trials = trials.map(|(group, (name, test))| {
        let (machine, connection) = (Arc::clone(&machine), config.clone());
        let trial = Trial::test(format!("{group}::{name}"), move || {
            let connection = connection.ok_or("no machine: scripts/vm-e2e starts one")?;
            // One that can't be set up is tried once, not by every test.
            let machine = machine
                .get_or_init(|| std::panic::catch_unwind(|| Machine::set_up(connection)).ok());
            let machine = machine
                .as_ref()
                .ok_or("the machine could not be set up: see the first failure")?;
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(machine))).or_else(
                |panic| {
                    // What it left undone is nobody else's failure.
                    machine.restore();
                    std::panic::resume_unwind(panic)
                },
            )
        });
        match config.is_some() {
            true => trial,
            false => not_here(trial, "a machine"),
        }
    });
    let mut trials: Vec<Trial> = trials.collect();
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test(
        "security_md_names_tests_of_this_suite",
        move || {
            jail_attacks::must_be_tests_of("vm", &names);
            Ok(())
        },
    ));
    libtest_mimic::run(&arguments, trials).exit();
}
