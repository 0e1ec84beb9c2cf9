//! The red team: every way out of the filter that anybody thought of, tried for real and judged
//! from outside.
//!
//! A row is one attack, one test. It runs in circumstances that cover every pair of (root or uid
//! 1000, IPv4 or IPv6, nesting or none, runc or crun, older or newer Docker) where it can run; with
//! `REDTEAM_FULL` set in all of them. The judge looks at the host's end of the container's uplink,
//! at what the attacker's machine received, at the little internet's log and at the record. Without
//! the filter the same attack must get its secret out, else the row fails: it proves nothing any
//! more.
//!
//! New rows go into `rows/`, in the file of their kind.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "the bed is made of other programs"
)]

mod old_tls;
mod pairing;
mod report;
mod row;
mod rows;
mod scene;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use libtest_mimic::{Arguments, Failed, Trial};
use test_support::needs::Needs;

use crate::pairing::{Circumstances, Engine, all, pairwise};
use crate::row::Row;
use crate::scene::{Scene, World};

/// Attacks at a time: most wait for a kernel's timers.
const AT_A_TIME: usize = 8;

/// Held by every attempt while it does something; by one that must be alone, for writing.
static COMPANY: RwLock<()> = RwLock::new(());

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let root = Needs::root();
    let world: Arc<OnceLock<Option<World>>> = Arc::default();
    let engine = root.are_met().then(scene::engine);
    let mut trials = vec![Trial::test("every_pair_is_covered_by_few", || {
        pairing::every_pair_is_covered_by_few();
        Ok(())
    })];
    trials.push(Trial::test("security_md_lists_exactly_the_rows", || {
        report::security_md_lists_exactly_the_rows();
        Ok(())
    }));
    trials.extend(rows::all().map(|row| {
        let world = Arc::clone(&world);
        root.trial(row.name, move || attempt(&world, &row, engine))
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Here, and not at exit: nobody drops what is alive when a process exits.
    drop(world);
    conclusion.exit();
}

/// Tries one row in all of its circumstances at once.
fn attempt(
    world: &OnceLock<Option<World>>,
    row: &Row,
    engine: Option<Engine>,
) -> Result<(), Failed> {
    let world = world.get_or_init(|| std::panic::catch_unwind(World::up).ok());
    let world = world
        .as_ref()
        .ok_or("the bed did not come up: see the first failure")?;
    let chosen: Vec<Circumstances> = chosen(row)
        .into_iter()
        .filter(|one| Some(one.engine) == engine)
        .collect();
    // Without the filter neither nesting nor the runtime makes a difference.
    let bare: BTreeMap<_, _> = chosen
        .iter()
        .map(|one| ((one.user, one.family), *one))
        .collect();
    let attempts = bare
        .into_values()
        .map(|one| (one, false))
        .chain(chosen.into_iter().map(|one| (one, true)));
    let failures: Vec<String> = if row.alone {
        attempts
            .filter_map(|(one, filtered)| failure(world, row, one, filtered))
            .collect()
    } else {
        std::thread::scope(|scope| {
            let running: Vec<_> = attempts
                .map(|(one, filtered)| scope.spawn(move || failure(world, row, one, filtered)))
                .collect();
            running
                .into_iter()
                .filter_map(|attempt| {
                    attempt
                        .join()
                        .unwrap_or_else(|_| Some("it panicked".into()))
                })
                .collect()
        })
    };
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

/// The circumstances that a row is tried in, for both Dockers.
fn chosen(row: &Row) -> Vec<Circumstances> {
    let possible: Vec<Circumstances> = all()
        .into_iter()
        .filter(|one| row.hindrance(one).is_none())
        .collect();
    if std::env::var_os("REDTEAM_FULL").is_some() {
        possible
    } else {
        pairwise(&possible)
    }
}

/// One attempt; what is wrong with what came of it.
fn failure(
    world: &World,
    row: &Row,
    circumstances: Circumstances,
    filtered: bool,
) -> Option<String> {
    let company = (!row.alone).then(|| COMPANY.read().unwrap_or_else(PoisonError::into_inner));
    let solitude = row
        .alone
        .then(|| COMPANY.write().unwrap_or_else(PoisonError::into_inner));
    let scene = Scene::set(world, row, circumstances, filtered);
    let answer = scene.play(row);
    // While one waits for a kernel's timer others may have the machine.
    drop((company, solitude));
    scene.linger(row);
    let said = format!("exit {}: {}{}", answer.code, answer.stdout, answer.stderr);
    let fail = |why: String| Some(format!("{circumstances}: {why}\n  the attack said: {said}"));
    let is_awake = filtered && row.meanwhile != row::Meanwhile::ProxyIsKilled && !row.silences;
    let judge = if is_awake {
        scene.wake_the_judge()
    } else {
        Ok(())
    };
    match (filtered, scene.leaks(row.counts).as_slice()) {
        (false, []) => {
            return fail("even without the filter nothing got out: the attack is broken".into());
        }
        (false, _) => {
            drop(scene);
            return world.nobody_is_answered_who_is_gone().err().and_then(fail);
        }
        (true, []) => {}
        (true, leaks) => return fail(format!("GOT OUT: {}", leaks.join("; "))),
    }
    if let Err(why) = judge {
        return fail(why);
    }
    match row.recorded {
        Some(trace) if !scene.is_recorded(trace) => fail("the record tells nothing of it".into()),
        _ => None,
    }
}
