//! What a record says of one attempt, and how long each text in it may be.
//!
//! Everything textual passes [`crate::escape::clean`] on its way into a line, whoever it came from.
//! Query strings are cut off: they carry secrets.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

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
    /// The type of an ICMP message; of another protocol than those that [`Kind`] names, its number
    /// (IANA).
    pub number: Option<u8>,
}

impl Kind {
    /// Its word in the record.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Other => "other",
        }
    }
}

impl Subject {
    /// An attempt of which no more than this is known.
    #[must_use]
    pub fn new(
        kind: Kind,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self {
            kind,
            direction,
            source,
            destination,
            name: None,
            method: None,
            path: None,
            number: None,
        }
    }
}

/// Longest name in a record, in bytes: a DNS name has at most 253.
pub const MAX_NAME: usize = 255;
/// Longest path, in bytes.
pub const MAX_PATH: usize = 2048;
/// Longest method or query type, in bytes.
pub const MAX_METHOD: usize = 32;
/// Longest rule, reason or suggestion, in bytes.
pub const MAX_TEXT: usize = 1024;

/// A path without its query and fragment.
pub(super) fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_cut_off_with_its_secrets() {
        assert_eq!(without_query("/a/b?token=x#y"), "/a/b");
        assert_eq!(without_query("/a#?"), "/a");
        assert_eq!(without_query(""), "");
    }
}
