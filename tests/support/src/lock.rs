//! Who waits for a lock that a test has.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use crate::command::wait_for;

/// Waits until somebody waits for a lock on the first byte of this file (proc_locks(5)).
#[track_caller]
pub fn until_wanted(file: &File) {
    let inode = file.metadata().expect("a file that is open").ino();
    let waiter = format!(":{inode} 0 0");
    wait_for("somebody to wait for the lock", || {
        let locks = fs::read_to_string("/proc/locks").expect("the kernel's locks");
        let mut waiters = locks.lines().filter(|line| line.contains("-> OFDLCK"));
        waiters.any(|line| line.trim_end().ends_with(&waiter))
    });
}
