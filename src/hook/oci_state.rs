//! What the runtime tells a hook on standard input (OCI runtime-spec, runtime.md, "State").

use std::io::Read;

use oci_spec::runtime::State;

/// Reads it.
pub(super) fn read() -> anyhow::Result<State> {
    /// A state with many annotations has some kilobytes.
    const MOST: u64 = 1024 * 1024;
    let mut text = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}
