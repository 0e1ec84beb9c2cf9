//! `policy reload`: what containers' own policy files say now.

use std::path::Path;

use super::change::{self, Wanted};
use super::choice::choose;
use super::host::settings_of;
use crate::audit::record::MAX_TEXT;
use crate::container::state::SavedState;
use crate::escape::clean;
use crate::settings::{self, select};

/// `policy reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo boundary-shim policy reload
  sudo boundary-shim policy reload web")]
pub(super) struct ReloadArguments {
    /// The containers; all, if none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Does it.
///
/// # Errors
/// It failed for one of them.
pub(super) fn run(arguments: &ReloadArguments) -> anyhow::Result<()> {
    reload(&arguments.containers)
}

/// Does it for all that run.
///
/// # Errors
/// As [`run`].
pub(super) fn all() -> anyhow::Result<()> {
    reload(&[])
}

fn reload(containers: &[String]) -> anyhow::Result<()> {
    let records = choose(containers)?;
    change::each(&records, |record| match replaced_by(record) {
        Some((file, why)) => bounded(record, file, why),
        None => own(record),
    })
}

/// Of a container with another file's policy, that file, and what is to be said of that.
fn replaced_by(record: &SavedState) -> Option<(&Path, String)> {
    let file = record.changed.as_ref()?.file.as_ref()?;
    let said = format!(
        "unchanged: it has the policy of {} until policy reset, or its next start",
        clean(&file.display().to_string(), MAX_TEXT)
    );
    Some((file, said))
}

/// Another file's policy, below the layers that there are now.
fn bounded(record: &SavedState, file: &Path, unchanged: String) -> Wanted {
    let in_force = record.policy();
    let now = settings_of(record)
        .and_then(|settings| select::bounded(&settings, in_force.clone(), settings::read_trusted));
    match now {
        Ok(now) if now.hash() == in_force.hash() => Wanted::AsItIs(unchanged),
        Ok(now) => Wanted::Policy(Box::new(now), Some(file.to_owned())),
        Err(mistakes) => Wanted::Mistaken(mistakes),
    }
}

/// What its own file says now, under the annotations that it was started with, and the host's ceiling
/// over those.
pub(super) fn own(record: &SavedState) -> Wanted {
    let now = settings_of(record)
        .and_then(|settings| select::again(&settings, &record.plan.policy, settings::read_trusted));
    match now {
        Ok(now) if now.hash() == record.policy().hash() => Wanted::AsItIs("unchanged".to_owned()),
        Ok(now) => Wanted::Policy(Box::new(now), None),
        Err(mistakes) => Wanted::Mistaken(mistakes),
    }
}
