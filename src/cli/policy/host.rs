//! The host's settings.

use crate::policy::text::all_of;
use crate::settings::{self, Settings};

/// Those that containers are started with.
///
/// # Errors
/// Every mistake in them.
pub(super) fn settings() -> anyhow::Result<Settings> {
    settings::load(None).map_err(|mistakes| all_of(&mistakes))
}
