//! The name of a policy, as it is written in settings, annotations, file names and links to the
//! program.
//!
//! Invariant: the name becomes part of a path, so a text that could lead out of the policies'
//! directory is not a valid name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::escape::quoted;

/// A policy's name: 1 to 64 of `[a-z0-9._-]`, beginning with a letter or digit, without `..`. It is
/// also the name of a file in the policies' directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyName(String);

impl PolicyName {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let first = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let rest =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if !first || text.len() > 64 || !text.bytes().all(rest) || text.contains("..") {
            return Err(format!(
                "{} is not a valid policy name (at most 64 of a-z, 0-9, . _ -)",
                quoted(text)
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its file.
    #[must_use]
    pub fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.yaml", self.0))
    }
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
