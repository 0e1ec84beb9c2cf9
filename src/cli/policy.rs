//! `boundary-shim policy`: what policies say, and the rules by which running containers are filtered, shown and
//! changed.
//!
//! Owns the words. `check` looks for mistakes in files, `explain` answers what becomes of one attempt,
//! `suggest` writes a policy from records: what is decided, the code decides that enforces it. A change is
//! made by the container's gateway, which is asked for it (`control`), and lasts until the container's next
//! start: `choice` finds the containers, `change` asks their gateways. `pending`, `approve` and `dismiss` are
//! about what a container was denied (`asked`).

mod apply;
mod approve;
mod asked;
mod change;
mod check;
mod choice;
mod dismiss;
mod explain;
pub(in crate::cli) mod host;
mod named;
mod pending;
mod presets;
mod question;
mod reload;
mod reset;
mod show;
mod suggest;
mod sync;
mod written;

use std::process::ExitCode;

use anyhow::ensure;
use nix::unistd::geteuid;

/// `policy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only root can change or show what is in force. A change lasts until the container's next start.\n\
                        CONTAINER is an ID or the beginning of one, a name, or a pod as NAME or NAMESPACE/NAME.\n\
                        Exit status: 1 if it failed for one of the containers.\n\n\
                        Examples:\n  boundary-shim policy check\n  \
                        boundary-shim policy explain default GET https://example.org/path\n  \
                        sudo boundary-shim policy reload"
)]
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
    /// List the presets that policies can include, or print one
    Presets(presets::PresetsArguments),
    /// Read containers' policy files again, and put what has changed into force
    Reload(reload::ReloadArguments),
    /// Put another file's rules into force, until the container's next start
    Apply(apply::ApplyArguments),
    /// Show the rules in force
    Show(show::ShowArguments),
    /// Go back to the container's own policy file
    Reset(reset::ResetArguments),
    /// Show what containers were denied that no rule is for
    Pending(pending::PendingArguments),
    /// Allow one container exactly what it was denied
    Approve(approve::ApproveArguments),
    /// Show an attempt as pending no more: it stays denied
    Dismiss(dismiss::DismissArguments),
    /// Take this host's policies and configuration from a folder
    Sync(sync::SyncArguments),
}

/// Does what was asked for. Gives what the answer means to scripts: 1 where a file has a mistake, or where
/// what was asked about is denied.
///
/// # Errors
/// What was asked for can't be found or read; gateways are to be asked, and it isn't root who asks; it
/// failed for one of the containers, after all were tried.
pub fn run(arguments: &PolicyArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        PolicyCommand::Check(arguments) => return check::run(arguments),
        PolicyCommand::Explain(arguments) => return explain::run(arguments),
        PolicyCommand::Suggest(arguments) => suggest::run(arguments)?,
        PolicyCommand::Presets(arguments) => presets::run(arguments)?,
        PolicyCommand::Reload(arguments) => reload::run(as_root(arguments)?)?,
        PolicyCommand::Apply(arguments) => apply::run(as_root(arguments)?)?,
        PolicyCommand::Show(arguments) => show::run(as_root(arguments)?)?,
        PolicyCommand::Reset(arguments) => reset::run(as_root(arguments)?)?,
        PolicyCommand::Pending(arguments) => pending::run(as_root(arguments)?)?,
        PolicyCommand::Approve(arguments) => approve::run(as_root(arguments)?)?,
        PolicyCommand::Dismiss(arguments) => dismiss::run(as_root(arguments)?)?,
        PolicyCommand::Sync(arguments) => sync::run(as_root(arguments)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What root asks for.
fn as_root<T>(arguments: &T) -> anyhow::Result<&T> {
    ensure!(
        geteuid().is_root(),
        "only root can ask gateways: run sudo boundary-shim policy"
    );
    Ok(arguments)
}
