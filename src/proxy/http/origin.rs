//! Where requests on a connection go: to servers in clear text, or to those of one name within TLS
//! that is intercepted.

use super::request::NamedHost;
use crate::audit::line::Side;
use crate::audit::{End, Kind};
use crate::policy::{Denial, Denials, Hostname, Permit, Protocol};
use crate::proxy::ahead::{self, Ahead, Connected};
use crate::proxy::budget::Share;
use crate::proxy::dial::DialError;
use crate::proxy::flow::{Flow, Lead, MethodAndPath};
use crate::proxy::tls::Offer;

/// Where requests go.
#[derive(Debug, Clone)]
pub(in crate::proxy) enum Origin {
    /// To whatever server each of them names.
    Clear,
    /// To this name alone, which the client's hello said, in the version that was agreed on.
    Secure(Hostname, Offer),
}

impl Origin {
    /// What a request is decided as.
    fn protocol(&self) -> Protocol {
        match self {
            Self::Clear => Protocol::Http,
            Self::Secure(..) => Protocol::Https,
        }
    }

    /// What a request is recorded as.
    pub(in crate::proxy) fn kind(&self) -> Kind {
        match self {
            Self::Clear => Kind::Http,
            Self::Secure(..) => Kind::Https,
        }
    }

    /// The name in which servers are verified, where they speak TLS with us.
    pub(in crate::proxy) fn verifies(&self) -> Option<&Hostname> {
        match self {
            Self::Clear => None,
            Self::Secure(name, _) => Some(name),
        }
    }

    /// Whether they are within TLS.
    pub(in crate::proxy) fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(..))
    }

    /// Why a request is for another connection, where it is: by whom it names, and by how its target says
    /// that it is sent.
    pub(in crate::proxy) fn misdirected(
        &self,
        flow: &Flow,
        host: &NamedHost,
        scheme: Option<&str>,
    ) -> Option<&'static str> {
        let own = if self.is_secure() { "https" } else { "http" };
        if scheme.is_some_and(|said| !said.eq_ignore_ascii_case(own)) {
            return Some("its target has another scheme than its connection");
        }
        let own = self.verifies()?;
        let is_for_it = match host {
            NamedHost::Name(name) => flow.meant(name) == *own,
            NamedHost::Address => false,
            NamedHost::Nobody => true,
        };
        (!is_for_it).then_some("it names another host than its connection's hello")
    }

    /// Decides about a request: in the name of the only server, else in the one that it says, else in
    /// those that the container resolved to the address. Gives the name decided about, too.
    pub(in crate::proxy) fn decide(
        &self,
        flow: &Flow,
        host: &NamedHost,
        request: MethodAndPath<'_>,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        let (protocol, request) = (self.protocol(), Some(request));
        let name = match (self.verifies(), host) {
            (Some(own), _) => own.clone(),
            (None, NamedHost::Name(name)) => flow.meant(name),
            (None, NamedHost::Address) => return (None, flow.decide(protocol, None, request)),
            (None, NamedHost::Nobody) => return flow.decide_unnamed(protocol, request),
        };
        let permit = flow.decide(protocol, Some(&name), request);
        (Some(name), permit)
    }

    /// How a connection ends whose client asked for nothing, if that is in order. In TLS the
    /// handshake may be all that it wanted. But a client that pins a certificate finds the gateway's
    /// wrong then, and most say nothing of it.
    pub(in crate::proxy) fn unasked(&self) -> Option<End> {
        let Self::Secure(name, _) = self else {
            return None;
        };
        let why = format!(
            "it asked for nothing: if it is a client that trusts one certificate alone, put {name} into tls: passthrough"
        );
        Some(End::closed(Side::Client).because(why))
    }

    /// Connects to what a permit is for, as requests to it are sent.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(in crate::proxy) async fn connect(
        &self,
        flow: &Flow,
        permit: &Permit,
        ahead: Option<Ahead>,
    ) -> Result<Connected, DialError> {
        let connected = ahead::connect(flow, permit, ahead).await?;
        let stream = &connected.upstream.stream;
        if let Self::Secure(name, agreed) = self
            && !stream.is_secure()
        {
            let interception = flow.interception();
            let interception = interception
                .ok_or_else(|| DialError::Denied(Denial::because("TLS is not intercepted here")))?;
            interception
                .secure(stream, name, *agreed)
                .await
                .map_err(DialError::Unreachable)?;
        }
        Ok(connected)
    }
}

/// A request that is let pass, as it is judged again when the policy changes.
#[derive(Debug)]
pub(in crate::proxy) struct Judged {
    protocol: Protocol,
    host: NamedHost,
    /// The name that was decided about.
    name: Option<Hostname>,
    method: String,
    plain_path: Option<String>,
    /// Whether its connection may become another protocol's, whichever that is.
    becomes_anything: bool,
    _room: Share,
}

/// As much of a method and a path as the room of every conversation, and of every stream, is for.
const ORDINARY: usize = 256;
/// Reason given where a changed policy looks at what a connection has become.
const BECAME: &str = "under rules for requests only a WebSocket is let through";

impl Judged {
    /// One of this origin's, decided about in this name. None where there is no room to keep what it
    /// was decided by.
    pub(in crate::proxy) fn of(
        origin: &Origin,
        flow: &Flow,
        (host, name): (&NamedHost, Option<Hostname>),
        (method, plain_path): MethodAndPath<'_>,
    ) -> Option<Self> {
        let kept = (method.len() + plain_path.map_or(0, str::len)).saturating_sub(ORDINARY);
        Some(Self {
            protocol: origin.protocol(),
            host: host.clone(),
            name,
            _room: flow.streams().budget.take(kept)?,
            method: method.to_owned(),
            plain_path: plain_path.map(str::to_owned),
            becomes_anything: false,
        })
    }

    /// Notes that its connection may become any other protocol's.
    pub(in crate::proxy) fn may_become_anything(&mut self, may: bool) {
        self.becomes_anything = may;
    }

    /// The permit of the policy in force for it.
    ///
    /// # Errors
    /// The denial.
    pub(in crate::proxy) fn decide(&self, flow: &Flow) -> Result<Permit, Denial> {
        let request = Some((self.method.as_str(), self.plain_path.as_deref()));
        let permit = match (&self.host, &self.name) {
            (NamedHost::Nobody, name) if self.protocol == Protocol::Http => {
                flow.decide_unnamed_as(self.protocol, name.as_ref(), request)?
            }
            (_, name) => flow.decide(self.protocol, name.as_ref(), request)?,
        };
        let only_websocket = permit.reads_request() || flow.denials() == Denials::ByRequest;
        if self.becomes_anything && only_websocket {
            return Err(Denial::because(BECAME));
        }
        Ok(permit)
    }

    /// The same of one whose server is known.
    ///
    /// # Errors
    /// The denial.
    pub(in crate::proxy) fn still_leads(&self, flow: &Flow, lead: &Lead) -> Result<(), Denial> {
        flow.still_leads(&self.decide(flow)?, lead)
    }

    /// Whether a connection on which it was asked last, and nothing is under way, may wait for more: for the
    /// same, or for something else in its server's name.
    ///
    /// # Errors
    /// The denial.
    pub(in crate::proxy) fn may_be_followed(&self, flow: &Flow, lead: &Lead) -> Result<(), Denial> {
        match self.still_leads(flow, lead) {
            Err(denial) if !flow.may_serve_more(lead) => Err(denial),
            _ => Ok(()),
        }
    }
}
