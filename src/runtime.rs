//! The runtime personality: called exactly as runc is, it prepares what the call needs and then
//! executes the real runtime in its place.
//!
//! Invariant: stdout is the container's, so nothing is printed there but the answers of verbs that
//! have one (`features`, `--version`, the embedded runtime's `state`).
//!
//! Invariant: a verb that doesn't concern us reaches the real runtime unchanged; one that does
//! reaches it only after everything succeeded.

mod container;
mod create;
mod exec;
mod features;
mod handed;
mod handoff;
pub mod invocation;
mod process_file;
mod rootless;
pub mod runtimes;
mod start;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::Context;
use log::LevelFilter;

use crate::container::state;
use crate::logging::{self, Engine};
use crate::policy::text;
use crate::prepare::sweep;
use crate::sys::upcalls;
use crate::{embedded, runc_flags, settings};
use container::Container;
use invocation::{Globals, Invocation, RuntimeCommand};
use runtimes::RealRuntime;

/// Whether a call whose first word is this one is for a runtime: it is a verb, or an option.
#[must_use]
pub fn may_mean(first: &OsStr) -> bool {
    let first = first.to_str().unwrap_or_default();
    first.is_empty() || first.starts_with('-') || runc_flags::VERBS.contains(&first)
}

/// Handles one OCI runtime invocation (`words` begin with the program's name); usually ends by
/// executing the real runtime. An error has been reported where the engine looks for it.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    let call = invocation::scan(words);
    reported(&call.globals, || answer(&call))
}

/// Runs the embedded runtime, with the words that an external one would get. This program calls
/// itself so once everything is prepared.
#[must_use]
pub fn run_embedded(words: &[OsString]) -> ExitCode {
    reported(&invocation::scan(words).globals, || embedded::run(words))
}

/// Makes the call, with messages going where the engine looks for them. An error's chain is joined
/// here and nowhere else.
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

/// Whether processes of a container will descend from this one. CRIU, which restores them with the
/// filters that they had, can't do so from under one (`PTRACE_O_SUSPEND_SECCOMP`, ptrace(2)).
fn starts_processes(command: &RuntimeCommand) -> bool {
    match command {
        RuntimeCommand::Create { restores, .. } => !restores,
        RuntimeCommand::Exec { .. } => true,
        _ => false,
    }
}

/// The steps of one call.
fn answer(call: &Invocation) -> anyhow::Result<ExitCode> {
    let command = call.command.as_ref().map_err(Clone::clone)?;
    if let RuntimeCommand::Create { .. } = command {
        rootless::refuse()?;
    }
    let reading = match command {
        RuntimeCommand::Create { .. } => Some(state::reading_policies(state::LOCK.as_ref())),
        _ => None,
    };
    let reading = reading.transpose().context(state::LOCK)?;
    let settings =
        settings::load(call.globals.config.as_deref()).map_err(|all| text::all_of(&all))?;
    log::set_max_level(settings.log_level);
    let runtime = RealRuntime::choose(settings.runtime.as_deref())?;
    let mut handed_on = None;
    match command {
        RuntimeCommand::Create {
            bundle,
            id,
            waits,
            no_pivot,
            preserved,
            ..
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
                reading,
            )?;
        }
        RuntimeCommand::Start { id } => {
            start::settle(&settings, &Container::new(&call.globals, id)?)?
        }
        RuntimeCommand::Exec {
            id,
            process,
            capabilities,
            preserved,
        } => {
            handed::refuse_network_sockets(&settings, *preserved)?;
            handed_on = exec::fit(
                &Container::new(&call.globals, id)?,
                runtime.kind(),
                process.as_deref(),
                capabilities,
                *preserved,
            )?;
        }
        RuntimeCommand::Delete { id } => {
            if let Ok(container) = Container::new(&call.globals, id) {
                sweep::forget_deleted(&container.state);
            }
        }
        RuntimeCommand::Features => return features::features(&runtime, &call.arguments),
        RuntimeCommand::Version => return features::version(&runtime, &call.arguments),
        RuntimeCommand::Other => {}
    }
    if starts_processes(command) {
        upcalls::denied_alone()
            .program()
            .and_then(|program| program.install_for_programs_of_others())
            .context("can't install the seccomp filter against upcalls")?;
    }
    let arguments = match &handed_on {
        Some(file) => call.with_process_file(&file.path()),
        None => call.arguments.clone(),
    };
    match runtime {
        RealRuntime::Program(path) => {
            match handoff::become_program(&path, &arguments, handed_on.as_ref())? {}
        }
        RealRuntime::Embedded => embedded::hand_off(&arguments, handed_on.as_ref()),
    }
}
