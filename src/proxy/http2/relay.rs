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
    pub(super) fn is_secure(&self) -> bool {
        self.origin.is_secure()
    }

    /// Why a request in this name is for another connection, where it is.
    pub(super) fn misdirected(&self, name: Option<&Hostname>) -> Option<String> {
        match &self.origin {
            Origin::Secure(own, _) if name != Some(own) => Some(format!(
                "the connection is {own}'s, and the request isn't for it"
            )),
            Origin::Secure(..) | Origin::Clear => None,
        }
    }

    /// Decides about a request: in the name that it says, else in those that the container resolved
    /// to the address.
    pub(super) fn decide(&self, asked: &Asked) -> (Option<Hostname>, Result<Permit, Denial>) {
        if asked.tunnel == Tunnel::Unread {
            return (None, Err(Denial::because(NO_CONNECT)));
        }
        let protocol = self.origin.protocol();
        let request = Some((asked.method.as_str(), asked.plain_path.as_deref()));
        match &asked.host {
            NamedHost::Name(name) => {
                let name = self.flow.meant(name);
                let permit = self.flow.decide(protocol, Some(&name), request);
                (Some(name), permit)
            }
            NamedHost::Address => (None, self.flow.decide(protocol, None, request)),
            NamedHost::Nobody => self.flow.decide_unnamed(protocol, request),
        }
    }
}
