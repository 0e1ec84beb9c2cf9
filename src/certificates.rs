//! Certificates as trust stores hold them: one behind the other as PEM (RFC 7468), and Java's key
//! stores (`jks`). Pure.
//!
//! Invariant: a store may be a stranger's. What leaves here are certificates that a TLS library takes
//! for roots, and nothing else of what was read.

pub mod der;
pub mod jks;

use std::collections::HashSet;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The most that is taken from one store: some thirty times what public lists hold.
pub const MOST: usize = 4096;

/// The roots in a text, in its order; what else it holds is passed over.
#[must_use]
pub fn from_pem(text: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text)
        .take(MOST)
        .filter_map(Result::ok)
        .filter(is_root)
        .collect()
}

/// Whether a TLS library takes it for a root.
#[must_use]
pub fn is_root(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty()
        .add(certificate.clone().into_owned())
        .is_ok()
}

/// All of them, each once, in the order in which they come first.
#[must_use]
pub fn union(
    lists: impl IntoIterator<Item = Vec<CertificateDer<'static>>>,
) -> Vec<CertificateDer<'static>> {
    let mut known = HashSet::new();
    let all = lists.into_iter().flatten();
    all.filter(|one| known.insert(one.clone())).collect()
}

/// Certificates as a PEM text.
#[must_use]
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let text = |one: &CertificateDer<'_>| {
        pem::encode_config(&pem::Pem::new("CERTIFICATE", one.to_vec()), lines)
    };
    certificates.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
