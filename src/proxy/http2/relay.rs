//! What the streams of one client's connection share, and how a request on it is decided.

use std::sync::Arc;

use super::request::{Asked, Tunnel};
use super::servers::Servers;
use super::window::Window;
use crate::policy::{Denial, Hostname, Permit};
use crate::proxy::flow::Flow;
use crate::proxy::http::origin::Origin;
use crate::proxy::http::request::NamedHost;

/// Reason given for a CONNECT to elsewhere.
pub(super) const NO_CONNECT: &str = "CONNECT would make a tunnel to a place that no rule sees";
/// What the streams of one client's connection share.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) flow: Flow,
    pub(super) origin: Origin,
    pub(super) servers: Servers,
    /// Of the client's connection.
    pub(super) window: Arc<Window>,
}

impl Relay {
    /// The name of the only server there is, where there is one.
    pub(super) fn own_name(&self) -> Option<&Hostname> {
        self.origin.verifies()
    }

    /// Why a request is for another connection, where it is.
    pub(super) fn misdirected(&self, asked: &Asked) -> Option<&'static str> {
        if asked.is_misdirected(self.origin.is_secure()) {
            return Some("its target has another scheme than its connection");
        }
        let own = self.own_name()?;
        let is_for_it = match &asked.host {
            NamedHost::Name(name) => self.flow.meant(name) == *own,
            NamedHost::Address => false,
            NamedHost::Nobody => true,
        };
        (!is_for_it).then_some("it names another host than its connection's hello")
    }

    /// Decides about a request: in the name of the only server, else in the one that it says, else in
    /// those that the container resolved to the address.
    pub(super) fn decide(&self, asked: &Asked) -> (Option<Hostname>, Result<Permit, Denial>) {
        if asked.tunnel == Tunnel::Unread {
            return (None, Err(Denial::because(NO_CONNECT)));
        }
        let protocol = self.origin.protocol();
        let request = Some((asked.method.as_str(), asked.plain_path.as_deref()));
        let name = match (self.own_name(), &asked.host) {
            (Some(own), _) => own.clone(),
            (None, NamedHost::Name(name)) => self.flow.meant(name),
            (None, NamedHost::Address) => {
                return (None, self.flow.decide(protocol, None, request));
            }
            (None, NamedHost::Nobody) => return self.flow.decide_unnamed(protocol, request),
        };
        let permit = self.flow.decide(protocol, Some(&name), request);
        (Some(name), permit)
    }
}
