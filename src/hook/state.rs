//! What the runtime tells a hook on standard input (OCI runtime-spec, runtime.md, "State").
//!
//! Not `oci-spec`'s type `State`: that refuses a state without `ociVersion` and any status that it
//! doesn't know, and nothing here depends on either.

use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;

/// What is read of it.
#[derive(Debug, Deserialize)]
pub(super) struct OciState {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: String,
    /// None once it has stopped, with some runtimes.
    #[serde(default)]
    pub(super) pid: i32,
    pub(super) bundle: PathBuf,
}

impl OciState {
    /// Reads it from standard input.
    pub(super) fn read() -> anyhow::Result<Self> {
        /// A state with many annotations has some kilobytes.
        const MOST: u64 = 1024 * 1024;
        let mut text = String::new();
        std::io::stdin().take(MOST).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }
}
