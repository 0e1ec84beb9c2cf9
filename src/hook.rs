//! The hook personality: the real runtime calls it when the container's namespaces exist and
//! nothing runs in them yet.
//!
//! Two forms. `hook` follows the plan that the runtime personality wrote into the bundle. `hook
//! decide` is for engines whose runtime can't be replaced (`hooks/`): there is no plan, so it is
//! decided here (`decide`).
//!
//! It returns only when the gateway is ready, so the container's first instruction is already
//! filtered. Called again when the container has been deleted (`poststop`), it leaves the bundle as
//! it was.
//!
//! Invariant: no process that it leaves behind holds its standard streams, which are the runtime's.

mod decide;
mod gateway;
mod oci_state;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, bail};
use log::LevelFilter;
use oci_spec::runtime::{ContainerState, State};

use crate::container::bundle;
use crate::container::plan::Plan;
use crate::container::state::ProcessId;
use crate::escape::quoted;
use crate::logging::{self, Terminal};
use crate::prepare::sweep;
use crate::spec::hooks::POSTSTOP;
use crate::sys::process;

/// The word of the files in `hooks/`.
const DECIDE: &str = "decide";

/// Makes the gateway of the container that standard input names; `words` follow `hook`. What keeps
/// it from being ready is said on stderr, which the runtime puts into its own error, and the
/// runtime does not start the container.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    // Before anything of ours is open. Some runtimes hand on what their own caller left open; the
    // proxy must not hold it for as long as the container lives.
    process::keep_descriptors_to_ourselves(0);
    logging::to(Terminal, LevelFilter::Info);
    match prepare(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(words: &[OsString]) -> anyhow::Result<()> {
    let state = oci_state::read().context("can't read the container's state from the runtime")?;
    if words == [POSTSTOP] {
        put_back(&state);
        return Ok(());
    }
    // The stage `poststop` of the files in `hooks/`.
    if words == [DECIDE] && *state.status() == ContainerState::Stopped {
        sweep::forget_deleted(&decide::state_of(&state)?);
        return Ok(());
    }
    let init = ProcessId::of(init_of(&state)).context("can't find the container's init")?;
    match words {
        [] => gateway::follow(planned(&state)?, init, state.bundle()),
        [word] if word == DECIDE => {
            gateway::follow_decided(decide::plan(&state, init)?, init, state.bundle())
        }
        _ => bail!("unexpected arguments after hook: expected decide or nothing"),
    }
}

/// The stage `poststop` where this program is the runtime: `delete` forgets the container, and the
/// bundle is to be as it was. Nothing here is worth the error of a `delete`.
fn put_back(state: &State) {
    if let Err(error) = bundle::restore(state.bundle(), state.id()) {
        log::warn!("{:#}", anyhow::Error::from(error));
    }
}

/// The container's first process; 0, which is nobody, where the runtime doesn't tell.
fn init_of(state: &State) -> i32 {
    state.pid().unwrap_or_default()
}

/// The plan that the runtime personality left.
fn planned(state: &State) -> anyhow::Result<Plan> {
    let plan = bundle::read_plan(state.bundle())?;
    if plan.container != *state.id() {
        bail!(
            "the plan is for container {}, but the runtime named {}: config.json was edited for the first; what it said before is in {}",
            plan.container,
            quoted(state.id()),
            state.bundle().join(bundle::ORIGINAL).display()
        );
    }
    Ok(plan)
}
