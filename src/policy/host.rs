//! One canonical form of a host name: lower case, no trailing dot, ASCII. What is matched, looked up, dialled, logged.

use std::fmt;

/// A canonical DNS name. Never an address literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Box<str>);

/// Why a text is no host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name")]
pub struct HostnameError;

impl Hostname {
    /// Canonicalises a name.
    pub fn parse(_text: &str) -> Result<Self, HostnameError> {
        todo!()
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
