//! The rulebook: decides, for one attempt, whether it may go out and where to.
//!
//! Pure: no I/O, no clock. Only this module can make a [`Permit`] or an [`UpstreamAddr`], and the dialler takes nothing
//! else, so a connection that nobody decided about cannot be written.

pub mod host;
pub mod net;
pub mod rule;
pub mod select;
pub mod text;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use host::Hostname;

/// What a policy is made from: rules as their authors wrote them, already read from files and annotations.
/// Travels from the shim to the proxy as JSON.
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
    /// Something that the reader of a denial should know (`no policy file /etc/boundary/policies/default.yaml`).
    pub note: Option<String>,
}

/// Whether a denial ends the attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What the rules don't allow fails.
    #[default]
    Enforce,
    /// What the rules don't allow passes and is recorded as `would deny`. Special ranges stay shut.
    Observe,
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
    /// The name the client asked for: SNI, Host, or what it had resolved for that address. None: only an address.
    pub name: Option<&'a Hostname>,
    /// Where the client's packets were addressed to. Matched by `cidr` rules; its port is the attempt's port.
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

/// Leave to reach one target. Made only by [`Policy::decide`].
#[derive(Debug, Clone)]
pub struct Permit {
    rule: Arc<str>,
    target: PermittedTarget,
    port: u16,
    /// Ranges that the deciding rules name: these private addresses are meant.
    named_ranges: Arc<[ipnet::IpNet]>,
}

#[derive(Debug, Clone)]
enum PermittedTarget {
    Name(Hostname),
    Address(IpAddr),
}

/// Why an attempt may not go out, in words for people and for the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// One line: `no rule allows it`, `rule «deny domain=x» forbids it`, `169.254.169.254 is link-local`.
    pub reason: String,
    /// The deny rule that matched, if one did.
    pub rule: Option<String>,
    /// The rule text that would allow it, where one could.
    pub suggestion: Option<String>,
}

/// An address that may be connected to. Made only by [`Permit::upstream`], and demanded by `proxy::dial`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamAddr(SocketAddr);

impl UpstreamAddr {
    /// The address to connect to.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

/// Ports whose traffic the gateway hands to the proxy; every other port is refused by the kernel at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedPorts {
    /// TCP port ranges, inclusive, sorted, disjoint. 80 and 443 are always in it (their denials explain themselves).
    pub tcp: Vec<(u16, u16)>,
    /// UDP port ranges, inclusive, sorted, disjoint. 53 is not in it: DNS is always captured.
    pub udp: Vec<(u16, u16)>,
}

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    // helper A: private fields
}

impl Policy {
    /// Compiles rules; every mistake is reported, not only the first.
    pub fn compile(_source: &PolicySource) -> Result<Self, Vec<text::Mistake>> {
        todo!()
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Decides one attempt.
    #[must_use]
    pub fn decide(&self, _attempt: &Attempt<'_>) -> Verdict {
        todo!()
    }

    /// Whether a name may be looked up: true where some rule could let a connection to it through.
    /// Gives the rule's text, or why not.
    pub fn decide_lookup(&self, _name: &Hostname) -> Result<Arc<str>, Denial> {
        todo!()
    }

    /// What the gateway must hand to the proxy.
    #[must_use]
    pub fn captured_ports(&self) -> CapturedPorts {
        todo!()
    }

    /// Whether an attempt on this port can be decided without its name, method or path (so nothing need be read from it
    /// before dialling: protocols in which the server speaks first).
    #[must_use]
    pub fn speaks_first(&self, _destination: SocketAddr) -> bool {
        todo!()
    }
}

impl Permit {
    /// The rule that allowed it, as written (`observe` mode: `would deny: …`).
    #[must_use]
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The name to resolve, where the permit is for a name.
    #[must_use]
    pub fn name(&self) -> Option<&Hostname> {
        match &self.target {
            PermittedTarget::Name(name) => Some(name),
            PermittedTarget::Address(_) => None,
        }
    }

    /// The address, where the permit is for one (a `cidr` rule): resolve nothing.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.target {
            PermittedTarget::Name(_) => None,
            PermittedTarget::Address(address) => Some(address),
        }
    }

    /// Checks one resolved address against the special ranges and the deny rules' ranges.
    /// `own`: addresses of the gateway, the container and the host, never dialled.
    pub fn upstream(&self, _address: IpAddr, _own: &[IpAddr]) -> Result<UpstreamAddr, Denial> {
        let _ = (self.port, &self.named_ranges);
        todo!()
    }
}
