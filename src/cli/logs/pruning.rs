//! `logs prune`: removes the records of containers that ended long ago.

use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::Host;
use super::choice::short;
use super::words::size;
use crate::audit::prune;
use crate::audit::reader::Directory;
use crate::container::record;

/// What `logs prune` is told.
#[derive(Debug, clap::Args)]
pub(super) struct PruneArguments {
    /// How long ago a container has to have ended: 30d, 12h. Without it, `audit-keep` of the host's
    /// configuration counts
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    older: Option<Duration>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    host: Host,
}

/// Removes, and says what. A container of which anything runs keeps its record.
pub(super) fn run(arguments: &PruneArguments, out: &mut impl Write) -> Result<()> {
    let settings = arguments.host.settings()?;
    let age = arguments.older.or(settings.audit_keep).context(
        "nothing says how old records have to be: give --older, or set audit-keep in the host's configuration",
    )?;
    let before = SystemTime::now()
        .checked_sub(age)
        .context("--older reaches back before all time")?;
    let directory = Directory::new(&settings.audit_directory);
    let running: HashSet<String> = record::list()
        .context("cannot tell which containers run")?
        .into_iter()
        .filter(|record| !record.over())
        .map(|record| record.plan.container)
        .collect();
    let old = prune::old(&directory, before, |id| running.contains(id))
        .with_context(|| format!("cannot list {}", directory.path().display()))?;
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
        let failed = || format!("cannot remove the record of {}", short(&recorded.id));
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
