//! Finds roots within DER that is about something else: a PKCS #12 store without a password, as Java
//! 18 and later bring their roots (RFC 7292), of which only the certificates matter here.

use rustls::pki_types::CertificateDer;

use super::{MOST, is_root};

/// How deep a store is nested: PFX, AuthenticatedSafe, ContentInfo, SafeContents, SafeBag and
/// CertBag, each in one or two layers.
const DEPTH: usize = 16;

const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING: u8 = 0x04;

/// The roots that stand in octet strings anywhere within.
#[must_use]
pub fn roots_within(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    search(bytes, DEPTH, &mut found);
    found
}

fn search(mut bytes: &[u8], depth: usize, found: &mut Vec<CertificateDer<'static>>) {
    while let Some((tag, content, rest)) = element(bytes) {
        bytes = rest;
        if depth == 0 || found.len() == MOST {
            return;
        }
        let certificate = (tag == OCTET_STRING)
            .then(|| CertificateDer::from(content))
            .filter(is_root);
        match certificate {
            Some(certificate) => found.push(certificate.into_owned()),
            None if tag == OCTET_STRING || tag & CONSTRUCTED != 0 => {
                search(content, depth.saturating_sub(1), found);
            }
            None => {}
        }
    }
}

/// The first element: its tag, its content, and what comes behind. None where there is none whole.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More than four bytes of length are no store of ours; none at all is BER.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length
                .iter()
                .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
