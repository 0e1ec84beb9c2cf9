//! Cleanup at `delete` and at `create`, by the copy that this leaves behind: removes the state of containers that have ended. Best
//! effort, never a reason to fail: proxies clean up after themselves, and this is for those that
//! were killed, or stopped and never continued. Only a proxy's control group is always left to
//! this.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::audit::reader::Directory;
use crate::audit::{self, prune};
use crate::cgroup::{self, Leftover};
use crate::container::meeting;
use crate::container::plan::record_name;
use crate::container::state::{self, ProcessId, SavedState};
use crate::container::trust;
use crate::settings::Settings;

/// How long a gateway may take to end after its container's init: what the container said last may
/// still arrive, the last records are written, which are lost when it is killed, and on a busy
/// machine that takes a while.
const PATIENCE: Duration = Duration::from_secs(4);

/// What [`forget`] does, once the container has been deleted. If its gateway was another's, that may
/// be a pod's, of which only the containers are ever deleted: the same is then done for all pods
/// whose network namespace is held no longer.
pub(crate) fn forget_deleted(directory: &Path) {
    let record = SavedState::read(directory).ok().flatten();
    let had_its_own = Leftover::of(directory).is_some();
    forget(directory);
    if !had_its_own {
        forget_pods(record.map(|record| record.network_namespace));
    }
}

/// Removes the container's state and its proxy's control group if its init or its proxy is gone, or
/// it never came to a record; and what a keeper left that was killed before its hook came. Takes no
/// longer where many others are alive.
pub(crate) fn forget(directory: &Path) {
    let record = SavedState::read(directory).ok().flatten();
    if let Some(record) = record.as_ref().filter(|record| !record.goes_on()) {
        end(record.proxy);
    }
    if let Some(record) = record.as_ref().filter(|record| !record.is_kept()) {
        record_end(record);
    }
    let lives = |record: &SavedState| record.goes_on() && record.proxy.is_none_or(ProcessId::alive);
    if !record.as_ref().is_some_and(lives) {
        remove(directory);
    }
    if let Some(leftover) = Leftover::of(directory).filter(|leftover| !leftover.lives()) {
        // It may be in its last moments, its state gone already.
        end(Some(leftover.filter));
        leftover.remove(directory);
    }
    meeting::forget_left(directory);
}

/// The gateway of the pod whose container was in this network namespace is waited for.
fn forget_pods(network: Option<u64>) {
    let listed = state::list().unwrap_or_default();
    let ended = |record: &&SavedState| record.plan.pin().is_some() && !record.goes_on();
    for record in listed.iter().filter(ended) {
        if network == Some(record.network_namespace) {
            end(record.proxy);
        }
    }
    clear_away(&listed);
}

/// Ends the records of what is over, and forgets its state and groups.
fn clear_away(listed: &[SavedState]) {
    let (over, living): (Vec<_>, Vec<_>) = listed.iter().partition(|record| record.over());
    for record in over {
        record_end(record);
        remove(&record.plan.state);
    }
    let names = living
        .iter()
        .filter_map(|record| Some(record.plan.state.file_name()?.to_owned()));
    cgroup::sweep(&names.collect());
}

/// Removes a state directory, and the files by which its container trusts its gateway. What stays is
/// the next sweep's.
fn remove(directory: &Path) {
    if let Err(error) = trust::remove(directory).and_then(|()| state::remove(directory)) {
        log::warn!("can't remove {}: {error}", directory.display());
    }
}

/// Ends a proxy that has outlived its container.
fn end(proxy: Option<ProcessId>) {
    let Some(proxy) = proxy else { return };
    if let Some(process) = proxy.open() {
        // Where it can't be killed, nothing else can be done about it here.
        let _ = process.end_within(PATIENCE);
    }
}

/// Gives the record of a gateway that is gone its last line, where the gateway could not.
pub(crate) fn record_end(record: &SavedState) {
    let SavedState {
        plan,
        proxy: Some(_),
        ..
    } = record
    else {
        return;
    };
    let kills = || Leftover::of(&plan.state).and_then(|leftover| leftover.oom_kills());
    let reason = || cgroup::with_oom_kills("the gateway was killed".to_owned(), kills());
    if let Err(error) = audit::write_last(&plan.audit, &plan.container, reason) {
        log::warn!(
            "can't write the last line of the record {}: {error}",
            plan.audit.display()
        );
    }
}

/// Removes what others left, where neither init nor proxy is there any more, and the record of some
/// that ended longer ago than `audit-keep`. One without a record of its state may be in the making.
pub(crate) fn sweep(settings: &Settings) {
    let listed = state::list();
    clear_away(listed.as_deref().unwrap_or_default());
    meeting::sweep();
    trust::sweep();
    // Where it can't be said what runs, everything may.
    if let (Some(keep), Ok(listed)) = (settings.audit_keep, listed) {
        let runs = |name: &str| {
            listed
                .iter()
                .any(|record| record_name(&record.plan.container) == name && !record.over())
        };
        let before = SystemTime::now()
            .checked_sub(keep)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        prune::sweep(&Directory::new(&settings.audit_directory), before, runs);
    }
}
