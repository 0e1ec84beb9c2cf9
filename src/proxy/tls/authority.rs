//! The authority of one container, which vouches for every server in whose name TLS is intercepted,
//! and what it has vouched for.
//!
//! Invariant: its key, and the leaves', never leave this process: they are made here and written
//! nowhere. What it vouches for was allowed: it is asked only once that is decided
//! ([`super::intercept`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than any container runs: programs read their roots once, when they start.
const AUTHORITY_LASTS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long a leaf counts.
const LEAF_LASTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long before its end another takes its place: a connection may last.
const LEAF_RENEWED: Duration = DAY;
/// Names that are vouched for at once. One more is in the place of the one that was made first.
pub const LEAVES: usize = 1024;

/// A container's authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    leaf_pair: KeyPair,
    leaf_key: Arc<dyn SigningKey>,
    leaves: Mutex<HashMap<String, Leaf>>,
}

/// What was made for one name.
struct Leaf {
    certified: Arc<CertifiedKey>,
    made: SystemTime,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes one. It counts from a day ago: clocks differ.
    ///
    /// # Errors
    /// What the system's random numbers and the encoder give.
    pub(super) fn new() -> anyhow::Result<Self> {
        let now = SystemTime::now();
        let mut params = lasting(now, AUTHORITY_LASTS);
        params
            .distinguished_name
            .push(DnType::CommonName, "boundary-shim of this container");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let leaf_pair = KeyPair::generate()?;
        let der = PrivateKeyDer::try_from(leaf_pair.serialize_der())
            .map_err(|why| anyhow::anyhow!("encode a key: {why}"))?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            leaf_key: any_ecdsa_type(&der)?,
            leaf_pair,
            leaves: Mutex::default(),
        })
    }

    /// What its container has to trust.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Vouches for a name, by what was made for it before where that still counts for a while.
    fn leaf(&self, name: &str, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |leaf: &Leaf| now.duration_since(leaf.made).unwrap_or(LEAF_LASTS);
        if let Some(leaf) = leaves.get(name)
            && age(leaf) < LEAF_LASTS.saturating_sub(LEAF_RENEWED)
        {
            return Some(Arc::clone(&leaf.certified));
        }
        let certified = self
            .vouch(name, now)
            .inspect_err(|error| log::warn!("can't make a certificate for {name}: {error}"))
            .ok()?;
        if leaves.len() >= LEAVES
            && let Some(oldest) = leaves.iter().max_by_key(|(_, leaf)| age(leaf))
        {
            let oldest = oldest.0.clone();
            leaves.remove(&oldest);
        }
        let leaf = Leaf {
            certified: Arc::clone(&certified),
            made: now,
        };
        leaves.insert(name.to_owned(), leaf);
        Some(certified)
    }

    fn vouch(&self, name: &str, now: SystemTime) -> Result<Arc<CertifiedKey>, rcgen::Error> {
        let mut params = lasting(now, LEAF_LASTS);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.leaf_pair, &self.issuer)?;
        // Some clients want to see the authority, too (RFC 8446 4.4.2 leaves it out).
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(Arc::new(CertifiedKey::new(
            chain,
            Arc::clone(&self.leaf_key),
        )))
    }
}

/// A certificate from a day ago until this long from now, for nobody yet.
fn lasting(now: SystemTime, how_long: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - DAY).into();
    params.not_after = (now + how_long).into();
    params
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(hello.server_name()?, SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_leaf_until_shortly_before_its_end() {
        let authority = Authority::new().unwrap();
        let now = SystemTime::now();
        let first = authority.leaf("a.test", now).unwrap();
        let later = authority.leaf("a.test", now + 5 * DAY).unwrap();
        assert!(Arc::ptr_eq(&first, &later));
        let renewed = authority.leaf("a.test", now + 6 * DAY).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
    }

    #[test]
    fn however_many_names_come_so_many_leaves_are_kept() {
        let authority = Authority::new().unwrap();
        let now = SystemTime::now();
        for number in 0..LEAVES + 50 {
            let at = now + Duration::from_millis(number as u64);
            authority.leaf(&format!("n{number}.test"), at).unwrap();
        }
        let leaves = authority.leaves.lock().unwrap();
        assert_eq!(leaves.len(), LEAVES);
        assert!(!leaves.contains_key("n49.test") && leaves.contains_key("n50.test"));
    }
}
