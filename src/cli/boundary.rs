//! `boundary`: coder/boundary's command line, for those who wrote theirs for it. Its flags, variables
//! and configuration file are taken, and become what is asked of a jail of ours
//! (docs/migrate-from-coder-boundary.md).
//!
//! Owns what is looked up: arguments, variables, files. What they mean is `meaning`'s, what settings
//! there are, `settings`'.
//!
//! Invariant: what isn't understood is an error, and nothing runs.

mod meaning;
mod settings;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser};
use log::LevelFilter;

use super::failed;
use crate::jail::{self, Options};
use crate::logging::{self, Terminal};
use crate::policy::text::{self, RuleFile};
use crate::settings::read_trusted;
use crate::sys::reaper;
use meaning::{Audit, Meant, Said, meaning};
use settings::SETTINGS;

/// The file name of a link by which the program is called so.
pub const NAME: &str = "boundary";

/// Its configuration file, below the caller's home.
const CONFIG: &str = ".config/coder_boundary/config.yaml";
/// The agent's socket, in the directory for temporary files.
const AUDIT_SOCKET: &str = "boundary-audit.sock";

/// The flags that have no row in the table of settings.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    about = "Runs one command with its network filtered: boundary-shim jail, by coder/boundary's flags, variables and file",
    after_help = "Differences: docs/migrate-from-coder-boundary.md. Without them: boundary-shim jail --help.",
    override_usage = "boundary [flags] -- COMMAND...",
    disable_version_flag = true,
    args_override_self = true
)]
struct Own {
    /// Path to the YAML config file (BOUNDARY_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allow what this rule says, besides the config file's (repeatable; BOUNDARY_ALLOW: one rule)
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// Print the version
    #[arg(long)]
    version: bool,
    /// The command, and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command in `arguments` (the program's name first). Gives its exit code, or 1.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    logging::to(Terminal, LevelFilter::Info);
    let words = match command_line().try_get_matches_from(arguments) {
        Ok(words) => words,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            // If the stream is closed, nobody can be told.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(anyhow!("{}", first_line(&error.to_string()))),
    };
    let own = match Own::from_arg_matches(&words) {
        Ok(own) => own,
        Err(error) => return failed(anyhow!("{}", first_line(&error.to_string()))),
    };
    if own.version {
        let _ = writeln!(io::stdout(), "boundary-shim {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    jailed(own, &words).map_or_else(failed, ExitCode::from)
}

fn jailed(own: Own, words: &ArgMatches) -> anyhow::Result<reaper::ExitCode> {
    let Meant {
        options,
        level,
        log_directory,
        audit,
        notes,
    } = meaning(said(own, words)?)?;
    // What becomes of options is said even where only grave things were asked for but errors.
    let least = if level == LevelFilter::Error {
        level
    } else {
        level.max(LevelFilter::Info)
    };
    logging::to(Terminal, least);
    notes.iter().for_each(|note| log::warn!("{note}"));
    jail::run(&Options {
        log: log_directory.map(|directory| directory.join(log_name())),
        audit_socket: audit_socket(audit)?,
        ..options
    })
}

/// Everything that was said, in every way.
fn said(own: Own, words: &ArgMatches) -> anyhow::Result<Said> {
    let flags = SETTINGS.iter().filter_map(|setting| {
        let value = words.get_one::<String>(setting.flag)?;
        Some((setting.flag, value.clone()))
    });
    let names = SETTINGS.iter().flat_map(|setting| setting.variables);
    let variables = names.map(|name| Ok((*name, variable(name)?)));
    Ok(Said {
        flags: flags.collect(),
        variables: variables.collect::<anyhow::Result<_>>()?,
        allow: own.allow,
        allow_variable: variable("BOUNDARY_ALLOW")?,
        file: config(own.config)?,
        command: own.command,
    })
}

/// A variable of the environment; nothing where it isn't set, and, as for coder/boundary, where it is
/// empty.
fn variable(name: &str) -> anyhow::Result<String> {
    let value = std::env::var_os(name).unwrap_or_default();
    let value = value.into_string();
    value.map_err(|_| anyhow!("{name}: not UTF-8"))
}

/// What the configuration file says: that of the option, else of the variable, else in the caller's
/// home, where there is one.
fn config(option: Option<PathBuf>) -> anyhow::Result<RuleFile> {
    let variable = std::env::var_os("BOUNDARY_CONFIG").filter(|path| !path.is_empty());
    let named = option.or_else(|| variable.map(PathBuf::from));
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let usual = home.map(|home| Path::new(&home).join(CONFIG));
    let is_named = named.is_some();
    let Some(path) = named.or(usual) else {
        return Ok(RuleFile::default());
    };
    let origin = format!("config {}", path.display());
    match read_trusted(&path).context(origin.clone())? {
        Some(text) => text::parse_file(&origin, &text).map_err(|all| text::all_of(&all)),
        None if is_named => Err(anyhow!("{origin}: there is no such file")),
        None => Ok(RuleFile::default()),
    }
}

/// The agent's socket, where it is to be told and there is one.
fn audit_socket(audit: Audit) -> anyhow::Result<Option<PathBuf>> {
    let (path, is_named) = match audit {
        Audit::Off => return Ok(None),
        Audit::At(path) => (path, true),
        Audit::Usual => (std::env::temp_dir().join(AUDIT_SOCKET), false),
    };
    match path.metadata() {
        Ok(there) if there.file_type().is_socket() => Ok(Some(path)),
        Ok(_) => Err(anyhow!("{}: not a socket", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if is_named {
                log::warn!("no agent is told, because there is no {}", path.display());
            }
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("look at {}", path.display())),
    }
}

/// `boundary-2026-01-02_03-04-05-678.log`, in UTC.
fn log_name() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let now = now
        .trim_end_matches('Z')
        .replace('T', "_")
        .replace(':', "-");
    format!("boundary-{now}-{}.log", std::process::id())
}

/// Every flag.
fn command_line() -> clap::Command {
    Own::command().args(SETTINGS.iter().map(|setting| {
        let argument = Arg::new(setting.flag).long(setting.flag).help(setting.help);
        if setting.is_switch {
            let argument = argument.num_args(0..=1).require_equals(true);
            argument.default_missing_value("true").value_name("BOOL")
        } else {
            argument.value_name("VALUE")
        }
    }))
}

/// What is wrong, of all that clap says about it.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> ArgMatches {
        command_line()
            .try_get_matches_from([&["boundary"], line].concat())
            .unwrap()
    }

    fn command(line: &[&str]) -> Vec<OsString> {
        let words = words(line);
        words
            .get_many("command")
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    #[test]
    fn clap_finds_no_fault_with_the_definitions() {
        command_line().debug_assert();
    }

    #[test]
    fn the_command_begins_at_its_first_word() {
        for line in [
            &["--pprof", "--", "curl", "-s", "--allow", "x"][..],
            &["--pprof", "curl", "-s", "--allow", "x"],
        ] {
            assert_eq!(command(line), ["curl", "-s", "--allow", "x"], "{line:?}");
        }
        assert_eq!(command(&["--", "a", "--", "b"]), ["a", "--", "b"]);
        assert!(command(&["--allow", "x"]).is_empty());
    }

    #[test]
    fn switches_have_a_value_or_none_and_the_last_of_two_counts() {
        let value = |line: &[&str], flag: &str| words(line).get_one::<String>(flag).cloned();
        assert_eq!(value(&["--pprof"], "pprof").as_deref(), Some("true"));
        assert_eq!(value(&["--pprof=false"], "pprof").as_deref(), Some("false"));
        let twice = ["--log-level", "info", "--log-level=error"];
        assert_eq!(value(&twice, "log-level").as_deref(), Some("error"));
        let rules = words(&["--allow", "domain=a.dev", "--allow=domain=b.dev path=/x,/y"]);
        let rules: Vec<&String> = rules.get_many("allow").unwrap().collect();
        assert_eq!(rules, ["domain=a.dev", "domain=b.dev path=/x,/y"]);
    }

    #[test]
    fn a_log_is_named_by_time_and_process() {
        let name = log_name();
        let fields = name.strip_prefix("boundary-").unwrap();
        let shape: String = fields
            .chars()
            .map(|one| if one.is_ascii_digit() { '0' } else { one })
            .collect();
        assert!(shape.starts_with("0000-00-00_00-00-00-0"), "{name}");
        assert!(
            name.ends_with(&format!("-{}.log", std::process::id())),
            "{name}"
        );
    }
}
