//! The runtime personality: called exactly as runc is, it prepares what the call needs and becomes
//! the real runtime.
//!
//! It prints nothing on stdout, ever: that is the container's. What must not be forgotten: a verb
//! that doesn't concern us reaches the real runtime untouched; one that does reaches it only after
//! all went well.

mod container;
mod create;
mod exec;
mod features;
mod handed;
mod handoff;
pub mod invocation;
pub mod runtimes;
mod start;

use std::ffi::OsString;
use std::process::ExitCode;

use log::LevelFilter;

use crate::logging::{self, Engine};
use crate::policy::text;
use crate::prepare::sweep;
use crate::{embedded, settings};
use container::Container;
use invocation::{Command, Globals, Invocation};
use runtimes::RealRuntime;

/// Does what a runtime called with these words (the program's name first) does, mostly by becoming
/// one. Where that failed, it has been reported where the engine looks for it.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    let call = invocation::scan(words);
    reported(&call.globals, || answer(&call))
}

/// The embedded runtime, called by ourselves once all is prepared, with the words that an external
/// one would get.
#[must_use]
pub fn run_embedded(words: &[OsString]) -> ExitCode {
    reported(&invocation::scan(words).globals, || embedded::run(words))
}

/// Does it, with what it says going where the engine looks. An error's chain is joined here and
/// nowhere else.
fn reported(globals: &Globals, call: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    let json = globals
        .log_format
        .as_deref()
        .is_some_and(|format| format == "json");
    logging::to(
        Engine {
            log: globals.log.clone(),
            json,
        },
        LevelFilter::Info,
    );
    call().unwrap_or_else(|error| {
        log::error!("{error:#}");
        ExitCode::FAILURE
    })
}

/// The story of a call.
fn answer(call: &Invocation) -> anyhow::Result<ExitCode> {
    let command = call.command.as_ref().map_err(Clone::clone)?;
    let settings =
        settings::load(call.globals.config.as_deref()).map_err(|all| text::all_of(&all))?;
    log::set_max_level(settings.log_level);
    let runtime = RealRuntime::choose(settings.runtime.as_deref())?;
    match command {
        Command::Create {
            bundle,
            id,
            waits,
            no_pivot,
            preserved,
        } => {
            handed::refuse_network_sockets(&settings, *preserved)?;
            let container = Container::new(&call.globals, id)?;
            create::prepare(
                &settings,
                runtime.kind(),
                &container,
                bundle.as_deref(),
                *waits,
                *no_pivot,
            )?;
        }
        Command::Start { id } => start::settle(&settings, &Container::new(&call.globals, id)?)?,
        Command::Exec {
            id,
            process,
            capabilities,
            preserved,
        } => {
            handed::refuse_network_sockets(&settings, *preserved)?;
            exec::fit(
                &Container::new(&call.globals, id)?,
                runtime.kind(),
                process.as_deref(),
                capabilities,
            )?;
        }
        Command::Delete { id } => {
            if let Ok(container) = Container::new(&call.globals, id) {
                sweep::forget(&container.state);
            }
        }
        Command::Features => return features::features(&runtime, &call.arguments),
        Command::Version => return features::version(&runtime, &call.arguments),
        Command::Other => {}
    }
    match runtime {
        RealRuntime::Program(path) => match handoff::become_program(&path, &call.arguments)? {},
        RealRuntime::Embedded => embedded::hand_off(&call.arguments),
    }
}
