//! Connections to servers in TLS: verified as any careful client would, for the container that
//! can't see for itself any more.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, SignatureScheme,
};
use tokio::time::timeout;

use super::alpn::{ByOffer, Offer};
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
    /// What was agreed with a server is kept with each.
    configs: ByOffer<Arc<ClientConfig>>,
}

impl Servers {
    /// Those that these roots vouch for.
    pub(super) fn vouched_for_by(roots: &[CertificateDer<'static>]) -> anyhow::Result<Self> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let store = Arc::new(store);
        // One for all: what was agreed on is resumed only by who would show the same certificate.
        let none: Arc<dyn ResolvesClientCert> = Arc::new(NoCertificate);
        let configs = ByOffer::make(|offer| {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(Arc::clone(&store))
                .with_client_cert_resolver(Arc::clone(&none));
            config.alpn_protocols = offer.names();
            config.resumption = Resumption::in_memory_sessions(RESUMED);
            anyhow::Ok(Arc::new(config))
        })?;
        Ok(Self { configs })
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
        let config = Arc::clone(self.configs.of(offer));
        let server = ServerName::try_from(name.to_string()).map_err(|error| error.to_string())?;
        let connection = ClientConnection::new(config, server);
        let connection = connection.map_err(|error| error.to_string())?;
        if !stream.secure(connection.into()) {
            return Err(crate::proxy::budget::used_up().reason);
        }
        let (shaken, was_asked) = noting(timeout(HANDSHAKE_WITHIN, stream.shake_hands())).await;
        match shaken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(explained(&error, name, was_asked)),
            Err(_) => Err("its TLS handshake did not end".to_owned()),
        }
    }
}

thread_local! {
    /// Whether a server asked for the client's certificate.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// There is none here. Notes that it was asked for.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ASKED.set(true);
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

/// Awaits one connection's handshake, and notes whether its server asked for the client's
/// certificate.
async fn noting<T>(handshake: impl Future<Output = T>) -> (T, bool) {
    let (mut handshake, mut was_asked) = (pin!(handshake), false);
    let shaken = poll_fn(|cx| {
        // Whatever is decrypted within one call is this connection's.
        ASKED.set(false);
        let polled = handshake.as_mut().poll(cx);
        was_asked |= ASKED.take();
        polled
    })
    .await;
    (shaken, was_asked)
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
