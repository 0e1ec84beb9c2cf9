//! For tests: real files that are not ours to hand on (tests/README.md).

use std::path::PathBuf;

/// A folder of them. None, said on standard error: there are none here.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let Some(all) = std::env::var_os("BOUNDARY_REAL_DATA") else {
        eprintln!("skipped: BOUNDARY_REAL_DATA names no folder with {name}");
        return None;
    };
    Some(PathBuf::from(all).join(name))
}
