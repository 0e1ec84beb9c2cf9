//! `policy reset`: back to containers' own policy files.

use super::change;
use super::choice::choose;
use super::reload::own;

/// `policy reset`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim policy reset web")]
pub(super) struct ResetArguments {
    /// The containers; all, if none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Does it.
///
/// # Errors
/// It failed for one of them.
pub(super) fn run(arguments: &ResetArguments) -> anyhow::Result<()> {
    let records = choose(&arguments.containers)?;
    change::each(&records, own)
}
