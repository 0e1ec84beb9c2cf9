//! Where requests on a connection go: to servers in clear text, or to those of one name within TLS
//! that is intercepted.

use crate::audit::Kind;
use crate::policy::{Hostname, Permit, Protocol};
use crate::proxy::ahead::{self, Ahead, Connected};
use crate::proxy::dial::DialError;
use crate::proxy::flow::Flow;

/// Where requests go.
#[derive(Debug, Clone)]
pub(in crate::proxy) enum Origin {
    /// To whatever server each of them names.
    Clear,
    /// To this name alone, which the client's hello said.
    Secure(Hostname),
}

impl Origin {
    /// What a request is decided as.
    pub(in crate::proxy) fn protocol(&self) -> Protocol {
        match self {
            Self::Clear => Protocol::Http,
            Self::Secure(_) => Protocol::Https,
        }
    }

    /// What a request is recorded as.
    pub(in crate::proxy) fn kind(&self) -> Kind {
        match self {
            Self::Clear => Kind::Http,
            Self::Secure(_) => Kind::Https,
        }
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
        ahead::connect(flow, permit, ahead).await
    }
}
