//! Java's own key store (`sun.security.provider.JavaKeyStore`), of which only trusted certificates
//! are read and written. Every Java reads it, whatever its default is.
//!
//! A header, entries, and a digest over them. It holds no secret: the password is the one that every
//! Java is delivered with.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls::pki_types::CertificateDer;

use super::{MOST, is_root};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
const CERTIFICATE_TYPE: &[u8] = b"X.509";
/// What the digest is salted with, besides the password.
const SALT: &[u8] = b"Mighty Aphrodite";
const PASSWORD: &str = "changeit";
const DIGEST: usize = 20;

/// One certificate in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that it goes by.
    pub alias: String,
    /// When it was entered, in milliseconds.
    pub created: u64,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
}

/// The certificates of a store that are roots. None where it isn't one, or holds other things.
#[must_use]
pub fn read(store: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = store.get(..store.len().checked_sub(DIGEST)?)?;
    if number(&mut rest)? != MAGIC || number(&mut rest)? != VERSION {
        return None;
    }
    let count = usize::try_from(number(&mut rest)?).ok()?;
    let mut entries = Vec::new();
    for _ in 0..count.min(MOST) {
        let entry = entry(&mut rest)?;
        entries.extend(Some(entry).filter(|entry| is_root(&entry.certificate)));
    }
    Some(entries)
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    if number(rest)? != TRUSTED_CERTIFICATE {
        return None;
    }
    let alias = text(rest)?;
    let created = u64::from_be_bytes(take(rest, 8)?.try_into().ok()?);
    if text(rest)?.as_bytes() != CERTIFICATE_TYPE {
        return None;
    }
    let length = usize::try_from(number(rest)?).ok()?;
    Some(Entry {
        alias,
        created,
        certificate: CertificateDer::from(take(rest, length)?.to_vec()),
    })
}

/// A store with these certificates.
#[must_use]
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut store = Vec::new();
    for number in [MAGIC, VERSION, length(entries)] {
        store.extend(number.to_be_bytes());
    }
    for entry in entries {
        store.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        put_text(&mut store, entry.alias.as_bytes());
        store.extend(entry.created.to_be_bytes());
        put_text(&mut store, CERTIFICATE_TYPE);
        store.extend(length(&entry.certificate).to_be_bytes());
        store.extend_from_slice(&entry.certificate);
    }
    let digest = digest(&store);
    store.extend(digest);
    store
}

/// What Java compares, to find that a store was changed by somebody who doesn't know the password.
fn digest(content: &[u8]) -> [u8; DIGEST] {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        digest.update(&unit.to_be_bytes());
    }
    digest.update(SALT);
    digest.update(content);
    let mut found = [0; DIGEST];
    found.copy_from_slice(digest.finish().as_ref());
    found
}

fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// `DataOutput.writeUTF`. Aliases are short; what doesn't fit is cut.
fn put_text(store: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    store.extend(length.to_be_bytes());
    store.extend(text.iter().take(usize::from(length)));
}

/// `DataInput.readUTF`, of texts that are UTF-8, too.
fn text(rest: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    String::from_utf8(take(rest, usize::from(length))?.to_vec()).ok()
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}
