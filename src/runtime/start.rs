//! `start`: the last moment before the container's first instruction. Its gateway must confirm that
//! everything is filtered.
//!
//! Docker 28 and later attach the network only now, so the gateway adopts what it finds and answers
//! when the namespace holds nothing unfiltered.
//!
//! Invariant: without that answer (silence, a dead proxy, an unknown container) nothing starts.

use std::time::Duration;

use anyhow::{Context, bail};

use super::container::Container;
use crate::container::plan::GatewayOwner;
use crate::container::state::{self, SavedState};
use crate::control::{self, Request, Response};
use crate::prepare::mounts;
use crate::settings::Settings;

/// How long the gateway may take to adopt what the engine attached.
const PATIENCE: Duration = Duration::from_secs(20);

/// The error for a missing or malformed answer; a gateway of an earlier version gives none that we
/// understand (see [`control`]).
const SILENT: &str = "the container's gateway does not answer; if boundary-shim was upgraded since the container was created, \
                      recreate it";

/// Lets the start go on once everything of the container's network is filtered, and it has nothing
/// of this program's.
pub(super) fn settle(settings: &Settings, container: &Container<'_>) -> anyhow::Result<()> {
    let record = SavedState::read(&container.state).context("can't read the container's record")?;
    let Some(record) = record.filter(|record| record.init.alive()) else {
        bail!(
            "the container {} has no gateway: it was not created by this runtime",
            container.id.as_str()
        );
    };
    mounts::refuse_mounted(settings, record.init)?;
    match record.plan.gateway {
        GatewayOwner::Joined | GatewayOwner::Pod => {
            let owner =
                state::filtering(record.network_namespace).context("can't list the gateways")?;
            owner
                .context("the gateway of the joined container is gone")
                .map(drop)
        }
        GatewayOwner::Own if !record.filters() => bail!("the container's gateway is gone"),
        GatewayOwner::Own => {
            match control::ask(&container.state, &Request::Settle, PATIENCE).context(SILENT)? {
                Response::Done => Ok(()),
                Response::Failed(problem) => {
                    bail!("the container's network can't be filtered: {problem}")
                }
                Response::NotUnderstood(_) | Response::Status(_) => bail!(SILENT),
            }
        }
    }
}
