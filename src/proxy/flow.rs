//! One captured TCP connection as everything that serves it knows it: who opened it, where it was
//! addressed to, and what decides, dials and records it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::dial::{DialError, Outside, Upstream};
use super::egress::Egress;
use super::judge::Judge;
use super::pool::Pool;
use super::reading::Fits;
use super::stream::Streams;
use crate::audit::{Direction, Entry, Kind, Subject};
use crate::policy::{Attempt, Denial, Denials, Hostname, Permit, Protocol, UpstreamAddr};

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
}

/// A request as it is decided about: its method, and its path where rules can compare it.
pub(super) type MethodAndPath<'a> = (&'a str, Option<&'a str>);

/// A captured connection.
#[derive(Debug)]
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

    /// The name that the container means by this one, which it said here ([`Judge::meant`]).
    pub(super) fn meant(&self, name: &Hostname) -> Hostname {
        self.services.judge.meant(name, self.destination.ip())
    }

    /// What rules could fit it, as far as that decides how much of it is read.
    pub(super) fn fits(&self) -> Fits {
        let policy = &self.services.judge.policy;
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
        let policy = &self.services.judge.policy;
        match policy.denials_at(self.destination) {
            // A request may name a host that no rule allows.
            Denials::None if !policy.observes() => Denials::ByName,
            denials => denials,
        }
    }

    /// What deny rules could be about, at its destination.
    pub(super) fn denials(&self) -> Denials {
        self.services.judge.policy.denials_at(self.destination)
    }

    /// Whether a rule for its port looks at methods or paths.
    pub(super) fn reads_requests(&self) -> bool {
        self.services.judge.policy.reads_requests(self.destination)
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

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
