//! TLS that is intercepted: certificates of the container's own authority for its clients, and
//! verified connections to the servers.
//!
//! Nothing is translated: a client speaks with us what its server chose of what the client offers.
//! Only names that the policy has intercepted come here; every other connection passes unread.

mod alpn;
mod authority;
pub(super) mod intercept;
mod servers;
pub mod trust;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;

use self::alpn::ByOffer;
pub(super) use self::alpn::Offer;
use self::authority::Authority;
pub use self::authority::LEAVES;
pub use self::intercept::ACCEPTED_WITHIN;
pub(super) use self::servers::wants_certificate;
pub use self::servers::{HANDSHAKE_WITHIN, RESUMED};
use self::servers::{Servers, provider};
use self::trust::Trust;
use super::stream::Stream;
use crate::policy::Hostname;

/// What one gateway intercepts with.
#[derive(Debug)]
pub struct Interception {
    /// How clients are answered, by what was agreed on with the server.
    clients: ByOffer<Arc<ServerConfig>>,
    servers: Servers,
}

impl Interception {
    /// Makes the container's authority, and has the container trust it.
    ///
    /// # Errors
    /// What making it and writing the container's trust stores give: it must not start then.
    pub fn new(trust: &Trust) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        trust.publish(authority.certificate())?;
        Self::by(authority, &trust.roots)
    }

    fn by(authority: Authority, roots: &[CertificateDer<'static>]) -> anyhow::Result<Self> {
        let authority = Arc::new(authority);
        let clients = ByOffer::make(|agreed| {
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&authority) as _);
            config.alpn_protocols = agreed.names();
            config.ticketer = ring::Ticketer::new()?;
            anyhow::Ok(Arc::new(config))
        })?;
        Ok(Self {
            clients,
            servers: Servers::vouched_for_by(roots)?,
        })
    }

    /// Has this connection be one in TLS with the server of this name, in the version that was agreed
    /// on with another connection of it.
    ///
    /// # Errors
    /// Why not, in words for the record and the client.
    pub(super) async fn secure(
        &self,
        stream: &Stream,
        name: &Hostname,
        agreed: Offer,
    ) -> Result<(), String> {
        self.servers.secure(stream, name, agreed).await?;
        if stream.agreed().has_h2() == agreed.has_h2() {
            Ok(())
        } else {
            Err("it speaks another version of HTTP than before".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
