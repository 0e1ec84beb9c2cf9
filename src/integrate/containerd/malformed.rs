//! Why one of containerd's files can't be read or edited.

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedToml {
    /// No TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In the parser's words.
        message: String,
    },
    /// Something else stands where a table belongs.
    #[error("{0} is not a table")]
    NotATable(String),
    /// Version 1, or none.
    #[error(
        "unsupported version (expected version = 2, or 3 for containerd 2.0 and later): containerd config migrate prints the file in a newer version"
    )]
    Version,
    /// Not a list of texts.
    #[error("imports is not a list of strings")]
    Imports,
    /// A pattern with more than we can follow.
    #[error(
        "imports: unsupported pattern {0}: use an absolute path, with no wildcard but * in the file name"
    )]
    Pattern(String),
    /// They may import each other.
    #[error("more than {0} files are imported")]
    TooMany(usize),
    /// More than the one line would be different.
    #[error(
        "it has CRLF line endings or a byte order mark, which would be lost: remove them first"
    )]
    LineEnds,
    /// Our own edit can't be read back.
    #[error("nothing can be added to {0} as it is written: write it as a table with a header")]
    Unwritable(&'static str),
}
