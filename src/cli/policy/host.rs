//! What the host's administrator says, for all of these commands.

use crate::policy::text::all_of;
use crate::settings::{self, Settings};

/// The host's settings, as containers are started with them.
///
/// # Errors
/// Every mistake in them.
pub(super) fn settings() -> anyhow::Result<Settings> {
    settings::load(None).map_err(|mistakes| all_of(&mistakes))
}
