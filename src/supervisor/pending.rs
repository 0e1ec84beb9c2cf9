//! What the filter answers when it is asked what was denied and may be approved, put together.
//!
//! Invariant: what it says is bounded, however much it says; more than there can be ends the gateway, as
//! any word that wasn't asked for does.

use anyhow::ensure;
use tokio::sync::oneshot;

use crate::audit::denied::{MOST, Pending};
use crate::proxy::keeper::PENDING_AT_ONCE;

/// What is pending, and how many were pushed out besides.
pub(super) type Answer = (Vec<Pending>, u64);

/// What it has answered so far. It is asked for one answer at a time.
#[derive(Debug, Default)]
pub(super) struct Answering {
    asked: bool,
    so_far: Vec<Pending>,
    waiting: Option<oneshot::Sender<Answer>>,
}

impl Answering {
    /// Has somebody wait, in the place of who waited before. Says whether the filter is to be asked now.
    pub(super) fn wait(&mut self, caller: oneshot::Sender<Answer>) -> bool {
        self.waiting = Some(caller);
        !std::mem::replace(&mut self.asked, true)
    }

    /// Takes a part; the last has the number of those that were pushed out.
    ///
    /// # Errors
    /// It wasn't asked for this, or it is more than there can be.
    pub(super) fn take(
        &mut self,
        some: Vec<Pending>,
        pushed_out: Option<u64>,
    ) -> anyhow::Result<()> {
        let length = self.so_far.len() + some.len();
        ensure!(
            self.asked && some.len() <= PENDING_AT_ONCE && length <= MOST,
            "unexpected message from the filter: {} pending",
            some.len()
        );
        self.so_far.extend(some);
        let Some(pushed_out) = pushed_out else {
            return Ok(());
        };
        self.asked = false;
        let all = std::mem::take(&mut self.so_far);
        if let Some(caller) = self.waiting.take() {
            // It may have given up.
            let _ = caller.send((all, pushed_out));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{DeniedAttempt, Hostname};

    fn pending(how_many: usize) -> Vec<Pending> {
        let pending = |number: usize| Pending {
            attempt: DeniedAttempt {
                protocol: None,
                name: Hostname::parse(&format!("n{number}.test")).ok(),
                address: None,
                port: 0,
                method: None,
                path: None,
            },
            count: 1,
            first: 0,
            last: 0,
        };
        (0..how_many).map(pending).collect()
    }

    #[test]
    fn an_answer_comes_in_parts_and_is_asked_for_once() {
        let mut answering = Answering::default();
        let (first, given_up) = oneshot::channel();
        assert!(answering.wait(first));
        drop(given_up);
        let (second, mut answer) = oneshot::channel();
        assert!(!answering.wait(second), "it was asked already");
        answering.take(pending(32), None).unwrap();
        answering.take(pending(2), Some(7)).unwrap();
        let (all, pushed_out) = answer.try_recv().unwrap();
        assert_eq!((all.len(), pushed_out), (34, 7));
        let (third, _answer) = oneshot::channel();
        assert!(answering.wait(third));
    }

    #[test]
    fn what_wasnt_asked_for_or_is_too_much_is_unexpected() {
        let mut answering = Answering::default();
        assert!(answering.take(Vec::new(), Some(0)).is_err());
        let (caller, _answer) = oneshot::channel();
        answering.wait(caller);
        assert!(answering.take(pending(33), None).is_err());
        (0..8).for_each(|_| answering.take(pending(32), None).unwrap());
        assert!(answering.take(pending(1), None).is_err());
    }
}
