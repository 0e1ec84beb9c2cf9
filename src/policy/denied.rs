//! A denied attempt as an approval sees it: all that a rule for exactly that says, and nothing else.
//!
//! Pure. Invariant: its texts were said by a container. What is read from elsewhere counts only after
//! [`DeniedAttempt::is_sound`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::attempt::{Attempt, Protocol};
use super::host::Hostname;
use super::rule::{is_method, normalise_path};

/// Longest method that can be approved, in bytes.
const MAX_METHOD: usize = 32;
/// Longest path that can be approved, in bytes: people have to read it.
const MAX_PATH: usize = 512;

/// An attempt that was denied because no rule allows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeniedAttempt {
    /// What it was. None: a name was looked up, and what for is not known.
    pub protocol: Option<Protocol>,
    /// The name that was asked for.
    pub name: Option<Hostname>,
    /// The address that a rule for it has to name: its own where it has no name, and where its name
    /// leads to a private one.
    pub address: Option<IpAddr>,
    /// The port; none of a lookup.
    pub port: u16,
    /// The method, where read.
    pub method: Option<String>,
    /// The path in its canonical form, where read and where it has one.
    pub path: Option<String>,
}

impl DeniedAttempt {
    /// Whether it is one, and short enough to be shown.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let lookup = self.protocol.is_none();
        let has_request = self.method.is_some() || self.path.is_some();
        let is_canonical =
            |path: &String| path.len() <= MAX_PATH && normalise_path(path).as_ref() == Some(path);
        let is_plain = |address: &IpAddr| address.to_canonical() == *address;
        (self.name.is_some() || self.address.is_some())
            && !(lookup && (has_request || self.name.is_none() || self.address.is_some()))
            && lookup == (self.port == 0)
            && self.address.as_ref().is_none_or(is_plain)
            && self
                .method
                .as_ref()
                .is_none_or(|method| method.len() <= MAX_METHOD && is_method(method))
            && self.path.as_ref().is_none_or(is_canonical)
    }

    /// The attempt by this protocol. Of a name on the internet it doesn't matter where it leads.
    pub(super) fn attempt(&self, protocol: Protocol) -> Attempt<'_> {
        let address = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Attempt {
            protocol,
            name: self.name.as_ref(),
            destination: SocketAddr::new(address, self.port),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
        }
    }
}

/// By which an attempt is approved: a hash of the container and of all that the rule says, so that it
/// can't come to mean something else. Half of SHA-256: a container that could make two attempts of one
/// ID, a harmless one to be shown and another, would have to try 2^64 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApprovalId([u8; 16]);

/// Why a text is no [`ApprovalId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the ID of a pending attempt: 32 hexadecimal digits, as policy pending shows them")]
pub struct ApprovalIdError;

/// Grows when the same rule comes to mean something else.
const VERSION: &str = "boundary approval 1";

impl ApprovalId {
    /// That of this rule for this container.
    #[must_use]
    pub fn of(container: &str, rule: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [VERSION, container, rule] {
            // With its length in front, no part can be taken for the beginning of the next.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.iter_mut()
            .zip(hash.finalize())
            .for_each(|(own, byte)| *own = byte);
        Self(id)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ApprovalId {
    type Err = ApprovalIdError;

    /// All of it: a beginning could be another attempt's, too.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_whole = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).map_err(|_| ApprovalIdError)?;
        is_whole
            .then_some(Self(number.to_be_bytes()))
            .ok_or(ApprovalIdError)
    }
}

impl TryFrom<String> for ApprovalId {
    type Error = ApprovalIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ApprovalId> for String {
    fn from(id: ApprovalId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> DeniedAttempt {
        DeniedAttempt {
            protocol: Some(Protocol::Http),
            name: Hostname::parse("a.test").ok(),
            address: None,
            port: 80,
            method: Some("GET".to_owned()),
            path: Some("/a".to_owned()),
        }
    }

    #[test]
    fn what_is_no_attempt_or_too_long_is_not_sound() {
        assert!(request().is_sound());
        let change = |change: fn(&mut DeniedAttempt)| {
            let mut changed = request();
            change(&mut changed);
            changed.is_sound()
        };
        assert!(change(
            |one| one.path = Some(format!("/{}", "a".repeat(511)))
        ));
        assert!(!change(
            |one| one.path = Some(format!("/{}", "a".repeat(512)))
        ));
        assert!(!change(|one| one.path = Some("/a\u{1b}[2J".to_owned())));
        assert!(!change(|one| one.path = Some("/a b port=22".to_owned())));
        assert!(!change(|one| one.path = Some("/a/../b".to_owned())));
        assert!(!change(|one| one.method = Some("GET port=22".to_owned())));
        assert!(!change(|one| one.method = Some("A".repeat(33))));
        assert!(!change(|one| one.port = 0));
        assert!(!change(|one| one.name = None));
        assert!(!change(|one| one.protocol = None));
        assert!(!change(|one| one.address = "::ffff:10.0.0.1".parse().ok()));
        let lookup = DeniedAttempt {
            protocol: None,
            port: 0,
            method: None,
            path: None,
            ..request()
        };
        assert!(lookup.is_sound());
        assert!(
            !DeniedAttempt {
                port: 80,
                ..lookup.clone()
            }
            .is_sound()
        );
        assert!(
            !DeniedAttempt {
                address: "10.0.0.1".parse().ok(),
                ..lookup
            }
            .is_sound()
        );
    }

    #[test]
    fn an_id_is_of_one_container_and_rule_and_is_read_whole() {
        let id = ApprovalId::of("c1", "domain=a.test");
        assert_eq!(id.to_string().parse(), Ok(id));
        for (container, rule) in [
            ("c2", "domain=a.test"),
            ("c1", "domain=a.tes"),
            ("c1d", "omain=a.test"),
        ] {
            assert_ne!(ApprovalId::of(container, rule), id);
        }
        let text = id.to_string();
        for text in [
            "",
            &text[..31],
            &format!("{text}0"),
            &format!("+{}", &text[1..]),
            &"g".repeat(32),
        ] {
            assert!(text.parse::<ApprovalId>().is_err(), "{text}");
        }
    }
}
