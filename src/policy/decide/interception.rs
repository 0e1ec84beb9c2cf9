//! Which TLS is intercepted: that of names whose rules ask for what only a request says, or more,
//! or none, as the policy's `tls` has it.
//!
//! Owns the choice, not what is decided about a request. Invariant: where a rule asks for a method
//! or a path and TLS isn't intercepted, the rule doesn't allow, or denies all of it: what isn't
//! read is never taken for allowed.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Policy;
use crate::policy::attempt::{Attempt, Protocol};
use crate::policy::host::Hostname;
use crate::policy::rule::Rule;
use crate::policy::source::Intercept;

impl Policy {
    /// Whether TLS to this name, where its client addressed it to, is intercepted. Any other is
    /// passed on unread.
    #[must_use]
    pub fn intercepts(&self, name: &Hostname, destination: SocketAddr) -> bool {
        !self.passes_through(name)
            && match self.tls.intercept {
                Intercept::Never => false,
                Intercept::Auto => self.asks_for_requests(name, destination),
                Intercept::Always => true,
            }
    }

    /// Whether TLS to this name is never intercepted, wherever its client addressed it to.
    #[must_use]
    pub fn passes_through(&self, name: &Hostname) -> bool {
        self.tls.passes_through(name)
    }

    /// Whether any TLS could be intercepted, so that the container has to trust its gateway.
    #[must_use]
    pub fn may_intercept(&self) -> bool {
        match self.tls.intercept {
            Intercept::Never => false,
            Intercept::Auto => self.all_rules().any(|rule| rule.reads_tls()),
            Intercept::Always => true,
        }
    }

    /// What its author should know, in sentences for the record.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        self.unsure_denial().into_iter().collect()
    }

    pub(super) fn intercepts_everything(&self) -> bool {
        self.tls.intercept == Intercept::Always
    }

    /// Why the request of an attempt wasn't read, in words.
    pub(super) fn why_unread(&self, attempt: &Attempt<'_>) -> &'static str {
        let passes = |name| self.passes_through(name);
        match attempt.protocol {
            Protocol::Https if attempt.name.is_some_and(passes) => {
                "its name is in tls.passthrough, so its requests are not read"
            }
            Protocol::Https => "this TLS is not intercepted, so its requests are not read",
            Protocol::Http => "its request can't be read here",
            Protocol::Tcp | Protocol::Udp => "what it holds can't be read here",
        }
    }

    fn all_rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let allowing = self.allow.iter().chain(&self.annotated);
        let allowing = allowing.chain(&self.ceiling).chain(self.layers.allow());
        allowing.chain(self.all_denials())
    }

    /// Whether a rule that could apply to HTTPS there looks at methods or paths.
    fn asks_for_requests(&self, name: &Hostname, destination: SocketAddr) -> bool {
        let (address, port) = (destination.ip().to_canonical(), destination.port());
        let allowing = self.allow.iter().chain(&self.annotated);
        let allowing = allowing
            .chain(&self.ceiling)
            .chain(self.layers.allow())
            .filter(|rule| rule.allows_port(Protocol::Https, port));
        let denying = self
            .all_denials()
            .filter(|rule| rule.forbids_on(Protocol::Https, port));
        let mut fitting = allowing.chain(denying);
        fitting.any(|rule| rule.reads_request() && rule.could_be_about(name, address))
    }

    /// What is to be said where a name is denied whose neighbours are allowed, unread: on a
    /// connection to one of those, a client can ask for the name within TLS.
    fn unsure_denial(&self) -> Option<String> {
        if self.observes() || self.intercepts_everything() {
            return None;
        }
        let denying = self.all_denials().filter(|rule| rule.is_about_tls());
        let mut pairs = denying.flat_map(|deny| deny.examples().map(move |name| (deny, name)));
        pairs.find_map(|(deny, name)| {
            let allow = self.allow.iter().chain(&self.annotated).find(|allow| {
                !allow.reads_request()
                    && allow.is_about_tls()
                    && allow.has_pattern_for(&name)
            })?;
            Some(format!(
                "\"deny {}\" under \"{}\": a denial by name under an allowed wildcard is only sure with tls: {{intercept: always}} in \
                 the policy, since on a TLS connection to one name a client can ask for another",
                deny.text(),
                allow.text()
            ))
        })
    }
}
