//! What the streams of one client's connection share, and how a request on it is decided.

use std::sync::Arc;

use super::request::{Asked, Tunnel};
use super::servers::Servers;
use super::window::Window;
use crate::policy::{Denial, Hostname, Permit};
use crate::proxy::flow::Flow;
use crate::proxy::http::NO_CONNECT;
use crate::proxy::http::origin::{Judged, Origin};

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
        self.origin
            .misdirected(&self.flow, &asked.host, asked.scheme())
    }

    /// Decides about a request.
    pub(super) fn decide(&self, asked: &Asked) -> (Option<Hostname>, Result<Permit, Denial>) {
        if asked.tunnel == Tunnel::Unread {
            return (None, Err(Denial::because(NO_CONNECT)));
        }
        let request = (asked.method.as_str(), asked.plain_path.as_deref());
        self.origin.decide(&self.flow, &asked.host, request)
    }

    /// What it is judged again by, decided about in this name; none where there is no room for that.
    pub(super) fn judged(&self, asked: &Asked, name: Option<Hostname>) -> Option<Judged> {
        let request = (asked.method.as_str(), asked.plain_path.as_deref());
        let mut judged = Judged::of(&self.origin, &self.flow, (&asked.host, name), request)?;
        judged.may_become_anything(asked.tunnel == Tunnel::Other);
        Some(judged)
    }
}
