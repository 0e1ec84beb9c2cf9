//! One captured TCP connection as everything that serves it knows it: who opened it, where it was
//! addressed to, and what decides, dials and records it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::dial::{DialError, Outside, Upstream};
use super::egress::Egress;
use super::judge::Judge;
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
    /// Connects.
    pub(super) outside: Arc<dyn Outside>,
}

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

    /// Decides one attempt. `request`: method and normalised path, where read.
    pub(super) fn decide(
        &self,
        protocol: Protocol,
        name: Option<&Hostname>,
        request: Option<(&str, &str)>,
    ) -> Result<Permit, Denial> {
        let (method, path) = request.unzip();
        self.services.judge.decide(&Attempt {
            protocol,
            name,
            destination: self.destination,
            method,
            path,
        })
    }

    /// Decides about bytes that name nobody. Gives the name decided about, too.
    pub(super) fn decide_opaque(&self) -> (Option<Hostname>, Result<Permit, Denial>) {
        self.services
            .judge
            .decide_opaque(Protocol::Tcp, self.destination)
    }

    /// Whether it may be allowed whatever is said on it.
    pub(super) fn may_be_anything(&self) -> bool {
        self.services
            .judge
            .policy
            .may_allow_any_tcp(self.destination)
    }

    /// What deny rules could be about, at its destination.
    pub(super) fn denials(&self) -> Denials {
        self.services.judge.policy.denials_at(self.destination)
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

    /// Whether a connection to this address, made under another permit, would also have been made
    /// under this one.
    pub(super) fn would_dial(&self, permit: &Permit, address: UpstreamAddr) -> bool {
        let own = &self.services.egress.interfaces().own;
        permit.upstream(address.socket_addr().ip(), own) == Ok(address)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
