//! Files of the caller's choice.

use std::path::Path;

use crate::container::trust::STORE_LIMIT;
use crate::sys::file;

/// What is in one; nothing where that can't be read.
pub(super) fn read(path: &Path) -> Vec<u8> {
    let path = std::fs::canonicalize(path);
    let text = path.and_then(|path| file::read_regular(&path, STORE_LIMIT));
    text.unwrap_or_default()
}
