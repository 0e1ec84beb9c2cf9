//! The rulebook: decides, for one attempt, whether it may go out and where to.
//!
//! Pure: no I/O, no clock. Only this module can make a [`Permit`] or an [`UpstreamAddr`], and the
//! dialler takes nothing else, so a connection that nobody decided about cannot be written.

mod decide;
mod domain;
mod exit;
mod explain;
mod hash;
pub mod host;
mod name;
mod net;
mod path;
mod permit;
mod ports;
pub mod rule;
pub mod text;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use decide::Policy;
pub use exit::Exit;
pub use host::Hostname;
pub use name::PolicyName;
pub use permit::{Permit, UpstreamAddr};

/// What a policy is made from: rules as their authors wrote them, already read from files and
/// annotations. Travels from the shim to the proxy as JSON.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct PolicySource {
    /// The policy's name, for records and messages (`default`, `npm`).
    pub name: String,
    /// Whether denials are enforced or only recorded.
    pub mode: Mode,
    /// Rules that allow, one text each.
    pub allow: Vec<String>,
    /// Rules that deny; they beat every allow.
    pub deny: Vec<String>,
    /// Rules from the container's annotations: they count only where the ceiling allows too.
    pub annotated: Vec<String>,
    /// The host's ceiling for `annotated` rules. Empty: annotations widen nothing.
    pub ceiling: Vec<String>,
    /// Something that the reader of a denial should know (`no policy file
    /// /etc/boundary/policies/default.yaml`).
    pub note: Option<String>,
}

/// Whether a denial ends the attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What the rules don't allow fails.
    #[default]
    Enforce,
    /// What the rules don't allow passes and is recorded as `would deny`. Special ranges stay shut,
    /// and private ones that no rule names.
    Observe,
}

/// Whether an address is simply on the internet: neither always refused nor private to some
/// network.
#[must_use]
pub fn is_public(address: std::net::IpAddr) -> bool {
    net::classify(address) == net::Class::Public
}

impl Mode {
    /// Its name in settings and annotations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }

    /// Reads `enforce` or `observe`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "enforce" => Some(Self::Enforce),
            "observe" => Some(Self::Observe),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        })
    }
}

/// What was recognised on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Plain HTTP/1.
    Http,
    /// TLS (identified by its SNI).
    Https,
    /// Any other TCP.
    Tcp,
    /// UDP other than DNS.
    Udp,
}

/// One attempt to reach something, as identified.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What was recognised on the wire.
    pub protocol: Protocol,
    /// The name the client asked for: SNI, Host, or what it had resolved for that address. None:
    /// only an address.
    pub name: Option<&'a Hostname>,
    /// Where the client's packets were addressed to. Matched by `cidr` rules; its port is the
    /// attempt's port.
    pub destination: SocketAddr,
    /// HTTP method, where read.
    pub method: Option<&'a str>,
    /// HTTP path, normalised, without query, where read.
    pub path: Option<&'a str>,
}

/// The answer to an [`Attempt`].
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It may go out, as the permit says.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// What the deny rules that could apply to a connection look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denials {
    /// There is none that could apply.
    None,
    /// The name, at most.
    ByName,
    /// The method or the path of an HTTP request, too.
    ByRequest,
}

/// Why an attempt may not go out, in words for people and for the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// One line: `no rule allows it`, `rule «deny domain=x» forbids it`, `169.254.169.254 is
    /// link-local (169.254.0.0/16)`.
    pub reason: String,
    /// The deny rule that matched, if one did.
    pub rule: Option<String>,
    /// The rule text that would allow it, where one could.
    pub suggestion: Option<String>,
}

impl Denial {
    /// One that no rule is the cause of, and that no rule would change.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            rule: None,
            suggestion: None,
        }
    }
}

/// On what grounds an attempt may go out, in words for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// The rule that allowed it, as written (`observe` mode: `would deny: …`).
    pub rule: Arc<str>,
    /// In `observe` mode: the rule text that would allow it, where one could.
    pub suggestion: Option<Arc<str>>,
}

impl Grounds {
    /// A rule, or what isn't asked of any.
    #[must_use]
    pub fn rule(rule: impl Into<Arc<str>>) -> Self {
        Self {
            rule: rule.into(),
            suggestion: None,
        }
    }

    /// `observe` mode lets it pass in spite of this.
    #[must_use]
    pub fn in_spite_of(denial: &Denial) -> Self {
        let suggestion = denial.suggestion.as_deref().map(Arc::from);
        Self {
            rule: format!("would deny: {}", denial.reason).into(),
            suggestion,
        }
    }
}

/// Ports whose traffic the gateway hands to the proxy; every other port is refused by the kernel at
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedPorts {
    /// TCP port ranges, inclusive, sorted, disjoint. 80 and 443 are always in it (their denials
    /// explain themselves).
    pub tcp: Vec<(u16, u16)>,
    /// UDP port ranges, inclusive, sorted, disjoint. 53 is not in it: DNS is always captured.
    pub udp: Vec<(u16, u16)>,
}
