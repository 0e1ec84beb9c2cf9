//! `logs` without arguments: the containers that have records, the newest last.

use std::io::{self, Write};

use super::choice::{by_age, pod};
use super::running::Running;
use super::zone::Zone;
use crate::audit::reader::{Directory, Overview, RecordEnd};
use crate::cli::columns;
use crate::cli::short::short;

/// Containers that are listed without `--all`.
const NEWEST: usize = 20;
/// Images of a pod that are shown.
const IMAGES: usize = 3;
/// Shown for what isn't known.
const UNKNOWN: &str = "-";

/// Shows the table.
pub(super) fn show(
    directory: &Directory,
    all: bool,
    zone: Zone,
    out: &mut impl Write,
) -> io::Result<()> {
    let overviews = by_age(&directory.list(usize::MAX)?)?;
    let running = Running::now()?;
    let from = if all {
        0
    } else {
        overviews.len().saturating_sub(NEWEST)
    };
    let shown = overviews.get(from..).unwrap_or_default();
    let names = [
        "NAME", "ID", "IMAGE", "POLICY", "MODE", "STARTED", "ENDED", "ALLOWED", "DENIED",
    ];
    let mut rows = vec![names.map(str::to_owned).to_vec()];
    for overview in shown {
        rows.push(row(overview, &running, zone)?);
    }
    columns::write(&rows, &[7, 8], out)?;
    if from > 0 {
        writeln!(
            out,
            "These are the {NEWEST} newest of {}; use --all to list all.",
            overviews.len()
        )?;
    }
    if shown
        .iter()
        .any(|overview| ended(overview, &running, zone).ends_with('?'))
    {
        writeln!(
            out,
            "?: no end was recorded; the time shown is that of the last line."
        )?;
    }
    out.flush()
}

/// The images of the containers that joined: a pod's own container has none that says anything.
fn images(overview: &Overview) -> String {
    let members = overview.recorded.members().into_iter();
    let mut images: Vec<_> = members.filter_map(|one| one.identity.image).collect();
    images.sort();
    images.dedup();
    images.truncate(IMAGES);
    images.join(",")
}

fn row(overview: &Overview, running: &Running, zone: Zone) -> io::Result<Vec<String>> {
    let about = overview.about.clone().unwrap_or_default();
    let known = |text: String| {
        if text.is_empty() {
            UNKNOWN.to_owned()
        } else {
            text
        }
    };
    let totals = overview.totals()?;
    Ok(vec![
        known(
            pod(&about.identity)
                .or(about.identity.name)
                .unwrap_or_default(),
        ),
        short(&overview.recorded.id),
        known(about.identity.image.unwrap_or_else(|| images(overview))),
        known(about.policy),
        known(about.mode),
        known(zone.short(&about.began)),
        ended(overview, running, zone),
        totals.allowed.to_string(),
        totals.denied.to_string(),
    ])
}

/// Nobody recorded the end of a filter that was killed: only the time of its last line is known.
fn ended(overview: &Overview, running: &Running, zone: Zone) -> String {
    match (&overview.end, running.has(&overview.recorded.id)) {
        (RecordEnd::Stopped(time), _) => zone.short(time),
        (RecordEnd::Unknown(_), Some(true)) => "running".to_owned(),
        (RecordEnd::Unknown(time), _) => format!("{}?", zone.short(time)),
    }
}
