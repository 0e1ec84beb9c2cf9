//! Asks the keeper of a network before anything is let run in it: a container may have been created
//! while its gateway was still being made.
//!
//! Invariant: without the keeper's word (silence, a dead keeper, a preparation that failed) nothing
//! runs.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::container::state::{self, SavedState, Stage};
use crate::control::{self, Request, Response};

/// How long a gateway may take to be ready and to adopt what the engine attached: a loaded machine
/// needs a second, nothing needs this.
const PATIENCE: Duration = Duration::from_secs(20);

/// The error for a missing or malformed answer; a gateway of an earlier version gives none that we
/// understand (see [`control`]).
const SILENT: &str = "the container's gateway does not answer; if boundary-shim was upgraded since the container was created, \
                      recreate it";

/// Returns once everything of the container's network is filtered, by the gateway of its own that
/// this record tells of.
///
/// # Errors
/// It isn't, and why.
pub(crate) fn settle(record: &SavedState) -> anyhow::Result<()> {
    refuse_without_keeper(record)?;
    match control::ask(&record.plan.state, &Request::Settle, PATIENCE) {
        Ok(Response::Done) => Ok(()),
        Ok(Response::Failed(problem)) => bail!(unfiltered(&problem)),
        Ok(_) => bail!(SILENT),
        // It may have ended since.
        Err(error) => {
            refuse_without_keeper(record)?;
            Err(error).context(SILENT)
        }
    }
}

fn refuse_without_keeper(record: &SavedState) -> anyhow::Result<()> {
    let is_kept = record.is_kept();
    // Not before: of a keeper that has ended it is now known whether it said why.
    let now = SavedState::read(&record.plan.state).ok().flatten();
    match &now.as_ref().unwrap_or(record).stage {
        Stage::Failed(reason) => bail!(unfiltered(reason)),
        _ if is_kept => Ok(()),
        Stage::Preparing => bail!("the container's gateway ended before it was ready"),
        _ => bail!("the container's gateway is gone"),
    }
}

fn unfiltered(reason: &str) -> String {
    format!("the container's network can't be filtered: {reason}")
}

/// The record of the gateway that filters this network namespace, once it has settled; none where
/// there is none.
///
/// # Errors
/// The gateways can't be listed, or there is one which doesn't settle.
pub(crate) fn filtering(network: u64) -> anyhow::Result<Option<SavedState>> {
    let kept = || state::kept(network).context("can't list the gateways");
    let Some(record) = kept()? else {
        return Ok(None);
    };
    if record.stage != Stage::Settled
        && let Err(error) = settle(&record)
    {
        // Where it has ended meanwhile, there is none.
        return kept()?.map_or(Ok(None), |_| Err(error));
    }
    Ok(Some(record))
}
