//! `--config`, which `logs` and `logs prune` share: where the records are.

use std::path::PathBuf;

use anyhow::Result;

use crate::policy::text::all_of;
use crate::settings::{self, Settings};

/// Which host configuration file names the directory of records.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HostArguments {
    /// Host configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl HostArguments {
    pub(in crate::cli) fn settings(&self) -> Result<Settings> {
        settings::load(self.config.as_deref()).map_err(|mistakes| all_of(&mistakes))
    }
}
