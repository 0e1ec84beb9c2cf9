//! The operator personality: commands for people, parsed with clap.
//!
//! Owns the commands' names, help and exit codes (1: failed, 2: wrong usage, a word that is no command
//! among it). Must not know how anything is done.
//!
//! Invariant: no command is called like one of runc's, or engines could no longer call that one.

pub mod boundary;
mod columns;
pub mod doctor;
pub mod gen_seccomp;
pub mod install;
pub mod jail;
pub mod logs;
pub mod policy;
mod short;
pub mod status;

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use log::LevelFilter;

use crate::audit::record::MAX_TEXT;
use crate::escape::clean;
use crate::logging::{self, Terminal};
use crate::runc_flags::VERBS;

/// What `boundary-shim help` shows.
#[derive(Debug, Parser)]
#[command(
    name = "boundary-shim",
    about = "Limits containers' network access to what a policy allows",
    after_help = "\
With runc's commands (create, start, exec, state, ...) it acts as an OCI runtime, as container engines use it.
Policies are read from /etc/boundary/policies/NAME.yaml.

Exit status: 0 done, 1 failed (one sentence on standard error says why), 2 wrong words. What else a command answers by its status
is in its own help; of jail it is the command's.

Examples:
  sudo boundary-shim install docker
  sudo boundary-shim logs --last --denied
  boundary-shim jail --allow domain=example.com -- curl https://example.com/"
)]
struct Operator {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Add the runtime to a container engine's configuration
    Install(install::InstallArguments),
    /// Remove the runtime from a container engine's configuration
    Uninstall(install::UninstallArguments),
    #[command(about = jail::ABOUT)]
    Jail(jail::JailArguments),
    /// Generate a seccomp profile that lets a jail run inside a container
    GenSeccomp(gen_seccomp::GenSeccompArguments),
    /// Check whether this host meets the runtime's requirements, and suggest fixes
    Doctor(doctor::DoctorArguments),
    /// Show what containers tried to reach, and whether it was allowed
    Logs(logs::LogsArguments),
    /// Show every gateway on this host: its container, policy and health
    Status(status::StatusArguments),
    /// Check, explain and write policies, and change them while containers run
    Policy(policy::PolicyArguments),
}

/// The one command that runs often, by itself: to put the words of all others together takes longer than
/// some of what it runs.
#[derive(Debug, Parser)]
#[command(name = "boundary-shim")]
enum Often {
    #[command(about = jail::ABOUT)]
    Jail(jail::JailArguments),
}

/// Reads the command's words.
fn parse(arguments: Vec<OsString>) -> Result<OperatorCommand, clap::Error> {
    if arguments.get(1).is_some_and(|word| word == JAIL) {
        let Often::Jail(arguments) = Often::try_parse_from(arguments)?;
        return Ok(OperatorCommand::Jail(arguments));
    }
    Ok(Operator::try_parse_from(arguments)?.command)
}

const JAIL: &str = "jail";

/// The definitions of all commands, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Operator::command()
}

/// Whether the first argument is one of the operator's commands.
#[must_use]
pub fn has_command(word: &OsStr) -> bool {
    let mut words = word.to_str().into_iter();
    words.any(|word| word == JAIL || Operator::command().find_subcommand(word).is_some())
}

/// What is said of a first word that is nobody's, if it is one: options and `help` are clap's.
fn unknown(word: &OsStr) -> Option<String> {
    /// Letters that are missing, too many, or others.
    const MISTYPED: usize = 2;
    let word = word.to_string_lossy();
    if word.starts_with('-') || word == "help" || has_command(OsStr::new(&*word)) {
        return None;
    }
    let operator = Operator::command();
    let own = operator.get_subcommands().map(clap::Command::get_name);
    let near = own
        .chain(VERBS)
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= MISTYPED && *distance < known.len())
        .min();
    let hint = match near {
        Some((_, known)) => format!("did you mean {known}?"),
        None => "boundary-shim help shows all".to_owned(),
    };
    Some(format!(
        "no such command: {}; {hint}",
        clean(&word, MAX_TEXT)
    ))
}

/// Runs the command in `arguments` (the program's name first).
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if let Some(wrong) = arguments.get(1).and_then(|word| unknown(word)) {
        logging::to(Terminal, LevelFilter::Info);
        log::error!("{wrong}");
        return ExitCode::from(2);
    }
    let command = match parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            // Help goes to stdout with code 0, a usage error to stderr with code 2. If the stream
            // is closed, nobody can be told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    logging::to(Terminal, LevelFilter::Info);
    let result = match command {
        OperatorCommand::Install(arguments) => install::install(arguments),
        OperatorCommand::Uninstall(arguments) => install::uninstall(arguments),
        OperatorCommand::Jail(arguments) => {
            return jail::run(arguments).map_or_else(failed, ExitCode::from);
        }
        OperatorCommand::Policy(arguments) => {
            return match policy::run(&arguments) {
                Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
                outcome => outcome.unwrap_or_else(failed),
            };
        }
        OperatorCommand::GenSeccomp(arguments) => gen_seccomp::run(&arguments),
        OperatorCommand::Doctor(arguments) => doctor::run(arguments),
        OperatorCommand::Logs(arguments) => logs::run(&arguments),
        OperatorCommand::Status(arguments) => status::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

fn failed(error: anyhow::Error) -> ExitCode {
    log::error!("{error:#}");
    ExitCode::FAILURE
}

/// `boundary-shim logs ID | head`: the reader has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_definitions() {
        Operator::command().debug_assert();
    }

    #[test]
    fn no_command_takes_a_verb_of_runc_away_from_the_runtime() {
        let verbs = VERBS.into_iter().filter(|verb| *verb != "help");
        for verb in verbs.chain(["--version", "-v", "--root", ""]) {
            assert!(!has_command(OsStr::new(verb)), "{verb}");
        }
    }

    /// Every command's help ends in examples, and each is what it understands.
    #[test]
    fn every_command_has_examples_that_it_understands() {
        fn all(command: &clap::Command, found: &mut Vec<clap::Command>) {
            found.push(command.clone());
            let below = command
                .get_subcommands()
                .filter(|one| one.get_name() != "help");
            below.for_each(|one| all(one, found));
        }
        let mut commands = Vec::new();
        let mut top = Operator::command();
        top.build();
        all(&top, &mut commands);
        assert!(commands.len() > 20, "{}", commands.len());
        for command in commands {
            let name = command.get_name();
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let (_, examples) = help
                .split_once("Examples:\n")
                .unwrap_or_else(|| panic!("{name} has none"));
            for example in examples.lines() {
                let words = example
                    .trim_start()
                    .trim_start_matches("sudo ")
                    .split(" > ");
                let words: Vec<&str> = words.take(1).flat_map(|words| words.split(' ')).collect();
                assert!(words.len() > 1 && words[0] == "boundary-shim", "{example}");
                assert!(
                    name == "boundary-shim" || words.contains(&name),
                    "{name}: {example}"
                );
                Operator::try_parse_from(words)
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    #[test]
    fn a_command_that_is_read_alone_is_read_as_among_all() {
        Often::command().debug_assert();
        for arguments in [
            &["jail", "--help"][..],
            &["jail", "--nonsense", "--", "x"],
            &["jail"],
            &["jail", "--allow", "domain=a.test", "--", "x", "--help"],
        ] {
            let words = || ["boundary-shim"].iter().chain(arguments).copied();
            let alone = Often::try_parse_from(words()).map(|Often::Jail(jail)| jail);
            let among = Operator::try_parse_from(words()).map(|operator| operator.command);
            let alone = alone.map(OperatorCommand::Jail);
            let said = |parsed: Result<OperatorCommand, clap::Error>| {
                parsed.map_or_else(|error| error.to_string(), |parsed| format!("{parsed:?}"))
            };
            assert_eq!(said(alone), said(among), "{arguments:?}");
        }
    }

    #[test]
    fn every_command_is_the_operators() {
        for word in [
            "install",
            "uninstall",
            "jail",
            "gen-seccomp",
            "doctor",
            "logs",
            "policy",
            "status",
        ] {
            assert!(has_command(OsStr::new(word)), "{word}");
        }
    }
}
