//! IDs and hashes, shortened as people know them from Docker.

use crate::escape::clean;

/// Characters that are left.
const LENGTH: usize = 12;
/// More than they take when escaped, in bytes.
const MAX_BYTES: usize = 255;

/// The beginning of an ID or a hash, its text escaped.
pub(super) fn short(text: &str) -> String {
    clean(&text.chars().take(LENGTH).collect::<String>(), MAX_BYTES)
}
