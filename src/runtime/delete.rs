//! `delete`: forgets what nothing of runs any more. A courtesy, never a reason to fail: proxies clean up after themselves,
//! and this is for those that were killed, or stopped and never went on. Only the control group that a proxy was in is always
//! left to this.

use std::path::Path;
use std::time::Duration;

use crate::cgroup::{self, Leftover};
use crate::state::{self, ProcessId, Record};
use crate::sys::process::Process;

/// How long a proxy may take to notice that its container's init is gone: it writes its last records, which are lost when it is
/// killed, and on a busy machine that takes a while.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the container's state and its proxy's control group if its init or its proxy is gone, or it never came to a record.
pub(crate) fn forget(directory: &Path) {
    let record = Record::read(directory).ok().flatten();
    if let Some(record) = record.as_ref().filter(|record| !record.init.alive()) {
        end(record.proxy);
    }
    let lives = |record: Record| record.init.alive() && record.proxy.is_none_or(ProcessId::alive);
    if !record.is_some_and(lives) {
        remove(directory);
    }
    if let Some(leftover) = Leftover::of(directory).filter(|leftover| !leftover.lives()) {
        // It may be in its last moments, its state gone already.
        end(Some(leftover.filter));
        leftover.remove(directory);
    }
}

/// Removes a state directory. One that stays is the next sweep's.
fn remove(directory: &Path) {
    if let Err(error) = state::remove(directory) {
        log::warn!("can't remove {}: {error}", directory.display());
    }
}

/// Ends a proxy that has outlived its container.
fn end(proxy: Option<ProcessId>) {
    let Some(proxy) = proxy else { return };
    // The handle first: what is alive after it was opened is what it is a handle on.
    if let Some(process) = Process::open(proxy.pid).ok().filter(|_| proxy.alive()) {
        // Where it can't be killed, nothing else can be done about it here.
        let _ = process.end_within(PATIENCE);
    }
}

/// Removes what others left, where neither init nor proxy is there any more. One without a record may be in the making.
pub(crate) fn sweep() {
    for record in state::list().unwrap_or_default().into_iter().filter(Record::over) {
        remove(&record.plan.state);
    }
    cgroup::sweep();
}
