//! One captured TCP connection as everything that serves it knows it: who opened it, where it was
//! addressed to, and what decides, dials and records it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::connect::NoAnswer;
use super::dial::{DialError, Outside, Upstream};
use super::egress::Egress;
use super::in_force::Footing;
use super::judge::Judge;
use super::pool::{IdleConnection, Pool};
use super::reading::Fits;
use super::stream::{Stream, Streams};
use super::tls::Interception;
use crate::audit::{Direction, Entry, Kind, Subject};
use crate::policy::{
    Attempt, Denial, Denials, DeniedNames, Hostname, Permit, Protocol, UpstreamAddr, canonical,
    stands_for_denied,
};

/// What all connections of a gateway are served with.
#[derive(Debug)]
pub(super) struct ConnectionServices {
    /// Decides, and begins records.
    pub judge: Judge,
    /// The connections that are open, and what they take their memory from.
    pub streams: Streams,
    /// What is known of the interfaces.
    pub egress: Arc<Egress>,
    /// Connections to servers that nobody uses now.
    pub(super) pool: Arc<Pool>,
    /// Connects.
    pub(super) outside: Arc<dyn Outside>,
    /// Intercepts TLS, where the container trusts it.
    pub(super) interception: Option<Arc<Interception>>,
    /// What the administrator has to say to whoever is denied something.
    pub(super) denied_note: Option<Arc<str>>,
    /// How questions for denied names are answered.
    pub(super) denied_names: DeniedNames,
}

/// Where a connection was made to.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    /// In this name; in none, where it is to an address that rules allow.
    pub(super) name: Option<Hostname>,
    /// There.
    pub(super) address: UpstreamAddr,
}

impl Lead {
    /// Where this one leads.
    pub(super) fn of(upstream: &Upstream) -> Self {
        Self {
            name: upstream.permit.name().cloned(),
            address: upstream.address,
        }
    }
}

/// Reason given where a changed policy allows a flow only to another address.
pub(super) const ELSEWHERE: &str = "rules allow it only to another address than it was made to";

/// A request as it is decided about: its method, and its path where rules can compare it.
pub(super) type MethodAndPath<'a> = (&'a str, Option<&'a str>);

/// A captured connection.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    services: Arc<ConnectionServices>,
    source: SocketAddr,
    destination: SocketAddr,
}

impl Flow {
    /// One from `source`, whose packets were addressed to `destination`. An IPv4 address in IPv6
    /// clothes is the IPv4 address, in rules and in records.
    pub(super) fn new(
        services: Arc<ConnectionServices>,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self {
            services,
            source: canonical(source),
            destination: canonical(destination),
        }
    }

    /// Where the client's packets were addressed to.
    pub(super) fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// What it and all others take their memory from.
    pub(super) fn streams(&self) -> &Streams {
        &self.services.streams
    }

    /// Begins the record of an attempt on this connection.
    pub(super) fn begin(&self, kind: Kind) -> Entry {
        self.services.judge.begin(Subject::new(
            kind,
            Direction::Out,
            self.source,
            self.destination,
        ))
    }

    /// Decides one attempt. `request`: its method, and its path where rules can compare it.
    pub(super) fn decide(
        &self,
        protocol: Protocol,
        name: Option<&Hostname>,
        request: Option<MethodAndPath<'_>>,
    ) -> Result<Permit, Denial> {
        self.services
            .judge
            .decide(&self.attempt(protocol, name, request))
    }

    /// Decides about what names nobody: in the names that the container resolved to the address,
    /// else about the address. Gives the name decided about, too.
    pub(super) fn decide_unnamed(
        &self,
        protocol: Protocol,
        request: Option<MethodAndPath<'_>>,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        self.services
            .judge
            .decide_unnamed(self.attempt(protocol, None, request))
    }

    fn attempt<'a>(
        &self,
        protocol: Protocol,
        name: Option<&'a Hostname>,
        request: Option<MethodAndPath<'a>>,
    ) -> Attempt<'a> {
        Attempt {
            protocol,
            name,
            destination: self.destination,
            method: request.map(|(method, _)| method),
            path: request.and_then(|(_, path)| path),
        }
    }

    /// Decides again about what was let pass in this name, or in none.
    pub(super) fn decide_unnamed_as(
        &self,
        protocol: Protocol,
        name: Option<&Hostname>,
        request: Option<MethodAndPath<'_>>,
    ) -> Result<Permit, Denial> {
        let attempt = self.attempt(protocol, None, request);
        self.services.judge.decide_unnamed_as(attempt, name).1
    }

    /// What it stands on, by what is decided now.
    pub(super) fn footing(&self) -> Footing {
        self.services.judge.footing()
    }

    /// Whether a permit was given by the policy in force.
    pub(super) fn is_of_now(&self, permit: &Permit) -> bool {
        permit.generation() == self.services.judge.in_force.generation()
    }

    /// Whether a connection that leads there may go on under this permit.
    ///
    /// # Errors
    /// That it may not.
    pub(super) fn still_leads(&self, permit: &Permit, there: &Lead) -> Result<(), Denial> {
        let Lead { name, address } = there;
        let to_chosen = || {
            let is_chosen = address.socket_addr().ip() == self.destination.ip();
            is_chosen && self.way_to_chosen(permit).is_some()
        };
        if self.route(permit, name.as_ref(), *address).is_some() || to_chosen() {
            return Ok(());
        }
        let why = permit.upstream(address.socket_addr().ip(), &[]);
        Err(why.err().unwrap_or_else(|| Denial::because(ELSEWHERE)))
    }

    /// Whether some request could still be allowed on a connection that leads there in a name.
    pub(super) fn may_serve_more(&self, there: &Lead) -> bool {
        let permit = there
            .name
            .as_ref()
            .and_then(|name| self.may_allow_in_name(name));
        permit.is_some_and(|permit| self.still_leads(&permit, there).is_ok())
    }

    /// The name that the container means by this one, which it said here ([`Judge::meant`]).
    pub(super) fn meant(&self, name: &Hostname) -> Hostname {
        self.services.judge.meant(name, self.destination.ip())
    }

    /// What rules could fit it, as far as that decides how much of it is read.
    pub(super) fn fits(&self) -> Fits {
        let policy = self.services.judge.policy();
        match policy.allows_unread(self.destination) {
            Some(permit) => Fits::AnyBytes(Box::new(permit)),
            None if policy.may_allow_any_tcp(self.destination) => {
                Fits::AnyProtocol(self.pretences())
            }
            None => Fits::Web,
        }
    }

    /// What must not pass as opaque bytes, because some server could take it for a request.
    fn pretences(&self) -> Denials {
        let policy = self.services.judge.policy();
        match policy.denials_at(self.destination) {
            // A request may name a host that no rule allows.
            Denials::None if !policy.observes() => Denials::ByName,
            denials => denials,
        }
    }

    /// What deny rules could be about, at its destination.
    pub(super) fn denials(&self) -> Denials {
        self.services.judge.policy().denials_at(self.destination)
    }

    /// Whether a rule for its port looks at methods or paths.
    pub(super) fn reads_requests(&self) -> bool {
        self.services
            .judge
            .policy()
            .reads_requests(self.destination)
    }

    /// Whether TLS to this name is to be intercepted: where denied names lead, any that may be, so that
    /// its client is told why.
    pub(super) fn intercepts(&self, name: &Hostname) -> bool {
        let policy = self.services.judge.policy();
        let tells = self.is_for_a_denied_name() && self.interception().is_some();
        policy.intercepts(name, self.destination) || (tells && !policy.passes_through(name))
    }

    /// What intercepts TLS, where the container trusts it.
    pub(super) fn interception(&self) -> Option<&Interception> {
        self.services.interception.as_deref()
    }

    /// Whether it leads to where denied names do, whose clients are told why.
    pub(super) fn is_for_a_denied_name(&self) -> bool {
        self.services.denied_names == DeniedNames::Answer
            && stands_for_denied(self.destination.ip())
    }

    /// What the administrator has to say to whoever is denied something.
    pub(super) fn denied_note(&self) -> Option<&str> {
        self.services.denied_note.as_deref()
    }

    /// Connections to servers that nobody uses now.
    pub(super) fn pool(&self) -> &Pool {
        &self.services.pool
    }

    /// Connects to what a permit is for. What is given lives on by itself.
    pub(super) fn dial(
        &self,
        permit: Permit,
    ) -> impl Future<Output = Result<Upstream, DialError>> + Send + use<> {
        let outside = Arc::clone(&self.services.outside);
        let (source, destination) = (self.source, self.destination);
        async move { outside.dial(&permit, source, destination).await }
    }

    /// Asks the far end of this address for a connection. What is given lives on by itself.
    pub(super) fn ask(
        &self,
        address: UpstreamAddr,
    ) -> impl Future<Output = Result<Stream, NoAnswer>> + Send + use<> {
        let outside = Arc::clone(&self.services.outside);
        let source = self.source;
        async move { outside.ask(address, source).await }
    }

    /// The names that the client may mean by the address that it chose: by answers that it was given
    /// and that still hold, or by its engine.
    pub(super) fn known_names(&self) -> Vec<Hostname> {
        let chosen = self.destination.ip();
        let mut names = self.services.judge.learned.fresh_names_of(chosen);
        names.extend(self.services.judge.given.names_of(chosen).cloned());
        names
    }

    /// The permit for a connection in this name, if something on it could be allowed.
    pub(super) fn may_allow_in_name(&self, name: &Hostname) -> Option<Permit> {
        let policy = self.services.judge.policy();
        policy.may_allow_in_name(name, self.destination)
    }

    /// Whether something that is said on it could be allowed.
    pub(super) fn may_allow(&self) -> bool {
        self.services.judge.policy().may_allow(self.destination)
    }

    /// The address that the client chose, passed by this permit.
    ///
    /// # Errors
    /// Why it isn't.
    pub(super) fn upstream(&self, permit: &Permit) -> Result<UpstreamAddr, Denial> {
        let own = &self.services.egress.interfaces().own;
        permit.upstream(self.destination.ip(), own)
    }

    /// The route of a permit that leads to the very address that the client chose: to the address
    /// itself, or to a name that an answer which still holds gave it for; by its engine, a name has it
    /// only where a rule names the address, too ([`Permit::names`]).
    pub(super) fn way_to_chosen<'p>(
        &self,
        permit: &'p Permit,
    ) -> Option<(&'p Permit, UpstreamAddr)> {
        let Judge { learned, given, .. } = &self.services.judge;
        let chosen = self.destination.ip();
        let told = learned.fresh_names_of(chosen);
        let is_given = |name| given.names_of(chosen).any(|given| given == name);
        permit.routes().find_map(|route| {
            let leads_there = route.name().is_none_or(|name| {
                told.contains(name) || is_given(name) && route.names(chosen).is_ok()
            });
            leads_there.then(|| Some((route, self.upstream(route).ok()?)))?
        })
    }

    /// Whether a connection to this address, made for this name, is kept for the next request.
    pub(super) fn has_idle(&self, name: Option<&Hostname>, address: UpstreamAddr) -> bool {
        let fits = |idle: &IdleConnection| idle.name.as_ref() == name && idle.address == address;
        self.services.pool.has(fits)
    }

    /// Whether a connection in TLS to this name's server, at the address that the client chose, is kept
    /// for the next request under this permit.
    pub(super) fn has_idle_in_tls(&self, permit: &Permit, name: &Hostname) -> bool {
        self.services.pool.has(|idle| {
            idle.verified.as_ref() == Some(name)
                && idle.name.as_ref() == Some(name)
                && idle.address.socket_addr().ip() == self.destination.ip()
                && self.route(permit, Some(name), idle.address).is_some()
        })
    }

    /// Whether a connection to this address would be made from that one, now: interfaces come and go.
    pub(super) fn would_dial_from(&self, from: IpAddr, address: UpstreamAddr) -> bool {
        let egress = &self.services.egress;
        let source = egress.source_for(self.source.ip(), address.socket_addr().ip());
        source.is_none_or(|source| source.address == from.to_canonical())
    }

    /// The route of a permit by which a connection to this address, made for this name or for none
    /// under another permit, would have been made, too.
    pub(super) fn route<'p>(
        &self,
        permit: &'p Permit,
        name: Option<&Hostname>,
        address: UpstreamAddr,
    ) -> Option<&'p Permit> {
        let own = &self.services.egress.interfaces().own;
        permit.routes().find(|route| {
            route.name() == name && route.upstream(address.socket_addr().ip(), own) == Ok(address)
        })
    }
}
