//! The policy in force, and what rests on it: a change takes the whole policy's place at once, and
//! has everything that is open judged again.
//!
//! Whoever lets something pass stands on a [`Footing`], taken before it decides. When the policy
//! changes, each of them judges its own flow by the new one, with all that it knows of it (the name,
//! the address that it led to), and ends it where that denies it. Invariant: what is decided by one
//! policy goes on under the next only after a look at that, since a footing that is older than the
//! policy in force is looked at before any more of its work is done. So no flow is let pass that
//! neither policy allows: each step of it was allowed by the one that was in force at that step.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::policy::{Denial, Policy};

/// How long those whose flows are open may take to judge them again before the record says how many
/// were cut: each does so when it is next given the processor.
const JUDGED_WITHIN: Duration = Duration::from_secs(2);

/// The policy in force in one gateway. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct InForce(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: watch::Sender<Arc<Policy>>,
    standing: Mutex<Standing>,
    all_judged: Notify,
}

/// How many flows are open.
#[derive(Debug, Default)]
struct Standing {
    /// All of them.
    open: usize,
    /// Those that were not judged by the policy in force yet.
    behind: usize,
    /// Those that it cut.
    cut: u64,
}

impl InForce {
    /// This one, until it is changed.
    pub(super) fn new(policy: Policy) -> Self {
        Self(Arc::new(Inner {
            policy: watch::Sender::new(Arc::new(policy)),
            standing: Mutex::default(),
            all_judged: Notify::new(),
        }))
    }

    /// The policy in force now.
    pub(super) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.borrow())
    }

    /// Its generation.
    pub(super) fn generation(&self) -> u64 {
        self.0.policy.borrow().generation()
    }

    /// Puts another policy in its place, at once and whole.
    pub(super) fn change(&self, policy: Policy) {
        {
            let mut standing = self.standing();
            standing.behind = standing.open;
            standing.cut = 0;
        }
        self.0.policy.send_replace(Arc::new(policy));
    }

    /// Waits until all that was open has been judged by the policy in force. Gives how many it cut so
    /// far.
    pub(super) async fn judged(&self) -> u64 {
        let all = async {
            loop {
                let told = self.0.all_judged.notified();
                if self.standing().behind == 0 {
                    return;
                }
                told.await;
            }
        };
        // One that is in the middle of something else says in its own line that it was cut.
        let _ = timeout(JUDGED_WITHIN, all).await;
        self.standing().cut
    }

    /// What a flow stands on that is decided now.
    pub(super) fn footing(&self) -> Footing {
        let news = self.0.policy.subscribe();
        self.standing().open += 1;
        Footing {
            judged_by: self.generation(),
            in_force: self.clone(),
            news,
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0
            .standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that one that was behind isn't any more.
    fn caught_up(&self, standing: &mut Standing) {
        standing.behind = standing.behind.saturating_sub(1);
        if standing.behind == 0 {
            self.0.all_judged.notify_waiters();
        }
    }
}

/// What one open flow stands on: the policy that it was last judged by.
#[derive(Debug)]
pub(super) struct Footing {
    in_force: InForce,
    news: watch::Receiver<Arc<Policy>>,
    judged_by: u64,
}

impl Footing {
    /// Does some work of the flow for as long as the policy in force allows it: `still` judges it
    /// again, by what is known of it now. Work that takes much room is to be pinned or boxed by the
    /// caller: by value, there would be room for it twice.
    ///
    /// # Errors
    /// A changed policy's denial. What was left of the work is dropped.
    pub(super) async fn hold<T>(
        &mut self,
        mut still: impl FnMut() -> Result<(), Denial>,
        work: impl Future<Output = T>,
    ) -> Result<T, Denial> {
        let mut work = pin!(work);
        tokio::select! {
            // Before any more of it is done.
            biased;
            denial = self.revoked(&mut still) => Err(denial),
            done = &mut work => Ok(done),
        }
    }

    /// Has what is known by now be looked at, too, if the policy was changed since this one's permit
    /// was given: what is done next was decided by that.
    pub(super) fn decided_by(&mut self, generation: u64) {
        if generation < self.judged_by {
            let is_behind = self.judged_by != self.in_force.generation();
            self.judged_by = generation;
            self.in_force.standing().behind += usize::from(!is_behind);
        }
    }

    async fn revoked(&mut self, still: &mut impl FnMut() -> Result<(), Denial>) -> Denial {
        loop {
            if let Err(denial) = self.judge(still) {
                return revoked(denial);
            }
            if self.news.changed().await.is_err() {
                // There is always one in force.
                let never: Infallible = std::future::pending().await;
                match never {}
            }
        }
    }

    fn judge(&mut self, still: &mut impl FnMut() -> Result<(), Denial>) -> Result<(), Denial> {
        let now = self.news.borrow_and_update().generation();
        if now == self.judged_by {
            return Ok(());
        }
        let outcome = still();
        self.judged_by = now;
        let mut standing = self.in_force.standing();
        standing.cut += u64::from(outcome.is_err());
        self.in_force.caught_up(&mut standing);
        outcome
    }
}

impl Drop for Footing {
    fn drop(&mut self) {
        let is_behind = self.judged_by != self.in_force.generation();
        let mut standing = self.in_force.standing();
        standing.open = standing.open.saturating_sub(1);
        if is_behind {
            self.in_force.caught_up(&mut standing);
        }
    }
}

/// What the record says of a flow that a changed policy denies.
fn revoked(denial: Denial) -> Denial {
    Denial {
        reason: format!(
            "the policy was changed while it was open: {}",
            denial.reason
        ),
        ..denial
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::policy::PolicySource;

    fn policy(generation: u64) -> Policy {
        let policy = Policy::compile(&PolicySource::default()).unwrap();
        policy.of_generation(generation)
    }

    #[tokio::test]
    async fn what_a_change_denies_ends_and_all_else_goes_on() {
        let in_force = InForce::new(policy(1));
        let (told, work) = tokio::sync::oneshot::channel();
        let mut kept = in_force.footing();
        let kept = tokio::spawn(async move { kept.hold(|| Ok(()), work).await });
        let mut cut = in_force.footing();
        let deny = || Err(Denial::because("no more"));
        let cut = tokio::spawn(async move { cut.hold(deny, pending::<()>()).await });
        tokio::task::yield_now().await;
        in_force.change(policy(2));
        assert_eq!(in_force.judged().await, 1);
        let denial = cut.await.unwrap().unwrap_err();
        assert_eq!(
            denial.reason,
            "the policy was changed while it was open: no more"
        );
        told.send(7).unwrap();
        assert_eq!(kept.await.unwrap().unwrap().unwrap(), 7);
        in_force.change(policy(3));
        assert_eq!(in_force.judged().await, 0, "nothing is open");
    }

    /// What was decided by the policy before goes no step further unseen.
    #[tokio::test]
    async fn what_was_decided_before_a_change_is_judged_before_its_work_is_done() {
        let in_force = InForce::new(policy(1));
        let mut footing = in_force.footing();
        in_force.change(policy(2));
        let mut done = false;
        let deny = || Err(Denial::because(""));
        let held = footing.hold(deny, async { done = true }).await;
        assert!(held.is_err() && !done);
        // Judged, it is looked at again only where its permit is older than that.
        assert!(footing.hold(deny, async {}).await.is_ok());
        footing.decided_by(1);
        assert!(footing.hold(deny, async {}).await.is_err());
        assert_eq!(in_force.standing().behind, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_busy_elsewhere_is_not_waited_for_for_ever() {
        let in_force = InForce::new(policy(1));
        let busy = in_force.footing();
        in_force.change(policy(2));
        assert_eq!(in_force.judged().await, 0);
        drop(busy);
        assert_eq!(in_force.standing().behind, 0);
    }
}
