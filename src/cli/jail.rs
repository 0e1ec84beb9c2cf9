//! `boundary-shim jail`: runs one command with its network filtered.
//!
//! Owns the words; `crate::jail` does it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::jail::{self, Options, Publish, TypeChoice};
use crate::policy::Mode;
use crate::sys::reaper::ExitCode;

/// What it does, for the list of all commands.
pub(super) const ABOUT: &str = "Run one command with its network filtered, without a container";

/// `jail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The exit status is the command's: 128 and the number of the signal that ended it, 126 where it can't be executed, 127 where
there is none. Where it can't be jailed it isn't run: status 1, and one sentence on standard error.

Types: nsjail    user and network namespaces of its own; needs the right to make them
       notify    a supervisor makes and connects its sockets; needs no right (Linux 5.9)
       landjail  the same, and Landlock has to be there (Linux 6.7)
       auto      nsjail, else notify; says which on standard error

All shut every Unix socket but the command's own and those that --allow-socket names (an SSH agent's: --allow-socket $SSH_AUTH_SOCK).
It takes a supervisor that the kernel asks before each connection; one can be had for a process, so not within another. There
notify and landjail can't be had, and nsjail hides the sockets of name services, message buses, systemd and container engines, which it says:
others stay open to it then, and what serves there acts unfiltered. Where all of the jail's processes are killed in one moment, what is left has no network.
Datagrams that are sent to a Unix socket's path without a connection (to the system's log) are not judged.

Examples:
  boundary-shim jail --allow domain=example.com -- curl https://example.com/
  boundary-shim jail --policy agent.yaml --log record.jsonl --summary -- npm ci")]
pub struct JailArguments {
    /// How the command is jailed: auto, nsjail, notify or landjail
    #[arg(long, value_name = "TYPE", default_value = "auto", value_parser = jail_type)]
    jail_type: TypeChoice,
    /// Allow what this rule says, besides the policy's file (may be given often)
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// Deny what this rule says, whatever allows it (may be given often)
    #[arg(long, value_name = "RULE")]
    deny: Vec<String>,
    /// Read rules from this file; it must be root's or the caller's, and nobody else's to write
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// enforce, or observe: let pass what rules would deny, and record that; what is never open stays shut
    #[arg(long, value_name = "MODE", default_value = "enforce", value_parser = mode)]
    mode: Mode,
    /// Use the caller's CAP_SYS_ADMIN and CAP_NET_ADMIN instead of a user namespace
    #[arg(long)]
    no_user_namespace: bool,
    /// Let the command reach this port of the host's 127.0.0.1, at its own (may be given often)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    allow_host_port: Vec<u16>,
    /// Let the host reach the command's server on this port of 127.0.0.1, at PORT or OUTSIDE:INSIDE
    /// (may be given often)
    #[arg(long, value_name = "PORTS", value_parser = ports)]
    publish: Vec<Publish>,
    /// Leave the Unix socket open to the command that is there at the start; one that is made there later,
    /// too, where the command can change none of the directories on the way (may be given often)
    #[arg(long, value_name = "PATH")]
    allow_socket: Vec<PathBuf>,
    /// Write the record to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Say at the end what was allowed and denied
    #[arg(long)]
    summary: bool,
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn jail_type(word: &str) -> Result<TypeChoice, String> {
    TypeChoice::parse(word).ok_or_else(|| "expected auto, nsjail, notify or landjail".to_owned())
}

fn ports(word: &str) -> Result<Publish, String> {
    Publish::parse(word).ok_or_else(|| "expected a port, or two with a colon between".to_owned())
}

fn mode(word: &str) -> Result<Mode, String> {
    Mode::parse(word).ok_or_else(|| "expected enforce or observe".to_owned())
}

/// Runs `jail`. Gives the command's exit code.
///
/// # Errors
/// Why the command was not run, or had to be ended.
pub fn run(arguments: JailArguments) -> anyhow::Result<ExitCode> {
    jail::run(&Options {
        jail_type: arguments.jail_type,
        allow: arguments.allow,
        deny: arguments.deny,
        policy: arguments.policy,
        mode: arguments.mode,
        no_user_namespace: arguments.no_user_namespace,
        host_ports: arguments.allow_host_port,
        publish: arguments.publish,
        allow_sockets: arguments.allow_socket,
        log: arguments.log,
        summary: arguments.summary,
        command: arguments.command,
        ..Options::default()
    })
}
