//! What is asked of a jail.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::policy::Mode;

/// Everything that can be asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How the command is jailed.
    pub jail_type: TypeChoice,
    /// Rules that allow, besides those of the policy's file.
    pub allow: Vec<String>,
    /// Rules that deny.
    pub deny: Vec<String>,
    /// The policy's file.
    pub policy: Option<PathBuf>,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// Whether to do without a user namespace, by the caller's own capabilities.
    pub no_user_namespace: bool,
    /// Unix sockets that stay open to the command.
    pub allow_sockets: Vec<PathBuf>,
    /// Where the record is written; none: to standard error.
    pub log: Option<PathBuf>,
    /// Whether to say at the end what was allowed and denied.
    pub summary: bool,
    /// The command, and its arguments.
    pub command: Vec<OsString>,
}

/// Which type of jail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TypeChoice {
    /// The strongest that can be had here.
    #[default]
    Auto,
    /// This one, or none.
    Only(Type),
}

/// A type of jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A user and a network namespace of its own, captured by the kernel.
    Nsjail,
    /// No namespace: a supervisor makes the target's sockets.
    Notify,
    /// As `notify`, with Landlock as a second wall.
    Landjail,
}

impl Type {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nsjail => "nsjail",
            Self::Notify => "notify",
            Self::Landjail => "landjail",
        }
    }
}

impl TypeChoice {
    /// Reads `auto` or a type's name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let types = [Type::Nsjail, Type::Notify, Type::Landjail];
        match word {
            "auto" => Some(Self::Auto),
            word => types
                .into_iter()
                .find(|one| one.name() == word)
                .map(Self::Only),
        }
    }
}
