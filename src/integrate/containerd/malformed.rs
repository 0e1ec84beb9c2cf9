//! Why one of containerd's files can't be read or edited.

use std::path::PathBuf;

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
        "unsupported version (expected version = 2, 3 or 4): containerd config migrate prints the file in a newer version"
    )]
    Version,
    /// From after this program was written.
    #[error("version = {0} is unknown: expected 2, 3 or 4")]
    Newer(i64),
    /// Its head says that something else makes it.
    #[error(
        "it says {0:?}, so changes would be lost: change the template that it is made from, which may begin with \
         {{{{ template \"base\" . }}}}, or have it import a directory, where it has version 3"
    )]
    Generated(String),
    /// Something else makes it, of this file.
    #[error("it is made from {}, so changes would be lost: use --config with that", .0.display())]
    MadeFrom(PathBuf),
    /// No TOML before something fills it in.
    #[error(
        "it is a template, which only its program can read: use --config with the file that is made from it; if that \
         imports no directory, add the runtime to the template by hand"
    )]
    Template,
    /// A template that isn't there means that its program uses its own.
    #[error(
        "it isn't there, and would be taken for the whole configuration: use --config with the file that is made from \
         such a template"
    )]
    NewTemplate,
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
