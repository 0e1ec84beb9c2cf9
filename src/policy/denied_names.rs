//! What a container is told of names that its policy denies: that they don't exist, or an address
//! that stands for all of them.
//!
//! Owns the address and the names that never get it. Invariant: the address opens nothing. It is
//! among those that no rule can open ([`super::net`]), and a connection to it is judged by what is
//! said on it, like one to any other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::host::Hostname;

/// How questions for denied names are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeniedNames {
    /// The name doesn't exist.
    #[default]
    Nxdomain,
    /// With an address of the gateway's own, where a connection is told that it is denied.
    Answer,
}

impl DeniedNames {
    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nxdomain => "nxdomain",
            Self::Answer => "answer",
        }
    }
}

/// Stands for denied names in IPv4: the address of nobody (RFC 7600, 4.8), which in a gateway is its
/// own.
pub const DENIED_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// The same in IPv6, out of the prefix that leads nowhere (RFC 6666).
pub const DENIED_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8);

/// Whether a connection to this address was led there by the answer for a denied name, as far as its
/// address can tell.
#[must_use]
pub fn stands_for_denied(address: IpAddr) -> bool {
    [IpAddr::V4(DENIED_V4), IpAddr::V6(DENIED_V6)].contains(&address.to_canonical())
}

/// Whether a denied name doesn't exist, whatever the setting: one of a single label, one that DNS
/// itself has no servers for, or one that a search list may have made. Of those, programs take an
/// answer for more than it is: they look no further, or take it for their own network's.
#[must_use]
pub fn never_answered(name: &Hostname, search: &[Hostname]) -> bool {
    let is_below = |domain: &str| {
        let rest = name.as_str().strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    !name.as_str().contains('.')
        || SPECIAL_USE.iter().any(|domain| is_below(domain))
        || search.iter().any(|domain| is_below(domain.as_str()))
}

/// IANA's registry of special-use domain names (RFC 6761), with all of `arpa`, where addresses and
/// protocols have their names, and `internal`, which ICANN keeps for private networks.
const SPECIAL_USE: [&str; 12] = [
    "alt",
    "arpa",
    "example",
    "example.com",
    "example.net",
    "example.org",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
    "test",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn some_names_never_exist() {
        let search = [name("corp.net"), name("shop.svc.cluster.dev")];
        for (text, never) in [
            ("evil.dev", false),
            ("a.evil.dev", false),
            ("contest", true),
            ("wpad", true),
            ("a.test", true),
            ("A.TEST.", true),
            ("atest.dev", false),
            ("contest.dev", false),
            ("a.contest", false),
            ("localhost.localdomain", false),
            ("x.localhost", true),
            ("printer.local", true),
            ("x.onion", true),
            ("home.arpa", true),
            ("1.2.0.192.in-addr.arpa", true),
            ("ipv4only.arpa", true),
            ("example.com", true),
            ("www.example.com", true),
            ("myexample.com", false),
            ("metadata.google.internal", true),
            ("corp.net", true),
            ("evil.dev.corp.net", true),
            ("acorp.net", false),
            ("evil.dev.shop.svc.cluster.dev", true),
        ] {
            assert_eq!(never_answered(&name(text), &search), never, "{text}");
        }
        assert!(!never_answered(&name("evil.dev.corp.net"), &[]));
    }

    #[test]
    fn the_address_is_known_in_every_form_of_it() {
        for (text, expected) in [
            ("192.0.0.8", true),
            ("::ffff:192.0.0.8", true),
            ("100::8", true),
            ("192.0.0.9", false),
            ("100::9", false),
        ] {
            assert_eq!(stands_for_denied(text.parse().unwrap()), expected, "{text}");
        }
    }
}
