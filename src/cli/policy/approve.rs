//! `policy approve`: the rule for exactly what a container was denied, for that container alone.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::asked::{ask, find};
use super::change::who;
use super::choice::choose;
use super::host::settings_of;
use super::pending::time;
use super::written::with_rule;
use crate::audit::record::MAX_TEXT;
use crate::container::state::SavedState;
use crate::control::{Approval, Approved, Request, Response};
use crate::escape::clean;
use crate::policy::text::all_of;
use crate::policy::{ApprovalId, PolicyName};
use crate::settings;
use crate::sys::file;

/// `policy approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The rule allows exactly what is shown as pending, for this container alone, until its end (a restart ends it, too) or for the time
that is given; what is open by it then is cut. It stays when the policy is changed meanwhile: where the new one denies it by a rule,
that holds. The container's record says who approved what.
The ID is of the container and all that the rule says: what has changed since it was shown has another.

Examples:
  sudo boundary-shim policy approve 8f14e45fceea167a5a36dedd4bea2543 --for 1h
  sudo boundary-shim policy approve 8f14e45fceea167a5a36dedd4bea2543 --write")]
pub(super) struct ApproveArguments {
    /// The attempt, as policy pending shows it
    #[arg(value_name = "ID")]
    id: ApprovalId,
    /// For so long (30m, 1h, 2d)
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Until the container ends (the default)
    #[arg(long, conflicts_with = "time")]
    until_exit: bool,
    /// Add the rule to the container's policy file, too, after showing which containers that widens
    #[arg(long)]
    write: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration.as_secs() {
        0 => Err("expected a second at least, as in 30m or 1h".to_owned()),
        _ => Ok(duration),
    }
}

/// Does it.
///
/// # Errors
/// Nothing is pending under the ID; its gateway refuses; the rule can't be written, or isn't to be.
pub(super) fn run(arguments: &ApproveArguments) -> anyhow::Result<()> {
    let (record, found) = find(arguments.id)?;
    let widened = match arguments.write {
        true => Some(Widened::by(&record, &found.rule)?.agreed()?),
        false => None,
    };
    let approval = Request::Approve(Approval {
        id: arguments.id,
        seconds: arguments.time.map(|time| time.as_secs()),
    });
    let approved = match ask(&record, &approval)? {
        Response::Approved(approved) => approved,
        other => bail!("its gateway's answer makes no sense: {other:?}"),
    };
    say(&record, &approved)?;
    widened.map_or(Ok(()), |widened| widened.write())
}

fn say(record: &SavedState, approved: &Approved) -> io::Result<()> {
    let until = match approved.until {
        Some(until) => format!("until {}", time(until)),
        None => "until the container's end".to_owned(),
    };
    writeln!(
        io::stdout().lock(),
        "{}: allowed {until}, generation {}: {}",
        who(record),
        approved.generation,
        clean(&approved.rule, MAX_TEXT)
    )
}

/// A policy file with one rule more.
struct Widened {
    file: PathBuf,
    rule: String,
    text: String,
    /// Running containers that are filtered by this file, besides the one that it is for.
    others: Vec<String>,
}

impl Widened {
    /// That of this container.
    fn by(record: &SavedState, rule: &str) -> anyhow::Result<Self> {
        let file = file_of(record)?;
        let origin = file.display().to_string();
        let text = read(&file)?;
        let text = with_rule(&origin, &text, rule).with_context(|| {
            format!(
                "{origin} can't be changed by this program: add the rule yourself: {}",
                clean(rule, MAX_TEXT)
            )
        })?;
        let is_other = |other: &SavedState| {
            other.plan.state != record.plan.state && file_of(other).is_ok_and(|its| its == file)
        };
        let all = choose(&[])?;
        let others = all.iter().filter(|other| is_other(other)).map(who);
        let others = others.collect();
        Ok(Self {
            file,
            rule: rule.to_owned(),
            text,
            others,
        })
    }

    /// Says whom it widens, and asks.
    fn agreed(self) -> anyhow::Result<Self> {
        let (file, rule) = (self.file.display(), clean(&self.rule, MAX_TEXT));
        let mut out = io::stdout().lock();
        writeln!(out, "{file} gets the rule {rule}")?;
        match self.others.as_slice() {
            [] => writeln!(out, "No other container that runs is filtered by it.")?,
            others => writeln!(
                out,
                "These containers are filtered by it, too, and are allowed this from their next policy reload or start on: {}",
                others.join(", ")
            )?,
        }
        ensure!(
            io::stdin().is_terminal(),
            "--write asks before it writes, and standard input is no terminal: nothing was approved or written"
        );
        write!(out, "Approve it and write the file? [y/N] ")?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        let is_yes = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
        ensure!(is_yes, "nothing was approved or written");
        Ok(self)
    }

    /// Writes it, unless somebody else has changed it since.
    fn write(&self) -> anyhow::Result<()> {
        let file = &self.file;
        let origin = file.display();
        let now = read(file)?;
        let wanted = with_rule(&origin.to_string(), &now, &self.rule)?;
        ensure!(
            wanted == self.text,
            "{origin} has changed meanwhile, and was not written: what was approved is in force"
        );
        file::replace(file, wanted.as_bytes(), 0o644)
            .with_context(|| format!("can't write {origin}: what was approved is in force"))?;
        writeln!(io::stdout().lock(), "{origin} is written")?;
        Ok(())
    }
}

/// The file by whose rules a container is filtered.
fn file_of(record: &SavedState) -> anyhow::Result<PathBuf> {
    let applied = record
        .changed
        .as_ref()
        .and_then(|changed| changed.file.clone());
    match applied {
        Some(file) => Ok(file),
        None => {
            let name = PolicyName::parse(&record.policy().name).map_err(anyhow::Error::msg)?;
            let settings = settings_of(record).map_err(|mistakes| all_of(&mistakes))?;
            Ok(name.file(&settings.policies))
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let origin = || file.display().to_string();
    let text = settings::read_trusted(file).with_context(origin)?;
    text.with_context(|| format!("{}: there is no such file", origin()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_second_at_least() {
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "0s", "10ms", "-1h", "1"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
