//! `boundary-shim policy`: what policies say, before anything runs by them.
//!
//! Owns the words. `check` looks for mistakes in files, `explain` answers what becomes of one attempt,
//! `suggest` writes a policy from records. What is decided, the code decides that enforces it.

mod check;
mod explain;
mod named;
mod question;
mod suggest;

use std::process::ExitCode;

/// `policy`.
#[derive(Debug, clap::Args)]
pub struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// Look for mistakes in policy files, and for rules that decide nothing
    Check(check::CheckArguments),
    /// Show what becomes of one attempt, and which rule says so
    Explain(explain::ExplainArguments),
    /// Print the least policy that allows what containers did
    Suggest(suggest::SuggestArguments),
}

/// Runs `policy`. Gives what the command's answer means to scripts: 1 where a file has a mistake, or where
/// what was asked about is denied.
///
/// # Errors
/// What was asked for can't be found or read.
pub fn run(arguments: &PolicyArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        PolicyCommand::Check(arguments) => check::run(arguments),
        PolicyCommand::Explain(arguments) => explain::run(arguments),
        PolicyCommand::Suggest(arguments) => suggest::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}
