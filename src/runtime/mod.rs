//! The runtime personality: called exactly as runc is, it prepares what the call needs and becomes the real runtime.
//!
//! It prints nothing on stdout, ever: that is the container's. What must not be forgotten: a verb that doesn't concern us
//! reaches the real runtime untouched; one that does reaches it only after all went well.

mod create;
pub(crate) mod delete;
mod embedded_resolver;
mod exec;
mod handoff;
pub mod invocation;
pub(crate) mod namespaces;
mod report;
pub(crate) mod resolvers;
mod self_check;
mod start;

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::plan::ContainerId;
use crate::policy::text;
use crate::{settings, state};
use invocation::{Command, Globals, Invocation};

/// Does what a runtime called with these words (the program's name first) does. Returns only if that failed; it has been
/// reported then, where the engine looks for it.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    let call = invocation::scan(words);
    match become_runtime(&call) {
        Ok(never) => match never {},
        Err(error) => report::failure(&call.globals, &error),
    }
    ExitCode::FAILURE
}

/// The story of a call.
fn become_runtime(call: &Invocation) -> anyhow::Result<Infallible> {
    let command = call.command.as_ref().map_err(Clone::clone)?;
    let settings = settings::load(call.globals.config.as_deref()).map_err(|all| text::all_of(&all))?;
    let runtime = handoff::find(&settings.runtime)?;
    match command {
        Command::Create { bundle, id, waits } => {
            create::prepare(&settings, &Container::new(&call.globals, id)?, bundle.as_deref(), *waits)?;
        }
        Command::Start { id } => start::settle(&Container::new(&call.globals, id)?)?,
        Command::Exec { id, process, capabilities } => {
            exec::fit(&Container::new(&call.globals, id)?, process.as_deref(), capabilities)?;
        }
        Command::Delete { id } => {
            if let Ok(container) = Container::new(&call.globals, id) {
                delete::forget(&container);
            }
        }
        Command::Other => {}
    }
    handoff::become_program(&runtime, &call.arguments)
}

/// The container that a call is about.
#[derive(Debug)]
struct Container<'a> {
    id: ContainerId,
    /// Its state directory.
    state: PathBuf,
    /// The policy that the call names.
    policy: Option<&'a str>,
}

impl<'a> Container<'a> {
    fn new(globals: &'a Globals, id: &str) -> anyhow::Result<Self> {
        let id = ContainerId::parse(id)?;
        let state = state::directory(&root(globals.root.as_deref())?, id.as_str());
        Ok(Self { id, state, policy: globals.policy.as_deref() })
    }
}

/// The runtime's root, the same for every spelling of it: `create` and `start` may come from different directories.
fn root(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(given) = given else { return Ok(PathBuf::new()) };
    let absolute = std::path::absolute(given).context("can't tell the working directory")?;
    Ok(absolute.components().collect())
}
