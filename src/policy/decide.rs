//! The decision: one attempt in, a permit or a denial out. Pure.
//!
//! Owns the order: deny rules first, then rules for the name, then rules for the address.
//! Invariant: a rule for a name permits reaching that *name*, which the proxy resolves itself; the
//! address that the client chose counts only for rules that hold addresses and no names. Where both
//! kinds allow an attempt, it has both ways ([`Permit::routes`]), so that no rule that allows ever
//! takes away what the others allow (a property test checks this).

use std::net::SocketAddr;
use std::sync::Arc;

use super::attempt::{Attempt, Protocol};
use super::denial::{Approvable, Denial, Grounds};
use super::explain;
use super::host::Hostname;
use super::layers::{Extent, Layers};
use super::net::{self, Class};
use super::path::normalise_path;
use super::permit::{Permit, PermittedTarget, RuleChain, Verdict};
use super::ports::{self, CapturedPorts};
use super::rule::Rule;
use super::source::{Mode, PolicySource};
use super::text::{self, List, Mistake};
use super::tls::TlsPolicy;

mod approval;
mod interception;

/// What the deny rules that could apply to a connection look at, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denials {
    /// There is none that could apply.
    None,
    /// The name, at most.
    ByName,
    /// The method or the path of an HTTP request, too.
    ByRequest,
}

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    name: String,
    mode: Mode,
    note: Option<String>,
    allow: Vec<Arc<Rule>>,
    deny: Vec<Arc<Rule>>,
    annotated: Vec<Arc<Rule>>,
    ceiling: Vec<Arc<Rule>>,
    layers: Layers,
    tls: TlsPolicy,
    generation: u64,
}

/// The generation of the policy that a gateway begins with.
pub const FIRST_GENERATION: u64 = 1;

impl Policy {
    /// Compiles rules.
    ///
    /// # Errors
    /// Every mistake in every rule.
    pub fn compile(source: &PolicySource) -> Result<Self, Vec<Mistake>> {
        let origin = format!("policy {}", source.name);
        let mut mistakes = Vec::new();
        let tls = TlsPolicy::compile(&origin, &source.tls, &mut mistakes);
        let layers = Layers::compile(&source.layers, &mut mistakes);
        let mut rules = |list, texts: &[String]| text::compile(&origin, list, texts, &mut mistakes);
        let policy = Self {
            name: source.name.clone(),
            mode: source.mode,
            note: source.note.clone(),
            allow: rules(List::Allow, &source.allow),
            deny: rules(List::Deny, &source.deny),
            annotated: rules(List::Allow, &source.annotated),
            ceiling: rules(List::Allow, &source.ceiling),
            layers,
            tls,
            generation: FIRST_GENERATION,
        };
        if mistakes.is_empty() {
            Ok(policy)
        } else {
            Err(mistakes)
        }
    }

    /// The same as one that takes another's place: every permit of it says so.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// Which of a gateway's policies it is, in their order.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it only watches: nothing is denied for want of a rule.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// Decides one attempt.
    #[must_use]
    pub fn decide(&self, attempt: &Attempt<'_>) -> Verdict {
        let attempt = canonical(attempt);
        let judged = match self.judge(&attempt) {
            judged if self.observes() => self.or_anyhow(judged, &attempt, Extent::Whole),
            judged => judged,
        };
        judged.map_or_else(Verdict::Deny, Verdict::Allow)
    }

    /// Whether a name may be looked up: true where some rule could let a connection to it through.
    /// Gives on what grounds.
    ///
    /// # Errors
    /// Why not.
    pub fn decide_lookup(&self, name: &Hostname) -> Result<Grounds, Denial> {
        self.layers.lookup(name)?;
        match self.judge_lookup(name) {
            Err(denial) if self.mode == Mode::Observe => Ok(Grounds::in_spite_of(&denial)),
            verdict => verdict,
        }
    }

    /// What the gateway must hand to the proxy: every port on which something could be allowed.
    #[must_use]
    pub fn captured_ports(&self) -> CapturedPorts {
        const ALL: (u16, u16) = (0, u16::MAX);
        let of = |udp: bool| {
            self.allow
                .iter()
                .chain(&self.annotated)
                .flat_map(move |rule| rule.allowed_ports(udp))
        };
        let (tcp, udp) = match self.mode {
            Mode::Enforce => (
                of(false).chain([(80, 80), (443, 443)]).collect(),
                of(true).collect(),
            ),
            Mode::Observe => (vec![ALL], vec![ALL]),
        };
        CapturedPorts {
            tcp: ports::merge(tcp),
            udp: ports::merge(udp)
                .into_iter()
                .flat_map(without_dns)
                .collect(),
        }
    }

    /// Whether some rule may allow a TCP connection to this address and port whatever is said on
    /// it: the proxy then need not wait for the client's first bytes, and a server that speaks
    /// first (SSH, SMTP, MySQL) is heard at once.
    ///
    /// Names aren't consulted: [`Self::decide`] is. In `observe` mode it is every port but those
    /// where clients speak first.
    #[must_use]
    pub fn may_allow_any_tcp(&self, destination: SocketAddr) -> bool {
        let (address, port) = (destination.ip().to_canonical(), destination.port());
        let allows =
            |rule: &Arc<Rule>| rule.allows_port(Protocol::Tcp, port) && rule.leads_to(address);
        let observed = self.mode == Mode::Observe && !matches!(port, 80 | 443);
        observed || self.allow.iter().chain(&self.annotated).any(allows)
    }

    /// Whether some rule could allow something on a TCP connection to this address and port: in a
    /// name that its client has yet to say, or to the address itself. On the web's own ports, where
    /// a denial is told in words, that isn't asked.
    #[must_use]
    pub fn may_allow(&self, destination: SocketAddr) -> bool {
        let (address, port) = (destination.ip().to_canonical(), destination.port());
        let over_tcp = [Protocol::Tcp, Protocol::Http, Protocol::Https];
        let mut allowing = self.allow.iter().chain(&self.annotated).filter(|rule| {
            let for_port = over_tcp.iter().any(|one| rule.allows_port(*one, port));
            for_port && (!rule.is_for_addresses() || rule.leads_to(address))
        });
        let forbidding: Vec<_> = self
            .could_forbid(destination)
            .filter(|rule| rule.forbids_whatever_is_said())
            .collect();
        // A name may lead elsewhere.
        let no_name = forbidding.iter().any(|rule| !rule.has_ranges());
        let no_address =
            !forbidding.is_empty() || matches!(net::classify(address), Class::Special(_));
        let is_shut = |rule: &Arc<Rule>| {
            if rule.is_for_addresses() {
                no_address
            } else {
                no_name
            }
        };
        self.observes() || matches!(port, 80 | 443) || allowing.any(|rule| !is_shut(rule))
    }

    /// The permit for a connection to this name's server on which some request, or a hello, could be
    /// allowed in that name, whatever else will have to be said on it. It is for the connection:
    /// what is said on it is decided by [`Self::decide`].
    #[must_use]
    pub fn may_allow_in_name(&self, name: &Hostname, destination: SocketAddr) -> Option<Permit> {
        let in_name = |protocol| {
            canonical(&Attempt {
                protocol,
                name: Some(name),
                destination,
                method: None,
                path: None,
            })
        };
        let attempts = [Protocol::Https, Protocol::Http].map(in_name);
        if self.observes() {
            let observed = |attempt| {
                let judged = self.judge(attempt);
                self.or_anyhow(judged, attempt, Extent::Connection).ok()
            };
            return attempts
                .iter()
                .find_map(observed)
                .map(|permit| permit.alone());
        }
        attempts.iter().find_map(|attempt| {
            let whole = |rule: &&Arc<Rule>| !rule.reads_request();
            let mut deny = self.deny.iter().filter(whole);
            if deny.any(|rule| rule.forbids(attempt)) {
                return None;
            }
            let chains = self.chains(|rule| rule.allows_name(name) && allows_port(rule, attempt));
            let target = PermittedTarget::Name(name.clone());
            let forbids = |rule: &&Arc<Rule>| rule.forbids_but_for_address(attempt);
            let forbidden = self.deny.iter().filter(whole).filter(forbids).cloned();
            let route = self.route(attempt, target, chains, forbidden.collect())?;
            self.bounded(route, attempt, Extent::Connection).ok()
        })
    }

    /// The permit for a TCP connection to this address and port, where rules for addresses alone
    /// give it whatever is said on it, no deny rule could apply, and TLS isn't intercepted whatever
    /// its name: then not one of its bytes needs to be read.
    #[must_use]
    pub fn allows_unread(&self, destination: SocketAddr) -> Option<Permit> {
        let attempt = Attempt {
            protocol: Protocol::Tcp,
            name: None,
            destination: net::canonical(destination),
            method: None,
            path: None,
        };
        let could_apply = self.could_forbid(destination).next().is_some();
        (!could_apply && !self.intercepts_everything())
            .then(|| self.judge(&attempt).ok())
            .flatten()
    }

    /// Whether a rule that could fit a TCP connection to this port looks at methods or paths.
    #[must_use]
    pub fn reads_requests(&self, destination: SocketAddr) -> bool {
        let port = destination.port();
        let allows = |rule: &&Arc<Rule>| {
            rule.allows_port(Protocol::Http, port) || rule.allows_port(Protocol::Https, port)
        };
        let allowing = self.allow.iter().chain(&self.annotated);
        let allowing = allowing.chain(self.layers.allow()).filter(allows);
        let mut fitting = allowing.chain(self.could_forbid(destination));
        fitting.any(|rule| rule.reads_request())
    }

    /// The deny rules that could apply to a TCP connection to this address and port.
    fn could_forbid(&self, destination: SocketAddr) -> impl Iterator<Item = &Arc<Rule>> {
        let destination = net::canonical(destination);
        self.all_denials()
            .filter(move |rule| rule.could_forbid(destination))
    }

    /// What a deny rule could look at in the bytes of a TCP connection to this address and port.
    ///
    /// Names aren't consulted: which names an address serves besides those that are known can't be
    /// known.
    #[must_use]
    pub fn denials_at(&self, destination: SocketAddr) -> Denials {
        let at = net::canonical(destination);
        let could_apply: Vec<_> = match self.mode {
            // Only the host's layers deny anything.
            Mode::Observe => {
                let denying = self.layers.deny();
                denying.filter(|rule| rule.could_forbid(at)).collect()
            }
            Mode::Enforce => self.could_forbid(at).collect(),
        };
        let is_listed = self.observes() && self.layers.is_listed();
        match could_apply.as_slice() {
            rules if rules.iter().any(|rule| rule.reads_request()) => Denials::ByRequest,
            [] if !is_listed => Denials::None,
            _ => Denials::ByName,
        }
    }

    /// Whether some rule denies something to `name` that it doesn't deny to `other`.
    #[must_use]
    pub fn denies_more_to(&self, name: &Hostname, other: &Hostname) -> bool {
        let more = |rule: &Arc<Rule>| rule.is_about(name) && !rule.is_about(other);
        self.all_denials().any(more)
    }

    /// The permit as far as all of the host's layers leave it.
    ///
    /// # Errors
    /// A layer's denial.
    fn bounded(
        &self,
        permit: Permit,
        attempt: &Attempt<'_>,
        extent: Extent,
    ) -> Result<Permit, Denial> {
        let bounds = self.layers.bounds(attempt, &permit.target, extent)?;
        Ok(Permit { bounds, ..permit })
    }

    /// The policy's own rules that deny, and the layers'.
    fn all_denials(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.deny.iter().chain(self.layers.deny())
    }

    fn judge(&self, attempt: &Attempt<'_>) -> Result<Permit, Denial> {
        if let Some(denial) = shut(attempt) {
            return Err(denial);
        }
        if let Some(rule) = self.deny.iter().find(|rule| rule.forbids(attempt)) {
            return Err(explain::forbidden(rule, attempt, self.why_unread(attempt)));
        }
        let forbids = |rule: &&Arc<Rule>| rule.forbids_but_for_address(attempt);
        let forbidden: Vec<_> = self.deny.iter().filter(forbids).cloned().collect();
        let route = |(target, chains)| self.route(attempt, target, chains, forbidden.clone());
        let mut beyond = None;
        let routes = self.fitting_routes(attempt).filter_map(route);
        let bounded = |route| match self.bounded(route, attempt, Extent::Whole) {
            Ok(route) => Some(route),
            Err(denial) => {
                beyond.get_or_insert(denial);
                None
            }
        };
        let found = routes.filter_map(bounded).reduce(Permit::or);
        found.ok_or_else(|| beyond.unwrap_or_else(|| self.unmatched(attempt)))
    }

    /// The permit that these rules give; none where there are none.
    fn route(
        &self,
        attempt: &Attempt<'_>,
        target: PermittedTarget,
        chains: Vec<RuleChain>,
        forbidden: Vec<Arc<Rule>>,
    ) -> Option<Permit> {
        let rule = chains.first()?.0.first()?.text().clone();
        Some(Permit {
            forbidden,
            ..self.permit(attempt, Grounds::rule(rule), target, chains)
        })
    }

    /// Where an attempt may lead, with the rules that allow it: where its name does, and behind that
    /// to the address that the client chose.
    fn fitting_routes(
        &self,
        attempt: &Attempt<'_>,
    ) -> impl Iterator<Item = (PermittedTarget, Vec<RuleChain>)> {
        let fits = |rule: &Rule| allows_port(rule, attempt) && rule.allows_request(attempt);
        let address = attempt.destination.ip();
        let by_name = attempt.name.map(|name| {
            let chains = self.chains(|rule| rule.allows_name(name) && fits(rule));
            (PermittedTarget::Name(name.clone()), chains)
        });
        let by_address = self.chains(|rule| rule.allows_address(address) && fits(rule));
        by_name
            .into_iter()
            .chain([(PermittedTarget::Address(address), by_address)])
    }

    fn judge_lookup(&self, name: &Hostname) -> Result<Grounds, Denial> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.forbids_name(name)) {
            return Err(Denial::by_rule(rule.text(), ""));
        }
        let chains = self.chains(|rule| rule.allows_name(name));
        let rule = chains.first().and_then(|chain| chain.0.first());
        rule.map(|rule| Grounds::rule(rule.text().clone()))
            .ok_or_else(|| {
                let denial = self
                    .unallowed("no rule allows it".to_owned())
                    .suggesting(Some(format!("domain={name}")), Approvable::default());
                match self.annotated.iter().any(|rule| rule.allows_name(name)) {
                    true => denial.beyond_approval(),
                    false => denial,
                }
            })
    }

    /// The rules that fit; of annotated ones only those under a rule of the ceiling that fits as
    /// well.
    fn chains(&self, fits: impl Fn(&Rule) -> bool) -> Vec<RuleChain> {
        let fitting = |rules: &[Arc<Rule>]| {
            rules
                .iter()
                .filter(|rule| fits(rule))
                .cloned()
                .collect::<Vec<_>>()
        };
        let ceiling = fitting(&self.ceiling);
        let annotated = fitting(&self.annotated).into_iter();
        let bounded = annotated.flat_map(|rule| {
            ceiling
                .iter()
                .map(move |over| RuleChain(vec![rule.clone(), over.clone()]))
        });
        fitting(&self.allow)
            .into_iter()
            .map(|rule| RuleChain(vec![rule]))
            .chain(bounded)
            .collect()
    }

    fn permit(
        &self,
        attempt: &Attempt<'_>,
        grounds: Grounds,
        target: PermittedTarget,
        chains: Vec<RuleChain>,
    ) -> Permit {
        let opens = |rule: &Rule| {
            rule.is_for_addresses() && allows_port(rule, attempt) && rule.allows_request(attempt)
        };
        let restricted = self.restricts_request(attempt);
        let narrowest = match &target {
            PermittedTarget::Name(_) => Self::narrowest(attempt, restricted),
            PermittedTarget::Address(address) => explain::narrowest_for_address(*address, attempt),
        };
        let port = attempt.destination.port();
        Permit {
            grounds,
            target,
            port,
            chains,
            openings: self.chains(opens),
            forbidden: Vec::new(),
            bounds: Arc::default(),
            narrowest,
            request: restricted,
            observes: self.observes(),
            generation: self.generation,
            otherwise: None,
        }
    }

    /// What `observe` mode lets pass: behind what rules allow the name and, for one that the gateway
    /// can't look up (of a container's hosts file, of an engine's own resolver), the address that
    /// the container chose. All of it as far as the host's layers leave it.
    fn or_anyhow(
        &self,
        judged: Result<Permit, Denial>,
        attempt: &Attempt<'_>,
        extent: Extent,
    ) -> Result<Permit, Denial> {
        let unnamed = Attempt {
            name: None,
            ..*attempt
        };
        let has = |judged: &Result<Permit, Denial>, way: &Attempt<'_>| {
            let permit = judged.as_ref().ok();
            permit.is_some_and(|permit| permit.routes().any(|route| route.name() == way.name))
        };
        [attempt, &unnamed].into_iter().fold(judged, |judged, way| {
            // Nothing lets it lead there: it is what is said where its name leads nowhere.
            let is_said = || judged.is_ok() && attempt.name.is_some();
            if has(&judged, way) || shut(way).is_some() && !is_said() {
                return judged;
            }
            let denial = self.judge(way).err();
            let denial = denial.unwrap_or_else(|| self.unmatched(way));
            // A layer's denial of the name holds for the address that the container chose, too.
            match (
                judged,
                self.bounded(self.observed(way, &denial), attempt, extent),
            ) {
                (Ok(permit), Ok(other)) => Ok(permit.or(other)),
                (Ok(permit), Err(_)) | (Err(_), Ok(permit)) => Ok(permit),
                // Of what both ways are denied for, the way by the name says it.
                (Err(denial), Err(_)) if way.name.is_none() && attempt.name.is_some() => {
                    Err(denial)
                }
                (Err(_), Err(denial)) => Err(denial),
            }
        })
    }

    /// What `observe` mode lets pass: the target as it was asked for.
    fn observed(&self, attempt: &Attempt<'_>, denial: &Denial) -> Permit {
        let address = PermittedTarget::Address(attempt.destination.ip());
        let target = attempt
            .name
            .map_or(address, |name| PermittedTarget::Name(name.clone()));
        self.permit(
            attempt,
            Grounds::in_spite_of(denial),
            target,
            vec![RuleChain(Vec::new())],
        )
    }

    fn unmatched(&self, attempt: &Attempt<'_>) -> Denial {
        let target = match attempt.name {
            Some(name) => PermittedTarget::Name(name.clone()),
            None => PermittedTarget::Address(attempt.destination.ip()),
        };
        // No rule of the policy's could open it.
        if let Err(denial) = self.layers.bounds(attempt, &target, Extent::Whole) {
            return denial;
        }
        let for_name = |rule: &&Arc<Rule>| attempt.name.is_some_and(|name| rule.allows_name(name));
        let fits = |rule: &&Arc<Rule>| {
            let target = for_name(rule) || rule.allows_address(attempt.destination.ip());
            target && allows_port(rule, attempt)
        };
        let beyond = self
            .annotated
            .iter()
            .filter(fits)
            .find(|rule| rule.allows_request(attempt));
        let unread = self.rule_for_requests(attempt);
        let reason = match (beyond, unread) {
            (Some(rule), _) => {
                format!(
                    "no rule allows it: \"{}\" of boundary.allow is beyond the host's ceiling",
                    rule.text()
                )
            }
            (None, Some(rule)) if attempt.method.is_none() => {
                format!(
                    "no rule allows it: \"{}\" needs a method and a path, but {}",
                    rule.text(),
                    self.why_unread(attempt)
                )
            }
            _ => "no rule allows it".to_owned(),
        };
        let approvable = Approvable {
            at: None,
            request: unread.is_some(),
        };
        let narrowest = Self::narrowest(attempt, unread.is_some());
        let denial = self.unallowed(reason).suggesting(narrowest, approvable);
        match beyond {
            Some(_) => denial.beyond_approval(),
            None => denial,
        }
    }

    /// The denial of what no rule allows, with what the reader should know of this policy.
    fn unallowed(&self, reason: String) -> Denial {
        Denial::because(match &self.note {
            Some(note) => format!("{reason}; {note}"),
            None => reason,
        })
    }

    /// The narrowest rule that would allow the attempt; none where that allowed requests, too, at which the
    /// rules for its target look (`restricted`).
    fn narrowest(attempt: &Attempt<'_>, restricted: bool) -> Option<String> {
        if restricted && !attempt.protocol.unread_requests().is_empty() {
            return None;
        }
        let Some(name) = attempt.name else {
            return explain::narrowest_for_address(attempt.destination.ip(), attempt);
        };
        explain::narrowest_for_name(name, attempt, restricted && attempt.method.is_some())
    }
}

/// The attempt as rules compare it: an IPv4 address as such, and a path only if it is in its
/// canonical form (any other counts as unread, so that a caller's slip closes rather than opens).
fn canonical<'a>(attempt: &Attempt<'a>) -> Attempt<'a> {
    let destination = SocketAddr::new(
        attempt.destination.ip().to_canonical(),
        attempt.destination.port(),
    );
    let path = attempt
        .path
        .filter(|&path| normalise_path(path).as_deref() == Some(path));
    Attempt {
        destination,
        path,
        ..*attempt
    }
}

fn allows_port(rule: &Rule, attempt: &Attempt<'_>) -> bool {
    rule.allows_port(attempt.protocol, attempt.destination.port())
}

/// The denial of an attempt at an address, under no name, that is never open.
fn shut(attempt: &Attempt<'_>) -> Option<Denial> {
    let address = attempt.destination.ip();
    match net::classify(address) {
        Class::Special(what) if attempt.name.is_none() => {
            Some(Denial::because(format!("{address} is {what}")))
        }
        _ => None,
    }
}

/// DNS is captured by rules of its own.
fn without_dns((first, last): (u16, u16)) -> Vec<(u16, u16)> {
    const DNS: u16 = 53;
    if !(first..=last).contains(&DNS) {
        return vec![(first, last)];
    }
    [(first, DNS - 1), (DNS + 1, last)]
        .into_iter()
        .filter(|(first, last)| first <= last)
        .collect()
}

#[cfg(test)]
mod tests;
