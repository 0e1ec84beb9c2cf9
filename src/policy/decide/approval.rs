//! What may be approved, and by which rule: exactly the attempt that was denied, and nothing that a rule
//! denies, that is never open, or that the host's ceiling is for.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Policy, canonical};
use crate::policy::attempt::{Attempt, Protocol};
use crate::policy::denied::DeniedAttempt;
use crate::policy::explain;
use crate::policy::net;
use crate::policy::permit::{Permit, Verdict};
use crate::policy::rule::Rule;

/// Longest rule that is offered, in bytes: people have to read it, and a notice of the record has to hold it.
const MAX_OFFERED: usize = 960;

impl Policy {
    /// The rule that allows exactly this attempt, which this policy denies for want of one. None where it
    /// doesn't, or where no approval is to change that. Never has a wildcard.
    #[must_use]
    pub fn approval_for(&self, denied: &DeniedAttempt) -> Option<String> {
        if self.observes() || !denied.is_sound() {
            return None;
        }
        let rule = match denied.protocol {
            None => self.approval_for_lookup(denied)?,
            Some(protocol) => {
                let attempt = canonical(&denied.attempt(protocol));
                self.is_open_to_approval(&attempt, denied.address)
                    .then_some(())?;
                exact(&attempt, denied.address, self.restricts_request(&attempt))?
            }
        };
        (rule.len() <= MAX_OFFERED).then_some(rule)
    }

    /// Whether the attempt would pass now.
    #[must_use]
    pub fn would_pass(&self, denied: &DeniedAttempt) -> bool {
        let leads = |permit: &Permit, address| {
            permit
                .routes()
                .any(|route| route.upstream(address, &[]).is_ok())
        };
        match (denied.protocol, &denied.name) {
            (Some(protocol), _) => match self.decide(&denied.attempt(protocol)) {
                Verdict::Allow(permit) => {
                    denied.address.is_none_or(|address| leads(&permit, address))
                }
                Verdict::Deny(_) => false,
            },
            (None, Some(name)) => self.decide_lookup(name).is_ok(),
            (None, None) => false,
        }
    }

    /// What is asked for in a name is known only after it is looked up: the usual, HTTP and HTTPS on their
    /// own ports.
    fn approval_for_lookup(&self, denied: &DeniedAttempt) -> Option<String> {
        let name = denied.name.as_ref()?;
        let denial = self.judge_lookup(name).err()?;
        denial.approvable.map(|_| format!("domain={name}"))
    }

    /// Whether the want of a rule is all that is against it.
    fn is_open_to_approval(&self, attempt: &Attempt<'_>, address: Option<IpAddr>) -> bool {
        let denial = match (self.judge(attempt), address) {
            (Err(denial), _) => Some(denial),
            // Rules allow the name, and not where it leads.
            (Ok(permit), Some(address)) => {
                let leads = permit.upstream(address, &[]);
                leads.and_then(|_| permit.names(address)).err()
            }
            (Ok(_), None) => None,
        };
        denial.is_some_and(|denial| denial.approvable.is_some())
    }

    /// Whether rules for the attempt's target look at its request, so that one more has to say which.
    pub(super) fn restricts_request(&self, attempt: &Attempt<'_>) -> bool {
        self.rule_for_requests(attempt).is_some()
    }

    /// The first rule for the attempt's target that looks at requests such as it could hold.
    pub(super) fn rule_for_requests(&self, attempt: &Attempt<'_>) -> Option<&Arc<Rule>> {
        let (address, port) = (attempt.destination.ip(), attempt.destination.port());
        let mut rules = self.allow.iter().chain(&self.annotated);
        rules.find(|rule| {
            let is_its = attempt.name.is_some_and(|name| rule.allows_name(name))
                || rule.allows_address(address);
            let unread = attempt.protocol.unread_requests();
            let mut requests = unread.iter().chain([&attempt.protocol]);
            is_its && rule.reads_request() && requests.any(|one| rule.allows_port(*one, port))
        })
    }
}

/// The rule for an attempt at its name, or its address: with both, where a rule has to name the address
/// that the name leads to. None where only a wider one could be written.
fn exact(attempt: &Attempt<'_>, address: Option<IpAddr>, with_request: bool) -> Option<String> {
    let mut words = Vec::new();
    if with_request {
        words.push(format!("method={}", attempt.method?));
    }
    let protocol = match attempt.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    words.push(format!("proto={protocol}"));
    words.extend(attempt.name.map(|name| format!("domain={name}")));
    words.push(format!("port={}", attempt.destination.port()));
    if with_request {
        words.push(format!("path={}", explain::patterns(attempt.path?)?));
    }
    if let Some(address) = address {
        let range = IpNet::from(address);
        net::can_be_named(&range).then_some(())?;
        words.push(format!("cidr={range}"));
    }
    let rule = words.join(" ");
    (!rule.contains('*')).then_some(rule)
}
