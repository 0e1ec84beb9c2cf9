//! A policy file's text: YAML lists of rules, and the mistakes in them.

/// One mistake, with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// File, annotation or option it stands in.
    pub origin: String,
    /// Line, from 1, where the origin has lines.
    pub line: Option<usize>,
    /// The key concerned (`allow`, `domain`).
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}
