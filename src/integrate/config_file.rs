//! Reads configuration files as they are before anything is planned; `step` writes them.
//!
//! Invariant: where a path is a link, the file that it leads to is meant, so that the link stays a
//! link.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::IntegrateError;

/// The first line of a file that is ours alone.
pub(super) const HEADER: &str =
    "# Made by `boundary-shim install`; `boundary-shim uninstall` takes it away.";

/// The file's real path and its text; no text where there is no file.
///
/// # Errors
/// It can't be read, isn't text, is too large, or is a link that leads nowhere.
pub(super) fn read(path: &Path) -> Result<(PathBuf, Option<String>), IntegrateError> {
    let found = match path.canonicalize() {
        Ok(real) => read_bounded(&real).map(|text| (real, Some(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            Ok((path.to_owned(), None))
        }
        Err(error) => Err(error),
    };
    found.map_err(|source| IntegrateError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The same of a file that is ours alone.
///
/// # Errors
/// As [`read`]; and somebody else made the file.
pub(super) fn read_own(path: &Path) -> Result<(PathBuf, Option<String>), IntegrateError> {
    match read(path)? {
        (path, Some(text)) if !text.starts_with(HEADER) => Err(IntegrateError::ForeignFile(path)),
        found => Ok(found),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    /// Far above any real one; a device or a mistaken path is not read to its end.
    const LARGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST) {
        Ok(text)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}
