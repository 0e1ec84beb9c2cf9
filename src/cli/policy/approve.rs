//! `policy approve`: the rule for exactly what a container was denied, for that container alone.

mod widened;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;

use self::widened::Widened;
use super::asked::{ask, find};
use super::change::{undisturbed, who};
use super::pending::time;
use crate::audit::record::MAX_TEXT;
use crate::container::state::SavedState;
use crate::control::{Approval, Approved, Request, Response};
use crate::escape::clean;
use crate::policy::ApprovalId;

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
        true => Some(undisturbed(|| Widened::by(&record, &found.rule))??.agreed()?),
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
