//! One audit line: what is in it, and how hostile text is kept from breaking it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The version of the line's form. Grows when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// What kind of attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Plain HTTP: one record a request.
    Http,
    /// TLS, by its SNI: one record a connection.
    Https,
    /// Other TCP: one record a connection.
    Tcp,
    /// One record a flow (the four of addresses and ports).
    Udp,
    /// One record a query.
    Dns,
    /// ICMP and ICMPv6: one record a flow.
    Icmp,
    /// Another IP protocol.
    Other,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the container.
    Out,
    /// To the container (a published port, a neighbour).
    In,
}

/// What is known when an attempt is seen.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What kind.
    pub kind: Kind,
    /// Which way.
    pub direction: Direction,
    /// Who asked.
    pub source: SocketAddr,
    /// Where the packets were addressed to.
    pub destination: SocketAddr,
    /// The name asked for, where known; hostile text as it came (cleaned when written).
    pub name: Option<String>,
    /// HTTP method (or DNS query type), where known.
    pub method: Option<String>,
    /// HTTP path, where known.
    pub path: Option<String>,
}

/// One line of the audit file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub v: u32,
    /// Counts up by one in each file; a gap is a lost line.
    pub seq: u64,
    /// When the attempt was seen, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The container's id.
    pub container: String,
    /// The policy's name.
    pub policy: String,
    /// What kind of attempt.
    pub protocol: Kind,
    /// Which way.
    pub direction: Direction,
    /// Who asked.
    pub source: SocketAddr,
    /// The name asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The address connected to, or (denied) asked for.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// HTTP method or DNS query type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// HTTP path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// `allow` or `deny`.
    pub verdict: String,
    /// The rule that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// Why, for people: why it was denied, or how an allowed attempt ended if not well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Bytes from the container.
    pub bytes_out: u64,
    /// Bytes to the container.
    pub bytes_in: u64,
    /// From seen to ended, in milliseconds.
    pub duration_ms: u64,
}
