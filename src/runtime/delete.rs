//! `delete`: forgets what nothing of runs any more. A courtesy, never a reason to fail: proxies clean up after themselves,
//! and this is for those that were killed.

use super::Container;
use crate::state::{self, ProcessId, Record};

/// Removes the container's state if its init or its proxy is gone, or it never came to a record.
pub(super) fn forget(container: &Container<'_>) {
    let record = Record::read(&container.state).ok().flatten();
    let lives = |record: Record| record.init.alive() && record.proxy.is_none_or(ProcessId::alive);
    if !record.is_some_and(lives) {
        // It stays for the next sweep.
        let _ = state::remove(&container.state);
    }
}

/// Removes what others left, where neither init nor proxy is there any more. One without a record may be in the making.
pub(super) fn sweep() {
    for record in state::list().unwrap_or_default().into_iter().filter(Record::over) {
        let _ = state::remove(&record.plan.state);
    }
}
