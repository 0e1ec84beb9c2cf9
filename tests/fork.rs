//! Copies of a process without threads: the standard harness runs each test in a thread, so there
//! is none here.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't copy itself says where"
)]
#![expect(clippy::disallowed_methods, reason = "a thread with files of its own")]

use std::fs::File;

use boundary_shim::sys::fork::Child;
use nix::sched::{CloneFlags, unshare};

fn main() {
    a_thread_that_was_joined_is_in_nobodys_way();
}

/// A thread's own files are closed after whoever waits for its end was told.
fn a_thread_that_was_joined_is_in_nobodys_way() {
    let busy_with_its_end = || {
        unshare(CloneFlags::CLONE_FILES).unwrap();
        (0..900).for_each(|_| std::mem::forget(File::open("/dev/null").unwrap()));
    };
    for _ in 0..10 {
        std::thread::spawn(busy_with_its_end).join().unwrap();
        assert_eq!(Child::start(|| 0).unwrap().wait().unwrap(), None);
    }
}
