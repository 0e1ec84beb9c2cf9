//! What reached the little internet.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use test_support::bed::Bed;
use test_support::command::wait_for;

use crate::jail::SUPERVISED_USER;

/// How often something arrived at these addresses, which no other test sends to.
pub(crate) fn arrived(bed: &Bed, at: &[&str], run: impl FnOnce()) -> usize {
    let before = all_told(bed);
    run();
    let after = all_told(bed);
    let log = bed.internet_log()[before..after].to_owned();
    let is_there = |line: &&str| at.iter().any(|at| line.contains(&format!("-> {at} ")));
    log.lines().filter(is_there).count()
}

/// Waits until the little internet has told of everything that has arrived by now. Gives how much that is.
fn all_told(bed: &Bed) -> usize {
    static MARKS: AtomicU8 = AtomicU8::new(0);
    // Its connections are taken, and told of, in their order.
    let mark = format!("203.0.113.{}:8080", 210 + MARKS.fetch_add(1, Relaxed) % 40);
    let before = bed.internet_log().len();
    let sign = format!("-> {mark} ");
    let told = || bed.internet_log()[before..].find(&sign);
    SUPERVISED_USER
        .run_unjailed(bed, &format!("attacker send tcp {mark} MARK"))
        .must_succeed();
    wait_for("what has arrived to be told", || told().is_some());
    before + told().unwrap()
}
