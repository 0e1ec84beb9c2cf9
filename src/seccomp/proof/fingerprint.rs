//! The fingerprint by which a passed check of a patched filter is remembered.
//!
//! Invariant: everything that the outcome depends on is in it, or a check would be believed that was
//! never made.

use libseccomp::ScmpVersion;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::seccomp::arch;
use crate::seccomp::tier::Tier;

/// The SHA-256 of all that [`verify`](super::verify::verify) depends on: both filters as JSON, the
/// tier, the machine, and the versions of libseccomp and of this program. None where libseccomp
/// doesn't tell its version: then nothing can be remembered.
#[must_use]
pub fn fingerprint(before: &Value, after: &Value, tier: Tier) -> Option<[u8; 32]> {
    let libseccomp = ScmpVersion::current().ok()?;
    let machine = arch::own()?.architecture.name();
    let mut hash = Sha256::new();
    for part in [
        concat!(
            "seccomp patch of ",
            env!("CARGO_PKG_NAME"),
            " ",
            env!("CARGO_PKG_VERSION")
        ),
        &libseccomp.to_string(),
        machine,
        tier.name(),
        &before.to_string(),
        &after.to_string(),
    ] {
        // With its length in front, no part can be taken for the beginning of the next.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_input_has_another_fingerprint() {
        let (one, two) = (
            json!({"defaultAction": "SCMP_ACT_ERRNO"}),
            json!({"defaultAction": "SCMP_ACT_ALLOW"}),
        );
        let of = |before, after, tier| fingerprint(before, after, tier).unwrap();
        let all = [
            of(&one, &two, Tier::Nsjail),
            of(&two, &one, Tier::Nsjail),
            of(&one, &one, Tier::Nsjail),
            of(&one, &two, Tier::Seed),
        ];
        for (at, fingerprint) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == fingerprint), Some(at));
        }
        assert_eq!(of(&one, &two, Tier::Nsjail), all[0]);
    }
}
