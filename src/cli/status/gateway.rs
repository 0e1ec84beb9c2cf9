//! One gateway: its state record, which only root can write, and its own report.
//!
//! Invariant: a filter's report is only ever shown, since the filter may have been taken over.

use std::time::Duration;

use serde::Serialize;

use crate::audit::line::{ContainerIdentity, Totals};
use crate::cgroup::Groups;
use crate::cli::policy::host::settings_of;
use crate::container::state::SavedState;
use crate::control::{self, FilterReport, Request, Response};
use crate::settings::{self, select};

/// How long one gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is shown of a gateway.
#[derive(Debug, Serialize)]
pub(super) struct GatewayStatus {
    /// The container's id.
    pub container: String,
    /// Who it is.
    #[serde(flatten)]
    pub identity: ContainerIdentity,
    /// Whether it is well.
    pub state: GatewayState,
    /// The policy's name.
    pub policy: String,
    /// By which the record knows it.
    pub policy_hash: String,
    /// What its file has become.
    pub policy_file: PolicyFile,
    /// Which of the gateway's policies it is: 1 is the one that it was started with.
    pub policy_generation: u64,
    /// Whether its gateway is of an older version, which can't change its policy while it runs; none
    /// where it gave no answer.
    pub older: Option<bool>,
    /// `enforce` or `observe`.
    pub mode: String,
    /// When it began.
    pub since: Option<String>,
    /// Bytes that it takes; none where it isn't known.
    pub memory: Option<u64>,
    /// Bytes that it may take.
    pub memory_limit: u64,
    /// All attempts so far.
    pub totals: Option<Totals>,
    /// Attempts that are under way.
    pub open: Option<u64>,
    /// The last denial.
    pub last_denial: Option<String>,
}

/// Whether a gateway is well, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum GatewayState {
    /// It is gone, and the container has no network.
    Dead,
    /// Its keeper doesn't answer.
    Silent,
    /// Its filter doesn't answer the keeper.
    FilterSilent,
    /// Its record can't be written, so that nothing is allowed.
    RecordUnwritable,
    /// All is well.
    Ok,
}

/// What a policy's file is, compared with what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PolicyFile {
    /// It says the same.
    Same,
    /// It says something else.
    Changed,
    /// The same, since another file's policy was put in its place.
    Replaced,
    /// With it, no such container would start any more.
    Broken,
}

impl GatewayStatus {
    /// Whether nobody has to do anything about it.
    pub(super) fn is_well(&self) -> bool {
        self.state == GatewayState::Ok
    }

    /// By what they are sorted.
    pub(super) fn order(&self) -> (GatewayState, &str, &str) {
        (self.state, self.name(), &self.container)
    }

    /// What people call it: the container, or its pod.
    pub(super) fn name(&self) -> &str {
        self.identity.called().unwrap_or("-")
    }
}

/// What is known of this host.
#[derive(Debug)]
pub(super) struct HostView {
    groups: Groups,
}

impl HostView {
    /// Looks around.
    pub(super) fn look() -> Self {
        Self {
            groups: Groups::find(),
        }
    }

    /// What there is to show of one; nothing where its container is over.
    pub(super) fn show(&self, record: &SavedState) -> Option<GatewayStatus> {
        let answer = record
            .is_kept()
            .then(|| control::ask(&record.plan.state, &Request::Status, PATIENCE));
        let heard = answer.map(|answer| answer.ok());
        if !record.goes_on() && !matches!(heard, Some(Some(_))) {
            return None;
        }
        let older = match &heard {
            Some(Some(_)) => is_older(record),
            _ => None,
        };
        // Asked, it may have died.
        let (state, report) = judge(heard.filter(|_| record.is_kept()));
        let (plan, policy) = (&record.plan, record.policy());
        let group = record
            .proxy
            .and_then(|keeper| self.groups.memory(keeper.pid))
            .filter(|_| state != GatewayState::Dead);
        let (memory, tally) = match report {
            Some(FilterReport { tally, held }) => (group.or(Some(held)), Some(tally)),
            None => (group, None),
        };
        let since = record.proxy.and_then(|keeper| keeper.began());
        Some(GatewayStatus {
            container: plan.container.clone(),
            identity: plan.identity.clone(),
            state,
            policy: policy.name.clone(),
            policy_hash: policy.hash(),
            policy_file: policy_file(record),
            policy_generation: record.generation(),
            older,
            mode: policy.mode.to_string(),
            since: since.map(|since| humantime::format_rfc3339_seconds(since).to_string()),
            memory,
            memory_limit: plan.proxy_memory,
            totals: tally.as_ref().map(|tally| tally.totals),
            open: tally.as_ref().map(|tally| tally.open),
            last_denial: tally.and_then(|tally| tally.last_denial),
        })
    }
}

fn policy_file(record: &SavedState) -> PolicyFile {
    let applied = record
        .changed
        .as_ref()
        .is_some_and(|changed| changed.file.is_some());
    let now = settings_of(record)
        .and_then(|settings| select::again(&settings, &record.plan.policy, settings::read_trusted));
    match now {
        Ok(now) if now.hash() == record.policy().hash() => PolicyFile::Same,
        Ok(_) if applied => PolicyFile::Replaced,
        Ok(_) => PolicyFile::Changed,
        Err(_) => PolicyFile::Broken,
    }
}

/// Whether a gateway doesn't know what it is to change its policy.
fn is_older(record: &SavedState) -> Option<bool> {
    let answer = control::ask(&record.plan.state, &Request::Generation, PATIENCE);
    Some(matches!(answer.ok()?, Response::NotUnderstood(_)))
}

/// How a gateway is by what was heard of it: none where there is none any more, or where it gave no
/// answer.
fn judge(heard: Option<Option<Response>>) -> (GatewayState, Option<FilterReport>) {
    match heard {
        None => (GatewayState::Dead, None),
        Some(Some(Response::Status(Some(report)))) => {
            let state = if report.tally.healthy {
                GatewayState::Ok
            } else {
                GatewayState::RecordUnwritable
            };
            (state, Some(report.cleaned()))
        }
        Some(Some(Response::Status(None))) => (GatewayState::FilterSilent, None),
        Some(_) => (GatewayState::Silent, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::JournalStatus;

    fn report(healthy: bool) -> FilterReport {
        FilterReport {
            tally: JournalStatus {
                healthy,
                last_denial: Some("\u{1b}[2J".to_owned()),
                ..JournalStatus::default()
            },
            held: 1,
        }
    }

    #[test]
    fn a_gateway_is_judged_by_what_is_heard_of_it() {
        let state = |heard| judge(heard).0;
        assert_eq!(state(None), GatewayState::Dead);
        assert_eq!(state(Some(None)), GatewayState::Silent);
        assert_eq!(
            state(Some(Some(Response::Done))),
            GatewayState::Silent,
            "no answer to what was asked"
        );
        assert_eq!(
            state(Some(Some(Response::NotUnderstood(String::new())))),
            GatewayState::Silent
        );
        assert_eq!(
            state(Some(Some(Response::Status(None)))),
            GatewayState::FilterSilent
        );
        assert_eq!(
            state(Some(Some(Response::Status(Some(report(false)))))),
            GatewayState::RecordUnwritable
        );
        let (state, report) = judge(Some(Some(Response::Status(Some(report(true))))));
        assert_eq!(state, GatewayState::Ok);
        assert_eq!(
            report
                .and_then(|report| report.tally.last_denial)
                .as_deref(),
            Some("\\u{1b}[2J")
        );
    }

    #[test]
    fn the_dead_come_first() {
        let mut all = [
            GatewayState::Ok,
            GatewayState::RecordUnwritable,
            GatewayState::Dead,
            GatewayState::FilterSilent,
            GatewayState::Silent,
        ];
        all.sort();
        assert_eq!((all[0], all[4]), (GatewayState::Dead, GatewayState::Ok));
    }
}
