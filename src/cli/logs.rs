//! `boundary-shim logs`: shows what containers attempted, from their records.
//!
//! Owns the arguments. `choice` finds the containers, `listing` shows them as a table, `view` shows
//! a record's attempts as they come, `summary` adds them up, and `pruning` removes old records.
//! [`crate::audit::reader`] reads the files.

pub(in crate::cli) mod choice;
pub(in crate::cli) mod host;
mod last;
mod listing;
pub(in crate::cli) mod period;
mod pruning;
mod repeats;
mod running;
mod summary;
mod view;
mod words;
mod zone;

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::audit::reader::{Directory, MergedLines, RecordFiles};

use choice::Selected;
use host::HostArguments;
use period::{Period, Wanted};
use running::Running;
use view::{View, ViewOptions};
use words::Paint;
use zone::Zone;

/// `logs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  sudo boundary-shim logs
  sudo boundary-shim logs web --follow --denied
  sudo boundary-shim logs --last --since 2h --summary
  sudo boundary-shim logs shop/ --json")]
#[command(group(clap::ArgGroup::new("one").args(["container", "last"])))]
#[command(group(clap::ArgGroup::new("attempts").args(["container", "last", "summary"]).multiple(true)))]
pub struct LogsArguments {
    #[command(subcommand)]
    command: Option<LogsCommand>,
    /// Container ID or a prefix of it (with or without containerd:// before it), container name, pod
    /// (NAME or NAMESPACE/NAME), or NAMESPACE/ for all pods of one. Without it, containers are listed
    container: Option<String>,
    /// Show the newest container
    #[arg(long)]
    last: bool,
    /// List all containers, not only the 20 newest
    #[arg(long, conflicts_with = "attempts")]
    all: bool,
    /// Keep showing new attempts until the container ends
    #[arg(short, long, requires = "one", conflicts_with = "summary")]
    follow: bool,
    /// Show only what was denied
    #[arg(long, requires = "attempts")]
    denied: bool,
    /// Show only what was in progress at this time or later: 2h (ago), or 2024-05-01T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "attempts")]
    since: Option<String>,
    /// Show only what began at this time or earlier
    #[arg(long, value_name = "TIME", requires = "attempts")]
    until: Option<String>,
    /// Show only the last N attempts
    #[arg(
        short = 'n',
        long = "tail",
        value_name = "N",
        requires = "one",
        conflicts_with = "summary"
    )]
    tail: Option<usize>,
    /// Sum up the attempts by destination; without a container, those of all containers
    #[arg(long)]
    summary: bool,
    /// Print the record's own lines, one JSON object each; the other options then select lines
    #[arg(long, requires = "one", conflicts_with = "summary")]
    json: bool,
    /// Show times in the host's time zone instead of UTC
    #[arg(long, conflicts_with = "json")]
    local: bool,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, clap::Subcommand)]
enum LogsCommand {
    /// Remove old records of containers that have ended
    Prune(pruning::PruneArguments),
}

/// Shows records, lists them, or removes them.
///
/// # Errors
/// A broken configuration, no such container, several of them (listed), a file that cannot be read.
/// If the reader of standard output is gone (`| head`), that I/O error itself: the caller treats it
/// as success.
pub fn run(arguments: &LogsArguments) -> Result<()> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    match &arguments.command {
        Some(LogsCommand::Prune(arguments)) => pruning::run(arguments, out),
        None => show(arguments, out),
    }
}

fn show(arguments: &LogsArguments, out: &mut impl Write) -> Result<()> {
    let directory = Directory::new(&arguments.host.settings()?.audit_directory);
    let zone = Zone {
        local: arguments.local,
    };
    let period = Period::read(
        arguments.since.as_deref(),
        arguments.until.as_deref(),
        SystemTime::now(),
    )?;
    let wanted = Wanted {
        denied: arguments.denied,
        period,
    };
    let shown = match (&arguments.container, arguments.last, arguments.summary) {
        (None, false, false) => listing::show(&directory, arguments.all, zone, out),
        (None, false, true) => directory
            .list(usize::MAX)
            .and_then(|all| summary::show(&all, wanted, zone, out)),
        (word, _, summed) => {
            let Selected { containers, remark } = choice::choose(&directory, word.as_deref())?;
            if let Some(remark) = remark {
                // Where stderr is closed there is nobody to tell.
                let _ = writeln!(io::stderr(), "boundary-shim: {remark}");
            }
            if summed {
                summary::show(&containers, wanted, zone, out)
            } else {
                view(&containers, arguments, wanted, zone, out)
            }
        }
    };
    match shown {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error.into()),
        outcome => outcome
            .with_context(|| format!("can't show the records in {}", directory.path().display())),
    }
}

fn view(
    containers: &[RecordFiles],
    arguments: &LogsArguments,
    wanted: Wanted,
    zone: Zone,
    out: &mut impl Write,
) -> io::Result<()> {
    let paint = Paint::if_wanted(
        io::stdout().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
    );
    let form = ViewOptions {
        json: arguments.json,
        follow: arguments.follow,
        last: arguments.tail,
        wanted,
        zone,
        paint,
    };
    let ids = containers
        .iter()
        .map(|container| container.id.clone())
        .collect();
    View::new(form, ids, out).show(MergedLines::open(containers)?, Running::now)
}

#[cfg(test)]
mod tests;
