//! Who is asked about every attempt: the policy, with the names that the container had resolved,
//! and the record that an attempt begins with.

use std::net::IpAddr;
use std::sync::Arc;

use super::dns::Learned;
use super::opaque;
use crate::audit::{Entry, Journal, Subject};
use crate::policy::{Attempt, Denial, Hostname, Permit, Policy, Verdict};

/// One gateway's. Clones share all of it.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The rules.
    pub policy: Arc<Policy>,
    /// What the container resolved.
    pub learned: Arc<Learned>,
    /// The record.
    pub journal: Journal,
}

impl Judge {
    /// Begins the record of an attempt.
    pub(super) fn begin(&self, subject: Subject) -> Entry {
        self.journal.begin(subject)
    }

    /// Decides one attempt: the only way to a permit.
    pub(super) fn decide(&self, attempt: &Attempt<'_>) -> Result<Permit, Denial> {
        match self.policy.decide(attempt) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// Decides about what names nobody: in the names that the container resolved to the address,
    /// else about the address. Gives the name decided about, too.
    pub(super) fn decide_unnamed(
        &self,
        attempt: Attempt<'_>,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        let names = self.names_of(attempt.destination.ip());
        let (name, permit) =
            opaque::decide(&names, |name| self.decide(&Attempt { name, ..attempt }));
        (name.cloned(), permit)
    }

    /// The names that the container was told this address for, the latest first.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Hostname> {
        self.learned.names_of(address)
    }
}
