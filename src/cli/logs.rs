//! Stub.

/// Stub.
#[derive(Debug, clap::Args)]
pub struct LogsArguments {}

/// Stub.
///
/// # Errors
/// Never.
pub fn run(_arguments: &LogsArguments) -> anyhow::Result<()> {
    Ok(())
}
