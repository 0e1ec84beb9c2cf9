//! What coder/boundary's flags, variables and file come to, as a jail of ours: without looking at
//! anything.
//!
//! Invariant: nothing is allowed, and nothing left unfiltered or untold, that its author didn't ask
//! for: what can't be had so is an error, and what isn't needed is said.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use log::LevelFilter;

use super::settings::{
    AUDIT_SOCKET, DISABLE_AUDIT_LOGS, JAIL_TYPE, LOG_DIR, LOG_LEVEL, NO_USER_NAMESPACE, PPROF,
    PPROF_PORT, PROXY_PORT, SESSION_CORRELATION, Setting, USE_REAL_DNS,
};
use crate::audit::Form;
use crate::escape::quoted;
use crate::jail::{Options, TypeChoice};
use crate::policy::text::RuleFile;
use crate::policy::{DeniedNames, Intercept, TlsSource};

/// What was said, in every way.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// By the flag.
    pub(super) flags: BTreeMap<&'static str, String>,
    /// By the variable; empty ones say nothing.
    pub(super) variables: BTreeMap<&'static str, String>,
    /// The rules of the command line.
    pub(super) allow: Vec<String>,
    /// The rule of the environment, which counts where the command line has none.
    pub(super) allow_variable: String,
    /// The configuration file.
    pub(super) file: RuleFile,
    pub(super) command: Vec<OsString>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Meant {
    /// But for where the record goes and where the agent is.
    pub(super) options: Options,
    pub(super) level: LevelFilter,
    /// The directory of the record; none: standard error.
    pub(super) log_directory: Option<PathBuf>,
    pub(super) audit: Audit,
    /// What its author is to know.
    pub(super) notes: Vec<String>,
}

/// Whether the workspace's agent is told, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Audit {
    Off,
    /// Where it usually is.
    Usual,
    At(PathBuf),
}

/// The meaning.
///
/// # Errors
/// What can't be had, and what would help.
pub(super) fn meaning(said: Said) -> anyhow::Result<Meant> {
    ensure!(
        !said.command.is_empty(),
        "no command was given: boundary [flags] -- COMMAND"
    );
    if said.is_on(&SESSION_CORRELATION)? {
        bail!(
            "{} can't be had: no headers are added to requests, and a server that relies on them could be told \
             any session; take it out",
            said.origin(&SESSION_CORRELATION)
        );
    }
    let (level, unknown) = said.level()?;
    let notes = said.needless()?.into_iter().chain(unknown).collect();
    let (audit, jail_type) = (said.audit()?, said.jail_type()?);
    let no_user_namespace = said.is_on(&NO_USER_NAMESPACE)?;
    let log_directory = said.value(&LOG_DIR)?.map(PathBuf::from);
    let rule = Some(said.allow_variable).filter(|rule| !rule.is_empty());
    let own = match said.allow {
        rules if rules.is_empty() => rule.into_iter().collect(),
        rules => rules,
    };
    let options = Options {
        jail_type,
        allow: [said.file.allow(), own].concat(),
        deny: said.file.deny(),
        tls: tls(said.file.says_tls, said.file.tls),
        denied_names: DeniedNames::Answer,
        no_user_namespace,
        form: Form::Text(level),
        command: said.command,
        ..Options::default()
    };
    Ok(Meant {
        options,
        level,
        log_directory,
        audit,
        notes,
    })
}

/// Every request is read, as coder/boundary does, unless the file says otherwise: its rules hold for
/// requests, and its log is of them.
fn tls(is_said: bool, tls: TlsSource) -> TlsSource {
    let intercept = if is_said {
        tls.intercept
    } else {
        Intercept::Always
    };
    TlsSource { intercept, ..tls }
}

impl Said {
    /// A setting's value: of the flag, else the variable, else the file.
    fn value(&self, setting: &Setting) -> anyhow::Result<Option<&str>> {
        if let Some(value) = self.flags.get(setting.flag) {
            return Ok(Some(value));
        }
        if let Some((_, value)) = self.variable(setting) {
            return Ok(Some(value));
        }
        let value = setting.key.and_then(|key| self.file.foreign.get(key));
        let value = value.map(|value| value.as_deref().context("expected a plain value"));
        let value = value.transpose().with_context(|| self.origin(setting))?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn variable(&self, setting: &Setting) -> Option<(&'static str, &str)> {
        let set = setting.variables.iter().filter_map(|name| {
            let value = self.variables.get(name)?;
            Some((*name, value.as_str()))
        });
        set.into_iter().find(|(_, value)| !value.is_empty())
    }

    /// Where a setting's value stands, for people.
    fn origin(&self, setting: &Setting) -> String {
        if self.flags.contains_key(setting.flag) {
            return format!("--{}", setting.flag);
        }
        match (self.variable(setting), setting.key) {
            (Some((name, _)), _) => name.to_owned(),
            (None, Some(key)) => format!("{key} in the config file"),
            (None, None) => setting.flag.to_owned(),
        }
    }

    /// Whether a switch is on. Its words are Go's.
    fn is_on(&self, switch: &Setting) -> anyhow::Result<bool> {
        Ok(match self.value(switch)? {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(other) => {
                let origin = self.origin(switch);
                bail!("{origin}: expected true or false, not {}", quoted(other))
            }
        })
    }

    fn jail_type(&self) -> anyhow::Result<TypeChoice> {
        let Some(word) = self.value(&JAIL_TYPE)? else {
            return Ok(TypeChoice::Auto);
        };
        TypeChoice::parse(word).ok_or_else(|| {
            anyhow!(
                "{}: expected nsjail, landjail, notify or auto, not {}",
                self.origin(&JAIL_TYPE),
                quoted(word)
            )
        })
    }

    /// How much is said. A word that is none means what coder/boundary takes it for, and that is said.
    fn level(&self) -> anyhow::Result<(LevelFilter, Option<String>)> {
        let word = self.value(&LOG_LEVEL)?.unwrap_or("warn");
        let level = match word.to_ascii_lowercase().as_str() {
            "error" => LevelFilter::Error,
            "warn" => LevelFilter::Warn,
            "info" => LevelFilter::Info,
            "debug" => LevelFilter::Debug,
            _ => {
                let origin = self.origin(&LOG_LEVEL);
                let note = format!("{origin}: {} is none, taken for warn", quoted(word));
                return Ok((LevelFilter::Warn, Some(note)));
            }
        };
        Ok((level, None))
    }

    fn audit(&self) -> anyhow::Result<Audit> {
        if self.is_on(&DISABLE_AUDIT_LOGS)? {
            return Ok(Audit::Off);
        }
        match self.value(&AUDIT_SOCKET)? {
            None => Ok(Audit::Usual),
            Some("") => bail!("--{}: it is empty", AUDIT_SOCKET.flag),
            Some(path) => Ok(Audit::At(path.into())),
        }
    }

    /// What was asked for and isn't needed here, in one sentence.
    fn needless(&self) -> anyhow::Result<Option<String>> {
        let mut all = Vec::new();
        let mut add = |setting: &Setting, why: &str| {
            all.push(format!("{} ({why})", self.origin(setting)));
        };
        if self.value(&PROXY_PORT)?.is_some() {
            add(&PROXY_PORT, "no port is opened");
        }
        if self.is_on(&PPROF)? {
            add(&PPROF, "there is no profiling server");
        }
        if self.value(&PPROF_PORT)?.is_some() {
            add(&PPROF_PORT, "there is no profiling server");
        }
        if self.is_on(&USE_REAL_DNS)? {
            add(
                &USE_REAL_DNS,
                "names that rules allow are resolved by this host's servers, others by none, and UDP stays filtered",
            );
        }
        Ok((!all.is_empty()).then(|| format!("without effect here: {}", all.join(", "))))
    }
}

#[cfg(test)]
mod tests;
