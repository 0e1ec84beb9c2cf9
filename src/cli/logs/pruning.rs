//! `logs prune`: removes the records of containers that ended long ago.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::host::HostArguments;
use super::words::size;
use crate::audit::prune;
use crate::audit::reader::Directory;
use crate::cli::short::short;
use crate::container::state;

/// `logs prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim logs prune --older 30d --dry-run")]
pub(super) struct PruneArguments {
    /// Remove records of containers that ended longer ago than this: 30d, 12h (default: audit-keep
    /// in the host's configuration)
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    older: Option<Duration>,
    /// Show what would be removed, without removing anything
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    host: HostArguments,
}

/// Removes old records and lists them. A container that is still running keeps its record.
pub(super) fn run(arguments: &PruneArguments, out: &mut impl Write) -> Result<()> {
    let settings = arguments.host.settings()?;
    let age = arguments
        .older
        .or(settings.audit_keep)
        .context("no age given: use --older, or set audit-keep in the host's configuration")?;
    let before = SystemTime::now()
        .checked_sub(age)
        .context("--older is too long ago")?;
    let directory = Directory::new(&settings.audit_directory);
    let running = state::containers(|record| !record.over())
        .context("can't tell which containers are running")?;
    let old = prune::old(&directory, before, |id| running.contains(id))
        .with_context(|| format!("can't list {}", directory.path().display()))?;
    let (verb, mut count, mut bytes) = (
        if arguments.dry_run {
            "would remove"
        } else {
            "removed"
        },
        0_u64,
        0_u64,
    );
    for recorded in &old {
        let failed = || format!("can't remove the record of {}", short(&recorded.id));
        let pruned = if arguments.dry_run {
            Some(
                recorded
                    .files()
                    .with_context(failed)?
                    .iter()
                    .map(|(_, _, size)| size)
                    .sum(),
            )
        } else {
            prune::remove(recorded, before).with_context(failed)?
        };
        if let Some(taken) = pruned {
            (count, bytes) = (count + 1, bytes + taken);
            writeln!(out, "{verb} {}: {}", short(&recorded.id), size(taken))?;
        }
    }
    writeln!(
        out,
        "{verb} {count} {}, {}",
        if count == 1 { "record" } else { "records" },
        size(bytes)
    )?;
    Ok(out.flush()?)
}
