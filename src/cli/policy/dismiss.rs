//! `policy dismiss`: what isn't to be shown as pending any more.

use std::io::{self, Write};

use super::asked::{ask, find};
use super::change::who;
use crate::control::Request;
use crate::policy::ApprovalId;

/// `policy dismiss`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim policy dismiss 8f14e45fceea167a5a36dedd4bea2543")]
pub(super) struct DismissArguments {
    /// The attempt, as policy pending shows it
    #[arg(value_name = "ID")]
    id: ApprovalId,
}

/// Does it.
///
/// # Errors
/// Nothing is pending under the ID; its gateway can't be asked.
pub(super) fn run(arguments: &DismissArguments) -> anyhow::Result<()> {
    let (record, _) = find(arguments.id)?;
    ask(&record, &Request::Dismiss(arguments.id))?;
    writeln!(
        io::stdout().lock(),
        "{}: {} stays denied, and isn't shown as pending any more",
        who(&record),
        arguments.id
    )?;
    Ok(())
}
