//! `policy suggest`: from what containers did to a policy that allows it.
//!
//! Reads records as `logs` does; `audit::asked` says what a line of theirs asks for.

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use crate::audit::reader::{Directory, LineStream, RecordFiles, RecordedAttempt, Told};
use crate::audit::{Direction, asked};
use crate::cli::logs::choice;
use crate::cli::logs::host::HostArguments;
use crate::cli::logs::period::{Period, Wanted};
use crate::policy::suggest::Session;

/// `policy suggest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads records, best those of a container in observe mode, and prints a policy file. Methods and paths are in it where they were read.
What was denied, asked once and never answered, or only looked up, is left out, and listed at the end. Read it before you use it:
what a container did isn't always what it should do.

Examples:
  boundary-shim policy suggest web > /etc/boundary/policies/web.yaml")]
pub(super) struct SuggestArguments {
    /// Containers, as for logs, or records' files (a jail's --log); without any, all containers that have
    /// records
    containers: Vec<String>,
    /// Only what was in progress at this time or later: 2h (ago), or 2024-05-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// A pattern that stands for all names that it fits, like *.example.org (may be given often)
    #[arg(long, value_name = "PATTERN")]
    wildcard: Vec<String>,
    #[command(flatten)]
    host: HostArguments,
}

/// Prints a policy.
///
/// # Errors
/// No such container, a record that can't be read, a bad pattern.
pub(super) fn run(arguments: &SuggestArguments) -> anyhow::Result<()> {
    let directory = Directory::new(&arguments.host.settings()?.audit_directory);
    let period = Period::read(arguments.since.as_deref(), None, SystemTime::now())?;
    let wanted = Wanted {
        denied: false,
        period,
    };
    let mut session = Session::default();
    for recorded in chosen(&directory, &arguments.containers)? {
        read(&recorded, wanted, &mut session)
            .with_context(|| format!("can't read the record of {}", recorded.id))?;
    }
    let suggestion = session
        .suggest(&arguments.wildcard)
        .map_err(|hint| anyhow::anyhow!("--wildcard: {hint}"))?;
    write!(io::stdout().lock(), "{suggestion}")?;
    Ok(())
}

fn chosen(directory: &Directory, words: &[String]) -> anyhow::Result<Vec<RecordFiles>> {
    if words.is_empty() {
        let all = directory.list(usize::MAX);
        return all.with_context(|| format!("can't list {}", directory.path().display()));
    }
    let mut found = Vec::new();
    for word in words {
        // A slash is in no container's name, and in a pod's of the form NAMESPACE/NAME.
        match Path::new(word) {
            file if word.contains('/') && file.is_file() => found.push(RecordFiles::at(file)),
            _ => found.extend(choice::choose(directory, Some(word))?.containers),
        }
    }
    Ok(found)
}

fn read(recorded: &RecordFiles, wanted: Wanted, session: &mut Session) -> io::Result<()> {
    // Of what goes in, no rule decides.
    let is_out = |attempt: &RecordedAttempt| attempt.line.direction == Some(Direction::Out);
    LineStream::open(recorded)?.tell_all(|told| match told {
        Told::Attempt(attempt) if is_out(&attempt) && wanted.has(&attempt) => {
            asked::add(&attempt, session);
        }
        Told::Attempt(_) | Told::Event(_) | Told::Other(_) => {}
    })
}
