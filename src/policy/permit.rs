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

/// What is said of an address that is never open to one container, and may be to others.
const OWN: &str = "this container's, its gateway's or its host's own, or its network's broadcast";

/// The denial of an address that is never open to one container, `own` being such. None of any other.
#[must_use]
pub fn own_denial(address: IpAddr, own: &[IpAddr]) -> Option<Denial> {
    let address = address.to_canonical();
    let denial = || Denial::because(format!("{address} is {OWN}"));
    net::is_among(address, own).then(denial)
}

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
    /// What the host's layers leave of it, each.
    pub(super) bounds: Arc<Vec<Bound>>,
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

/// What one of the host's layers leaves of what a permit is for.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// What people know the layer by.
    pub(super) layer: Arc<str>,
    /// Where it lets it lead; none where the layer only denies.
    pub(super) chains: Option<Vec<RuleChain>>,
    /// As [`Permit::openings`].
    pub(super) openings: Vec<RuleChain>,
    /// As [`Permit::forbidden`].
    pub(super) forbidden: Vec<Arc<Rule>>,
}

impl Bound {
    /// What is wrong with an address, in this layer's rules.
    ///
    /// # Errors
    /// That.
    fn ruled(&self, address: IpAddr) -> Result<(), Flaw> {
        let layer = &self.layer;
        ruled(
            &self.forbidden,
            self.chains.as_deref(),
            &self.openings,
            address,
        )
        .map_err(|flaw| Flaw {
            is: format!("{} in the host's {layer}", flaw.is),
            ..flaw
        })
    }

    fn names(&self, address: IpAddr) -> bool {
        let mut chains = self.chains.iter().flatten().chain(&self.openings);
        self.chains.is_none() || chains.any(|chain| chain.names(address))
    }

    fn is_as_before(&self, before: &Self) -> bool {
        let own = self.chains.as_deref().map(texts_of_chains);
        self.layer == before.layer
            && own == before.chains.as_deref().map(texts_of_chains)
            && texts_of_chains(&self.openings) == texts_of_chains(&before.openings)
            && texts_of(&self.forbidden) == texts_of(&before.forbidden)
    }
}

/// What rules have against an address, in words.
struct Flaw {
    is: String,
    /// The rule that denies it, if one does.
    rule: Option<String>,
}

/// What rules say of an address that may be connected to at all: those that deny some to the attempt, those
/// that allow it (none: nothing has to), and those that open private ranges.
///
/// # Errors
/// What they have against it.
fn ruled(
    forbidden: &[Arc<Rule>],
    chains: Option<&[RuleChain]>,
    openings: &[RuleChain],
    address: IpAddr,
) -> Result<(), Flaw> {
    if let Some(rule) = forbidden.iter().find(|rule| rule.touches(address)) {
        return Err(Flaw {
            is: format!("forbidden by rule \"deny {}\"", rule.text()),
            rule: Some(rule.text().to_string()),
        });
    }
    let Some(chains) = chains else {
        return Ok(());
    };
    if !chains.iter().any(|chain| chain.leads_to(address)) {
        return Err(Flaw {
            is: "outside the cidr of the rules for it".to_owned(),
            rule: None,
        });
    }
    let mut naming = chains.iter().chain(openings);
    match net::classify(address) {
        Class::Private(what) if !naming.any(|chain| chain.names_private(address)) => Err(Flaw {
            is: format!("{what}, and no rule names it by cidr"),
            rule: None,
        }),
        _ => Ok(()),
    }
}

fn texts_of_chains(chains: &[RuleChain]) -> Vec<Vec<Arc<str>>> {
    chains.iter().map(|chain| texts_of(&chain.0)).collect()
}

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
            bounds: self.bounds.clone(),
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
        let bounds = self.bounds.iter().zip(before.bounds.iter());
        let same_bounds = self.bounds.len() == before.bounds.len() && { bounds }
            .all(|(bound, before)| bound.is_as_before(before));
        let rest = match (&self.otherwise, &before.otherwise) {
            (Some(other), Some(before)) => other.is_as_before(before),
            (other, before) => other.is_none() && before.is_none(),
        };
        rest && same_bounds
            && self.leads_where(before)
            && self.port == before.port
            && self.observes == before.observes
            && texts_of_chains(&self.chains) == texts_of_chains(&before.chains)
            && texts_of_chains(&self.openings) == texts_of_chains(&before.openings)
            && texts_of(&self.forbidden) == texts_of(&before.forbidden)
    }

    /// Whether it rests on rules alone that ask for the method or the path, of the policy or of one of the
    /// host's layers.
    #[must_use]
    pub fn reads_request(&self) -> bool {
        let reads = |chain: &RuleChain| chain.0.iter().any(|rule| rule.reads_request());
        let layers = self.bounds.iter().filter_map(|bound| bound.chains.as_ref());
        self.chains.iter().all(reads) || { layers }.any(|chains| chains.iter().all(reads))
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
        if let Some(bound) = self.bounds.iter().find(|bound| !bound.names(address)) {
            let is = format!(
                "its address by --add-host, and no rule of the host's {} names it by cidr",
                bound.layer
            );
            return Err(self.denial(address, &is));
        }
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
        if net::is_among(address, own) {
            return Err(self.denial(address, OWN));
        }
        if let Class::Special(what) = net::classify(address) {
            return Err(self.denial(address, &what));
        }
        self.bounded(address)?;
        if !self.observes {
            self.ruled(address)?;
        }
        Ok(UpstreamAddr(SocketAddr::new(address, self.port)))
    }

    /// What the host's layers say of an address.
    fn bounded(&self, address: IpAddr) -> Result<(), Denial> {
        self.bounds.iter().try_for_each(|bound| {
            let found = bound.ruled(address);
            found.map_err(|flaw| self.flawed(address, flaw))
        })
    }

    /// What the policy's rules say of an address that may be connected to at all.
    fn ruled(&self, address: IpAddr) -> Result<(), Denial> {
        let found = ruled(&self.forbidden, Some(&self.chains), &self.openings, address);
        found.map_err(|flaw| {
            let is_forbidden = flaw.rule.is_some();
            let denial = self.flawed(address, flaw);
            if is_forbidden {
                denial
            } else {
                self.suggesting(denial, address)
            }
        })
    }

    fn flawed(&self, address: IpAddr, flaw: Flaw) -> Denial {
        Denial {
            rule: flaw.rule,
            ..self.denial(address, &flaw.is)
        }
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
