//! Connections to servers in TLS: verified as any careful client would, for the container that
//! can't see for itself any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, SignatureScheme,
};
use tokio::time::timeout;

use super::alpn::Offer;
use crate::policy::Hostname;
use crate::proxy::stream::Stream;

/// For a server's handshake.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);

/// How keys are made and records are encrypted, with clients and with servers.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Servers, for each offer, with which a handshake is cut short by what was agreed before.
pub const RESUMED: usize = 32;

/// How servers are spoken to.
#[derive(Debug)]
pub(super) struct Servers {
    /// For each [`Offer`], by its number: what was agreed with a server is kept with it.
    configs: Vec<Arc<ClientConfig>>,
}

impl Servers {
    /// Those that these roots vouch for.
    pub(super) fn vouched_for_by(roots: &[CertificateDer<'static>]) -> anyhow::Result<Self> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let store = Arc::new(store);
        let configs = Offer::ALL.iter().map(|offer| {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(Arc::clone(&store))
                .with_no_client_auth();
            config.alpn_protocols = offer.names();
            config.resumption = Resumption::in_memory_sessions(RESUMED);
            Ok(Arc::new(config))
        });
        Ok(Self {
            configs: configs.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Has this connection be one in TLS with the server of this name.
    ///
    /// # Errors
    /// Why not, in words for the record and the client.
    pub(super) async fn secure(
        &self,
        stream: &Stream,
        name: &Hostname,
        offer: Offer,
    ) -> Result<(), String> {
        let asked = Arc::new(ClientCertificate::default());
        let config = self.configs.get(offer.number());
        let mut config = ClientConfig::clone(config.ok_or("no configuration for it")?);
        config.client_auth_cert_resolver = Arc::clone(&asked) as _;
        let server = ServerName::try_from(name.to_string()).map_err(|error| error.to_string())?;
        let connection = ClientConnection::new(Arc::new(config), server);
        let connection = connection.map_err(|error| error.to_string())?;
        if !stream.secure(connection.into()) {
            return Err(crate::proxy::budget::used_up().reason);
        }
        match timeout(HANDSHAKE_WITHIN, stream.shake_hands()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(explained(&error, name, asked.0.load(Relaxed))),
            Err(_) => Err("its TLS handshake did not end".to_owned()),
        }
    }
}

/// Notes whether the server asked the client for a certificate, of which there is none here.
#[derive(Debug, Default)]
struct ClientCertificate(AtomicBool);

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Else it isn't asked.
        true
    }
}

/// What is said of a server that refuses whoever has no certificate.
pub(in crate::proxy) fn wants_certificate(name: &str) -> String {
    format!(
        "it wants a certificate of the client's, which can't be given in its place: put {name} into tls: passthrough"
    )
}

/// Why a handshake failed.
fn explained(error: &io::Error, name: &Hostname, asked_for_certificate: bool) -> String {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match of_tls {
        Some(Error::AlertReceived(_)) if asked_for_certificate => wants_certificate(name.as_str()),
        Some(Error::InvalidCertificate(why)) => format!("its certificate {}", certificate(why)),
        Some(Error::InvalidMessage(_)) => "it does not speak TLS on this port".to_owned(),
        Some(error) => format!("its TLS handshake failed: {error}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it ended within its TLS handshake".to_owned()
        }
        None => format!("its TLS handshake failed: {error}"),
    }
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "is vouched for by nobody that this host trusts (extra-ca in config.toml adds an authority)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for other names".to_owned()
        }
        why => format!("can't be verified: {why}"),
    }
}
