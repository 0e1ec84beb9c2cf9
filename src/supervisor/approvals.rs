//! What is pending, approved and dismissed, as the keeper sees it.
//!
//! Invariant: the filter may have been taken over. What it calls denied is only an attempt of this
//! container: whether it may be approved, by which rule and under which ID is found out here, by the rules
//! in force. An ID is a hash of all that its rule says, so whatever the filter says between that somebody
//! is shown one and approves it, either the same is approved, or nothing.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use super::policies::{Office, compile};
use crate::audit::denied::{MOST, Pending};
use crate::container::state::{ApprovedRule, SavedState};
use crate::control::{Approval, Approved, PendingAttempt, PendingList};
use crate::policy::{ApprovalId, Policy, own_denial};
use crate::proxy::keeper::{Cause, ToFilter};

/// Approvals that are in force at once.
const MOST_APPROVED: usize = 256;
/// The longest time that something can be approved for, in seconds: a year.
const LONGEST: u64 = 366 * 24 * 60 * 60;
/// How often the clock is looked at while something has to end: it may be set, or have stood still.
const LOOKED: Duration = Duration::from_secs(30);

impl Office<'_> {
    /// What may be approved.
    pub(super) async fn pending(&self) -> anyhow::Result<PendingList> {
        self.listed(true).await
    }

    async fn listed(&self, seen: bool) -> anyhow::Result<PendingList> {
        let (denied, pushed_out) = self.filter.pending(seen).await?;
        let record = self.record.borrow();
        let policy = compile(&record.rules())?;
        Ok(PendingList {
            pending: offered(
                &record.plan.container,
                &policy,
                &self.filter.own().borrow(),
                denied,
            ),
            pushed_out,
        })
    }

    /// What is pending under an ID. Nobody has seen the others by that.
    pub(super) async fn find(&self, id: ApprovalId) -> anyhow::Result<PendingList> {
        let mut listed = self.listed(false).await?;
        listed.pending.retain(|one| one.id == id);
        Ok(listed)
    }

    async fn found(&self, id: ApprovalId) -> anyhow::Result<PendingAttempt> {
        let found = self.find(id).await?.pending.pop();
        found.with_context(|| {
            format!("nothing is pending under {id}: it is allowed by now, or has changed, or was pushed out by later attempts")
        })
    }

    /// Takes it out of what is pending.
    pub(super) async fn dismiss(&self, id: ApprovalId) -> anyhow::Result<()> {
        let found = self.found(id).await?;
        let word = ToFilter::Dismiss(found.made.attempt);
        self.filter.tell(&word, &[])
    }

    /// Allows it, and says who approved it in the record before anything passes.
    pub(super) async fn approve(
        &mut self,
        approval: &Approval,
        by: u32,
    ) -> anyhow::Result<Approved> {
        let seconds = approval.seconds;
        ensure!(
            seconds.is_none_or(|seconds| (1..=LONGEST).contains(&seconds)),
            "the time has to be between a second and a year"
        );
        let PendingAttempt { rule, made, .. } = self.found(approval.id).await?;
        let until = seconds.map(|seconds| now().saturating_add(seconds));
        let mut next = self.record.borrow().clone();
        ensure!(
            next.approvals.in_force.len() < MOST_APPROVED,
            "{MOST_APPROVED} approvals are in force for this container, which is the most"
        );
        let generation = next.generation() + 1;
        next.approvals.generation = generation;
        next.approvals.in_force.push(ApprovedRule {
            rule: rule.clone(),
            by,
            until,
        });
        let with_it = compile(&next.rules())?;
        ensure!(
            with_it.would_pass(&made.attempt),
            "something besides the want of a rule is against it"
        );
        self.tell(&format!("user {by} approved {}: {rule}", end(until)))?;
        self.put(next, Cause::Approved(by))?;
        self.filter.goes_by(generation).await?;
        self.shrink();
        log::info!("something was approved by user {by}: generation {generation}");
        Ok(Approved {
            rule,
            until,
            generation,
        })
    }

    /// Ends the approvals whose time is over: what is open by them is cut.
    pub(super) async fn end_approvals(&mut self) -> anyhow::Result<()> {
        let mut next = self.record.borrow().clone();
        let generation = next.generation() + 1;
        let now = now();
        let is_over = |one: &ApprovedRule| one.until.is_some_and(|until| until <= now);
        let (over, in_force): (Vec<_>, Vec<_>) =
            next.approvals.in_force.into_iter().partition(is_over);
        next.approvals.in_force = in_force;
        next.approvals.generation = generation;
        for ApprovedRule { rule, by, .. } in over {
            self.tell(&format!(
                "what user {by} approved for a time has ended: {rule}"
            ))?;
        }
        self.put(next, Cause::Ended)?;
        // It was told: if it takes long, it denies all the same.
        if let Err(error) = self.filter.goes_by(generation).await {
            log::warn!("{error:#}");
        }
        self.shrink();
        Ok(())
    }
}

/// Waits until an approval's time is over.
pub(super) async fn due(record: &RefCell<SavedState>) {
    loop {
        let ends = |record: &SavedState| {
            let in_force = record.approvals.in_force.iter();
            in_force.filter_map(|one| one.until).min()
        };
        let Some(end) = ends(&record.borrow()) else {
            return std::future::pending().await;
        };
        let left = (UNIX_EPOCH + Duration::from_secs(end))
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOKED)).await;
    }
}

/// What of this may be approved in this container, each rule once. `own`: addresses that are never open to
/// it.
fn offered(
    container: &str,
    policy: &Policy,
    own: &[IpAddr],
    denied: Vec<Pending>,
) -> Vec<PendingAttempt> {
    let mut offered: Vec<PendingAttempt> = Vec::new();
    let is_open = |made: &Pending| {
        let address = made.attempt.address;
        address.is_none_or(|address| own_denial(address, own).is_none())
    };
    for made in denied.into_iter().take(MOST).filter(is_open) {
        let Some(rule) = policy.approval_for(&made.attempt) else {
            continue;
        };
        let id = ApprovalId::of(container, &rule);
        match offered.iter_mut().find(|one| one.id == id) {
            Some(one) => one.made.count = one.made.count.saturating_add(made.count),
            None => offered.push(PendingAttempt { id, rule, made }),
        }
    }
    offered
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn end(until: Option<u64>) -> String {
    let Some(until) = until else {
        return "until the container's end".to_owned();
    };
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(until));
    end.map_or_else(
        || "for ever".to_owned(),
        |end| format!("until {}", humantime::format_rfc3339_seconds(end)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{DeniedAttempt, PolicySource, Protocol};

    #[test]
    fn what_is_never_open_to_the_container_is_not_offered() {
        let made = |address: &str| Pending {
            attempt: DeniedAttempt {
                protocol: Some(Protocol::Udp),
                name: None,
                address: address.parse().ok(),
                port: 9999,
                method: None,
                path: None,
            },
            count: 1,
            first: 0,
            last: 0,
        };
        let policy = Policy::compile(&PolicySource::default()).unwrap();
        let own = ["192.0.2.1".parse().unwrap()];
        let denied = vec![made("192.0.2.1"), made("192.0.2.2")];
        let offered = offered("c", &policy, &own, denied);
        let rules: Vec<_> = offered.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["proto=udp port=9999 cidr=192.0.2.2/32"]);
    }
}
