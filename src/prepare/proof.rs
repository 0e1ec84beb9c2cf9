//! The proof that a patched seccomp filter allows what was promised and nothing more: made once for
//! each pair of filters and kept until the next boot, since compiling two filters takes longer than
//! the rest of a `create`.
//!
//! Invariant: a proof is an empty file in a directory that only root can write; its name covers
//! both filters, the tier, and the versions of this program and of libseccomp.

use std::fs::{DirBuilder, OpenOptions, read_dir};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::seccomp::filter::Filter;
use crate::seccomp::proof::fingerprint::fingerprint;
use crate::seccomp::proof::verify::verify;
use crate::seccomp::tier::Tier;

/// Where the proofs are; on a file system that a restart empties.
pub(crate) const PROOFS: &str = "/run/boundary-proofs";

/// Proofs that are kept. A host has a handful of profiles; one that is made up for each container
/// costs its proof each time.
const MOST: usize = 1024;

/// Proves that `after` is `before` with the tier's calls allowed, unless that was proved before.
pub(crate) fn prove(before: &Value, after: &Value, tier: Tier) -> anyhow::Result<()> {
    let proof =
        fingerprint(before, after, tier).map(|name| Path::new(PROOFS).join(hexadecimal(&name)));
    if proof.as_ref().is_some_and(|proof| proof.is_file()) {
        return Ok(());
    }
    let read = |filter| Filter::read(filter).context("can't read the container's seccomp filter");
    verify(&read(before)?, &read(after)?, tier)?;
    // Where it can't be remembered, it is proved again.
    let _ = proof.map(|proof| remember(&proof));
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remember(proof: &Path) -> io::Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(PROOFS)?;
    if read_dir(PROOFS)?.take(MOST).count() < MOST {
        OpenOptions::new()
            .write(true)
            .create(true)
            .mode(0o400)
            .custom_flags(libc::O_NOFOLLOW)
            .open(proof)?;
    }
    Ok(())
}
