//! The rows, by kind.

mod kernel;
mod pretences;
mod take_over;

use crate::row::Row;

/// All of them, in the order of SECURITY.md.
pub(crate) fn all() -> impl Iterator<Item = Row> {
    [kernel::ROWS, take_over::ROWS, pretences::ROWS].into_iter().flatten().copied()
}
