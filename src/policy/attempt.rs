//! An attempt to reach something, as rules see it.

use std::net::SocketAddr;

use super::host::Hostname;

/// What was recognised on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
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

impl Protocol {
    /// Whose requests its bytes could hold unread. What begins as no request may hold one all the same, and
    /// over UDP that is HTTPS by QUIC: who allows such a protocol allows whatever it holds.
    pub(super) fn unread_requests(self) -> &'static [Self] {
        match self {
            Self::Http | Self::Https => &[],
            Self::Tcp => &[Self::Http, Self::Https],
            Self::Udp => &[Self::Https],
        }
    }
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
