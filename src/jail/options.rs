//! What is asked of a jail.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::audit::Form;
use crate::policy::{DeniedNames, Mode, TlsSource};

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
    /// Which TLS is intercepted, where no policy's file says.
    pub tls: TlsSource,
    /// How questions for denied names are answered.
    pub denied_names: DeniedNames,
    /// Whether to do without a user namespace, by the caller's own capabilities.
    pub no_user_namespace: bool,
    /// Ports of this host's loopback that the command reaches on its own.
    pub host_ports: Vec<u16>,
    /// Ports of the command's that this host reaches.
    pub publish: Vec<Publish>,
    /// Unix sockets that stay open to the command.
    pub allow_sockets: Vec<PathBuf>,
    /// Where the record is written; none: to standard error.
    pub log: Option<PathBuf>,
    /// The form that it is written in.
    pub form: Form,
    /// The socket of Coder's workspace agent, which is told of each judged request. The command doesn't
    /// get to it.
    pub audit_socket: Option<PathBuf>,
    /// Whether to say at the end what was allowed and denied.
    pub summary: bool,
    /// The command, and its arguments.
    pub command: Vec<OsString>,
}

/// A server of the command's that this host reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The port of this host's loopback.
    pub outside: u16,
    /// The port of the command's.
    pub inside: u16,
}

impl Publish {
    /// Reads `PORT`, or `OUTSIDE:INSIDE`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let (outside, inside) = word.split_once(':').unwrap_or((word, word));
        let port = |word: &str| word.parse().ok().filter(|port| *port != 0);
        Some(Self {
            outside: port(outside)?,
            inside: port(inside)?,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_two() {
        let ports = |word| Publish::parse(word).map(|one| (one.outside, one.inside));
        assert_eq!(ports("3000"), Some((3000, 3000)));
        assert_eq!(ports("9200:3000"), Some((9200, 3000)));
        for word in ["", "0", "x", "1:", ":1", "1:2:3", "65536", "127.0.0.1:80"] {
            assert_eq!(ports(word), None, "{word}");
        }
    }
}
