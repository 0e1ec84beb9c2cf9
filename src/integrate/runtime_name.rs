//! The name of the runtime in an engine's configuration.
//!
//! Must not know any engine's file. Invariant: a name needs no quoting in any of them.

use std::fmt;
use std::str::FromStr;

/// What `docker run --runtime=` takes, and a RuntimeClass names as its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeName(String);

/// What is wrong with a runtime's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Za-z0-9][A-Za-z0-9_.-]*`, or over 64 bytes.
    #[error(
        "invalid name: expected up to 64 letters, digits, - _ and ., with a letter or digit first"
    )]
    Spelling,
    /// It means something else already.
    #[error("{0} is reserved")]
    Taken(String),
}

impl RuntimeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuntimeName {
    type Err = NameError;

    /// Engines keep `runc` and its aliases to themselves.
    fn from_str(name: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > 64
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.chars().all(inner)
        {
            return Err(NameError::Spelling);
        }
        if name == "runc" || name.starts_with("io.containerd.") {
            return Err(NameError::Taken(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
