//! `policy`: the rules by which running containers are filtered, shown and changed while they run.
//!
//! A change is made by the container's gateway, which is asked for it (`control`), and lasts until
//! the container's next start. Each subcommand is in a file of its own; `choice` finds the
//! containers, `change` asks their gateways.

mod apply;
mod change;
mod choice;
mod host;
mod reload;
mod reset;
mod show;

use anyhow::ensure;
use nix::unistd::geteuid;

/// `policy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only root can change or show what is in force. A change lasts until the container's next start.\n\
                        CONTAINER is an ID or the beginning of one, a name, or a pod as NAME or NAMESPACE/NAME.\n\
                        Exit code: 1 if it failed for one of the containers."
)]
pub struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// Read containers' policy files again, and put what has changed into force
    Reload(reload::ReloadArguments),
    /// Put another file's rules into force, until the container's next start
    Apply(apply::ApplyArguments),
    /// Show the rules in force
    Show(show::ShowArguments),
    /// Go back to the container's own policy file
    Reset(reset::ResetArguments),
}

/// Does what was asked for.
///
/// # Errors
/// It isn't root who asks; it failed for one of the containers, after all were tried.
pub fn run(arguments: &PolicyArguments) -> anyhow::Result<()> {
    ensure!(
        geteuid().is_root(),
        "only root can ask gateways: run sudo boundary-shim policy"
    );
    match &arguments.command {
        PolicyCommand::Reload(arguments) => reload::run(arguments),
        PolicyCommand::Apply(arguments) => apply::run(arguments),
        PolicyCommand::Show(arguments) => show::run(arguments),
        PolicyCommand::Reset(arguments) => reset::run(arguments),
    }
}
