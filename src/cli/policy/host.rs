//! The host's settings, and those of one container, whose runtime may have been given another file.

use crate::container::state::SavedState;
use crate::policy::text::{Mistake, all_of};
use crate::settings::{self, Settings};

/// Those that containers are started with where nobody says otherwise.
///
/// # Errors
/// Every mistake in them.
pub(super) fn settings() -> anyhow::Result<Settings> {
    settings::load(None).map_err(|mistakes| all_of(&mistakes))
}

/// Those that a container was started with, as they are now: others have other policies, and other bounds for them.
///
/// # Errors
/// Every mistake in them.
pub(in crate::cli) fn settings_of(record: &SavedState) -> Result<Settings, Vec<Mistake>> {
    settings::load(record.plan.configuration.as_deref())
}
