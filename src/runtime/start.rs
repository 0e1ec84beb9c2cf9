//! `start`: the last moment before the container's first instruction. Its gateway must confirm that
//! everything is filtered.
//!
//! It may not be ready yet. And Docker 28 and later attach the network only now, so the gateway adopts
//! what it finds and answers when the namespace holds nothing unfiltered.

use anyhow::{Context, bail};

use super::container::Container;
use crate::container::plan::GatewayOwner;
use crate::container::state::SavedState;
use crate::prepare::{gateways, mounts};
use crate::settings::Settings;

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
    mounts::refuse_mounted(settings, record.init, &container.state)?;
    match record.plan.gateway {
        GatewayOwner::Joined | GatewayOwner::Pod => gateways::filtering(record.network_namespace)?
            .context("the gateway of the joined container is gone")
            .map(drop),
        GatewayOwner::Own => gateways::settle(&record),
    }
}
