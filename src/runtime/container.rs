//! The container that a call of the runtime is about.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::invocation::Globals;
use crate::container::plan::ContainerId;
use crate::container::state;
use crate::settings::select::Named;

/// The container that a call is about.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub(super) id: ContainerId,
    /// Its state directory.
    pub(super) state: PathBuf,
    /// The policy and the mode that the call names.
    pub(super) named: Named<'a>,
}

impl<'a> Container<'a> {
    pub(super) fn new(globals: &'a Globals, id: &str) -> anyhow::Result<Self> {
        let id = ContainerId::parse(id)?;
        let state = state::directory(&root(globals.root.as_deref())?, id.as_str());
        Ok(Self {
            id,
            state,
            named: Named {
                policy: globals.policy.as_deref(),
                mode: globals.mode,
            },
        })
    }
}

/// The runtime's root, the same for every spelling of it: `create` and `start` may come from
/// different directories.
fn root(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(given) = given else {
        return Ok(PathBuf::new());
    };
    let absolute = std::path::absolute(given).context("can't determine the working directory")?;
    Ok(absolute.components().collect())
}
