//! Who is asked about every attempt: the policy, with the names that the container had resolved,
//! and the record that an attempt begins with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::dns::Learned;
use super::opaque;
use crate::audit::{Entry, Journal, Subject};
use crate::policy::{Attempt, Denial, Hostname, Permit, Policy, Protocol, Verdict};

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

    /// Decides about bytes that name nobody. Gives the name decided about, too.
    pub(super) fn decide_opaque(
        &self,
        protocol: Protocol,
        destination: SocketAddr,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        let names = self.names_of(destination.ip());
        let (name, permit) = opaque::decide(&names, |name| {
            self.decide(&Attempt {
                protocol,
                name,
                destination,
                method: None,
                path: None,
            })
        });
        (name.cloned(), permit)
    }

    /// The names that the container was told this address for, the latest first.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Hostname> {
        self.learned.names_of(address)
    }
}
