//! Permission to reach one target, and the final check of the address that it really leads to.
//!
//! Owns [`Permit`] and [`UpstreamAddr`]; both can be made only here and in [`super::decide`]. Knows
//! nothing of sockets or of DNS. Invariant: the rules decided about a name, not about where it
//! leads; only [`Permit::upstream`] has seen the address.
//!
//! What several rules allow has several routes ([`Permit::routes`]): by its name, and to the address
//! that the client chose. The next is taken where one leads nowhere, so that a rule more never takes
//! away what another allows; each is allowed by rules of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::denial::{Approvable, Denial, Grounds};
use super::host::Hostname;
use super::net::{self, Class};
use super::rule::Rule;

/// The answer to an [`super::Attempt`].
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It may go out, as the permit says.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// Permission to reach one target. Made only by [`super::Policy::decide`].
#[derive(Debug, Clone)]
pub struct Permit {
    pub(super) grounds: Grounds,
    pub(super) target: PermittedTarget,
    pub(super) port: u16,
    /// Where it may lead; one of them is enough.
    pub(super) chains: Vec<RuleChain>,
    /// Routes for addresses: the private ranges that they name are open to names too.
    pub(super) openings: Vec<RuleChain>,
    /// Rules that deny some addresses to this attempt.
    pub(super) forbidden: Vec<Arc<Rule>>,
    /// The narrowest rule for this target and port, where one can be written.
    pub(super) narrowest: Option<String>,
    /// Whether rules for the target look at the request.
    pub(super) request: bool,
    /// Whether it is of `observe` mode, which lets pass what rules don't.
    pub(super) observes: bool,
    /// Of the policy that gave it.
    pub(super) generation: u64,
    /// The route that is taken where this one leads nowhere.
    pub(super) otherwise: Option<Box<Self>>,
}

#[derive(Debug, Clone)]
pub(super) enum PermittedTarget {
    Name(Hostname),
    Address(IpAddr),
}

/// The rules that together allow something: one, or one of an annotation and one of the ceiling
/// over it. None at all: `observe` mode lets it pass.
#[derive(Debug, Clone)]
pub(super) struct RuleChain(pub(super) Vec<Arc<Rule>>);

fn texts_of(rules: &[Arc<Rule>]) -> Vec<Arc<str>> {
    rules.iter().map(|rule| rule.text().clone()).collect()
}

impl RuleChain {
    fn leads_to(&self, address: IpAddr) -> bool {
        self.0.iter().all(|rule| rule.leads_to(address))
    }

    fn names(&self, address: IpAddr) -> bool {
        self.0.iter().all(|rule| rule.names(address))
    }

    fn names_private(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.iter().all(|rule| rule.names_private(address))
    }
}

/// An address that may be connected to. Made only by [`Permit::upstream`], and demanded by
/// `proxy::dial`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamAddr(SocketAddr);

impl UpstreamAddr {
    /// The address to connect to.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl Permit {
    /// On what grounds it is allowed.
    #[must_use]
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// The same now that it is known which address it led to: in `observe` mode, rules may allow the
    /// name and not that address, and then what is suggested names it.
    #[must_use]
    pub fn grounds_at(&self, address: UpstreamAddr) -> Grounds {
        let strictly = self.ruled(address.0.ip());
        match strictly.err().filter(|_| self.observes) {
            // No rule allows the name either.
            Some(denial) if self.rests_on_no_rule() => Grounds {
                suggestion: denial.suggestion.map(Arc::from),
                ..self.grounds.clone()
            },
            Some(denial) => Grounds::in_spite_of(&denial),
            None => self.grounds.clone(),
        }
    }

    fn rests_on_no_rule(&self) -> bool {
        self.chains.iter().any(|chain| chain.0.is_empty())
    }

    /// The name to resolve, where the permit is for a name.
    #[must_use]
    pub fn name(&self) -> Option<&Hostname> {
        match &self.target {
            PermittedTarget::Name(name) => Some(name),
            PermittedTarget::Address(_) => None,
        }
    }

    /// The address, where the permit is for one (a `cidr` rule): resolve nothing.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.target {
            PermittedTarget::Name(_) => None,
            PermittedTarget::Address(address) => Some(address),
        }
    }

    /// This route, and then those that are taken in turn where one leads nowhere: its name can't be
    /// looked up, or leads only to what may not be, or can't be, connected to.
    pub fn routes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |route| route.otherwise.as_deref())
    }

    /// This route alone.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self {
            grounds: self.grounds.clone(),
            target: self.target.clone(),
            port: self.port,
            chains: self.chains.clone(),
            openings: self.openings.clone(),
            forbidden: self.forbidden.clone(),
            narrowest: self.narrowest.clone(),
            request: self.request,
            observes: self.observes,
            generation: self.generation,
            otherwise: None,
        }
    }

    /// The same with another route, which the policy allowed by itself, behind its own.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let otherwise = match self.otherwise {
            Some(next) => next.or(other),
            None => other,
        };
        Self {
            otherwise: Some(Box::new(otherwise)),
            ..self
        }
    }

    /// Whether it is for the same target.
    #[must_use]
    pub fn leads_where(&self, other: &Self) -> bool {
        self.name() == other.name() && self.address() == other.address()
    }

    /// Which of a gateway's policies gave it ([`super::Policy::generation`]).
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether another policy's permit lets exactly the same pass, by the same rules in the same
    /// order.
    #[must_use]
    pub fn is_as_before(&self, before: &Self) -> bool {
        let texts = |chains: &[RuleChain]| -> Vec<Vec<Arc<str>>> {
            let of_chain = |chain: &RuleChain| texts_of(&chain.0);
            chains.iter().map(of_chain).collect()
        };
        let rest = match (&self.otherwise, &before.otherwise) {
            (Some(other), Some(before)) => other.is_as_before(before),
            (other, before) => other.is_none() && before.is_none(),
        };
        rest && self.leads_where(before)
            && self.port == before.port
            && self.observes == before.observes
            && texts(&self.chains) == texts(&before.chains)
            && texts(&self.openings) == texts(&before.openings)
            && texts_of(&self.forbidden) == texts_of(&before.forbidden)
    }

    /// Whether it rests on rules alone that ask for the method or the path.
    #[must_use]
    pub fn reads_request(&self) -> bool {
        let reads = |chain: &RuleChain| chain.0.iter().any(|rule| rule.reads_request());
        self.chains.iter().all(reads)
    }

    /// The same for a name that has this address without DNS ([`Self::names`]): what `observe` mode
    /// suggests names the address, too.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Self {
        let grounds = self.grounds.at(address);
        Self { grounds, ..self }
    }

    /// Whether the rules that it rests on name this address by `cidr`, so that it counts for the
    /// permit's name without DNS; in `observe` mode any does. To connect there,
    /// [`Self::upstream`] is asked all the same.
    ///
    /// # Errors
    /// The denial of the address, with the rule that would name it.
    pub fn names(&self, address: IpAddr) -> Result<(), Denial> {
        let address = address.to_canonical();
        let mut chains = self.chains.iter().chain(&self.openings);
        if chains.any(|chain| chain.names(address)) {
            return Ok(());
        }
        let denial = self.denial(
            address,
            "its address by --add-host, and no rule names it by cidr",
        );
        Err(self.suggesting(denial, address))
    }

    /// Checks one resolved address against the special ranges and the rules' ranges.
    /// `::ffff:a.b.c.d` becomes `a.b.c.d`. `own`: addresses of the gateway, the container and the
    /// host, never dialled.
    ///
    /// # Errors
    /// Why this address may not be connected to; another address of the same name may be. In
    /// `observe` mode that is only what no rule could open.
    pub fn upstream(&self, address: IpAddr, own: &[IpAddr]) -> Result<UpstreamAddr, Denial> {
        let address = address.to_canonical();
        if self.address().is_some_and(|permitted| permitted != address) {
            return Err(self.denial(address, "not the address that was allowed"));
        }
        let unwrapped = net::unwrapped(address);
        if own
            .iter()
            .map(IpAddr::to_canonical)
            .any(|own| own == address || own == unwrapped)
        {
            return Err(self.denial(address, "this container's, its gateway's or its host's own"));
        }
        if let Class::Special(what) = net::classify(address) {
            return Err(self.denial(address, &what));
        }
        if !self.observes {
            self.ruled(address)?;
        }
        Ok(UpstreamAddr(SocketAddr::new(address, self.port)))
    }

    /// What the rules say of an address that may be connected to at all.
    fn ruled(&self, address: IpAddr) -> Result<(), Denial> {
        if let Some(rule) = self.forbidden.iter().find(|rule| rule.touches(address)) {
            let denial = self.denial(
                address,
                &format!("forbidden by rule \"deny {}\"", rule.text()),
            );
            return Err(Denial {
                rule: Some(rule.text().to_string()),
                ..denial
            });
        }
        if !self.chains.iter().any(|chain| chain.leads_to(address)) {
            let denial = self.denial(address, "outside the cidr of the rules for it");
            return Err(self.suggesting(denial, address));
        }
        if let Class::Private(what) = net::classify(address)
            && !self
                .chains
                .iter()
                .chain(&self.openings)
                .any(|chain| chain.names_private(address))
        {
            let denial = self.denial(address, &format!("{what}, and no rule names it by cidr"));
            return Err(self.suggesting(denial, address));
        }
        Ok(())
    }

    fn denial(&self, address: IpAddr, is: &str) -> Denial {
        let reason = match self.name() {
            Some(name) => format!("{name} leads to {address}, which is {is}"),
            None => format!("{address} is {is}"),
        };
        Denial::because(reason)
    }

    /// The denial of this address, with what would let it lead there.
    fn suggesting(&self, denial: Denial, address: IpAddr) -> Denial {
        let approvable = Approvable {
            at: Some(address.to_canonical()),
            request: self.request,
        };
        denial.suggesting(self.suggestion(address), approvable)
    }

    /// The narrowest rule that would let it lead to this address.
    fn suggestion(&self, address: IpAddr) -> Option<String> {
        let range = IpNet::from(address);
        let narrowest = self
            .narrowest
            .as_ref()
            .filter(|_| net::can_be_named(&range))?;
        Some(match self.target {
            PermittedTarget::Name(_) => format!("{narrowest} cidr={range}"),
            PermittedTarget::Address(_) => narrowest.clone(),
        })
    }
}
